#include "server/config.hpp"

#include <gtest/gtest.h>

#include "server/config/keys.hpp"

namespace oddjob::server {
namespace {

TEST(Config, AnEmptyFileIsAllDefaults) {
  const auto c = parse_config("", "x.yaml", {});
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->listen_address, "127.0.0.1");
  EXPECT_EQ(c->listen_port, 8080);
  EXPECT_TRUE(c->token_review);
}

TEST(Config, TheFileIsReadAndTheEnvironmentWins) {
  const auto c = parse_config(
      "listen: {port: 1234, address: 0.0.0.0}\nkubernetes: {namespaces: [a, b]}\nlimits: {startTimeout: "
      "5m}\n",
      "x.yaml",
      {{"ODDJOBD_LISTEN_PORT", "4321"},
       {"ODDJOBD_AUTH_ADMIN_TEAMS", "platform, sre"},
       {"ODDJOBD_AUTH_TOKEN_REVIEW", "false"}});
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->listen_address, "0.0.0.0");
  EXPECT_EQ(c->listen_port, 4321);
  EXPECT_EQ(c->namespaces, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c->admin_teams, (std::vector<std::string>{"platform", "sre"}));
  EXPECT_EQ(c->start_timeout, std::chrono::minutes(5));
  EXPECT_FALSE(c->token_review);
}

TEST(Config, WhoIsOnePersonAndWhoIsTold) {
  const auto c = parse_config(
      "auth: {aliases: [[ann, a.smith], [bob, robert, bobby]]}\nruns: {pendingJobs: deferred}\n"
      "hooks:\n- {name: chat, url: 'https://chat.example.com/x', secretFile: /s, events: [run.finished], "
      "timeout: 5s}\n",
      "x.yaml", {});
  ASSERT_TRUE(c) << c.error().message;
  using Sets = std::vector<std::vector<std::string>>;
  EXPECT_EQ(c->aliases, (Sets{{"ann", "a.smith"}, {"bob", "robert", "bobby"}}));
  EXPECT_EQ(c->pending_jobs, "deferred");
  ASSERT_EQ(c->hooks.size(), 1U);
  EXPECT_EQ(c->hooks[0].name, "chat");
  EXPECT_EQ(c->hooks[0].events, std::vector<std::string>{"run.finished"});
  EXPECT_EQ(c->hooks[0].timeout, std::chrono::seconds(5));
  const auto e = parse_config("", "x.yaml", {{"ODDJOBD_AUTH_ALIASES", "ann,a.smith; bob , robert"}});
  ASSERT_TRUE(e) << e.error().message;
  EXPECT_EQ(e->aliases, (Sets{{"ann", "a.smith"}, {"bob", "robert"}}));
}

struct Bad {
  const char* name;
  const char* yaml;
  std::map<std::string, std::string> environment;
  const char* code;
  std::vector<std::string> words;
};

class BadConfig : public testing::TestWithParam<Bad> {};

