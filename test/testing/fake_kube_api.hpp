// A scripted API server: each "METHOD /path" has a queue of answers, of which
// the last one stays. For what a well-behaved server never does.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "kube/client.hpp"
#include "net/http_server.hpp"

namespace oddjob::kube::testing {

// A body that a test writes while the client reads.
struct Feed {
  std::deque<std::string> pieces;
  bool closed = false, cut = false;
  net::Notifier changed;
  void push(std::string s) {
    pieces.push_back(std::move(s));
    changed.notify_all();
  }
  void event(std::string_view type, const json::value& object) {
    const json::object line{{"type", type}, {"object", object}};
    push(json::serialize(line) + "\n");
  }
  void close() {
    closed = true;
    changed.notify_all();
  }
  void break_off() {
    cut = true;
    changed.notify_all();
  }
};

struct Answer {
  int status = 200;
  std::string body;
  std::string type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::shared_ptr<Feed> feed;    // the body comes from here
  bool hang = false;             // no answer at all until the client goes
  std::function<void()> before;  // e.g. to change a file
};

inline Answer ok(const json::value& v) {
  return {200, json::serialize(v), "application/json", {}, {}, false, {}};
}
inline Answer status(int code, std::string_view reason, std::string_view message) {
  const json::object s{{"kind", "Status"},   {"apiVersion", "v1"}, {"status", "Failure"},
                       {"message", message}, {"reason", reason},   {"code", code}};
  return {code, json::serialize(s), "application/json", {}, {}, false, {}};
}
inline Answer text(int code, std::string type, std::string body) {
  return {code, std::move(body), std::move(type), {}, {}, false, {}};
}
inline Answer stream(std::shared_ptr<Feed> feed) {
  return {200, {}, "application/json", {}, std::move(feed), false, {}};
}

class FakeApi {
 public:
  explicit FakeApi(net::Loop& loop)
      : loop_(loop), server_(loop, {}, [this](const net::ServerRequest& q, net::ResponseWriter& w) {
          return handle(this, q, w);
        }) {
    const auto started = server_.start();
    EXPECT_TRUE(started) << (started ? "" : started.error().message);
  }
  void stop() { loop_.block_on(server_.shutdown(Duration(200))); }
  void add(const std::string& key, Answer a) { script_[key].push_back(std::move(a)); }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()); }
  [[nodiscard]] std::size_t count(std::string_view key) const {
    return static_cast<std::size_t>(std::count_if(seen.begin(), seen.end(), [&](const net::ServerRequest& q) {
      return q.method + " " + q.path == key;
    }));
  }
  std::vector<net::ServerRequest> seen;

 private:
  static net::Task<> handle(FakeApi* self, const net::ServerRequest& q, net::ResponseWriter& w) {
    self->seen.push_back(q);
    auto& queue = self->script_[q.method + " " + q.path];
    Answer a = queue.empty()
                   ? status(404, "NotFound", "nothing scripted for \"" + q.method + " " + q.path + "\"")
                   : queue.front();
    if (queue.size() > 1) queue.pop_front();
    if (a.before) a.before();
    if (a.hang) {
      co_await until_gone(w);
      co_return;
    }
    net::ServerResponse r;
    r.status = a.status;
    r.headers.add("Content-Type", a.type);
    for (const auto& [k, v] : a.headers) r.headers.add(k, v);
    if (!a.feed) {
      r.body = a.body;
      co_await w.send(std::move(r));
      co_return;
    }
    const auto begun = co_await w.begin(r.status, r.headers);
    if (!begun) co_return;
    auto feed = a.feed;
    auto gone = w.gone();
    const auto id = gone.on_cancel([feed] { feed->changed.notify_all(); });
    while (!gone.cancelled()) {
      const auto seen_ticket = feed->changed.ticket();
      while (!feed->pieces.empty()) {
        const std::string piece = std::move(feed->pieces.front());
        feed->pieces.pop_front();
        const auto written = co_await w.write(piece);
        if (!written) break;
      }
      if (feed->cut) w.abort();
      if (feed->cut || feed->closed) break;
      co_await feed->changed.wait_beyond(seen_ticket, std::chrono::seconds(30));
    }
    gone.remove(id);
  }
  static net::Task<> until_gone(net::ResponseWriter& w) {
    auto gone = w.gone();
    auto changed = std::make_shared<net::Notifier>();
    const auto id = gone.on_cancel([changed] { changed->notify_all(); });
    if (!gone.cancelled()) co_await changed->wait_beyond(0, std::chrono::seconds(30));
    gone.remove(id);
  }

  net::Loop& loop_;
  std::map<std::string, std::deque<Answer>> script_;
  net::HttpServer server_;
};

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "oddjob-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] std::string operator/(std::string_view name) const { return (path_ / name).string(); }
  std::string write(std::string_view name, std::string_view bytes) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
    return file.string();
  }
  std::string script(std::string_view name, std::string_view body) const {
    const auto file = write(name, "#!/bin/sh\n" + std::string(body));
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    return file;
  }

 private:
  std::filesystem::path path_;
};

// One loop, one fake server.
class ApiTest : public ::testing::Test {
 protected:
  void TearDown() override { api.stop(); }
  Config config() const {
    Config c;
    c.server = api.url();
    return c;
  }
  static ClientOptions quick() {
    ClientOptions o;
    o.call_timeout = std::chrono::seconds(5);
    o.min_backoff = Duration(5);
    o.max_backoff = Duration(50);
    return o;
  }
  template <class T>
  T run(net::Task<T> task) {
    return loop.block_on(std::move(task));
  }
  // Runs the loop until `condition`, at most ten seconds.
  bool until(std::function<bool()> condition) {
    return loop.block_on(
        poll(std::move(condition), std::chrono::steady_clock::now() + std::chrono::seconds(10)));
  }

  net::Loop loop;
  FakeApi api{loop};

 private:
  static net::Task<bool> poll(std::function<bool()> condition, std::chrono::steady_clock::time_point end) {
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) co_return false;
      co_await net::sleep_for(Duration(2));
    }
    co_return true;
  }
};

inline json::value pod(std::string_view name, std::string_view version, std::string_view uid = {}) {
  return {{"metadata",
           {{"namespace", "shop"},
            {"name", name},
            {"uid", uid.empty() ? "uid-" + std::string(name) : std::string(uid)},
            {"resourceVersion", version}}},
          {"spec", {{"nodeName", "n1"}}}};
}
inline json::value pod_list(std::string_view version, std::vector<json::value> items,
                            std::string_view next = {}) {
  json::array a;
  for (auto& v : items) a.push_back(std::move(v));
  json::object meta{{"resourceVersion", version}};
  if (!next.empty()) meta["continue"] = next;
  return json::object{
      {"kind", "PodList"}, {"apiVersion", "v1"}, {"metadata", std::move(meta)}, {"items", std::move(a)}};
}

}  // namespace oddjob::kube::testing
