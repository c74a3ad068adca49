// Issuers as real peers: TLS servers with a discovery document and a key set,
// which rotate their keys, lie, break and go away.
#include "auth/oidc.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "auth/authenticator.hpp"
#include "net/http_server.hpp"
#include "signing.hpp"
#include "testing/fake_kube_api.hpp"

namespace oddjob::auth {
namespace {

using kube::testing::TempDir;
using testing::jwks;
using testing::SigningKey;

struct Pem {
  std::string cert, key;
};

std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

const Pem& pem(int which = 0) {
  static const auto make = [] {
    const TempDir folder;
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=issuer "
        "-addext subjectAltName=IP:127.0.0.1 -keyout " +
        (folder / "key") + " -out " + (folder / "cert") + " 2> " + (folder / "log");
    EXPECT_EQ(std::system(command.c_str()), 0) << slurp(folder / "log");
    return Pem{slurp(folder / "cert"), slurp(folder / "key")};
  };
  static const Pem both[2] = {make(), make()};
  return both[which];
}

class Provider {
 public:
  explicit Provider(net::Loop& loop, std::string path = "") : path_(std::move(path)) {
    net::ServerOptions o;
    o.cert_pem = pem().cert;
    o.key_pem = pem().key;
    server_ = std::make_unique<net::HttpServer>(
        loop, o, [this](const net::ServerRequest& q, net::ResponseWriter& w) { return answer(this, q, w); });
    EXPECT_TRUE(server_->start());
  }
  [[nodiscard]] std::string url() const {
    return "https://127.0.0.1:" + std::to_string(server_->port()) + path_;
  }
  std::string says_issuer, says_jwks_uri, keys;
  int status = 200, discoveries = 0, key_sets = 0;
  std::unique_ptr<net::HttpServer> server_;

 private:
  static net::Task<> answer(Provider* self, const net::ServerRequest& q, net::ResponseWriter& w) {
    net::ServerResponse r;
    r.status = self->status;
    r.headers.add("Content-Type", "application/json");
    if (q.path == self->path_ + "/.well-known/openid-configuration") {
      ++self->discoveries;
      r.body = json::serialize(json::object{
          {"issuer", self->says_issuer.empty() ? self->url() : self->says_issuer},
          {"jwks_uri", self->says_jwks_uri.empty() ? self->url() + "/jwks" : self->says_jwks_uri}});
    } else if (q.path == self->path_ + "/jwks") {
      ++self->key_sets;
      r.body = self->keys;
    } else {
      r.status = 404;
    }
    co_await w.send(std::move(r));
  }
  std::string path_;
};

class OidcTest : public ::testing::Test {
 protected:
  void TearDown() override {
    oidc.reset();
    loop.block_on(provider.server_->shutdown(Duration(200)));
  }
  void make(Duration refresh = std::chrono::minutes(10), json::object more = {}) {
    json::object entry{{"issuer", provider.url()}, {"audiences", {"oddjob"}}, {"usernamePrefix", "id:"}};
    for (auto& [k, v] : more) entry[k] = v;
    auto issuers = parse_issuers(json::array{entry});
    ASSERT_TRUE(issuers) << issuers.error().message;
    issuers->front().ca_pem = ca;
    issuers->front().keys_max_age = max_age;
    IssuerKeysOptions o;
    o.refresh = refresh;
    o.retry = Duration(0);
    o.timeout = std::chrono::seconds(5);
    o.unknown_every = std::chrono::hours(1);
    oidc = std::make_shared<Oidc>(loop, std::move(*issuers), o);
  }
  json::object claims(json::object more = {}) {
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    json::object c{{"iss", provider.url()}, {"aud", "oddjob"}, {"sub", "ann"}, {"exp", now + 600}};
    for (auto& [k, v] : more) c[k] = v;
    return c;
  }
  std::string ask(const std::string& token) {
    const auto r = loop.block_on(oidc->subject(token));
    return r ? r->user : r.error().code;
  }

