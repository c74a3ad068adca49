// Who is the API server's front proxy, and who only says so.
#include "auth/front_proxy.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "testing/fake_kube_api.hpp"
#include "testing/folder.hpp"

namespace oddjob::auth {
namespace {

using kube::testing::Answer;
using kube::testing::ApiTest;
using kube::testing::ok;
using kube::testing::status;

constexpr std::string_view kScript = R"(set -e
cd "$1"
ca() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -keyout $1.key -out $1.pem -subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE
}
leaf() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $2.key -out $2.csr -subj "$3"
  printf "%s\n" "$4" > $2.ext
  openssl x509 -req -in $2.csr -CA $1.pem -CAkey $1.key -CAcreateserial -days $5 -out $2.pem -extfile $2.ext
}
ca proxy; ca clients
client=extendedKeyUsage=clientAuth
leaf proxy right /CN=front-proxy-client $client 2
leaf proxy misnamed /CN=somebody $client 2
leaf proxy twice "/CN=front-proxy-client/CN=somebody" $client 2
leaf proxy late /CN=front-proxy-client $client -1
leaf proxy server /CN=front-proxy-client extendedKeyUsage=serverAuth 2
leaf clients ann /CN=front-proxy-client $client 2
leaf proxy between "/CN=between" "basicConstraints=critical,CA:TRUE" 2
leaf between below /CN=front-proxy-client $client 2
)";

// The PEM of a certificate of the script above.
std::string pem(const std::string& name) {
  static const testing::Folder folder;
  static const bool made = [] {
    const std::string path = folder.path();
    std::ofstream(path + "/make.sh") << kScript;
    return std::system(("sh " + path + "/make.sh " + path + " > " + path + "/log 2>&1").c_str()) == 0;
  }();
  EXPECT_TRUE(made);
  std::stringstream out;
  out << std::ifstream(std::string(folder.path()) + "/" + name + ".pem").rdbuf();
  return out.str();
}

json::value config_map(const std::string& ca, const std::string& names = R"(["front-proxy-client"])") {
  return json::object{{"kind", "ConfigMap"},
                      {"data",
                       {{"requestheader-client-ca-file", ca},
                        {"requestheader-allowed-names", names},
                        {"requestheader-username-headers", R"(["X-Remote-User"])"},
                        {"requestheader-group-headers", R"(["X-Remote-Group"])"},
                        {"client-ca-file", pem("clients")}}}};
}

RequestHeaders known() {
  auto parsed = parse_request_headers(config_map(pem("proxy")));
  EXPECT_TRUE(parsed) << parsed.error().message;
  return *parsed;
}

TEST(FrontProxyConfig, SaysWhatTheApiServerWasStartedWith) {
  const auto k = known();
  EXPECT_EQ(k.allowed_names, std::vector<std::string>{"front-proxy-client"});
  EXPECT_EQ(k.user_headers, std::vector<std::string>{"X-Remote-User"});
  EXPECT_EQ(k.group_headers, std::vector<std::string>{"X-Remote-Group"});
}

TEST(FrontProxyConfig, WhatCannotBeReliedOnIsRefused) {
  const auto without = [](std::string_view key) {
    auto v = config_map(pem("proxy"));
    v.at("data").as_object().erase(key);
    return v;
  };
  const auto with = [](std::string_view key, std::string_view text) {
    auto v = config_map(pem("proxy"));
    v.at("data").as_object()[key] = text;
    return v;
  };
  const std::pair<json::value, std::string> rows[] = {
      {json::object{}, "auth.front_proxy_off"},
      {without("requestheader-client-ca-file"), "auth.front_proxy_off"},
      {with("requestheader-client-ca-file", "rubbish"), "auth.front_proxy_config"},
      {with("requestheader-allowed-names", "front-proxy-client"), "auth.front_proxy_config"},
      {with("requestheader-allowed-names", "[1]"), "auth.front_proxy_config"},
      {with("requestheader-group-headers", "{}"), "auth.front_proxy_config"},
      {with("requestheader-username-headers", "[]"), "auth.front_proxy_config"},
      {without("requestheader-username-headers"), "auth.front_proxy_config"},
      // One CA for clients and front proxy, and no name: everybody would be the front proxy.
      {config_map(pem("proxy") + pem("clients"), "[]"), "auth.front_proxy_unsafe"},
  };
  for (const auto& [object, code] : rows) {
    const auto r = parse_request_headers(object);
    ASSERT_FALSE(r) << json::serialize(object);
    EXPECT_EQ(r.error().code, code);
    EXPECT_EQ(r.error().kind, Errc::failed_precondition);
  }
  EXPECT_TRUE(parse_request_headers(config_map(pem("proxy"), "[]"))) << "a CA of its own needs no names";
}

TEST(FrontProxyCertificate, OnlyTheOneThatIsMeantIsBelieved) {
  const std::pair<std::string, std::string> rows[] = {
      {pem("right"), ""},
      {pem("right") + pem("clients"), ""},
      {pem("below") + pem("between"), ""},
      {pem("below"), "auth.front_proxy_untrusted"},
      {"", "auth.front_proxy_none"},
      {"rubbish", "auth.front_proxy_none"},
      {pem("misnamed"), "auth.front_proxy_name"},
      {pem("twice"), "auth.front_proxy_name"},
      {pem("late"), "auth.front_proxy_untrusted"},
      {pem("server"), "auth.front_proxy_untrusted"},
      {pem("ann"), "auth.front_proxy_untrusted"},
      // The right one as an intermediate, behind somebody else's.
      {pem("ann") + pem("right"), "auth.front_proxy_untrusted"},
  };
  const auto k = known();
  for (const auto& [chain, code] : rows) {
    const auto r = check_front_proxy(k, chain);
    EXPECT_EQ(r ? "" : r.error().code, code);
    if (!r) {
      EXPECT_EQ(r.error().kind, Errc::unauthenticated);
    }
  }
  EXPECT_EQ(check_front_proxy({}, pem("right")).error().code, "auth.front_proxy_untrusted")
      << "where nothing is known nobody is believed";
}