TEST_P(BadConfig, IsRefusedWithTheFileTheKeyAndWhatWasExpected) {
  const auto c = parse_config(GetParam().yaml, "x.yaml", GetParam().environment);
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, GetParam().code);
  for (const auto& word : GetParam().words)
    EXPECT_NE((c.error().message + c.error().hint).find(word), std::string::npos)
        << word << " in " << c.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadConfig,
    testing::Values(
        Bad{"typo", "listen: {prot: 1}", {}, "config.unknown_key", {"x.yaml", "listen.prot", "listen.port"}},
        Bad{"section", "lisen: {port: 1}", {}, "config.unknown_key", {"lisen"}},
        Bad{"range", "listen: {port: 70000}", {}, "config.bad_value", {"x.yaml", "listen.port", "65535"}},
        Bad{"text", "listen: {port: eighty}", {}, "config.bad_value", {"listen.port", "eighty"}},
        Bad{"duration",
            "limits: {startTimeout: 5}",
            {},
            "config.bad_value",
            {"limits.startTimeout", "duration"}},
        Bad{"enum", "log: {level: loud}", {}, "config.bad_value", {"log.level", "debug", "loud"}},
        Bad{"tls", "listen: {tlsCertFile: /a}", {}, "config.bad_value", {"tlsKeyFile"}},
        Bad{"aliases", "auth: {aliases: [ann, bob]}", {}, "config.bad_value", {"auth.aliases", "lists"}},
        Bad{"alias", "auth: {aliases: [[ann]]}", {}, "config.bad_value", {"auth.aliases", "two names"}},
        Bad{"pending",
            "runs: {pendingJobs: later}",
            {},
            "config.bad_value",
            {"runs.pendingJobs", "deferred"}},
        Bad{"hook", "hooks: [{name: x, url: 'https://x/'}]", {}, "config.bad_value", {"hooks", "secretFile"}},
        Bad{"hookurl", "hooks: [{name: x, url: 'ftp://x/'}]", {}, "hooks.bad_url", {"hooks", "ftp://x/"}},
        Bad{"hooks",
            "hooks: [{name: x, url: 'https://x/', secretFile: s}, {name: x, url: 'https://y/', secretFile: "
            "s}]",
            {},
            "config.bad_value",
            {"hooks", "differ"}},
        Bad{"lease",
            "database: {lease: 1s}",
            {},
            "config.bad_value",
            {"database.lease", "from 2s to 5m", "1s"}},
        Bad{"longlease",
            "database: {lease: 1h}",
            {},
            "config.bad_value",
            {"database.lease", "from 2s to 5m"}},
        Bad{"list", "- a", {}, "config.malformed", {"x.yaml"}},
        Bad{"env", "", {{"ODDJOBD_LISTEN_PORT", "x"}}, "config.bad_value", {"ODDJOBD_LISTEN_PORT"}}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(Config, AllProblemsAreSaidEachWithItsLine) {
  const auto checked = check_config(
      "listen:\n  port: 70000\n  prot: 1\n# a comment\nhooks:\n- name: x\n  url: ftp://x/\n  secretFile: s\n"
      "  timeout: 2m\nlog: loud\n",
      "x.yaml", {{"ODDJOBD_AUTH_TOKEN_REVIEW", "maybe"}, {"ODDJOBD_HOOKS", "x"}});
  std::string all;
  for (const auto& e : checked.problems) all += e.message + "\n";
  for (const auto* part :
       {"x.yaml:2: listen.port: expected a number from 0 to 65535", "x.yaml:3: unknown key 'listen.prot'",
        "x.yaml:7: hooks[0].url: ", "x.yaml:9: hooks[0].timeout: expected at most 1m",
        "x.yaml:10: log: expected a mapping", "ODDJOBD_AUTH_TOKEN_REVIEW: expected true or false",
        "ODDJOBD_HOOKS: 'hooks' can stand in the file only"})
    EXPECT_NE(all.find(part), std::string::npos) << part << " in\n" << all;
  EXPECT_EQ(checked.problems.size(), 7U) << all;
}

TEST(Config, AFileThatIsNotThereIsNamed) {
  const auto c = load_config("/no/such/file.yaml", {});
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, "config.unreadable");
  EXPECT_NE(c.error().message.find("/no/such/file.yaml"), std::string::npos);
}

// Every key can do what a reload asks of it, also those that are no single value.
TEST(Config, EveryKeyCanBeComparedAndTakenUp) {
  const ServerConfig one;
  for (const auto& key : config::keys()) {
    ServerConfig other;
    ASSERT_TRUE(key.value.set && key.value.same && key.value.take && key.value.get) << key.path;
    key.value.take(other, one);
    EXPECT_TRUE(key.value.same(other, one)) << key.path;
  }
}

TEST(Config, AReloadTakesUpTeamsAndLeavesIssuers) {
  const auto running = parse_config("auth: {teams: {sre: {users: [ann]}}}", "x.yaml", {});
  const auto next = parse_config(
      "auth: {teams: {sre: {users: [bob]}}, adminTeams: [sre], oidc: [{issuer: https://a.example.com, "
      "audiences: [b]}]}",
      "x.yaml", {});
  ASSERT_TRUE(running && next);
  const auto plan = plan_reload(*running, *next);
  EXPECT_EQ(plan.changed, (std::vector<std::string>{"auth.adminTeams", "auth.teams"}));
  EXPECT_EQ(plan.needs_restart, (std::vector<std::string>{"auth.oidc"}));
  EXPECT_EQ(plan.config.teams, next->teams);
  EXPECT_TRUE(plan.config.issuers.empty());
}

}  // namespace
}  // namespace oddjob::server
