#include "kube/config.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/digest.hpp"
#include "testing/fake_kube_api.hpp"

namespace oddjob::kube {
namespace {

using testing::TempDir;

const std::string kPem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const std::string kKey = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n";

std::string config_with(std::string_view cluster, std::string_view user, std::string_view context = "") {
  return fmt::format(R"(apiVersion: v1
kind: Config
current-context: main
contexts:
- name: main
  context: {{cluster: c, user: u{}}}
clusters:
- name: c
  cluster:
    server: https://api.example:6443
{}
users:
- name: u
  user:
    token: sesame-open
{}
)",
                     context, cluster, user);
}

Result<Config> load(const std::string& file, const std::string& context = {}) {
  LoadOptions o;
  o.kubeconfig = file;
  o.context = context;
  return load_config(o);
}

TEST(Kubeconfig, ReadsServerNamespaceAndToken) {
  TempDir dir;
  const auto c = load(dir.write("config", config_with("", "", ", namespace: shop")));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->server, "https://api.example:6443");
  EXPECT_EQ(c->name_space, "shop");
  EXPECT_EQ(c->token, "sesame-open");
  EXPECT_EQ(c->context, "main");
}

TEST(Kubeconfig, IgnoresFieldsItDoesNotKnow) {
  TempDir dir;
  EXPECT_TRUE(load(dir.write(
      "config", config_with("    disable-compression: true\n    future: {a: 1}", "    extensions: []"))));
}

TEST(Kubeconfig, DataWinsOverFilesAndFilesAreRelativeToTheirKubeconfig) {
  TempDir dir;
  dir.write("sub/ca.pem", kPem);
  dir.write("sub/key.pem", kKey);
  const auto file = dir.write(
      "sub/config",
      config_with("    certificate-authority: ca.pem",
                  fmt::format("    client-certificate: missing.pem\n    client-certificate-data: {}\n"
                              "    client-key: key.pem\n    tokenFile: run/token",
                              base64_encode(kPem))));
  const auto c = load(file);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->ca_pem, kPem);
  EXPECT_EQ(c->client_cert_pem, kPem);
  EXPECT_EQ(c->client_key_pem, kKey);
  EXPECT_EQ(c->token_file, dir / "sub/run/token");
}

TEST(Kubeconfig, TheFirstOfSeveralFilesWinsPerEntryAndMissingOnesAreSkipped) {
  TempDir dir;
  const auto a = dir.write("a", R"(
contexts:
- {name: two, context: {cluster: c2, user: u}}
clusters:
- {name: c2, cluster: {server: "https://first:1"}}
)");
  const auto b = dir.write("b", R"(
current-context: two
clusters:
- {name: c2, cluster: {server: "https://second:2", tls-server-name: not-merged}}
users:
- {name: u, user: {token: abc}}
)");
  LoadOptions o;
  o.environment["KUBECONFIG"] = (dir / "missing") + "::" + a + ":" + b + ":" + a;
  const auto c = load_config(o);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->server, "https://first:1");
  EXPECT_EQ(c->tls_server_name, "");
  EXPECT_EQ(c->token, "abc");
  EXPECT_EQ(c->context, "two");
}

TEST(Kubeconfig, AllFilesMissingIsAnErrorThatNamesThem) {
  LoadOptions o;
  o.environment["KUBECONFIG"] = "/nowhere/a:/nowhere/b";
  const auto c = load_config(o);
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, "kubeconfig.not_found");
  EXPECT_NE(c.error().message.find("/nowhere/b"), std::string::npos);
}

TEST(Kubeconfig, FallsBackToHomeThenToThePod) {
  TempDir dir;
  dir.write(".kube/config", config_with("", ""));
  LoadOptions o;
  o.environment["HOME"] = dir / "";
  ASSERT_TRUE(load_config(o));
  o.environment["HOME"] = dir / "elsewhere";
  const auto none = load_config(o);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, "kubeconfig.not_found");
}

