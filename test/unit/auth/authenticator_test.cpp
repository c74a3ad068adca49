#include "auth/authenticator.hpp"

#include <gtest/gtest.h>

#include "auth/review_cache.hpp"
#include "core/digest.hpp"
#include "testing/fake_kube_api.hpp"

namespace oddjob::auth {
namespace {

using kube::testing::Answer;
using kube::testing::ApiTest;
using kube::testing::ok;
using kube::testing::status;

const std::string kReview = "POST /apis/authentication.k8s.io/v1/tokenreviews";

json::value review(std::string_view user, std::vector<std::string> groups = {},
                   std::vector<std::string> audiences = {}) {
  json::array g(groups.begin(), groups.end());
  json::array a(audiences.begin(), audiences.end());
  json::object s{{"authenticated", true}, {"user", {{"username", user}, {"groups", g}}}};
  if (!a.empty()) s["audiences"] = a;
  return {{"kind", "TokenReview"}, {"status", s}};
}
json::value refused() {
  return {{"kind", "TokenReview"}, {"status", {{"error", "[invalid bearer token sesame]"}}}};
}

class AuthTest : public ApiTest {
 protected:
  void SetUp() override { client = std::make_unique<kube::Client>(loop, config(), quick()); }
  void TearDown() override {
    auth.reset();
    client.reset();
    ApiTest::TearDown();
  }
  void make(AuthOptions o = {}) { auth = std::make_unique<Authenticator>(std::move(o), client.get()); }
  Result<Subject> ask(std::string_view header) { return run(auth->authenticate(header)); }
  static StaticToken token(std::string_view text, std::string user) {
    StaticToken t;
    t.sha256 = sha256_hex(text);
    t.subject.user = std::move(user);
    t.subject.teams = {"payments"};
    return t;
  }
  std::unique_ptr<kube::Client> client;
  std::unique_ptr<Authenticator> auth;
};

TEST_F(AuthTest, HeadersThatAreNoBearerTokenAreToldApart) {
  make();
  const std::pair<std::string, std::string> cases[] = {
      {"", "auth.missing"},
      {"   ", "auth.missing"},
      {"Bearer", "auth.malformed"},
      {"Bearer ", "auth.malformed"},
      {"Basic YTpi", "auth.malformed"},
      {"sesame", "auth.malformed"},
      {"Bearer a b", "auth.malformed"},
      {"Bearer a\tb", "auth.malformed"},
      {"Bearer " + std::string(20000, 'x'), "auth.malformed"},
      {"Bearer \xc3\xa9", "auth.malformed"}};
  for (const auto& [header, code] : cases) {
    const auto r = ask(header);
    ASSERT_FALSE(r) << header;
    EXPECT_EQ(r.error().code, code) << header;
    EXPECT_EQ(r.error().kind, Errc::unauthenticated);
    EXPECT_EQ(r.error().message.find("sesame"), std::string::npos);
  }
  EXPECT_TRUE(api.seen.empty());
}

TEST_F(AuthTest, AStaticTokenNeedsNoCluster) {
  AuthOptions o;
  o.static_tokens = {token("t-ann", "ann"), token("t-bob", "bob")};
  o.token_review = false;
  o.admin_teams = {"payments"};
  auth = std::make_unique<Authenticator>(o, nullptr);
  const auto r = ask("bearer t-bob");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->user, "bob");
  EXPECT_EQ(r->how, AuthMethod::static_token);
  EXPECT_TRUE(r->admin);
  EXPECT_EQ(ask("Bearer nope").error().code, "auth.unknown_token");
  auth->replace_static_tokens({token("t-new", "ann")});
  EXPECT_TRUE(ask("Bearer t-new"));
  EXPECT_FALSE(ask("Bearer t-bob"));
}

TEST_F(AuthTest, WhatIsKnownNowOfSomebodyWhoCameEarlier) {
  AuthOptions o;
  o.static_tokens = {token("open", "ann"), token("two-a", "bob"), token("two-b", "bob")};
  o.static_tokens[2].subject.teams = {"sre"};
  o.cache_ttl = Duration(0);
  make(o);
  const auto ann = ask("Bearer open").value();
  EXPECT_EQ(auth->known(ann), ann);
  Subject gone = ann;
  gone.user = "carl";
  EXPECT_EQ(auth->known(gone), std::nullopt) << "no token in the file any more";
  Subject bob = ann;
  bob.user = "bob";
  EXPECT_TRUE(auth->known(bob)->teams.empty()) << "what all of his tokens say";
  auto moved = token("open", "ann");
  moved.subject.teams = {"sales"};
  auth->replace_static_tokens({moved});
  EXPECT_EQ(auth->known(ann)->teams, std::vector<std::string>{"sales"});

  Subject reviewed;
  reviewed.user = "rita";
  reviewed.teams = {"sre"};
  reviewed.how = AuthMethod::token_review;
  EXPECT_EQ(auth->known(reviewed), reviewed) << "nothing newer is known";
  api.add(kReview, ok(review("rita", {"sales"})));
  ASSERT_TRUE(ask("Bearer sesame"));
  EXPECT_EQ(auth->known(reviewed)->teams, std::vector<std::string>{"sales"});
}

TEST_F(AuthTest, AReviewGivesUserGroupsAndRoles) {
  AuthOptions o;
  o.auditor_teams = {"sec"};
  api.add(kReview, ok(review("system:serviceaccount:ci:deployer", {"system:serviceaccounts", "sec"})));
  make(o);
  const auto r = ask("Bearer sesame");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->user, "system:serviceaccount:ci:deployer");
  EXPECT_EQ(r->teams, (std::vector<std::string>{"system:serviceaccounts", "sec"}));
  EXPECT_EQ(r->how, AuthMethod::token_review);
  EXPECT_TRUE(r->auditor);
  EXPECT_FALSE(r->admin);
  EXPECT_EQ(get_string(parse_json(api.seen[0].body, "b").value(), {"spec", "token"}), "sesame");
}

