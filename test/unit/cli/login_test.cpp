// What a login leaves behind, and what an ID token must say before it is kept.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "cli/login/provider.hpp"
#include "cli/login/renew.hpp"
#include "cli/login/session.hpp"
#include "core/digest.hpp"
#include "core/json.hpp"
#include "testing/folder.hpp"

namespace oddjob::cli {
namespace {

namespace stdfs = std::filesystem;

LoginSession session() {
  LoginSession s;
  s.server = "https://oddjob.example.com";
  s.issuer = "https://id.example.com";
  s.client_id = "oddjob-cli";
  s.scopes = {"openid", "groups"};
  s.client_secret = "of-a-native-client";
  s.ca_pem = "-----BEGIN CERTIFICATE-----\n";
  s.id_token = "header.claims.signature";
  s.refresh_token = "again-and-again";
  s.expires = Time(std::chrono::seconds(1'800'000'000));
  return s;
}

unsigned mode_of(const stdfs::path& path) {
  struct stat st {};
  EXPECT_EQ(::lstat(path.c_str(), &st), 0) << path;
  return st.st_mode & 07777U;
}

void write(const stdfs::path& path, std::string_view text, ::mode_t mode) {
  std::ofstream(path, std::ios::binary) << text;
  ASSERT_EQ(::chmod(path.c_str(), mode), 0);
}

TEST(LoginSession, OneAServerBelowTheUsersOwnState) {
  const Environment home{{"HOME", "/home/ann"}};
  const auto path = session_path(home, "https://a.example.com");
  EXPECT_TRUE(path.starts_with("/home/ann/.local/state/oddjob/sessions/")) << path;
  EXPECT_NE(path, session_path(home, "https://b.example.com"));
  const Environment state{{"HOME", "/home/ann"}, {"XDG_STATE_HOME", "/var/ann"}};
  EXPECT_TRUE(session_path(state, "https://a.example.com").starts_with("/var/ann/oddjob/sessions/"));
  // The XDG base directory specification: one that is not absolute is ignored.
  const Environment relative{{"HOME", "/home/ann"}, {"XDG_STATE_HOME", "ann"}};
  EXPECT_EQ(session_path(relative, "https://a.example.com"), path);
}

TEST(LoginSession, WhatIsKeptIsReadBackAndIsItsUsersAlone) {
  const testing::Folder folder;
  const auto path = folder.path() / "oddjob" / "sessions" / "x.json";
  const auto none = load_session(path.string(), {});
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE(*none);
  ASSERT_TRUE(save_session(path.string(), session(), {}));
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_EQ(mode_of(path.parent_path()), 0700U);
  const auto read = load_session(path.string(), {});
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_TRUE(*read);
  const LoginSession expected = session();
  const LoginSession& got = **read;
  EXPECT_EQ(got.server, expected.server);
  EXPECT_EQ(got.issuer, expected.issuer);
  EXPECT_EQ(got.client_id, expected.client_id);
  EXPECT_EQ(got.scopes, expected.scopes);
  EXPECT_EQ(got.ca_pem, expected.ca_pem);
  EXPECT_EQ(got.client_secret, expected.client_secret);
  EXPECT_EQ(got.id_token, expected.id_token);
  EXPECT_EQ(got.refresh_token, expected.refresh_token);
  EXPECT_EQ(got.expires, expected.expires);
  EXPECT_EQ(remove_session(path.string(), {}).value_or(false), true);
  EXPECT_EQ(remove_session(path.string(), {}).value_or(true), false);
}

TEST(LoginSession, OneThatOthersCouldReadOrChangeIsNotUsed) {
  const testing::Folder folder;
  const auto path = folder.path() / "x.json";
  ASSERT_TRUE(save_session(path.string(), session(), {}));
  for (const unsigned mode : {0640U, 0604U, 0620U, 0666U}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    const auto read = load_session(path.string(), {});
    ASSERT_FALSE(read) << mode;
    EXPECT_EQ(read.error().code, "cli.session_unsafe");
    EXPECT_NE(read.error().message.find(path.string()), std::string::npos);
  }
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  stdfs::create_symlink(path, folder.path() / "link.json");
  const auto linked = load_session((folder.path() / "link.json").string(), {});
  ASSERT_FALSE(linked);
  EXPECT_EQ(linked.error().code, "cli.session_unsafe");
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
    const auto of_others = load_session(path.string(), {});
    ASSERT_FALSE(of_others);
    EXPECT_EQ(of_others.error().code, "cli.session_unsafe");
  }
}

TEST(LoginSession, OneThatIsDamagedSaysWhatToDoAndNoToken) {
  const testing::Folder folder;
  const auto path = folder.path() / "x.json";
  for (
      const auto* text :
      {"", "{", "[]", R"({"idToken": "secret-token"})",
       R"({"server": "s", "issuer": "i", "clientId": "c", "idToken": "secret-token", "expires": "soon"})",
       R"({"server": "s", "issuer": "i", "clientId": "c", "idToken": "", "expires": "2026-01-01T00:00:00Z"})",
       R"({"server": "s", "issuer": 7, "clientId": "c", "idToken": "secret-token", "expires": "2026-01-01T00:00:00Z"})"}) {
    SCOPED_TRACE(text);
    write(path, text, 0600);
    const auto read = load_session(path.string(), {});
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, "cli.session_malformed");
    EXPECT_EQ(read.error().message.find("secret-token"), std::string::npos);
    EXPECT_NE(read.error().hint.find("oddjob login"), std::string::npos);
  }
}

TEST(LoginSession, IsHeldByOneAtATime) {
  const testing::Folder folder;
  const auto path = (folder.path() / "sessions" / "x.json").string();
  const auto now = [] { return std::chrono::steady_clock::now(); };
  {
    const auto first = SessionLock::take(path, now());
    ASSERT_TRUE(first) << first.error().message;
    const auto second = SessionLock::take(path, now() + std::chrono::milliseconds(50));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, "cli.session_busy");
  }
  EXPECT_TRUE(SessionLock::take(path, now()));
}

TEST(LoginSession, IsRenewedAMinuteBeforeItsEnd) {
  const auto s = session();
  EXPECT_FALSE(needs_renewal(s, s.expires - std::chrono::seconds(61)));
  EXPECT_TRUE(needs_renewal(s, s.expires - std::chrono::seconds(60)));
  EXPECT_TRUE(needs_renewal(s, s.expires + std::chrono::hours(1)));
}

std::string id_token(const json::object& claims) {
  return "eyJhbGciOiJSUzI1NiJ9." + base64url_encode(json::serialize(claims)) + ".c2ln";
}

TEST(IdToken, IsKeptOnlyIfItIsOfThisIssuerForThisClientAndThisLogin) {
  const LoginIssuer issuer{"https://id.example.com", "oddjob-cli", {}, {}, {}, {}};
  const json::object good{
      {"iss", "https://id.example.com"}, {"aud", "oddjob-cli"}, {"nonce", "n-1"}, {"exp", 1'800'000'000}};
  const auto with = [&](std::string_view name, json::value value) {
    auto claims = good;
    claims[name] = std::move(value);
    return id_token(claims);
  };
  const auto without = [&](std::string_view name) {
    auto claims = good;
    claims.erase(name);
    return id_token(claims);
  };
  for (const auto& token : {id_token(good), with("aud", json::array{"else", "oddjob-cli"})}) {
    const auto expires = check_id_token(token, issuer, "n-1");
    ASSERT_TRUE(expires) << expires.error().message;
    EXPECT_EQ(*expires, Time(std::chrono::seconds(1'800'000'000)));
  }
  EXPECT_TRUE(check_id_token(without("nonce"), issuer, "")) << "a renewal has no nonce";

  const std::vector<std::pair<std::string, std::string_view>> cases = {
      {"", "missing"},
      {"one.two", "no signed token"},
      {"a.b.c.d", "no signed token"},
      {"x.%%%.y", "cannot be read"},
      {"x." + base64url_encode("[1]") + ".y", "cannot be read"},
      {std::string(17'000, 'a') + ".b.c", "no signed token"},
      {with("iss", "https://id.example.com/"), "another issuer"},
      {without("iss"), "another issuer"},
      {with("aud", "else"), "another client"},
      {with("aud", json::array{"else"}), "another client"},
      {with("aud", 7), "another client"},
      {without("aud"), "another client"},
      {with("nonce", "n-2"), "nonce"},
      {without("nonce"), "nonce"},
      {without("exp"), "expires"},
      {with("exp", "soon"), "expires"},
      {with("exp", -1), "expires"},
      {with("exp", 100'000'000'001), "expires"},
  };
  for (const auto& [token, why] : cases) {
    SCOPED_TRACE(why);
    const auto expires = check_id_token(token, issuer, "n-1");
    ASSERT_FALSE(expires);
    EXPECT_EQ(expires.error().code, "login.bad_token");
    EXPECT_NE(expires.error().message.find(why), std::string::npos) << expires.error().message;
  }
}

}  // namespace
}  // namespace oddjob::cli