TEST(Kubeconfig, ExecPluginIsReadWholeWithItsClusterConfiguration) {
  TempDir dir;
  const auto file = dir.write("config", R"(
current-context: m
contexts: [{name: m, context: {cluster: c, user: u}}]
clusters:
- name: c
  cluster:
    server: https://x
    proxy-url: socks5://proxy:1080
    extensions: [{name: client.authentication.k8s.io/exec, extension: {audience: a}}]
users:
- name: u
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: bin/login
      args: [get, "--for=me"]
      env: [{name: A, value: "1"}, {name: B, value: ""}]
      interactiveMode: IfAvailable
      provideClusterInfo: true
      installHint: install it
    as: deploy-bot
    as-uid: "7"
    as-groups: [ops, dev]
    as-user-extra: {scopes: [read]}
)");
  const auto c = load(file);
  ASSERT_TRUE(c) << c.error().message;
  ASSERT_TRUE(c->exec);
  EXPECT_EQ(c->exec->command, dir / "bin/login");
  EXPECT_EQ(c->exec->args, (std::vector<std::string>{"get", "--for=me"}));
  ASSERT_EQ(c->exec->env.size(), 2U);
  EXPECT_EQ(c->exec->env[0], (std::pair<std::string, std::string>("A", "1")));
  EXPECT_TRUE(c->exec->provide_cluster_info);
  EXPECT_EQ(get_string(c->exec->cluster_config, {"audience"}), "a");
  EXPECT_EQ(c->proxy_url, "socks5://proxy:1080");
  EXPECT_EQ(c->impersonate_user, "deploy-bot");
  EXPECT_EQ(c->impersonate_uid, "7");
  EXPECT_EQ(c->impersonate_groups, (std::vector<std::string>{"ops", "dev"}));
  EXPECT_EQ(c->impersonate_extra.at("scopes"), (std::vector<std::string>{"read"}));
}

TEST(Kubeconfig, AContextWithoutUserIsAnonymous) {
  TempDir dir;
  const auto c = load(dir.write("config",
                                "current-context: m\ncontexts: [{name: m, context: {cluster: c}}]\n"
                                "clusters: [{name: c, cluster: {server: 'https://x/'}}]\n"));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->server, "https://x");
  EXPECT_TRUE(c->token.empty());
}

struct Bad {
  std::string name, text, code, says;
};
class BadKubeconfig : public ::testing::TestWithParam<Bad> {};
TEST_P(BadKubeconfig, IsRefusedNamingFileAndEntryButNoSecret) {
  TempDir dir;
  const auto file = dir.write("config", GetParam().text);
  const auto c = load(file);
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, GetParam().code) << c.error().message;
  EXPECT_NE(c.error().message.find(GetParam().says), std::string::npos) << c.error().message;
  EXPECT_NE(c.error().message.find(file), std::string::npos) << c.error().message;
  EXPECT_EQ((c.error().message + c.error().hint).find("sesame"), std::string::npos) << c.error().message;
}

const std::string kExec =
    "    exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Never}";
