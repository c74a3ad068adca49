// Which server, as whom: the file, the environment, the flags.
#include "cli/config.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "testing/folder.hpp"

namespace oddjob::cli {
namespace {

CliConfig two_contexts() {
  auto c = parse_cli_config(
      "currentContext: prod\n"
      "contexts:\n"
      "  - {name: prod, server: 'https://prod.example.com', token: prod-secret, namespace: payments}\n"
      "  - {name: test, server: 'https://test.example.com/', tokenFile: /run/token, caFile: /run/ca.pem}\n",
      "config.yaml");
  EXPECT_TRUE(c) << c.error().message;
  return std::move(*c);
}

TEST(CliConfig, AnEmptyFileIsNoContexts) {
  for (const auto* text : {"", "  \n", "contexts: []"}) {
    const auto c = parse_cli_config(text, "config.yaml");
    ASSERT_TRUE(c) << c.error().message;
    EXPECT_TRUE(c->contexts.empty());
  }
}

TEST(CliConfig, WhatIsWrittenIsReadBack) {
  const auto before = two_contexts();
  const auto after = parse_cli_config(format_cli_config(before), "again");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->current, "prod");
  ASSERT_EQ(after->contexts.size(), 2U);
  EXPECT_EQ(after->contexts[0].token, "prod-secret");
  EXPECT_EQ(after->contexts[1].token_file, "/run/token");
  EXPECT_EQ(after->contexts[1].ca_file, "/run/ca.pem");
}

struct Bad {
  const char* name;
  const char* yaml;
  std::vector<std::string> words;
};
class BadCliConfig : public ::testing::TestWithParam<Bad> {};

TEST_P(BadCliConfig, NamesTheFileAndTheKeyAndNeverTheToken) {
  const auto c = parse_cli_config(GetParam().yaml, "config.yaml");
  ASSERT_FALSE(c);
  const auto text = c.error().message + c.error().hint;
  EXPECT_NE(text.find("config.yaml"), std::string::npos) << text;
  for (const auto& word : GetParam().words)
    EXPECT_NE(text.find(word), std::string::npos) << word << " in " << text;
  EXPECT_EQ(text.find("s3cret"), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadCliConfig,
    ::testing::Values(Bad{"key", "context: []", {"context"}}, Bad{"list", "- a", {"contexts"}},
                      Bad{"type", "contexts: {}", {"contexts", "type"}},
                      Bad{"field", "contexts: [{name: a, token: s3cret, sever: x}]", {"sever"}},
                      Bad{"number", "contexts: [{name: a, token: s3cret, server: 1}]", {"server", "text"}},
                      Bad{"unnamed", "contexts: [{server: x, token: s3cret}]", {"name"}},
                      Bad{"twice", "contexts: [{name: a}, {name: a, token: s3cret}]", {"'a'", "two"}},
                      Bad{"auth", "contexts: [{name: a, auth: magic}]", {"auth", "kubeconfig", "magic"}},
                      Bad{"yaml", "contexts: [", {"line"}}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(CliConfig, FilesAreFoundRelativeToTheConfigurationAndSavedForTheOwnerAlone) {
  const oddjob::testing::Folder folder;
  const auto path = (folder.path() / "deep" / "config.yaml").string();
  CliConfig c;
  c.contexts.push_back({});
  c.contexts.back().name = "a";
  c.contexts.back().token_file = "token";
  ASSERT_TRUE(save_cli_config(path, c));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  const auto read = load_cli_config(path);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->contexts.at(0).token_file, (folder.path() / "deep" / "token").string());
}

TEST(CliConfig, AnAbsentFileIsEmpty) {
  const oddjob::testing::Folder folder;
  const auto c = load_cli_config((folder.path() / "none.yaml").string());
  ASSERT_TRUE(c);
  EXPECT_TRUE(c->contexts.empty());
}

TEST(CliConfig, ALinkToTheFileStaysALink) {
  const oddjob::testing::Folder folder;
  const auto real = folder.path() / "real.yaml", link = folder.path() / "link.yaml";
  std::ofstream(real) << "";
  std::filesystem::create_symlink(real, link);
  ASSERT_TRUE(save_cli_config(link.string(), two_contexts()));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(load_cli_config(real.string())->contexts.size(), 2U);
}

TEST(CliConfig, ThePathFollowsTheUsualVariables) {
  EXPECT_EQ(config_path({{"ODDJOB_CONFIG", "/a/b"}, {"HOME", "/h"}}), "/a/b");
  EXPECT_EQ(config_path({{"XDG_CONFIG_HOME", "/x"}, {"HOME", "/h"}}), "/x/oddjob/config.yaml");
  EXPECT_EQ(config_path({{"XDG_CONFIG_HOME", "relative"}, {"HOME", "/h"}}), "/h/.config/oddjob/config.yaml");
}

TEST(Settings, FlagsWinOverTheEnvironmentWhichWinsOverTheContext) {
  const auto config = two_contexts();
  auto s = merge_settings({}, {}, config);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->server, "https://prod.example.com");
  EXPECT_EQ(s->token, "prod-secret");
  EXPECT_EQ(s->name_space, "payments");
  const Environment environment{{"ODDJOB_CONTEXT", "test"}, {"ODDJOB_NAMESPACE", "from-env"}};
  s = merge_settings({}, environment, config);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->server, "https://test.example.com") << "without the slash at its end";
  EXPECT_EQ(s->token_file, "/run/token");
  EXPECT_EQ(s->name_space, "from-env");
  GlobalFlags flags;
  flags.context = "prod";
  flags.name_space = "from-flag";
  s = merge_settings(flags, environment, config);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->server, "https://prod.example.com");
  EXPECT_EQ(s->name_space, "from-flag");
}

