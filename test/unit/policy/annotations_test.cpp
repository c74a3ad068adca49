// Every annotation: what is read, what is refused and how it is said.
#include <gtest/gtest.h>

#include "policy/policy.hpp"

namespace oddjob::policy {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;

json::object annotations(std::initializer_list<std::pair<std::string_view, std::string_view>> extra) {
  json::object out{{"oddjob.dev/allowed-teams", "payments"}, {"kubectl.kubernetes.io/restartedAt", "now"}};
  for (const auto& [key, value] : extra) out["oddjob.dev/" + std::string(key)] = value;
  return out;
}

Policy good(std::string_view key, std::string_view value) {
  const auto p = parse_policy(annotations({{key, value}}), "deploy/x");
  EXPECT_TRUE(p) << key << ": " << value << ": " << (p ? "" : p.error().message);
  return p ? *p : Policy{};
}

TEST(Annotations, WithoutOneThatAllowsSomebodyTheWorkloadIsRefused) {
  for (const auto& none :
       {json::object{}, json::object{{"allowed-teams", "a"}}, json::object{{"oddjob.dev/approval", "none"}},
        json::object{{"example.org/allowed-teams", "a"}}}) {
    const auto p = parse_policy(none, "deploy/legacy");
    ASSERT_FALSE(p);
    EXPECT_EQ(p.error().code, "policy.no_annotation");
    EXPECT_EQ(p.error().kind, Errc::forbidden);
    for (const auto word : {"deploy/legacy", "oddjob.dev/allowed-teams", "oddjob.dev/allowed-users"})
      EXPECT_NE(p.error().message.find(word), std::string::npos);
    EXPECT_FALSE(p.error().hint.empty());
    EXPECT_FALSE(opted_in(none));
  }
}

TEST(Annotations, EitherOfTheTwoOptsIn) {
  for (const auto key : {"oddjob.dev/allowed-teams", "oddjob.dev/allowed-users"}) {
    const json::object one{{key, "a"}};
    EXPECT_TRUE(opted_in(one));
    EXPECT_TRUE(parse_policy(one, "x"));
  }
}

TEST(Annotations, AMisspeltOptInIsNamedRatherThanCalledMissing) {
  const auto p = parse_policy(json::object{{"oddjob.dev/alowed-teams", "payments"}}, "deploy/x");
  ASSERT_FALSE(p);
  EXPECT_EQ(p.error().code, "policy.unknown_annotation");
  EXPECT_NE(p.error().message.find("oddjob.dev/alowed-teams"), std::string::npos);
  EXPECT_NE(p.error().hint.find("oddjob.dev/allowed-teams"), std::string::npos);
}

TEST(Annotations, LeftOutTheyHaveTheDocumentedDefaults) {
  const auto p = parse_policy(annotations({}), "x").value();
  EXPECT_EQ(p.allowed_teams, Words{"payments"});
  EXPECT_TRUE(p.allowed_users.empty());
  EXPECT_EQ(p.approvals, 0);
  EXPECT_FALSE(p.approvers_given || p.templates_only || p.require_reason || p.allow_interactive);
  EXPECT_FALSE(p.allow_host_network || p.keep_mesh);
  EXPECT_FALSE(p.allowed_commands || p.allow_env || p.max_concurrent || p.max_cpu || p.max_memory);
  EXPECT_FALSE(p.container || p.sidecars || p.init_containers);
  EXPECT_TRUE(p.break_glass_teams.empty() && p.keep_labels.empty());
  EXPECT_EQ(p.default_timeout, 1h);
  EXPECT_EQ(p.max_timeout, 24h);
  EXPECT_EQ(p.ttl, 1h);
  EXPECT_EQ(p.rwo_volumes, Policy::RwoVolumes::warn);
}

TEST(Annotations, ListsAreSplitAtCommasAndTrimmed) {
  EXPECT_EQ(good("allowed-users", "ann, ben ,c@example.org").allowed_users,
            (Words{"ann", "ben", "c@example.org"}));
  EXPECT_EQ(good("allowed-teams", "*").allowed_teams, Words{"*"});
  EXPECT_EQ(good("break-glass-teams", "sre").break_glass_teams, Words{"sre"});
  EXPECT_EQ(good("keep-labels", "app, kueue.x-k8s.io/queue-name").keep_labels,
            (Words{"app", "kueue.x-k8s.io/queue-name"}));
  const auto p = good("approver-teams", "leads,owners");
  EXPECT_TRUE(p.approvers_given);
  EXPECT_EQ(p.approver_teams, (Words{"leads", "owners"}));
  EXPECT_TRUE(good("approver-users", "zoe").approvers_given);
}

TEST(Annotations, ApprovalIsNoneRequiredOrANumber) {
  EXPECT_EQ(good("approval", "none").approvals, 0);
  EXPECT_EQ(good("approval", "required").approvals, 1);
  EXPECT_EQ(good("approval", "2").approvals, 2);
  EXPECT_EQ(good("approval", "2").approval_expires, std::chrono::hours(24));
  EXPECT_EQ(good("approval-expires", "90m").approval_expires, std::chrono::minutes(90));
  EXPECT_EQ(good("approval-expires", "30d").approval_expires, std::chrono::hours(24 * 30));
}

TEST(Annotations, FlagsAreTrueOrFalse) {
  EXPECT_TRUE(good("templates-only", "true").templates_only);
  EXPECT_FALSE(good("templates-only", "false").templates_only);
  EXPECT_TRUE(good("require-reason", "true").require_reason);
  EXPECT_TRUE(good("allow-interactive", "true").allow_interactive);
  EXPECT_TRUE(good("allow-host-network", "true").allow_host_network);
  EXPECT_TRUE(good("keep-mesh", "true").keep_mesh);
}

TEST(Annotations, AllowEnvIsNamesAnyOrNone) {
  EXPECT_EQ(good("allow-env", "A, LOG_LEVEL").allow_env, (Words{"A", "LOG_LEVEL"}));
  EXPECT_EQ(good("allow-env", "*").allow_env, Words{"*"});
  EXPECT_EQ(good("allow-env", "true").allow_env, Words{"*"});
  EXPECT_EQ(good("allow-env", "false").allow_env, std::nullopt);
}

TEST(Annotations, CommandsAreListsOfArgvPatterns) {
  const auto p = good("allowed-commands", R"([["node","scripts/backfill.js","*"],["rake","**"],["a*b"]])");
  ASSERT_TRUE(p.allowed_commands);
  EXPECT_EQ(*p.allowed_commands,
            (std::vector<ArgvPattern>{{"node", "scripts/backfill.js", "*"}, {"rake", "**"}, {"a*b"}}));
}

TEST(Annotations, TheRestIsReadAsNamed) {
  EXPECT_EQ(good("max-timeout", "2h").max_timeout, 2h);
  EXPECT_EQ(good("default-timeout", "90s").default_timeout, 90s);
  EXPECT_EQ(good("ttl", "2d").ttl, 48h);
  EXPECT_TRUE(good("audit-files", "true").audit_files);
  EXPECT_FALSE(good("ttl", "2d").audit_files);
  EXPECT_EQ(good("max-concurrent", "3").max_concurrent, 3);
  EXPECT_EQ(good("max-cpu", "1500m").max_cpu, parse_quantity("1.5").value());
  EXPECT_EQ(good("max-memory", "2Gi").max_memory, parse_quantity("2048Mi").value());
  EXPECT_EQ(good("container", "app").container, "app");
  EXPECT_EQ(good("sidecars", "native").sidecars, SidecarMode::native);
  EXPECT_EQ(good("sidecars", "drop").sidecars, SidecarMode::drop);
  EXPECT_EQ(good("sidecars", "keep").sidecars, SidecarMode::keep);
  EXPECT_EQ(good("init-containers", "skip").init_containers, InitMode::skip);
  EXPECT_EQ(good("init-containers", "run").init_containers, InitMode::run);
  EXPECT_EQ(good("rwo-volumes", "warn").rwo_volumes, Policy::RwoVolumes::warn);
  EXPECT_EQ(good("rwo-volumes", "drop").rwo_volumes, Policy::RwoVolumes::drop);
  EXPECT_EQ(good("rwo-volumes", "read-only").rwo_volumes, Policy::RwoVolumes::read_only);
  EXPECT_FALSE(good("templates", "none").templates_pre_approved);
  EXPECT_TRUE(good("templates", "pre-approved").templates_pre_approved);
  EXPECT_EQ(good("allow-service-accounts", "batch, db.admin").service_accounts, (Words{"batch", "db.admin"}));
  EXPECT_EQ(good("allow-service-accounts", "*").service_accounts, Words{"*"});
  EXPECT_TRUE(good("require-reason", " true\n").require_reason);
}

TEST(Annotations, AValueThatCannotBeReadIsRefusedWithItsAnnotationAndItself) {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string_view, std::string_view>>{{"allowed-teams", ""},
                                                                  {"allowed-teams", "a,,b"},
                                                                  {"allowed-users", ","},
                                                                  {"approval", "maybe"},
                                                                  {"approval", "0"},
                                                                  {"approval", "-1"},
                                                                  {"approval", "11"},
                                                                  {"approval", "2.0"},
                                                                  {"approval", "Required"},
                                                                  {"approval-expires", "59s"},
                                                                  {"approval-expires", "31d"},
                                                                  {"approval-expires", "tomorrow"},
                                                                  {"approver-teams", ""},
                                                                  {"approver-users", "a,"},
                                                                  {"break-glass-teams", ""},
                                                                  {"templates-only", "yes"},
                                                                  {"templates-only", "True"},
                                                                  {"templates-only", "1"},
                                                                  {"templates", "some"},
                                                                  {"allow-service-accounts", ""},
                                                                  {"allow-service-accounts", "A b"},
                                                                  {"require-reason", ""},
                                                                  {"allow-interactive", "on"},
                                                                  {"allow-host-network", "tru"},
                                                                  {"keep-mesh", "no"},
                                                                  {"allow-env", ""},
                                                                  {"allow-env", "A=1"},
                                                                  {"allow-env", "1A"},
                                                                  {"allow-env", "A,,B"},
                                                                  {"allowed-commands", ""},
                                                                  {"allowed-commands", "rake"},
                                                                  {"allowed-commands", "[]"},
                                                                  {"allowed-commands", "[[]]"},
                                                                  {"allowed-commands", "[[1]]"},
                                                                  {"allowed-commands", R"(["rake"])"},
                                                                  {"allowed-commands", R"([["a","**","b"]])"},
                                                                  {"allowed-commands", R"({"a":["b"]})"},
                                                                  {"allowed-commands", R"([["a"]] trailing)"},
                                                                  {"allowed-commands", R"([["a",null]])"},
                                                                  {"max-timeout", "soon"},
                                                                  {"max-timeout", "60"},
                                                                  {"max-timeout", "500ms"},
                                                                  {"max-timeout", "-1h"},
                                                                  {"default-timeout", "0s"},
                                                                  {"default-timeout", "1.5s"},
                                                                  {"ttl", "forever"},
                                                                  {"max-concurrent", "0"},
                                                                  {"max-concurrent", "many"},
                                                                  {"max-concurrent",
                                                                   "3 "
                                                                   " x"},
                                                                  {"max-cpu", "fast"},
                                                                  {"max-cpu", "0"},
                                                                  {"max-cpu", "-1"},
                                                                  {"max-memory", "1GB"},
                                                                  {"container", "App"},
                                                                  {"container", "a,b"},
                                                                  {"sidecars", "maybe"},
                                                                  {"init-containers", "no"},
                                                                  {"rwo-volumes", "readonly"},
                                                                  {"keep-labels", "a b"},
                                                                  {"keep-labels", ""}}) {
    const auto p = parse_policy(annotations({{key, value}}), "deploy/x");
    ASSERT_FALSE(p) << key << ": " << value;
    EXPECT_EQ(p.error().code, "policy.malformed") << key << ": " << value;
    EXPECT_EQ(p.error().kind, Errc::forbidden);
    EXPECT_NE(p.error().message.find("deploy/x"), std::string::npos);
    EXPECT_NE(p.error().message.find("oddjob.dev/" + std::string(key)), std::string::npos)
        << p.error().message;
    EXPECT_NE(p.error().message.find("'" + std::string(value) + "'"), std::string::npos) << p.error().message;
    EXPECT_NE(p.error().message.find("expected "), std::string::npos);
  }
}

