#include <gtest/gtest.h>

#include "auth/authenticator.hpp"
#include "core/digest.hpp"
#include "testing/fake_kube_api.hpp"

namespace oddjob::auth {
namespace {

const std::string kHash = sha256_hex("0123456789abcdef-ann");

TEST(StaticTokens, AreReadWithTheirSubjects) {
  const auto r = parse_static_tokens("tokens:\n- {tokenSha256: " + kHash +
                                         ", user: ann, teams: [payments, ops], admin: true}\n"
                                         "- {token: plain-token-0123456, user: ci, auditor: true}\n",
                                     "tokens.yaml");
  ASSERT_TRUE(r) << r.error().message;
  ASSERT_EQ(r->size(), 2U);
  EXPECT_EQ(r->at(0).subject.user, "ann");
  EXPECT_EQ(r->at(0).subject.teams, (std::vector<std::string>{"payments", "ops"}));
  EXPECT_TRUE(r->at(0).subject.admin);
  EXPECT_FALSE(r->at(0).subject.auditor);
  EXPECT_EQ(r->at(1).sha256, sha256_hex("plain-token-0123456"));
  EXPECT_TRUE(r->at(1).subject.auditor);
}

TEST(StaticTokens, UpperCaseHashesAreTheSame) {
  std::string upper = kHash;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const auto r = parse_static_tokens("tokens: [{tokenSha256: " + upper + ", user: ann}]", "f");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->at(0).sha256, kHash);
}

TEST(StaticTokens, AnEmptyListIsAllowed) { EXPECT_TRUE(parse_static_tokens("tokens: []", "f")); }

struct Bad {
  std::string name, yaml, code, says;
};
class BadTokens : public ::testing::TestWithParam<Bad> {};
TEST_P(BadTokens, AreRefusedNamingFileAndEntryButNoToken) {
  const auto r = parse_static_tokens(GetParam().yaml, "/etc/oddjob/tokens.yaml");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, GetParam().code) << r.error().message;
  EXPECT_NE(r.error().message.find(GetParam().says), std::string::npos) << r.error().message;
  EXPECT_NE(r.error().message.find("/etc/oddjob/tokens.yaml"), std::string::npos) << r.error().message;
  EXPECT_EQ((r.error().message + r.error().hint).find("sesame"), std::string::npos) << r.error().message;
}
INSTANTIATE_TEST_SUITE_P(
    All, BadTokens,
    ::testing::Values(
        Bad{"broken", "tokens: [", "tokens.malformed", "tokens.yaml"},
        Bad{"empty", "", "tokens.malformed", "tokens.yaml"}, Bad{"list", "[]", "tokens.malformed", "mapping"},
        Bad{"no_list", "tokens: {a: b}", "tokens.malformed", "must be a list"},
        Bad{"unknown_top_key", "tokens: []\nusers: []", "tokens.malformed", "\"users\""},
        Bad{"unknown_key", "tokens: [{tokenSha256: " + kHash + ", user: ann, team: [a]}]", "tokens.malformed",
            "\"team\""},
        Bad{"no_user", "tokens: [{tokenSha256: " + kHash + "}]", "tokens.malformed",
            "entry 1: user is missing"},
        Bad{"no_token", "tokens: [{user: ann}]", "tokens.malformed", "entry 1 (ann)"},
        Bad{"both", "tokens: [{user: ann, token: sesame-0123456789, tokenSha256: " + kHash + "}]",
            "tokens.malformed", "exclude each other"},
        Bad{"short_plain", "tokens: [{user: ann, token: sesame}]", "tokens.malformed", "16"},
        Bad{"plain_with_space", "tokens: [{user: ann, token: 'sesame and some more'}]", "tokens.malformed",
            "white space"},
        Bad{"number", "tokens: [{user: ann, token: 12345678901234567}]", "tokens.malformed", "quotes"},
        Bad{"short_hash", "tokens: [{user: ann, tokenSha256: abc}]", "tokens.malformed", "64"},
        Bad{"bad_hash", "tokens: [{user: ann, tokenSha256: " + std::string(64, 'g') + "}]",
            "tokens.malformed", "64"},
        Bad{"teams_no_list", "tokens: [{user: ann, tokenSha256: " + kHash + ", teams: ops}]",
            "tokens.malformed", "teams"},
        Bad{"team_empty", "tokens: [{user: ann, tokenSha256: " + kHash + ", teams: ['']}]",
            "tokens.malformed", "teams"},
        Bad{"admin_text", "tokens: [{user: ann, tokenSha256: " + kHash + ", admin: 'yes'}]",
            "tokens.malformed", "admin"},
        Bad{"control_in_user", "tokens: [{user: \"a\\e[31m\", tokenSha256: " + kHash + "}]",
            "tokens.malformed", "user"},
        Bad{"twice",
            "tokens: [{tokenSha256: " + kHash + ", user: ann}, {token: 0123456789abcdef-ann, user: bob}]",
            "tokens.duplicate", "entry 2 (bob)"}),
    [](const auto& i) { return i.param.name; });

TEST(StaticTokens, AFileThatCannotBeReadIsNamed) {
  const auto r = load_static_tokens("/nowhere/tokens.yaml");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "tokens.unreadable");
  EXPECT_NE(r.error().message.find("/nowhere/tokens.yaml"), std::string::npos);
  kube::testing::TempDir dir;
  EXPECT_EQ(load_static_tokens(dir / "").error().code, "tokens.unreadable") << "a directory";
  EXPECT_TRUE(load_static_tokens(dir.write("t", "tokens: []")));
}

}  // namespace
}  // namespace oddjob::auth