std::string exec_with(std::string_view from, std::string_view to) {
  std::string s = kExec;
  s.replace(s.find(from), from.size(), to);
  return config_with("", s);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadKubeconfig,
    ::testing::Values(
        Bad{"broken_yaml", "clusters: [{name: c\ntoken: sesame-open: x: [", "kubeconfig.malformed", "config"},
        Bad{"tab_in_yaml", "users:\n\t- token: sesame", "kubeconfig.malformed", "config"},
        Bad{"a_list", "- 1\n- 2\n", "kubeconfig.malformed", "mapping"},
        Bad{"other_kind", "kind: Pod\napiVersion: v1\n", "kubeconfig.malformed", "Pod"},
        Bad{"two_documents", config_with("", "") + "---\n" + config_with("", ""), "kubeconfig.malformed",
            "more than one"},
        Bad{"clusters_not_a_list", "clusters: {a: b}\n", "kubeconfig.malformed", "clusters must be a list"},
        Bad{"empty", "", "kubeconfig.no_context", "current-context"},
        Bad{"context_missing", "current-context: gone\ncontexts: [{name: here, context: {}}]",
            "kubeconfig.no_context", "\"gone\""},
        Bad{"cluster_missing", "current-context: a\ncontexts: [{name: a, context: {cluster: zz, user: u}}]",
            "kubeconfig.no_cluster", "\"zz\""},
        Bad{"user_missing",
            "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: nobody}}]\n"
            "clusters: [{name: c, cluster: {server: 'https://x'}}]",
            "kubeconfig.no_user", "\"nobody\""},
        Bad{"twice", "current-context: a\ncontexts: [{name: a, context: {}}, {name: a, context: {}}]",
            "kubeconfig.malformed", "twice"},
        Bad{"nameless", "current-context: a\ncontexts: [{context: {}}]", "kubeconfig.malformed",
            "has no name"},
        Bad{"server_missing",
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: "
            "{}}]",
            "kubeconfig.malformed", "server is missing"},
        Bad{"server_not_a_url",
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n"
            "clusters: [{name: c, cluster: {server: 'ftp://x'}}]",
            "kubeconfig.malformed", "ftp://x"},
        Bad{"number_as_string", config_with("    tls-server-name: 12", ""), "kubeconfig.malformed",
            "in quotes"},
        Bad{"string_as_bool", config_with("    insecure-skip-tls-verify: 'yes'", ""), "kubeconfig.malformed",
            "true or false"},
        Bad{"ca_not_base64", config_with("    certificate-authority-data: '%%%'", ""), "kubeconfig.malformed",
            "certificate-authority-data is not base64"},
        Bad{"ca_not_pem", config_with("    certificate-authority-data: aGVsbG8=", ""), "kubeconfig.malformed",
            "no PEM"},
        Bad{"ca_file_missing", config_with("    certificate-authority: nowhere.pem", ""),
            "kubeconfig.file_unreadable", "nowhere.pem"},
        Bad{"insecure_with_ca",
            config_with("    insecure-skip-tls-verify: true\n    certificate-authority-data: " +
                            base64_encode(kPem),
                        ""),
            "kubeconfig.malformed", "exclude each other"},
        Bad{"bad_proxy", config_with("    proxy-url: proxy:80", ""), "kubeconfig.malformed", "proxy-url"},
        Bad{"cert_without_key", config_with("", "    client-certificate-data: " + base64_encode(kPem)),
            "kubeconfig.malformed", "client-key"},
        Bad{"token_and_basic", config_with("", "    username: a\n    password: sesame-two"),
            "kubeconfig.malformed", "exclude each other"},
        Bad{"groups_without_user", config_with("", "    as-groups: [a]"), "kubeconfig.malformed",
            "need `as`"},
        Bad{"auth_provider",
            config_with("", "    auth-provider: {name: gcp, config: {access-token: sesame}}"),
            "kubeconfig.auth_provider", "gcp"},
        Bad{"exec_always", exec_with("Never", "Always"), "kubeconfig.bad_exec", "Always"},
        Bad{"exec_no_mode", exec_with(", interactiveMode: Never", ""), "kubeconfig.bad_exec",
            "interactiveMode"},
        Bad{"exec_alpha", exec_with("/v1,", "/v1alpha1,"), "kubeconfig.bad_exec", "v1alpha1"},
        Bad{"exec_no_command", exec_with("command: x, ", ""), "kubeconfig.bad_exec", "command"},
        Bad{"exec_bad_env", exec_with("command: x", "command: x, env: [{value: sesame}]"),
            "kubeconfig.bad_exec", "env"},
        Bad{"bad_namespace", config_with("", "", ", namespace: Not_A_Label"), "kubeconfig.malformed",
            "Not_A_Label"}),
    [](const auto& i) { return i.param.name; });

TEST(InCluster, UsesTheServiceAccountOfThePod) {
  TempDir dir;
  dir.write("token", "abc\n");
  dir.write("ca.crt", kPem);
  dir.write("namespace", "ops");
  const auto c = in_cluster_config(
      {{"KUBERNETES_SERVICE_HOST", "fd00::1"}, {"KUBERNETES_SERVICE_PORT", "443"}}, dir / "");
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->server, "https://[fd00::1]:443");
  EXPECT_EQ(c->name_space, "ops");
  EXPECT_EQ(c->ca_pem, kPem);
  EXPECT_TRUE(c->token.empty()) << "the token is read from its file at each use";
  EXPECT_FALSE(c->token_file.empty());
}

TEST(InCluster, SaysWhatIsMissing) {
  TempDir dir;
  EXPECT_EQ(in_cluster_config({}, dir / "").error().code, "kubeconfig.not_found");
  const std::map<std::string, std::string> env{{"KUBERNETES_SERVICE_HOST", "10.0.0.1"},
                                               {"KUBERNETES_SERVICE_PORT", "443"}};
  const auto c = in_cluster_config(env, dir / "");
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, "kubeconfig.file_unreadable");
  EXPECT_NE(c.error().message.find("token"), std::string::npos);
}

}  // namespace
}  // namespace oddjob::kube
