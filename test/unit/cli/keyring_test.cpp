// The keyring by a helper of Docker's protocol: what is asked, what is believed,
// and what a failure says. The helpers are scripts; test/e2e/test_oidc_login.py has a real one.
#include "cli/login/keyring.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "cli/login/session.hpp"
#include "testing/folder.hpp"

namespace oddjob::cli {
namespace {

namespace stdfs = std::filesystem;
constexpr auto kServer = "https://oddjob.example.com";

// A keyring in a folder: secrets by the URL's hash, as the protocol has it.
constexpr auto kWorking = R"(#!/bin/sh
set -e
dir=$(dirname "$0")
read_all=$(cat)
printf '%s %s\n' "$1" "$read_all" >> "$dir/asked"
case $1 in
  store) printf '%s' "$read_all" > "$dir/held" ;;
  get) if [ -e "$dir/held" ]; then cat "$dir/held"; else echo 'credentials not found in native keychain'; exit 1; fi ;;
  erase) if [ -e "$dir/held" ]; then rm "$dir/held"; else echo 'credentials not found in native keychain'; exit 1; fi ;;
esac
)";

class KeyringTest : public ::testing::Test {
 protected:
  void helper(const std::string& name, const std::string& script) {
    const auto path = folder.path() / ("docker-credential-" + name);
    std::ofstream(path) << script;
    stdfs::permissions(path, stdfs::perms::owner_all);
  }
  [[nodiscard]] std::string text(const std::string& name) const {
    std::ifstream in(folder.path() / name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] LoginSession session() const {
    LoginSession s;
    s.server = kServer;
    s.issuer = "https://id.example.com";
    s.client_id = "oddjob-cli";
    s.id_token = "header.claims.signature";
    s.refresh_token = "again-and-again";
    s.expires = Time(std::chrono::seconds(1'800'000'000));
    s.credential_helper = "test";
    return s;
  }
  // Programs are looked for in the PATH of this process.
  void SetUp() override { ::setenv("PATH", environment.at("PATH").c_str(), 1); }
  void TearDown() override { ::setenv("PATH", path_before.c_str(), 1); }

  const std::string path_before = ::getenv("PATH");
  testing::Folder folder;
  Environment environment{{"PATH", folder.path().string() + ":/usr/bin:/bin"}};
};

TEST_F(KeyringTest, WhatIsStoredIsFoundAgainUntilItIsErased) {
  helper("test", kWorking);
  const auto keyring = Keyring::named("test", environment);
  ASSERT_TRUE(keyring);
  EXPECT_EQ(keyring->get(kServer).value(), std::nullopt);
  EXPECT_TRUE(keyring->erase(kServer)) << "forgetting what is not there is no failure";
  ASSERT_TRUE(keyring->store(kServer, "s3cr3t \"quoted\""));
  EXPECT_EQ(keyring->get(kServer).value(), "s3cr3t \"quoted\"");
  ASSERT_TRUE(keyring->erase(kServer));
  EXPECT_EQ(keyring->get(kServer).value(), std::nullopt);
  EXPECT_NE(text("asked").find("get https://oddjob.example.com/oddjob-session\n"), std::string::npos)
      << "a registry on the same host has a key of its own: " << text("asked");
}

TEST_F(KeyringTest, AFailureSaysWhichHelperAndNothingOfWhatItPrinted) {
  helper("angry", "#!/bin/sh\ncat > /dev/null\necho tok3n; echo tok3n >&2; exit 3\n");
  helper("odd", "#!/bin/sh\ncat > /dev/null\necho tok3n\n");
  helper("empty", "#!/bin/sh\ncat > /dev/null\necho '{\"Username\": \"tok3n\"}'\n");
  helper("endless", "#!/bin/sh\nexec yes tok3n\n");
  struct Case {
    std::string_view helper, words;
  };
  for (const auto& [name, words] :
       {Case{"angry", "exit code 3"}, Case{"odd", "no answer of the protocol"},
        Case{"empty", "no answer of the protocol"}, Case{"endless", "printed too much"},
        Case{"missing", "cannot be started"}}) {
    SCOPED_TRACE(name);
    const auto keyring = Keyring::named(std::string(name), environment);
    ASSERT_TRUE(keyring);
    const auto got = keyring->get(kServer);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, "cli.keyring_failed");
    const std::string said = got.error().message + " " + got.error().hint;
    EXPECT_NE(said.find(words), std::string::npos) << said;
    EXPECT_NE(said.find(fmt::format("docker-credential-{}", name)), std::string::npos) << said;
    EXPECT_EQ(said.find("tok3n"), std::string::npos) << said;
  }
}

TEST_F(KeyringTest, AHelperThatSaysNothingIsThereByAnEmptySecret) {
  helper("pass",
         "#!/bin/sh\ncat > /dev/null\n[ \"$1\" = get ] || exit 1\n"
         "echo '{\"ServerURL\": \"x\", \"Username\": \"\", \"Secret\": \"\"}'\n");
  const auto keyring = Keyring::named("pass", environment);
  EXPECT_EQ(keyring->get(kServer).value(), std::nullopt);
  EXPECT_TRUE(keyring->erase(kServer));
}

TEST_F(KeyringTest, ANameThatCouldBeAPathIsNone) {
  for (const auto* name : {"", "../../bin/sh", "a b", "x/y", "x;y"}) {
    const auto keyring = Keyring::named(name, environment);
    ASSERT_FALSE(keyring) << name;
    EXPECT_EQ(keyring.error().code, "cli.keyring_name");
  }
}

TEST_F(KeyringTest, ASessionInItHasNoTokenInItsFile) {
  helper("test", kWorking);
  const auto path = (folder.path() / "sessions" / "x.json").string();
  ASSERT_TRUE(save_session(path, session(), environment));
  EXPECT_EQ(text("sessions/x.json").find("header.claims"), std::string::npos);
  EXPECT_EQ(text("sessions/x.json").find("again-and-again"), std::string::npos);
  const auto read = load_session(path, environment);
  ASSERT_TRUE(read && *read) << read.error().message;
  EXPECT_EQ((*read)->id_token, session().id_token);
  EXPECT_EQ((*read)->refresh_token, session().refresh_token);

  // The next login goes without the keyring: nothing of this one stays there.
  auto plain = session();
  plain.credential_helper.clear();
  ASSERT_TRUE(save_session(path, plain, environment));
  EXPECT_FALSE(stdfs::exists(folder.path() / "held"));
  EXPECT_EQ((*load_session(path, environment))->id_token, session().id_token);

  ASSERT_TRUE(save_session(path, session(), environment));
  ASSERT_TRUE(stdfs::exists(folder.path() / "held"));
  stdfs::remove(folder.path() / "held");
  const auto lost = load_session(path, environment);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, "cli.session_lost");
  EXPECT_NE(lost.error().hint.find("oddjob login"), std::string::npos);

  ASSERT_TRUE(save_session(path, session(), environment));
  EXPECT_EQ(remove_session(path, environment).value_or(false), true);
  EXPECT_FALSE(stdfs::exists(folder.path() / "held"));
}

}  // namespace
}  // namespace oddjob::cli