TEST_F(AuthTest, WhoBringsATokenOfAnIssuerThatIsNotConfiguredReadsWhich) {
  AuthOptions o;
  o.token_review = false;
  auth = std::make_unique<Authenticator>(o, nullptr);
  // {"alg":"RS256"}.{"iss":"https://elsewhere.example.com/\u001b"}.x
  const auto refused =
      ask("Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2Vsc2V3aGVyZS5leGFtcGxlLmNvbS9cdTAwMWIifQ.x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "auth.unknown_token");
  EXPECT_NE(refused.error().hint.find("'https://elsewhere.example.com/\\x1b'"), std::string::npos)
      << refused.error().hint;
  EXPECT_EQ(ask("Bearer nope").error().hint, "log in again, or ask for a new token");
}

TEST_F(AuthTest, BothVerdictsAreKeptForAWhile) {
  api.add(kReview, ok(review("ann")));
  api.add(kReview, ok(refused()));
  make();
  EXPECT_TRUE(ask("Bearer good"));
  EXPECT_TRUE(ask("Bearer good"));
  EXPECT_EQ(ask("Bearer bad").error().code, "auth.unknown_token");
  const auto again = ask("Bearer bad");
  EXPECT_EQ(again.error().code, "auth.unknown_token");
  EXPECT_EQ(again.error().message.find("sesame"), std::string::npos);
  EXPECT_EQ(api.seen.size(), 2U);
}

TEST_F(AuthTest, AVerdictEndsWithItsTime) {
  AuthOptions o;
  o.cache_ttl = Duration(1);
  api.add(kReview, ok(review("ann")));
  api.add(kReview, ok(refused()));
  make(o);
  EXPECT_TRUE(ask("Bearer t"));
  const auto end = ReviewCache::Steady::now() + std::chrono::seconds(5);
  while (ask("Bearer t") && ReviewCache::Steady::now() < end) {
  }
  EXPECT_FALSE(ask("Bearer t"));
}

TEST_F(AuthTest, TheAudienceMustBeOursWhereOneIsAskedFor) {
  AuthOptions o;
  o.token_review_audiences = {"oddjob"};
  o.cache_ttl = Duration(0);
  api.add(kReview, ok(review("ann", {}, {"oddjob", "x"})));
  api.add(kReview, ok(review("ann", {}, {"other"})));
  api.add(kReview, ok(review("ann")));  // a server that knows no audiences
  make(o);
  EXPECT_TRUE(ask("Bearer t"));
  EXPECT_EQ(ask("Bearer t").error().code, "auth.unknown_token");
  EXPECT_EQ(ask("Bearer t").error().code, "auth.unknown_token");
  const auto body = parse_json(api.seen[0].body, "b").value();
  ASSERT_NE(find_array(body, {"spec", "audiences"}), nullptr);
  EXPECT_EQ(find_array(body, {"spec", "audiences"})->at(0), "oddjob");
}

TEST_F(AuthTest, AReviewThatFailsIsNotTheCallersFaultNorRemembered) {
  api.add(kReview, status(401, "Unauthorized", "token sesame: Unauthorized"));
  api.add(kReview, status(403, "Forbidden", "tokenreviews is forbidden: User \"x\" cannot create resource"));
  api.add(kReview, ok(json::object{{"kind", "TokenReview"}}));
  api.add(kReview, ok(review("ann")));
  make();
  for (int i = 0; i < 3; ++i) {
    const auto r = ask("Bearer sesame");
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, "auth.review_failed");
    EXPECT_EQ(r.error().kind, Errc::unavailable);
    EXPECT_EQ((r.error().message + r.error().hint).find("sesame"), std::string::npos) << r.error().message;
  }
  EXPECT_TRUE(ask("Bearer sesame"));
}