TEST(Settings, AContextsTokenGoesToItsOwnServerOnly) {
  GlobalFlags flags;
  flags.server = "https://elsewhere.example.com";
  const auto s = merge_settings(flags, {}, two_contexts());
  ASSERT_TRUE(s);
  EXPECT_EQ(s->token, "");
  EXPECT_EQ(s->token_file, "");
}

TEST(Settings, ByWayOfKubernetesTheKubeconfigSaysTheRest) {
  GlobalFlags flags;
  flags.via_kubernetes = true;
  flags.context = "cluster-a";
  flags.kubeconfig = "/k";
  auto s = merge_settings(flags, {{"ODDJOB_TOKEN", "env"}, {"ODDJOB_NAMESPACE", "payments"}}, two_contexts());
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_TRUE(s->via_kubernetes);
  EXPECT_EQ(s->kube_context, "cluster-a");
  EXPECT_EQ(s->kubeconfig, "/k");
  EXPECT_EQ(s->name_space, "payments");
  EXPECT_EQ(s->server + s->token + s->token_file, "") << "no other identity comes along";
  for (auto* other : {&flags.server, &flags.token_file, &flags.ca_file}) {
    *other = "x";
    EXPECT_EQ(merge_settings(flags, {}, {}).error().code, "cli.usage");
    other->clear();
  }

  const auto config = parse_cli_config(
      "contexts: [{name: here, via: kubernetes, kubeconfig: /k, kubeContext: b, namespace: "
      "ops}]\ncurrentContext: here",
      "config.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const auto again = parse_cli_config(format_cli_config(*config), "again");
  ASSERT_TRUE(again) << again.error().message;
  s = merge_settings({}, {}, *again);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_TRUE(s->via_kubernetes);
  EXPECT_EQ(s->kubeconfig + s->kube_context + s->name_space, "/kbops");
  s = merge_settings({}, {{"ODDJOB_SERVER", "https://x"}}, *again);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_FALSE(s->via_kubernetes) << "a server that is named is gone to straight";
}

TEST(Settings, ThereIsOneSourceOfIdentity) {
  GlobalFlags flags;
  flags.token_file = "/flag";
  auto s = merge_settings(flags, {{"ODDJOB_TOKEN", "env"}}, two_contexts());
  ASSERT_TRUE(s);
  EXPECT_EQ(s->token_file, "/flag");
  EXPECT_EQ(s->token, "");
  s = merge_settings({}, {{"ODDJOB_TOKEN", "env"}, {"ODDJOB_TOKEN_FILE", "/env"}}, two_contexts());
  ASSERT_TRUE(s);
  EXPECT_EQ(s->token, "env");
  EXPECT_EQ(s->token_file, "");
}

TEST(Settings, WhatIsMissingIsSaidWithWhatToDo) {
  const auto none = merge_settings({}, {}, {});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, "cli.no_server");
  EXPECT_NE(none.error().hint.find("oddjobd dev"), std::string::npos);
  GlobalFlags flags;
  flags.context = "prd";
  const auto wrong = merge_settings(flags, {}, two_contexts());
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, "cli.no_context");
  EXPECT_NE(wrong.error().hint.find("prod, test"), std::string::npos) << wrong.error().hint;
}

}  // namespace
}  // namespace oddjob::cli