TEST(FrontProxySubject, IsWhoTheHeadersName) {
  net::Headers h;
  h.add("X-Remote-Group", "payments");
  h.add("x-remote-user", "ann");
  h.add("x-remote-group", "system:authenticated");
  h.add("X-Remote-Extra-Scopes", "all");
  h.add("X-Forwarded-For", "1.2.3.4, 2001:db8::7");
  const auto s = subject_of_headers(known(), h);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_EQ(s->user, "ann");
  EXPECT_EQ(s->teams, (std::vector<std::string>{"payments", "system:authenticated"}));
  EXPECT_EQ(s->how, AuthMethod::front_proxy);
  EXPECT_FALSE(s->admin || s->auditor);
  EXPECT_EQ(forwarded_from(h), "2001:db8::7") << "what stands before it is what the client says";
}

TEST(FrontProxySubject, WhatIsNoNameIsRefused) {
  const auto ask = [](const std::string& user, const std::string& group) {
    net::Headers h;
    h.add("X-Remote-User", user);
    h.add("X-Remote-Group", group);
    return subject_of_headers(known(), h);
  };
  for (const auto& [user, group] :
       std::vector<std::pair<std::string, std::string>>{{"", "a"},
                                                        {"  ", "a"},
                                                        {std::string(2000, 'x'), "a"},
                                                        {"a\x01", "a"},
                                                        {"a", "b\x7f"},
                                                        {"\xff", "a"},
                                                        {"a", std::string(2000, 'x')}}) {
    const auto r = ask(user, group);
    ASSERT_FALSE(r) << user;
    EXPECT_EQ(r.error().code, "auth.front_proxy_user");
  }
  net::Headers crowd;
  crowd.add("X-Remote-User", "ann");
  for (int i = 0; i < 6000; ++i) crowd.add("X-Remote-Group", "g" + std::to_string(i));
  EXPECT_FALSE(subject_of_headers(known(), crowd));
  net::Headers none;
  none.add("X-Forwarded-For", "<script>");
  EXPECT_EQ(forwarded_from(none), "");
}

class FrontProxyTest : public ApiTest {
 protected:
  const std::string kPath =
      "GET /api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

  void SetUp() override { client = std::make_unique<kube::Client>(loop, config(), quick()); }
  void TearDown() override {
    if (proxy) run(stop_it(*proxy));
    proxy.reset();
    client.reset();
    ApiTest::TearDown();
  }
  static net::Task<int> stop_it(FrontProxy& p) {
    co_await p.stop();
    co_return 0;
  }
  void make(Duration every = std::chrono::hours(1)) {
    FrontProxy::Options o;
    o.every = every;
    o.retry = std::chrono::milliseconds(20);
    o.on_authority = [this](const std::string& ca) { told.push_back(ca); };
    proxy = std::make_unique<FrontProxy>(*client, std::move(o));
    proxy->start();
  }
  std::string ask(const std::string& chain) {
    net::Headers h;
    h.add("X-Remote-User", "ann");
    auto r = run(proxy->authenticate(chain, h));
    return r ? r->user : r.error().code;
  }
  // The scripted server has one more answer of before.
  std::string asked_again(const std::string& chain) {
    const auto first = ask(chain);
    return first == "ann" ? first : ask(chain);
  }
  std::unique_ptr<kube::Client> client;
  std::unique_ptr<FrontProxy> proxy;
  std::vector<std::string> told;
};

TEST_F(FrontProxyTest, ACaThatWasRenewedIsKnownAtOnce) {
  auto before = config_map(pem("clients") + pem("between"));
  before.at("data").as_object().erase("client-ca-file");
  api.add(kPath, ok(before));
  make();
  EXPECT_EQ(ask(pem("ann")), "ann");
  api.add(kPath, ok(config_map(pem("proxy"))));
  EXPECT_EQ(asked_again(pem("right")), "ann") << "read again because somebody came who was not known";
  EXPECT_EQ(ask(pem("ann")), "auth.front_proxy_untrusted") << "and the old one counts no more";
  EXPECT_EQ(told, (std::vector<std::string>{pem("clients") + pem("between"), pem("proxy")}));
}

TEST_F(FrontProxyTest, WhileNobodySaidWhoItIsNobodyIsBelieved) {
  api.add(kPath, status(403, "Forbidden", "configmaps is forbidden"));
  make();
  EXPECT_EQ(ask(pem("right")), "auth.front_proxy_unknown");
  EXPECT_EQ(ask(""), "auth.front_proxy_none");
  api.add(kPath, ok(config_map(pem("proxy"))));
  EXPECT_EQ(asked_again(pem("right")), "ann") << "until it is said";
}

TEST_F(FrontProxyTest, WithoutACertificateNothingIsAsked) {
  make();
  EXPECT_EQ(ask(""), "auth.front_proxy_none");
}

}  // namespace
}  // namespace oddjob::auth
