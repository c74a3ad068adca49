// The Api behind a real HTTP server, over a real store, with a scripted engine.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "api/api.hpp"
#include "core/digest.hpp"
#include "net/http_client.hpp"
#include "net/http_server.hpp"
#include "net/sse.hpp"
#include "schema.hpp"
#include "scripted_engine.hpp"

namespace oddjob::api {

inline auth::StaticToken token(const std::string& user, bool admin = false, bool auditor = false) {
  Subject s;
  s.user = user;
  s.teams = {"team-" + user};
  s.admin = admin;
  s.auditor = auditor;
  return {sha256_hex(user + "-token"), std::move(s)};
}

class ApiTest : public ::testing::Test {
 protected:
  ApiTest() {
    store::StoreOptions so;
    so.url = "sqlite::memory:";
    store_ = store::Store::open(so).value();
    script_.store = store_.get();
    EngineScript::current() = &script_;
    kube::Config cluster;
    cluster.server = "http://127.0.0.1:1";
    kube_ = std::make_unique<kube::Client>(loop_, cluster);
    engine_ = std::make_unique<runs::Engine>(loop_, *kube_, *store_, db_);
    auth::AuthOptions ao;
    ao.token_review = false;
    ao.static_tokens = {token("ann"), token("bob"), token("root", true), token("aud", false, true)};
    auth_ = std::make_unique<auth::Authenticator>(std::move(ao), nullptr);
    ApiOptions options;
    options.version = "1.2.3";
    options.commit = "abcdef";
    options.limits.max_streams_per_subject = 2;
    options.stream_keepalive = std::chrono::milliseconds(150);
    api_ = std::make_unique<Api>(*engine_, *store_, db_, *auth_, options);
    Api* api = api_.get();
    net::ServerOptions server;
    server.max_body = 2U << 20U;
    server_ = std::make_unique<net::HttpServer>(
        loop_, server,
        [api](const net::ServerRequest& q, net::ResponseWriter& w) { return api->handle(q, w); },
        &Api::problem);
    auto started = server_->start();
    EXPECT_TRUE(started) << (started ? "" : started.error().message);
    net::HttpClientOptions co;
    co.user_agent = "test";
    client_ = std::make_unique<net::HttpClient>(loop_, co);
  }
  ~ApiTest() override {
    client_.reset();
    loop_.block_on(server_->shutdown(std::chrono::seconds(2)));
  }

  struct Call {
    std::string user = "ann", body;
    std::vector<std::pair<std::string, std::string>> headers;
  };
  net::HttpRequest request(std::string method, const std::string& path, const Call& c) {
    net::HttpRequest r;
    r.method = std::move(method);
    r.url = "http://127.0.0.1:" + std::to_string(server_->port()) + path;
    if (!c.user.empty()) r.headers.set("Authorization", "Bearer " + c.user + "-token");
    if (!c.body.empty()) r.headers.set("Content-Type", "application/json");
    for (const auto& [k, v] : c.headers) r.headers.set(k, v);
    r.body = c.body;
    r.timeout = std::chrono::seconds(10);
    return r;
  }
  // Also checks that openapi.json describes the answer.
  net::HttpResponse call(const std::string& method, const std::string& path, const Call& c) {
    auto r = loop_.block_on(client_->fetch(request(method, path, c)));
    EXPECT_TRUE(r) << path << ": " << (r ? "" : r.error().message);
    if (r) expect_described(method, path, *r);
    return r.value_or(net::HttpResponse{});
  }
  net::HttpResponse get(const std::string& path, std::string user = "ann") {
    return call("GET", path, {std::move(user), {}, {}});
  }
  net::HttpResponse post(const std::string& path, std::string body,
                         std::vector<std::pair<std::string, std::string>> headers = {}) {
    return call("POST", path, {"ann", std::move(body), std::move(headers)});
  }
  static json::value body(const net::HttpResponse& r) {
    auto v = parse_json(r.body, "answer");
    EXPECT_TRUE(v) << r.body;
    return v.value_or(json::value());
  }
  static void expect_problem(const net::HttpResponse& r, int status, std::string_view code) {
    EXPECT_EQ(r.status, status) << r.body;
    EXPECT_EQ(r.headers.get("Content-Type"), "application/problem+json");
    const auto v = body(r);
    EXPECT_EQ(get_string(v, {"code"}), code) << r.body;
    EXPECT_EQ(get_int(v, {"status"}), status);
  }

  // A run of ann's, as it is in the store.
  std::string new_run() {
    const auto r =
        post("/api/v1/runs", R"({"namespace":"shop","workload":"deploy/payments","command":["true"]})");
    EXPECT_EQ(r.status, 201) << r.body;
    return std::string(get_string(body(r), {"id"}));
  }
  void append_log(const std::string& id, const std::string& data) {
    store::LogChunk c;
    c.pod_uid = "pod";
    c.offset = store_->log_length(id).value();
    c.data = data;
    ASSERT_TRUE(store_->append_log(id, c));
    script_.changed.notify_all();
  }
  template <class F>
  void change(const std::string& id, F f) {
    auto r = store_->get_run(id).value();
    f(r);
    ASSERT_TRUE(store_->update_run(r, {}));
    script_.changed.notify_all();
  }
  void finish(const std::string& id, int code = 0) {
    change(id, [code](oddjob::Run& r) {
      r.state = code == 0 ? RunState::succeeded : RunState::failed;
      r.exit_code = code;
      r.log_complete = true;
      r.finished = system_clock().now();
    });
  }

  net::Loop loop_;
  net::BlockingPool db_;
  EngineScript script_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<kube::Client> kube_;
  std::unique_ptr<runs::Engine> engine_;
  std::unique_ptr<auth::Authenticator> auth_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<net::HttpServer> server_;
  std::unique_ptr<net::HttpClient> client_;
};

}  // namespace oddjob::api
