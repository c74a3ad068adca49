#include "kube/exec_plugin.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "core/digest.hpp"
#include "testing/fake_kube_api.hpp"

namespace oddjob::kube {
namespace {

using testing::TempDir;

ExecPlugin plugin(std::string command = "login") {
  ExecPlugin p;
  p.api_version = "client.authentication.k8s.io/v1";
  p.command = std::move(command);
  p.install_hint = "apt install login";
  return p;
}

std::string credential(std::string_view status) {
  return fmt::format(
      R"({{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{}}})", status);
}

TEST(ExecCredential, TakesTokenOrCertificateAndExpiry) {
  const auto token = parse_exec_credential(
      credential(R"({"token":"t","expirationTimestamp":"2026-01-02T03:04:05Z"})"), plugin());
  ASSERT_TRUE(token) << token.error().message;
  EXPECT_EQ(token->token, "t");
  ASSERT_TRUE(token->expires);
  EXPECT_EQ(format_time(*token->expires), "2026-01-02T03:04:05Z");
  const auto cert =
      parse_exec_credential(credential(R"({"clientCertificateData":"c","clientKeyData":"k"})"), plugin());
  ASSERT_TRUE(cert);
  EXPECT_EQ(cert->client_key_pem, "k");
  EXPECT_FALSE(cert->expires);
}

TEST(ExecCredential, RefusesWhatIsNoCredentialWithoutQuotingIt) {
  for (
      const std::string& bad :
      {std::string(), std::string("sesame"), std::string("[]"),
       std::string(R"({"kind":"Pod","token":"sesame"})"),
       std::string(
           R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"sesame"}})"),
       credential("null"), credential("{}"), credential(R"({"clientCertificateData":"sesame"})"),
       credential(R"({"token":"sesame\nX-Evil: 1"})"),
       credential(R"({"token":"sesame","expirationTimestamp":"soon"})")}) {
    const auto r = parse_exec_credential(bad, plugin());
    ASSERT_FALSE(r) << bad;
    EXPECT_EQ(r.error().code, "kube.exec_failed");
    EXPECT_NE(r.error().message.find("login"), std::string::npos);
    EXPECT_EQ(r.error().message.find("sesame"), std::string::npos) << r.error().message;
  }
}

TEST(ExecInfo, TellsTheClusterOnlyWhenAsked) {
  Config c;
  c.server = "https://api";
  c.ca_pem = "PEM";
  ExecPlugin p = plugin();
  auto info = parse_json(exec_info(p, c), "info").value();
  EXPECT_EQ(find(info, {"spec", "cluster"}), nullptr);
  EXPECT_FALSE(get_bool(info, {"spec", "interactive"}, true));
  p.provide_cluster_info = true;
  p.cluster_config = json::object{{"audience", "a"}};
  info = parse_json(exec_info(p, c), "info").value();
  EXPECT_EQ(get_string(info, {"spec", "cluster", "server"}), "https://api");
  EXPECT_EQ(get_string(info, {"spec", "cluster", "certificate-authority-data"}), base64_encode("PEM"));
  EXPECT_EQ(get_string(info, {"spec", "cluster", "config", "audience"}), "a");
}

class ExecRun : public ::testing::Test {
 protected:
  Result<ExecCredential> run(const ExecPlugin& p, Duration timeout = std::chrono::seconds(10)) {
    return run_exec_plugin(p, Config{}, timeout, stop);
  }
  TempDir dir;
  std::atomic<bool> stop{false};
};

TEST_F(ExecRun, GetsArgumentsEnvironmentAndInfo) {
  ExecPlugin p = plugin(dir.script("p", R"(
[ "$1 $2" = "get a b" ] || exit 3
[ "$MODE" = test ] || exit 4
[ -n "$HOME$PATH" ] || exit 5
case "$KUBERNETES_EXEC_INFO" in *ExecCredential*) ;; *) exit 6;; esac
read line && exit 7
cat <<X
{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"from-plugin"}}
X
)"));
  p.args = {"get", "a b"};
  p.env = {{"MODE", "test"}};
  const auto r = run(p);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->token, "from-plugin");
}

TEST_F(ExecRun, FailureGivesExitCodeAndLastWordsWithoutCredentials) {
  ExecPlugin p = plugin(dir.script(
      "p", "echo first >&2; echo \"expired: $PASSWORD eyJhbGciOi.x.y, log in again\" >&2; exit 9\n"));
  p.env = {{"PASSWORD", "sesame-open-up"}};
  const auto r = run(p);
  ASSERT_FALSE(r);
  EXPECT_NE(r.error().message.find("code 9"), std::string::npos) << r.error().message;
  EXPECT_NE(r.error().message.find("log in again"), std::string::npos) << r.error().message;
  EXPECT_EQ(r.error().message.find("first"), std::string::npos) << r.error().message;
  EXPECT_EQ(r.error().message.find("sesame"), std::string::npos) << r.error().message;
  EXPECT_EQ(r.error().message.find("eyJ"), std::string::npos) << r.error().message;
}

TEST_F(ExecRun, NotInstalledGivesTheInstallHint) {
  const auto r = run(plugin("oddjob-no-such-plugin"));
  ASSERT_FALSE(r);
  EXPECT_NE(r.error().message.find("not installed"), std::string::npos) << r.error().message;
  EXPECT_EQ(r.error().hint, "apt install login");
}

TEST_F(ExecRun, OneThatHangsIsKilledWithItsChildren) {
  const auto pid_file = dir / "pid";
  const auto began = std::chrono::steady_clock::now();
  const auto r =
      run(plugin(dir.script("p", "trap '' TERM\nsleep 60 &\necho $! > " + pid_file + "\nwait\nsleep 60\n")),
          Duration(300));
  ASSERT_FALSE(r);
  EXPECT_NE(r.error().message.find("did not end"), std::string::npos) << r.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  int child = 0;
  std::ifstream(pid_file) >> child;
  ASSERT_GT(child, 1);
  // Dead, or a zombie that nobody has reaped yet.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  bool gone = false;
  while (!gone && std::chrono::steady_clock::now() < until) {
    std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
    std::string text((std::istreambuf_iterator<char>(stat)), {});
    const auto paren = text.rfind(')');
    gone = paren == std::string::npos || text.substr(paren + 2, 1) == "Z";
  }
  EXPECT_TRUE(gone);
}

TEST_F(ExecRun, AChildThatKeepsThePipeOpenDoesNotHoldUpTheAnswer) {
  const auto began = std::chrono::steady_clock::now();
  const auto r = run(plugin(dir.script("p", "sleep 5 &\necho '" + credential(R"({"token":"t"})") + "'\n")));
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(4));
}

TEST_F(ExecRun, EndlessOutputIsCutOff) {
  const auto r = run(plugin(dir.script("p", "exec cat /dev/zero\n")));
  ASSERT_FALSE(r);
  EXPECT_NE(r.error().message.find("more than"), std::string::npos) << r.error().message;
}

TEST_F(ExecRun, LargeOutputWithinTheBoundIsReadWhole) {
  const auto r = run(plugin(dir.script("p",
                                       "printf "
                                       "'{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication."
                                       "k8s.io/v1\",\"status\":{\"token\":\"'\n"
                                       "head -c 400000 /dev/zero | tr '\\0' a\nprintf '\"}}'\n")));
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->token.size(), 400000U);
}

TEST_F(ExecRun, StopEndsItEarly) {
  stop = true;
  const auto r = run(plugin(dir.script("p", "sleep 60\n")));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.client_closed");
}

}  // namespace
}  // namespace oddjob::kube