  net::Loop loop;
  Provider provider{loop};
  std::string ca = pem().cert;
  Duration max_age = std::chrono::hours(1);
  std::shared_ptr<Oidc> oidc;
  SigningKey first = SigningKey::ec("first"), second = SigningKey::ec("second");
};

TEST_F(OidcTest, KeysAreFetchedOnceAndAnewWhenTheyAreRotated) {
  provider.keys = jwks({first.jwk()});
  make();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(first.sign(claims(), "ES256")), "id:ann");
  EXPECT_EQ(provider.key_sets, 1);
  provider.keys = jwks({second.jwk()});
  EXPECT_EQ(ask(second.sign(claims(), "ES256")), "id:ann");
  EXPECT_EQ(provider.key_sets, 2);
  EXPECT_EQ(ask(first.sign(claims(), "ES256")), "auth.token_key") << "a key that was taken back";
}

TEST_F(OidcTest, AFloodOfMadeUpKeyIdsCausesFewFetches) {
  provider.keys = jwks({first.jwk()});
  make();
  int refused = 0, later = 0;
  for (int i = 0; i < 100; ++i) {
    const auto got = ask(first.sign(claims(), "ES256", {{"kid", "made-up-" + std::to_string(i)}}));
    refused += got == "auth.token_key" ? 1 : 0;
    later += got == "auth.keys_unavailable" ? 1 : 0;
  }
  EXPECT_EQ(refused + later, 100);
  EXPECT_EQ(provider.key_sets, 1 + 5);
  EXPECT_EQ(ask(first.sign(claims(), "ES256")), "id:ann") << "known keys are used meanwhile";
}

TEST_F(OidcTest, ManyTokensAtOnceWaitForOneFetch) {
  provider.keys = jwks({first.jwk()});
  make();
  int done = 0;
  const auto token = first.sign(claims(), "ES256");
  const auto one = [&]() -> net::Task<> {
    const auto r = co_await oidc->subject(token);
    done += r ? 1 : 0;
  };
  for (int i = 0; i < 50; ++i) loop.spawn("ask", one());
  EXPECT_EQ(ask(token), "id:ann");
  for (int i = 0; i < 1000 && done < 50; ++i) loop.block_on(net::yield_now());
  EXPECT_EQ(done, 50);
  EXPECT_EQ(provider.key_sets, 1);
}

TEST_F(OidcTest, OldKeysServeWhileTheIssuerIsDownButNotForEver) {
  provider.keys = jwks({first.jwk()});
  max_age = std::chrono::hours(1);
  make(Duration(0));  // every use asks anew
  const auto token = first.sign(claims(), "ES256");
  EXPECT_EQ(ask(token), "id:ann");
  provider.status = 503;
  EXPECT_EQ(ask(token), "id:ann");
  EXPECT_GE(provider.discoveries, 2);
  provider.status = 200;
  max_age = Duration(1);
  make(Duration(0));
  (void)ask(token);  // fetched, whatever the age says by now
  provider.status = 503;
  loop.block_on(net::sleep_for(Duration(2)));  // what is waited for is the age itself
  EXPECT_EQ(ask(token), "auth.keys_unavailable");
}

TEST_F(OidcTest, AnIssuerThatIsNotWhoItShouldBeGivesNoKeys) {
  const auto token = first.sign(claims(), "ES256");
  const auto unavailable = [&](std::string_view what) {
    make();
    EXPECT_EQ(ask(token), "auth.keys_unavailable") << what;
  };
  provider.keys = jwks({first.jwk()});
  ca = pem(1).cert;
  unavailable("a certificate of another authority");
  ca = pem().cert;
  provider.says_issuer = provider.url() + "/";
  unavailable("discovery says another issuer");
  provider.says_issuer.clear();
  provider.says_jwks_uri = "http://127.0.0.1:1/jwks";
  unavailable("keys without TLS");
  provider.says_jwks_uri.clear();
  provider.keys = "{}";
  unavailable("no keys");
  provider.keys = std::string(2U << 20U, ' ');
  unavailable("too large");
  provider.keys = jwks({first.jwk()});
  provider.status = 302;
  unavailable("a redirect");
  provider.status = 200;
  make();
  EXPECT_EQ(ask(token), "id:ann");
}

TEST_F(OidcTest, TheAuthenticatorShowsAnIssuersTokenToNobodyElse) {
  kube::testing::FakeApi api(loop);
  kube::Config config;
  config.server = api.url();
  kube::Client client(loop, config);
  provider.keys = jwks({first.jwk()});
  make();
  AuthOptions o;
  o.oidc = oidc;
  o.teams = parse_teams({{"sre", {{"users", {"id:ann"}}}}}).value();
  o.admin_teams = {"sre"};
  {
    Authenticator auth(o, &client);
    const auto ask_auth = [&](const std::string& token) {
      return loop.block_on(auth.authenticate("Bearer " + token));
    };
    const auto ann = ask_auth(first.sign(claims(), "ES256"));
    ASSERT_TRUE(ann) << ann.error().message;
    EXPECT_TRUE(ann->admin);
    EXPECT_EQ(auth.known(*ann), *ann);
    Subject stranger = *ann;
    stranger.user = "elsewhere#ann";
    EXPECT_EQ(auth.known(stranger), std::nullopt) << "no issuer gives that name any more";
    for (const auto& token :
         {second.sign(claims(), "ES256", {{"kid", "first"}}), first.sign(claims({{"exp", 1}}), "ES256"),
          testing::forge({{"alg", "none"}}, claims()), testing::forge({{"alg", "EdDSA"}}, claims(), "x")}) {
      const auto r = ask_auth(token);
      ASSERT_FALSE(r);
      EXPECT_EQ(r.error().kind, Errc::unauthenticated);
    }
    EXPECT_TRUE(api.seen.empty()) << "the API server never saw one of them";
    (void)ask_auth(first.sign(claims({{"iss", "https://elsewhere.example.com"}}), "ES256"));
    EXPECT_EQ(api.seen.size(), 1U) << "a token of nobody we know may be the cluster's";
  }
  api.stop();
}

}  // namespace
}  // namespace oddjob::auth