TEST(Annotations, AnUnknownOneIsRefusedWithItsValueAndTheNearestName) {
  struct Row {
    std::string_view key, near;
  };
  for (const auto& [key, near] : std::vector<Row>{{"aproval", "approval"},
                                                  {"max-timeouts", "max-timeout"},
                                                  {"allowed_commands", "allowed-commands"},
                                                  {"Approval", "approval"},
                                                  {"note", ""},
                                                  {"", ""}}) {
    const auto p = parse_policy(annotations({{key, "the value"}}), "deploy/x");
    ASSERT_FALSE(p) << key;
    EXPECT_EQ(p.error().code, "policy.unknown_annotation");
    EXPECT_NE(p.error().message.find("'oddjob.dev/" + std::string(key) + "'"), std::string::npos);
    EXPECT_NE(p.error().message.find("'the value'"), std::string::npos);
    EXPECT_NE(p.error().hint.find(near), std::string::npos) << p.error().hint;
  }
}

TEST(Annotations, ErrorsAreBoundedAndCannotMoveTheCursor) {
  for (const std::string_view key : {"approval", "unknown-one"}) {
    const auto p = parse_policy(annotations({{key, "\x1b[2J" + std::string(50'000, 'x')}}), "deploy/x");
    ASSERT_FALSE(p);
    EXPECT_EQ(p.error().message.find('\x1b'), std::string::npos);
    EXPECT_LT(p.error().message.size(), 600U);
  }
  auto large = parse_policy(annotations({{"allowed-users", std::string(70'000, 'a')}}), "x");
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, "policy.malformed");
  auto number = annotations({});
  number["oddjob.dev/max-concurrent"] = 3;
  EXPECT_EQ(parse_policy(number, "x").error().code, "policy.malformed");
}

TEST(Annotations, TimeoutsThatContradictEachOtherAreRefusedOnlyIfBothWereWritten) {
  const auto both = parse_policy(annotations({{"default-timeout", "3h"}, {"max-timeout", "2h"}}), "deploy/x");
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().code, "policy.malformed");
  for (const auto word : {"default-timeout", "'3h'", "max-timeout", "'2h'"})
    EXPECT_NE(both.error().message.find(word), std::string::npos) << both.error().message;
  EXPECT_EQ(good("max-timeout", "5m").default_timeout, 5min);
  EXPECT_EQ(good("default-timeout", "48h").max_timeout, 48h);
  EXPECT_TRUE(parse_policy(annotations({{"default-timeout", "2h"}, {"max-timeout", "2h"}}), "x"));
}

}  // namespace
}  // namespace oddjob::policy