TEST_F(AuthTest, OneTokenAskedManyTimesAtOnceIsReviewedOnce) {
  api.add(kReview, ok(review("ann")));
  make();
  int good = 0;
  auto one = [](Authenticator& a, int& n) -> net::Task<> {
    const auto r = co_await a.authenticate("Bearer t");
    n += r ? 1 : 0;
  };
  for (int i = 0; i < 20; ++i) loop.spawn("test", one(*auth, good));
  EXPECT_TRUE(until([&] { return good == 20; }));
  EXPECT_EQ(api.seen.size(), 1U);
}

TEST_F(AuthTest, AFloodOfUnknownTokensIsHeldBack) {
  Answer never;
  never.hang = true;
  api.add(kReview, never);
  make();
  int busy = 0;
  int ended = 0;
  auto one = [](Authenticator& a, std::string header, int& n, int& out) -> net::Task<> {
    const auto r = co_await a.authenticate(header);
    if (!r && r.error().message.find("too many") != std::string::npos) ++n;
    ++out;
  };
  for (int i = 0; i < 200; ++i) loop.spawn("test", one(*auth, "Bearer t" + std::to_string(i), busy, ended));
  EXPECT_TRUE(until([&] { return busy == 200 - 64; }));
  client.reset();  // lets the others go
  EXPECT_TRUE(until([&] { return ended == 200; }));
}

TEST(ReviewCache, ForgetsTheLeastRecentlyUsed) {
  ReviewCache cache(2, std::chrono::seconds(10));
  const auto now = ReviewCache::Steady::now();
  cache.put("a", {}, now);
  cache.put("b", {}, now);
  EXPECT_NE(cache.find("a", now), nullptr);
  cache.put("c", {}, now);
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_NE(cache.find("a", now), nullptr);
  EXPECT_EQ(cache.find("b", now), nullptr);
  EXPECT_EQ(cache.find("a", now + std::chrono::seconds(11)), nullptr);
}

}  // namespace
}  // namespace oddjob::auth
