#include "auth/claims.hpp"

#include <gtest/gtest.h>

#include "auth/teams.hpp"

namespace oddjob::auth {
namespace {

const Time kNow = parse_time("2026-03-04T12:00:00Z").value();
std::int64_t at(int seconds) {
  return std::chrono::duration_cast<std::chrono::seconds>(kNow.time_since_epoch()).count() + seconds;
}

Issuer issuer_of(const json::value& entry) {
  auto list = parse_issuers(json::array{entry});
  EXPECT_TRUE(list) << (list ? "" : list.error().message);
  return list ? list->front() : Issuer{};
}

const json::object kEntry{{"issuer", "https://id.example.com"},
                          {"audiences", {"oddjob", "cli"}},
                          {"usernameClaim", "email"},
                          {"groupsClaim", "groups"},
                          {"clientId", "cli-app"},
                          {"requiredClaims", {{"hd", "example.com"}}}};

json::object good() {
  return {{"iss", "https://id.example.com"}, {"aud", "oddjob"},        {"sub", "0001"},
          {"email", "ann@example.com"},      {"email_verified", true}, {"hd", "example.com"},
          {"groups", {"payments", "sre"}},   {"iat", at(-60)},         {"exp", at(600)}};
}

TEST(Claims, ATokenWithOneFalseFactIsRefused) {
  const Issuer issuer = issuer_of(kEntry);
  const auto ok = subject_of(good(), issuer, kNow);
  ASSERT_TRUE(ok) << ok.error().message;
  EXPECT_EQ(ok->user, "ann@example.com");
  EXPECT_EQ(ok->teams, (std::vector<std::string>{"payments", "sre"}));
  EXPECT_EQ(ok->how, AuthMethod::oidc);

  const json::value gone = nullptr;  // means: leave the claim out
  struct Case {
    std::string_view claim;
    json::value value;
    std::string_view code;  // empty: accepted
  };
  const Case cases[] = {
      {"iss", "https://id.example.com/", "auth.token_issuer"},
      {"iss", "https://ID.example.com", "auth.token_issuer"},
      {"iss", gone, "auth.token_issuer"},
      {"iss", json::array{"https://id.example.com"}, "auth.token_issuer"},
      {"aud", "other", "auth.token_audience"},
      {"aud", "oddjob2", "auth.token_audience"},
      {"aud", gone, "auth.token_audience"},
      {"aud", json::array{}, "auth.token_audience"},
      {"aud", json::array{"cli"}, ""},
      {"aud", json::array{"other", "oddjob"}, "auth.token_party"},
      {"azp", "oddjob", ""},
      {"azp", "cli-app", ""},
      {"azp", "other", "auth.token_party"},
      {"azp", 1.5, "auth.token_party"},
      {"exp", gone, "auth.token_malformed"},
      {"exp", "tomorrow", "auth.token_malformed"},
      {"exp", -1, "auth.token_malformed"},
      {"exp", 1e300, "auth.token_malformed"},
      {"exp", at(0), ""},
      {"exp", at(-29), ""},
      {"exp", at(-30), "auth.token_expired"},
      {"exp", at(-3600), "auth.token_expired"},
      {"nbf", at(30), ""},
      {"nbf", at(31), "auth.token_not_yet"},
      {"nbf", static_cast<double>(at(31)) + 0.5, "auth.token_not_yet"},
      {"iat", at(31), "auth.token_not_yet"},
      {"iat", gone, ""},
      {"hd", "example.org", "auth.token_claim"},
      {"hd", gone, "auth.token_claim"},
      {"email", gone, "auth.token_username"},
      {"email", "", "auth.token_username"},
      {"email", " ann@example.com", "auth.token_username"},
      {"email", "ann\n@example.com", "auth.token_username"},
      {"email", json::string(300, 'a'), "auth.token_username"},
      {"email", "system:admin", "auth.token_username"},
      {"email", json::array{"ann@example.com"}, "auth.token_username"},
      {"email_verified", false, "auth.token_email"},
      {"email_verified", "true", "auth.token_email"},
      {"email_verified", gone, "auth.token_email"},
      {"groups", gone, ""},
      {"groups", json::object{}, "auth.token_malformed"},
      {"groups", json::array(1001, "g"), "auth.token_malformed"},
      {"events", json::object{}, "auth.token_type"},
  };
  for (const Case& c : cases) {
    json::object claims = good();
    if (c.value.is_null())
      claims.erase(c.claim);
    else
      claims[c.claim] = c.value;
    const auto r = subject_of(claims, issuer, kNow);
    EXPECT_EQ(r ? std::string() : r.error().code, c.code) << c.claim << " = " << json::serialize(c.value);
    if (!r) {
      EXPECT_EQ(r.error().kind, Errc::unauthenticated);
    }
  }
  EXPECT_EQ(subject_of("text", issuer, kNow).error().code, "auth.token_malformed");
}

TEST(Claims, NamesAndGroupsTakeTheirPrefixesAndNeverKubernetesOwn) {
  json::object entry{{"issuer", "https://id.example.com"},
                     {"audiences", {"oddjob"}},
                     {"groupsClaim", "roles"},
                     {"groupsPrefix", "okta:"}};
  json::object claims = good();
  claims["roles"] = {"sre", 7, "", "sre", "bad\x01name", "  space"};
  auto s = subject_of(claims, issuer_of(entry), kNow).value();
  EXPECT_EQ(s.user, "https://id.example.com#0001");
  EXPECT_EQ(s.teams, (std::vector<std::string>{"okta:sre", "okta:  space"}));
  entry["usernamePrefix"] = "";
  entry.erase("groupsPrefix");
  claims["roles"] = {"system:masters", "sre"};
  s = subject_of(claims, issuer_of(entry), kNow).value();
  EXPECT_EQ(s.user, "0001");
  EXPECT_EQ(s.teams, std::vector<std::string>{"sre"});
  claims["roles"] = "sre";
  EXPECT_EQ(subject_of(claims, issuer_of(entry), kNow)->teams, std::vector<std::string>{"sre"})
      << "one as text";
}

TEST(Claims, AWorkloadIsTheFirstEntryAllOfWhoseClaimsHold) {
  const Issuer issuer = issuer_of(json::object{
      {"issuer", "https://ci.example.com"},
      {"audiences", {"oddjob"}},
      {"workloads",
       {{{"claims", {{"repository", "acme/payments"}, {"ref", "refs/heads/main"}}},
         {"username", "ci:${repository}"},
         {"teams", {"deployers"}}},
        {{"claims", {{"repository", {{"pattern", "acme/[a-z]+"}}}, {"ref_protected", true}, {"run", {7, 8}}}},
         {"username", "ci:${repository}@${ref}"}}}}});
  const auto who = [&](json::object more) {
    json::object claims{{"iss", "https://ci.example.com"}, {"aud", "oddjob"},          {"exp", at(60)},
                        {"repository", "acme/payments"},   {"ref", "refs/heads/main"}, {"azp", "anybody"}};
    for (auto& [k, v] : more) claims[k] = v;
    const auto r = subject_of(claims, issuer, kNow);
    return r ? r->user : r.error().code;
  };
  const auto hint = [&](json::object more) {
    json::object claims{{"iss", "https://ci.example.com"}, {"aud", "oddjob"}, {"exp", at(60)}};
    for (auto& [k, v] : more) claims[k] = v;
    const auto r = subject_of(claims, issuer, kNow);
    return r ? std::string() : r.error().hint;
  };
  EXPECT_NE(hint({{"aud", "another"}}).find("with the audience oddjob"), std::string::npos);
  EXPECT_NE(hint({{"exp", at(-600)}}).find("a pipeline"), std::string::npos) << "nobody logs in there";
  EXPECT_EQ(who({}), "ci:acme/payments");
  EXPECT_EQ(who({{"ref", "refs/heads/mainly"}}), "auth.token_claim");
  EXPECT_EQ(who({{"ref", "refs/heads/x"}, {"ref_protected", true}, {"run", 8}}),
            "ci:acme/payments@refs/heads/x");
  EXPECT_EQ(who({{"ref", "refs/heads/x"}, {"ref_protected", "true"}, {"run", "8"}}),
            "ci:acme/payments@refs/heads/x");
  EXPECT_EQ(who({{"ref", "refs/heads/x"}, {"ref_protected", true}, {"run", 9}}), "auth.token_claim");
  EXPECT_EQ(who({{"repository", "evil/acme/payments"}, {"ref_protected", true}, {"run", 7}}),
            "auth.token_claim")
      << "a pattern is for the whole value";
  EXPECT_EQ(who({{"repository", "acme/payments\nx"}, {"ref_protected", true}, {"run", 7}}),
            "auth.token_claim");
  EXPECT_EQ(who({{"repository", "acme/other"}, {"ref", ""}, {"ref_protected", true}, {"run", 7}}),
            "auth.token_username");
  EXPECT_EQ(who({{"repository", "acme/other"}, {"ref", "a\nb"}, {"ref_protected", true}, {"run", 7}}),
            "auth.token_username");
}

TEST(Issuers, AnEntryThatWouldAcceptTooMuchIsRefused) {
  const auto with = [](json::object more) {
    json::object o{{"issuer", "https://id.example.com"}, {"audiences", {"oddjob"}}};
    for (auto& [k, v] : more)
      if (v.is_null())
        o.erase(k);
      else
        o[k] = v;
    return json::value(std::move(o));
  };
  const auto rule = [](json::object o) { return json::array{std::move(o)}; };
  const std::pair<json::value, std::string_view> cases[] = {
      {json::array{"text"}, "issuer and audiences"},
      {json::array{with({{"issuer", nullptr}})}, "issuer"},
      {json::array{with({{"issuer", "http://id.example.com"}})}, "https"},
      {json::array{with({{"issuer", "https://id.example.com?x=1"}})}, "query"},
      {json::array{with({{"audiences", nullptr}})}, "audiences"},
      {json::array{with({{"audiences", json::array{}}})}, "audiences"},
      {json::array{with({{"signingAlgs", {"HS256"}}})}, "signingAlgs"},
      {json::array{with({{"signingAlgs", {"none"}}})}, "signingAlgs"},
      {json::array{with({{"clockSkew", "1h"}})}, "clockSkew"},
      {json::array{with({{"scopes", {"email"}}})}, "openid"},
      {json::array{with({{"clientSecret", "x"}})}, "clientId"},
      {json::array{with({{"clientId", "cli"}, {"clientSecret", ""}})}, "clientSecret"},
      {json::array{with({{"clientId", "cli"}, {"loginParameters", {{"state", "x"}}}})}, "'state'"},
      {json::array{with({{"clientId", "cli"}, {"loginParameters", {{"prompt", 1}}}})},
       "loginParameters.prompt"},
      {json::array{with({{"usernameclaim", "sub"}})}, "usernameclaim"},
      {json::array{with({{"requiredClaims", {{"a", {{"pattern", "("}}}}}})}, "RE2"},
      {json::array{with({{"workloads", rule({{"username", "ci:x"}})}})}, "claims"},
      {json::array{with({{"workloads", rule({{"claims", {{"a", "b"}}}})}})}, "username"},
      {json::array{with({{"workloads", rule({{"claims", {{"a", "b"}}}, {"username", "${sub}"}})}})},
       "literal"},
      {json::array{with({{"workloads", rule({{"claims", {{"a", "b"}}}, {"username", "ci:${x"}})}})}, "brace"},
      {json::array{with({{"usernameClaim", "sub"},
                         {"workloads", rule({{"claims", {{"a", "b"}}}, {"username", "ci:x"}})}})},
       "not both"},
      {json::array{with({}), with({{"audiences", {"cli", "oddjob"}}})}, "in both"},
      {json::array{with({{"usernameClaim", "email"}}),
                   with({{"issuer", "https://other.example.com"}, {"usernameClaim", "email"}})},
       "one name"},
  };
  for (const auto& [list, word] : cases) {
    const auto r = parse_issuers(list);
    ASSERT_FALSE(r) << json::serialize(list);
    EXPECT_NE(r.error().message.find(word), std::string::npos) << r.error().message << " wanted " << word;
  }
  EXPECT_TRUE(parse_issuers(json::array{with({}), with({{"issuer", "https://other.example.com"}})}));
  EXPECT_TRUE(parse_issuers(json::array{with({}), with({{"audiences", {"cli"}}})}))
      << "told apart by audience";
  EXPECT_TRUE(
      parse_issuers(json::array{with({{"usernamePrefix", ""}}),
                                with({{"issuer", "https://other.example.com"}, {"usernamePrefix", ""}})}))
      << "who says so, gets so";
}

TEST(Teams, ANamedTeamIsWhoItListsAndNobodyElse) {
  const auto teams =
      parse_teams({{"sre", {{"users", {"ann"}}, {"groups", {"platform"}}}}, {"leads", {{"users", {"bob"}}}}});
  ASSERT_TRUE(teams) << teams.error().message;
  const auto of = [&](std::string user, std::vector<std::string> groups) {
    Subject s;
    s.user = std::move(user);
    s.teams = std::move(groups);
    return with_named_teams(s, *teams).teams;
  };
  using L = std::vector<std::string>;
  EXPECT_EQ(of("ann", {}), L{"sre"});
  EXPECT_EQ(of("zoe", {"platform", "x"}), (L{"platform", "x", "sre"}));
  EXPECT_EQ(of("zoe", {"sre", "leads"}), L{}) << "a provider's group cannot take the name of one of ours";
  for (const json::value& v :
       {json::value("x"), json::value{{"a", json::array{}}}, json::value{{"a", {{"user", {"b"}}}}},
        json::value{{"*", {{"users", {"b"}}}}}, json::value{{"a", {{"users", {1}}}}}})
    EXPECT_FALSE(parse_teams(v)) << json::serialize(v);
}

}  // namespace
}  // namespace oddjob::auth
