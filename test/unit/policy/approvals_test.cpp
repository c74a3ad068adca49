// Four eyes, quorum and what may not have changed, as tables.
#include "policy/approvals.hpp"

#include <gtest/gtest.h>

#include "policy/policy.hpp"

namespace oddjob::policy {
namespace {

const Time kNow = *parse_time("2026-01-02T03:00:00Z");

TEST(SamePerson, IsStrict) {
  const Aliases aliases = {
      {"ann", "a.smith@example.com", "U0123ANN"}, {"a.smith", "asmith-admin"}, {"bob", "robert"}};
  struct Row {
    std::string_view a, b;
    bool same;        // without aliases
    bool by_aliases;  // with them
  };
  for (const auto& row : std::vector<Row>{
           {"ann", "ann", true, true},
           {"ann", "Ann", true, true},
           {" ann ", "ann", true, true},
           {"ann", "anna", false, false},
           {"ann", "bob", false, false},
           {"ann", "oidc:ann", true, true},
           {"ann", "https://login.example.com/realms/x#ann", true, true},
           {"keycloak:ann", "oidc:ann", true, true},
           {"ann", "ann@example.com", true, true},
           {"ann@example.com", "ANN@Example.com", true, true},
           // "ann" alone could be either; the two cannot be each other. With
           // "ann" in the aliases, both are that one.
           {"ann@example.com", "ann@example.org", false, true},
           {"oidc:ann@example.com", "ann", true, true},
           {"system:serviceaccount:a:ci", "system:serviceaccount:b:ci", false, false},
           {"system:serviceaccount:a:ci", "ci", false, false},
           {"system:serviceaccount:a:ci", "system:serviceaccount:a:ci", true, true},
           {"ann", "a.smith@example.com", false, true},
           {"ann", "u0123ann", false, true},
           {"ann", "asmith-admin", false, true},  // two sets that share a.smith
           {"oidc:ann", "asmith-admin", false, true},
           {"bob", "robert", false, true},
           {"ann", "robert", false, false},
           {"@example.com", "@example.org", false, false},
           {"oidc:", "oidc:", true, true},
       }) {
    EXPECT_EQ(same_person(row.a, row.b), row.same) << row.a << " " << row.b;
    EXPECT_EQ(same_person(row.b, row.a), row.same) << row.b << " " << row.a;
    EXPECT_EQ(same_person(row.a, row.b, aliases), row.by_aliases) << row.a << " " << row.b;
    EXPECT_EQ(same_person(row.b, row.a, aliases), row.by_aliases) << row.b << " " << row.a;
  }
}

Approval yes(std::string subject, std::string digest = "sha256:d", std::vector<std::string> teams = {"sre"}) {
  return {
      std::move(subject), std::move(teams), AuthMethod::static_token, "cli", "", std::move(digest), "", kNow};
}
Run run_with(std::vector<Approval> approvals, int required = 1) {
  Run r;
  r.requester = "ann";
  r.digest = "sha256:d";
  r.workload = {WorkloadKind::deployment, "prod", "payments"};
  r.approval.required = required;
  r.approval.teams = {"sre"};
  r.approvals = std::move(approvals);
  return r;
}
Policy by_sre() {
  Policy p;
  p.allowed_teams = {"payments"};
  p.approvals = 1;
  p.approvers_given = true;
  p.approver_teams = {"sre"};
  p.approver_users = {"olga"};
  return p;
}
std::optional<Subject> as_recorded(const Approval& a) {
  Subject s;
  s.user = a.subject;
  s.teams = a.teams;
  return s;
}

TEST(Tally, CountsPeopleWhoMayAndWhoSaidYesToThisJob) {
  const Aliases aliases = {{"bob", "robert"}};
  struct Row {
    const char* what;
    std::vector<Approval> approvals;
    std::vector<std::string> counted;
    std::string why;  // part of why the first one left out does not count
  };
  for (const auto& row : std::vector<Row>{
           {"nobody", {}, {}, ""},
           {"one", {yes("bob")}, {"bob"}, ""},
           {"two", {yes("bob"), yes("carl")}, {"bob", "carl"}, ""},
           {"by name", {yes("olga", "sha256:d", {})}, {"olga"}, ""},
           {"the requester", {yes("ann")}, {}, "requester"},
           {"the requester by another name", {yes("oidc:Ann")}, {}, "requester"},
           {"another Job", {yes("bob", "sha256:other")}, {}, "another Job"},
           {"not an approver", {yes("mallory", "sha256:d", {"payments"})}, {}, "approvers"},
           {"one person twice", {yes("bob"), yes("robert")}, {"bob"}, "same person"},
           {"one person twice, and another",
            {yes("bob"), yes("BOB"), yes("carl")},
            {"bob", "carl"},
            "same person"},
           {"no team any more", {yes("bob", "sha256:d", {})}, {}, "any more"},
       }) {
    SCOPED_TRACE(row.what);
    const auto t = tally(run_with(row.approvals), by_sre(), aliases, as_recorded);
    EXPECT_EQ(t.counted, row.counted);
    EXPECT_EQ(t.counted.size() + t.not_counted.size(), row.approvals.size());
    if (!row.why.empty()) {
      ASSERT_FALSE(t.not_counted.empty());
      EXPECT_NE(t.not_counted.front().why.find(row.why), std::string::npos) << t.not_counted.front().why;
    }
  }
}

TEST(Tally, WhatIsKnownOfTheApproverNowCounts) {
  const auto run = run_with({yes("bob"), yes("carl")});
  const auto left = tally(run, by_sre(), {}, [](const Approval& a) {
    auto s = *as_recorded(a);
    if (a.subject == "bob") s.teams = {"marketing"};
    return std::optional(s);
  });
  EXPECT_EQ(left.counted, std::vector<std::string>{"carl"});
  const auto gone = tally(run, by_sre(), {}, [](const Approval& a) {
    return a.subject == "carl" ? std::nullopt : as_recorded(a);
  });
  EXPECT_EQ(gone.counted, std::vector<std::string>{"bob"});
  EXPECT_NE(gone.not_counted.at(0).why.find("no longer known"), std::string::npos);
}

TEST(WhyNotApprove, SaysWhoMayInstead) {
  const Aliases aliases = {{"bob", "robert"}, {"ann", "zoe"}};
  struct Row {
    Subject who;
    std::vector<Approval> given;
    std::string code;  // empty: may
  };
  const Subject bob{"bob", {"sre"}}, ann{"ann", {"sre"}}, zoe{"zoe", {"sre"}}, robert{"robert", {"sre"}},
      dan{"dan", {"payments"}}, root{"root", {}, AuthMethod::static_token, true, true};
  for (const auto& row : std::vector<Row>{
           {bob, {}, ""},
           {ann, {}, "approval.own_run"},
           {zoe, {}, "approval.own_run"},
           {{"oidc:ann", {"sre"}}, {}, "approval.own_run"},
           {dan, {}, "approval.not_approver"},
           {root, {}, "approval.not_approver"},  // an admin reads; approving is for approvers
           {robert, {yes("bob")}, "approval.same_person"},
           {bob, {yes("bob")}, ""},  // again: nothing new, and no error
           {{"carl", {"sre"}}, {yes("bob")}, ""},
       }) {
    const auto why = why_not_approve(row.who, run_with(row.given, 2), by_sre(), aliases);
    EXPECT_EQ(why ? why->code : "", row.code) << row.who.user;
    if (why && row.code != "approval.same_person") {
      EXPECT_NE(why->hint.find("team sre"), std::string::npos) << why->hint;
    }
  }
}

TEST(PolicyChanges, NamesEachWithBothValues) {
  const auto of = [](std::string_view text) { return json::parse(text).as_object(); };
  EXPECT_EQ(policy_annotations(of(R"({"oddjob.dev/approval":"1","other":"x"})")),
            of(R"({"oddjob.dev/approval":"1"})"));
  struct Row {
    const char *then, *now;
    std::vector<std::string> changes;
  };
  for (const auto& row : std::vector<Row>{
           {R"({})", R"({})", {}},
           {R"({"oddjob.dev/a":"1","oddjob.dev/b":"2"})", R"({"oddjob.dev/b":"2","oddjob.dev/a":"1"})", {}},
           {R"({"oddjob.dev/approval":"2"})",
            R"({"oddjob.dev/approval":"1"})",
            {"oddjob.dev/approval was '2', is '1'"}},
           {R"({"oddjob.dev/approval":"2"})", R"({})", {"oddjob.dev/approval was '2' and is gone"}},
           {R"({})", R"({"oddjob.dev/approver-users":"eve"})", {"oddjob.dev/approver-users is new: 'eve'"}},
       }) {
    EXPECT_EQ(policy_changes(of(row.then), of(row.now)), row.changes);
  }
}

TEST(WhoMayApprove, ReadsAsASentencePart) {
  EXPECT_EQ(who_may_approve({"sre"}, {}), "team sre");
  EXPECT_EQ(who_may_approve({"sre", "dba"}, {"bob"}), "teams sre, dba or user bob");
  EXPECT_EQ(who_may_approve({}, {"bob", "carl"}), "users bob, carl");
  EXPECT_EQ(who_may_approve({"*"}, {"bob"}), "anybody else");
}

}  // namespace
}  // namespace oddjob::policy
