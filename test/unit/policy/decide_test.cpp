// The one decision, as tables.
#include <gtest/gtest.h>

#include "policy/policy.hpp"

namespace oddjob::policy {
namespace {

using namespace std::chrono_literals;
using Patterns = std::vector<ArgvPattern>;

// What a decision says, in one word.
std::string word(const Decision& d) {
  if (const auto* allow = std::get_if<Allow>(&d)) return allow->break_glass ? "break glass" : "allow";
  if (const auto* needs = std::get_if<NeedsApproval>(&d))
    return "approvals " + std::to_string(needs->approvals);
  return std::get<Deny>(d).code;
}

const Subject kAnn{"ann", {"payments", "all"}, AuthMethod::static_token, false, false};
const Subject kBob{"bob", {}, AuthMethod::static_token, false, false};
const Subject kRoot{"root", {"platform"}, AuthMethod::static_token, true, true};
const Subject kSre{"sue", {"sre", "payments"}, AuthMethod::static_token, false, false};

Policy open() {
  Policy p;
  p.allowed_teams = {"payments"};
  return p;
}

RunRequest request() {
  RunRequest r;
  r.workload = {WorkloadKind::deployment, "prod", "payments"};
  r.command = {"rake", "db:migrate"};
  return r;
}

TEST(Decide, OnlyTheAllowedSetMayRun) {
  struct Row {
    std::vector<std::string> teams, users;
    Subject who;
    std::string expected;
  };
  for (const auto& row : std::vector<Row>{
           {{"payments"}, {}, kAnn, "allow"},
           {{"payments"}, {}, kBob, "policy.not_allowed"},
           {{"payment"}, {}, kAnn, "policy.not_allowed"},
           {{"PAYMENTS"}, {}, kAnn, "policy.not_allowed"},
           {{}, {"bob"}, kBob, "allow"},
           {{}, {"bob"}, kAnn, "policy.not_allowed"},
           {{}, {"payments"}, kAnn, "policy.not_allowed"},  // a team's name is no user's
           {{"ann"}, {}, kAnn, "policy.not_allowed"},
           {{"x"}, {"ann"}, kAnn, "allow"},
           {{"*"}, {}, kBob, "allow"},
           {{}, {"*"}, kBob, "allow"},
           {{}, {}, kAnn, "policy.not_allowed"},
           {{"payments"}, {}, kRoot, "policy.not_allowed"},  // an admin reads; running is for the allowed
       }) {
    Policy p;
    p.allowed_teams = row.teams;
    p.allowed_users = row.users;
    EXPECT_EQ(word(decide(row.who, p, request(), {})), row.expected) << row.who.user;
    EXPECT_EQ(may_run(row.who, p), row.expected == "allow");
  }
}

TEST(Decide, ARefusalNamesWhoWhatAndWhatWouldBeAllowed) {
  const auto d = decide(kBob, open(), request(), {});
  const auto& reason = std::get<Deny>(d).reason;
  for (const auto part : {"bob", "deploy/payments", "team payments"})
    EXPECT_NE(reason.find(part), std::string::npos) << reason;
}

struct Case {
  std::string what;
  std::function<void(Policy&, RunRequest&, Circumstances&)> set;
  std::string expected;
};

TEST(Decide, EachLimitRefusesWithItsOwnCode) {
  const auto quantity = [](std::string_view t) { return parse_quantity(t).value(); };
  const std::vector<Case> table = {
      {"nothing asked", [](auto&, auto&, auto&) {}, "allow"},
      {"templates only", [](auto& p, auto&, auto&) { p.templates_only = true; }, "policy.templates_only"},
      {"command matches",
       [](auto& p, auto&, auto&) {
         p.allowed_commands = Patterns{ArgvPattern{"rake", "**"}};
       },
       "allow"},
      {"command does not", [](auto& p, auto&, auto&) { p.allowed_commands = Patterns{ArgvPattern{"rake"}}; },
       "policy.command_not_allowed"},
      {"second pattern matches",
       [](auto& p, auto&, auto&) {
         p.allowed_commands = Patterns{ArgvPattern{"node", "**"}, ArgvPattern{"rake", "*"}};
       },
       "allow"},
      {"reason missing", [](auto& p, auto&, auto&) { p.require_reason = true; }, "policy.reason_required"},
      {"reason blank", [](auto& p, auto& r, auto&) { p.require_reason = true, r.reason = " \t "; },
       "policy.reason_required"},
      {"reason given", [](auto& p, auto& r, auto&) { p.require_reason = true, r.reason = "x"; }, "allow"},
      {"interactive", [](auto&, auto& r, auto&) { r.interactive = true; }, "policy.interactive"},
      {"interactive allowed", [](auto& p, auto& r, auto&) { r.interactive = p.allow_interactive = true; },
       "allow"},
      {"env without permission",
       [](auto&, auto& r, auto&) {
         r.env = {{"A", "1", false}};
       },
       "policy.env_not_allowed"},
      {"env of the list",
       [](auto& p, auto& r, auto&) {
         r.env = {{"A", "1", false}}, p.allow_env = {"B", "A"};
       },
       "allow"},
      {"env beside the list",
       [](auto& p, auto& r, auto&) {
         r.env = {{"A", "", false}, {"C", "", false}}, p.allow_env = {"A"};
       },
       "policy.env_not_allowed"},
      {"any env",
       [](auto& p, auto& r, auto&) {
         r.env = {{"A", "", false}}, p.allow_env = {"*"};
       },
       "allow"},
      {"timeout at the limit", [](auto& p, auto& r, auto&) { p.max_timeout = 1h, r.timeout = 1h; }, "allow"},
      {"timeout over it", [](auto& p, auto& r, auto&) { p.max_timeout = 1h, r.timeout = 1h + 1s; },
       "policy.timeout_too_long"},
      {"timeout over the default limit", [](auto&, auto& r, auto&) { r.timeout = 25h; },
       "policy.timeout_too_long"},
      {"cpu at the limit", [&](auto& p, auto& r, auto&) { p.max_cpu = quantity("1"), r.cpu = "1000m"; },
       "allow"},
      {"cpu over it", [&](auto& p, auto& r, auto&) { p.max_cpu = quantity("1"), r.cpu = "1001m"; },
       "policy.max_cpu"},
      {"cpu not asked for", [&](auto& p, auto&, auto&) { p.max_cpu = quantity("1m"); }, "allow"},
      {"memory over it", [&](auto& p, auto& r, auto&) { p.max_memory = quantity("1G"), r.memory = "1Gi"; },
       "policy.max_memory"},
      {"unreadable cpu", [&](auto& p, auto& r, auto&) { p.max_cpu = quantity("1"), r.cpu = "lots"; },
       "policy.max_cpu"},
      {"room for one more", [](auto& p, auto&, auto& c) { p.max_concurrent = 2, c.active_runs = 1; },
       "allow"},
      {"no room", [](auto& p, auto&, auto& c) { p.max_concurrent = 2, c.active_runs = 2; },
       "policy.max_concurrent"},
      {"many, no limit", [](auto&, auto&, auto& c) { c.active_runs = 1000; }, "allow"},
      {"one approval", [](auto& p, auto&, auto&) { p.approvals = 1; }, "approvals 1"},
      {"three approvals", [](auto& p, auto&, auto&) { p.approvals = 3; }, "approvals 3"},
      {"approval does not heal a refusal", [](auto& p, auto& r, auto&) { p.approvals = 1, r.timeout = 25h; },
       "policy.timeout_too_long"},
  };
  for (const auto& c : table) {
    auto p = open();
    auto r = request();
    Circumstances now;
    c.set(p, r, now);
    const auto d = decide(kAnn, p, r, now);
    EXPECT_EQ(word(d), c.expected) << c.what;
    if (const auto* deny = std::get_if<Deny>(&d)) {
      EXPECT_FALSE(deny->reason.empty());
      EXPECT_EQ(deny->reason.find('\n'), std::string::npos);
    }
  }
}

TEST(Decide, ATemplateNarrowsWhoRunsAndHasAnApprovalOfItsOwn) {
  struct Row {
    std::string what;
    std::function<void(Policy&, TemplateTerms&)> set;
    Subject who;
    std::string expected;
  };
  const std::vector<Row> table = {
      {"nothing narrowed", [](auto&, auto&) {}, kAnn, "allow"},
      {"not of the workload's set", [](auto&, auto&) {}, kBob, "policy.not_allowed"},
      {"a template cannot widen it", [](auto&, auto& t) { t.allowed_users = {"bob"}; }, kBob,
       "policy.not_allowed"},
      {"nor with a star", [](auto&, auto& t) { t.allowed_teams = {"*"}; }, kBob, "policy.not_allowed"},
      {"a star narrows nothing", [](auto&, auto& t) { t.allowed_teams = {"*"}; }, kAnn, "allow"},
      {"in both sets, by team", [](auto&, auto& t) { t.allowed_teams = {"sre"}; }, kSre, "allow"},
      {"in both sets, by name", [](auto&, auto& t) { t.allowed_users = {"ann"}; }, kAnn, "allow"},
      {"in the workload's only", [](auto&, auto& t) { t.allowed_teams = {"sre"}; }, kAnn,
       "policy.template_not_allowed"},
      {"templates only", [](auto& p, auto&) { p.templates_only = true; }, kAnn, "allow"},
      {"commands still hold", [](auto& p, auto&) { p.allowed_commands = Patterns{ArgvPattern{"x"}}; }, kAnn,
       "policy.command_not_allowed"},
      {"the workload's approval holds", [](auto& p, auto&) { p.approvals = 2; }, kAnn, "approvals 2"},
      {"unless templates are pre-approved",
       [](auto& p, auto&) { p.approvals = 2, p.templates_pre_approved = true; }, kAnn, "allow"},
      {"the template's own holds", [](auto&, auto& t) { t.approvals = 1; }, kAnn, "approvals 1"},
      {"pre-approved or not",
       [](auto& p, auto& t) { p.approvals = 2, p.templates_pre_approved = true, t.approvals = 1; }, kAnn,
       "approvals 1"},
      {"of both the larger", [](auto& p, auto& t) { p.approvals = 2, t.approvals = 3; }, kAnn, "approvals 3"},
      {"of both the larger again", [](auto& p, auto& t) { p.approvals = 3, t.approvals = 2; }, kAnn,
       "approvals 3"},
  };
  for (const auto& row : table) {
    auto p = open();
    auto r = request();
    r.from_template = TemplateUse{"backfill", "uid", 1, "sha256:x"};
    Circumstances now;
    now.terms = TemplateTerms{"backfill", {}, {}, 0};
    row.set(p, *now.terms);
    EXPECT_EQ(word(decide(row.who, p, r, now)), row.expected) << row.what;
    EXPECT_EQ(may_run(row.who, p, *now.terms),
              row.expected != "policy.not_allowed" && row.expected != "policy.template_not_allowed")
        << row.what;
  }
}

TEST(Decide, ATemplateIsDecidedOnWithItsTermsOrNotAtAll) {
  auto r = request();
  r.from_template = TemplateUse{"backfill", "uid", 1, "sha256:x"};
  EXPECT_EQ(word(decide(kAnn, open(), r, {})), "policy.template_unread");
  Circumstances now;
  now.terms = TemplateTerms{"backfill", {}, {}, 0};
  EXPECT_EQ(word(decide(kAnn, open(), request(), now)), "policy.template_unread");
  // Pre-approval is for templates, not for what is typed.
  auto p = open();
  p.approvals = 1;
  p.templates_pre_approved = true;
  EXPECT_EQ(word(decide(kAnn, p, request(), {})), "approvals 1");
}

TEST(Decide, AnotherServiceAccountMustBeNamedByTheWorkload) {
  auto r = request();
  r.service_account = "batch";
  auto p = open();
  EXPECT_EQ(word(decide(kAnn, p, r, {})), "policy.service_account_not_allowed");
  p.service_accounts = {"other"};
  EXPECT_EQ(word(decide(kAnn, p, r, {})), "policy.service_account_not_allowed");
  p.service_accounts = {"other", "batch"};
  EXPECT_EQ(word(decide(kAnn, p, r, {})), "allow");
  p.service_accounts = {"*"};
  EXPECT_EQ(word(decide(kAnn, p, r, {})), "allow");
}

TEST(Decide, AValueOfTheEnvironmentIsNeverInARefusal) {
  auto r = request();
  r.env = {{"TOKEN", "s3cret", false}};
  const auto d = decide(kAnn, open(), r, {});
  EXPECT_EQ(std::get<Deny>(d).reason.find("s3cret"), std::string::npos);
  EXPECT_NE(std::get<Deny>(d).reason.find("TOKEN"), std::string::npos);
}

TEST(Decide, BreakingGlassSkipsApprovalAndNothingElse) {
  const std::vector<Case> table = {
      {"member with a reason", [](auto&, auto&, auto&) {}, "break glass"},
      {"no reason", [](auto&, auto& r, auto&) { r.reason.clear(); }, "policy.break_glass"},
      {"blank reason", [](auto&, auto& r, auto&) { r.reason = "  "; }, "policy.break_glass"},
      {"nobody may", [](auto& p, auto&, auto&) { p.break_glass_teams.clear(); }, "policy.break_glass"},
      {"another team may", [](auto& p, auto&, auto&) { p.break_glass_teams = {"dba"}; },
       "policy.break_glass"},
      {"everybody may", [](auto& p, auto&, auto&) { p.break_glass_teams = {"*"}; }, "break glass"},
      {"a user's name is no team", [](auto& p, auto&, auto&) { p.break_glass_teams = {"sue"}; },
       "policy.break_glass"},
      {"no approval needed anyway", [](auto& p, auto&, auto&) { p.approvals = 0; }, "break glass"},
      {"templates only", [](auto& p, auto&, auto&) { p.templates_only = true; }, "policy.templates_only"},
      {"command", [](auto& p, auto&, auto&) { p.allowed_commands = Patterns{ArgvPattern{"x"}}; },
       "policy.command_not_allowed"},
      {"timeout", [](auto&, auto& r, auto&) { r.timeout = 48h; }, "policy.timeout_too_long"},
      {"concurrency", [](auto& p, auto&, auto& c) { p.max_concurrent = 1, c.active_runs = 1; },
       "policy.max_concurrent"},
      {"not in the allowed set", [](auto& p, auto&, auto&) { p.allowed_teams = {"web"}; },
       "policy.not_allowed"},
      {"not asked for", [](auto&, auto& r, auto&) { r.break_glass = false; }, "approvals 2"},
  };
  for (const auto& c : table) {
    auto p = open();
    p.approvals = 2;
    p.break_glass_teams = {"sre"};
    auto r = request();
    r.break_glass = true;
    r.reason = "incident 7";
    Circumstances now;
    c.set(p, r, now);
    EXPECT_EQ(word(decide(kSre, p, r, now)), c.expected) << c.what;
  }
}

TEST(Matches, GoesByWholeElements) {
  struct Row {
    ArgvPattern pattern;
    std::vector<std::string> argv;
    bool expected;
  };
  for (const auto& row : std::vector<Row>{
           {{"rake"}, {"rake"}, true},
           {{"rake"}, {"rake", "x"}, false},
           {{"rake"}, {}, false},
           {{"rake", "*"}, {"rake", "x"}, true},
           {{"rake", "*"}, {"rake"}, false},
           {{"rake", "*"}, {"rake", "x", "y"}, false},
           {{"rake", "*"}, {"rake", ""}, true},
           {{"rake", "**"}, {"rake"}, true},
           {{"rake", "**"}, {"rake", "x", "y"}, true},
           {{"rake", "**"}, {"rakes"}, false},
           {{"*", "b"}, {"a", "b"}, true},
           {{"*", "*"}, {"a", "b"}, true},
           {{"**"}, {"anything", "at", "all"}, true},
           {{"a*"}, {"abc"}, false},  // no patterns inside an element
           {{"a*"}, {"a*"}, true},
           {{"sh", "-c", "ls"}, {"sh", "-c", "ls; rm -rf /"}, false},
           {{"sh", "-c", "ls"}, {"sh", "-c ls"}, false},
           {{"Rake"}, {"rake"}, false},
           {{"**", "b"}, {"a", "b"}, false},  // a literal where it is not last; parse_policy refuses it
           {{}, {}, true},
           {{}, {"a"}, false},
       })
    EXPECT_EQ(matches(row.pattern, row.argv), row.expected)
        << ::testing::PrintToString(row.pattern) << ::testing::PrintToString(row.argv);
}

TEST(IsApprover, TheNamedOrElseTheAllowed) {
  auto p = open();
  EXPECT_TRUE(is_approver(kSre, p));
  EXPECT_TRUE(is_approver(kAnn, p));
  EXPECT_FALSE(is_approver(kBob, p));
  p.approvers_given = true;
  p.approver_users = {"bob"};
  EXPECT_TRUE(is_approver(kBob, p));
  EXPECT_FALSE(is_approver(kSre, p));  // allowed to run, not named
  p.approver_teams = {"sre"};
  EXPECT_TRUE(is_approver(kSre, p));
  p.approver_users = {"*"};
  EXPECT_TRUE(is_approver(kRoot, p));
}

}  // namespace
}  // namespace oddjob::policy
