// Runs that wait for somebody's yes: what starts them, and all that must not.
#include <algorithm>

#include "engine_fixture.hpp"
#include "runs/machine.hpp"

namespace oddjob::runs::testing {
namespace {

using Strings = std::vector<std::string>;

class ApprovalTest : public EngineTest {
 protected:
  // ann asks; bob, carl and the team sre approve.
  void policy(std::string approvals, json::object more = {}) {
    json::object a{
        {"oddjob.dev/allowed-users", "ann, anna"}, {"oddjob.dev/allow-env", "*"},
        {"oddjob.dev/approval", approvals},        {"oddjob.dev/approver-users", "ann, bob, carl, robert"},
        {"oddjob.dev/approver-teams", "sre"},      {"oddjob.dev/break-glass-teams", "oncall"}};
    for (auto& [key, value] : more) a[key] = value;
    cluster.put_deployment(std::move(a));
  }
  Run pending(std::string approvals = "required", RunRequest r = request()) {
    policy(std::move(approvals));
    const auto made = submit(std::move(r));
    EXPECT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->run.state, RunState::pending_approval);
    const std::string id = made->run.id;
    EXPECT_TRUE(until([&] { return options.defer_pending || !stored(id).job_uid.empty(); }));
    return stored(id);
  }
  Result<Run> approve(const std::string& user, const Run& r, std::string digest = {}, Strings teams = {}) {
    Caller c = caller(user);
    c.subject.teams = std::move(teams);
    return run(engine->approve(c, r.id, digest.empty() ? r.digest : digest, "looks right"));
  }
  std::string refused(const Result<Run>& result) { return result ? "no error" : result.error().code; }
  // What a cluster's user may do to the Job, with kubectl.
  void edit_job(const Run& r, const std::function<void(json::value&)>& edit, bool spec) {
    json::value job = *cluster.object(job_key(r.id));
    edit(job);
    if (spec) {
      ensure(job, {"metadata", "generation"}) = get_int(job, {"metadata", "generation"}).value_or(1) + 1;
    }
    cluster.put("jobs", std::move(job));
  }
  AuditEvent event(const std::string& id, const std::string& type) {
    store::AuditFilter f;
    f.run_id = id;
    f.type = type;
    const auto events = store_->list_audit(f, 10).value();
    EXPECT_FALSE(events.empty()) << "no " << type << " of run " << id;
    return events.empty() ? AuditEvent{} : events.back();
  }
  void nothing_started(const std::string& id) {
    EXPECT_EQ(cluster.pods_made, 0);
    const auto types = story(id);
    EXPECT_EQ(std::ranges::count(types, "run.starting"), 0);
    EXPECT_EQ(std::ranges::count(types, "run.finished"), 1);
    EXPECT_TRUE(cluster.keys("jobs").empty()) << "its Job is removed";
  }
};

TEST_F(ApprovalTest, ARunWaitsSuspendedAndStartsWithTheYesOfAnother) {
  start();
  const Run r = pending();
  EXPECT_TRUE(get_bool(*cluster.object(job_key(r.id)), {"spec", "suspend"}));
  EXPECT_EQ(cluster.pods_made, 0);
  const auto progress = [&] { return run(engine->get(caller("ann"), r.id))->progress; };
  EXPECT_TRUE(until([&] { return progress().find("team sre or users ann, bob, carl") != std::string::npos; }))
      << progress();
  EXPECT_NE(r.approval.diff.find("+++ " + r.job_name), std::string::npos);
  const auto yes = approve("bob", r);
  ASSERT_TRUE(yes) << yes.error().message;
  EXPECT_EQ(yes->state, RunState::starting);
  const Run done = finished(r.id);
  EXPECT_EQ(done.state, RunState::succeeded);
  ASSERT_EQ(done.approvals.size(), 1U);
  EXPECT_EQ(done.approvals[0].subject, "bob");
  EXPECT_EQ(done.approvals[0].reason, "looks right");
  EXPECT_EQ(done.approvals[0].digest, done.digest);
  EXPECT_EQ(done.approvals[0].channel, "cli");
  EXPECT_EQ(story(r.id), (Strings{"run.requested", "run.job_created", "run.approved", "run.starting",
                                  "run.started", "run.finished"}));
  EXPECT_EQ(cluster.pods_made, 1);
}

TEST_F(ApprovalTest, WhoMayNotApproveIsRefusedAndRecorded) {
  options.aliases = {{"bob", "robert"}, {"ann", "zoe"}};
  end();
  begin();
  start();
  const Run r = pending("2");
  struct Row {
    const char* user;
    Strings teams;
    const char* code;
  };
  for (const auto& row : std::vector<Row>{
           {"ann", {}, "approval.own_run"},            // an approver, but hers
           {"ANN", {"sre"}, "approval.own_run"},       // by another spelling
           {"oidc:ann", {"sre"}, "approval.own_run"},  // by another way in
           {"zoe", {"sre"}, "approval.own_run"},       // by another account
           {"anna", {}, "approval.not_approver"},      // may run, may not approve
           {"mallory", {"dev"}, "run.not_found"},      // may not even see it
       }) {
    EXPECT_EQ(refused(approve(row.user, r, {}, row.teams)), row.code) << row.user;
  }
  ASSERT_TRUE(approve("bob", r));
  EXPECT_EQ(refused(approve("robert", r)), "approval.same_person");
  const auto again = approve("bob", r);
  ASSERT_TRUE(again) << "the same yes again is no error";
  EXPECT_EQ(again->approvals.size(), 1U) << "and no second one";
  EXPECT_EQ(stored(r.id).state, RunState::pending_approval);
  EXPECT_EQ(cluster.pods_made, 0);
  const auto types = story(r.id);
  EXPECT_EQ(std::ranges::count(types, "run.approval_refused"), 6);
  ASSERT_TRUE(approve("dora", r, {}, {"sre"}));
  EXPECT_EQ(finished(r.id).state, RunState::succeeded);
}

TEST_F(ApprovalTest, AnApprovalIsOfOneDigest) {
  start();
  const Run r = pending();
  EXPECT_EQ(refused(approve("bob", r, "sha256:of-a-page-that-is-old")), "approval.digest_mismatch");
  EXPECT_EQ(stored(r.id).state, RunState::pending_approval);
  ASSERT_TRUE(approve("bob", r));
  finished(r.id);
  // Replayed, it starts nothing: not this run again, and no other.
  EXPECT_TRUE(approve("bob", r)) << "already given";
  EXPECT_EQ(refused(approve("carl", r)), "approval.not_pending");
  const Run other = pending("required", request({"echo", "something else"}));
  EXPECT_EQ(refused(approve("bob", other, r.digest)), "approval.digest_mismatch");
  EXPECT_EQ(cluster.pods_made, 1);
}

TEST_F(ApprovalTest, ADenialEndsTheRunAndSaysWhy) {
  start();
  const Run r = pending();
  EXPECT_EQ(refused(run(engine->deny(caller("bob"), r.id, "  "))), "approval.reason_required");
  EXPECT_EQ(refused(run(engine->deny(caller("anna"), r.id, "no"))), "approval.not_approver");
  EXPECT_EQ(refused(run(engine->deny(caller("ann"), r.id, "changed my mind"))), "approval.own_run");
  ASSERT_TRUE(run(engine->deny(caller("bob"), r.id, "not on a Friday")));
  const Run done = finished(r.id);
  EXPECT_EQ(done.state, RunState::denied);
  EXPECT_EQ(done.result_reason, "ApprovalDenied");
  EXPECT_EQ(done.message, "Denied by bob: not on a Friday");
  EXPECT_EQ(refused(approve("carl", r)), "approval.not_pending");
  nothing_started(r.id);
}

TEST_F(ApprovalTest, ItExpires) {
  start();
  Run r = pending("required");
  // A day goes by.
  Run stale = stored(r.id);
  crash();
  stale = stored(r.id);
  stale.approval.expires = stale.created;
  ASSERT_TRUE(store_->update_run(stale, {}));
  begin();
  start();
  const Run done = finished(r.id);
  EXPECT_EQ(done.state, RunState::expired);
  EXPECT_EQ(done.result_reason, "ApprovalExpired");
  EXPECT_EQ(event(r.id, "run.expired").actor, "oddjob");
  EXPECT_EQ(refused(approve("bob", r)), "approval.not_pending");
  nothing_started(r.id);
}

TEST_F(ApprovalTest, CancelledWhileItWaits) {
  start();
  const Run r = pending();
  ASSERT_TRUE(run(engine->cancel(caller("ann"), r.id)));
  EXPECT_EQ(refused(approve("bob", r)), "approval.not_pending");
  EXPECT_EQ(finished(r.id).state, RunState::cancelled);
  nothing_started(r.id);
}

TEST_F(ApprovalTest, ApproveAndCancelAtOnceEndInOneOfTheTwo) {
  start();
  for (int round = 0; round < 6; ++round) {
    const Run r = pending();
    std::optional<Result<Run>> yes, no;
    const auto both = [&]() -> net::Task<> {
      const auto approving = [](Engine& e, Caller c, Run x, std::optional<Result<Run>>& out) -> net::Task<> {
        auto asking = e.approve(c, x.id, x.digest, "");
        out = co_await std::move(asking);
      };
      const auto cancelling = [](Engine& e, Caller c, Run x, std::optional<Result<Run>>& out) -> net::Task<> {
        auto asking = e.cancel(c, x.id);
        out = co_await std::move(asking);
      };
      loop.spawn("approve", approving(*engine, caller("bob"), r, yes));
      if (round % 2 == 1) co_await net::sleep_for(Duration(round));
      loop.spawn("cancel", cancelling(*engine, caller("ann"), r, no));
      while (!yes || !no) co_await net::sleep_for(Duration(1));
    };
    run(both());
    const Run done = finished(r.id);
    const auto types = story(r.id);
    const bool started = std::ranges::count(types, "run.starting") > 0;
    EXPECT_TRUE(done.state == RunState::cancelled || done.state == RunState::succeeded)
        << to_string(done.state);
    if (!*yes) {
      EXPECT_EQ((*yes).error().code, "approval.not_pending");
      EXPECT_FALSE(started) << "a cancellation that came first holds";
    }
    EXPECT_EQ(std::ranges::count(types, "run.finished"), 1);
  }
}

TEST_F(ApprovalTest, TwoApprovalsAtOnceStartItOnce) {
  start();
  const Run r = pending("2");
  std::optional<Result<Run>> one, two;
  const auto both = [&]() -> net::Task<> {
    const auto approving = [](Engine& e, Caller c, Run x, std::optional<Result<Run>>& out) -> net::Task<> {
      auto asking = e.approve(c, x.id, x.digest, "");
      out = co_await std::move(asking);
    };
    loop.spawn("one", approving(*engine, caller("bob"), r, one));
    loop.spawn("two", approving(*engine, caller("carl"), r, two));
    while (!one || !two) co_await net::sleep_for(Duration(1));
  };
  run(both());
  EXPECT_TRUE(*one) << one->error().message;
  EXPECT_TRUE(*two) << two->error().message;
  const Run done = finished(r.id);
  EXPECT_EQ(done.state, RunState::succeeded);
  EXPECT_EQ(done.approvals.size(), 2U);
  const auto types = story(r.id);
  EXPECT_EQ(std::ranges::count(types, "run.approved"), 2);
  EXPECT_EQ(std::ranges::count(types, "run.starting"), 1);
  EXPECT_EQ(cluster.pods_made, 1);
}

TEST_F(ApprovalTest, TheWorkloadsPolicyMustStillBeWhatItWas) {
  start();
  const Run lower = pending("2");
  policy("1");
  const auto yes = approve("bob", lower);
  EXPECT_EQ(refused(yes), "approval.policy_changed");
  EXPECT_NE(yes.error().message.find("oddjob.dev/approval was '2', is '1'"), std::string::npos)
      << yes.error().message;
  Run done = finished(lower.id);
  EXPECT_EQ(done.state, RunState::denied);
  EXPECT_NE(done.message.find("was '2', is '1'"), std::string::npos) << done.message;
  nothing_started(lower.id);

  // Changed between the approval and the start: the patch is held up meanwhile.
  const Run late = pending("1");
  bool changed = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    // The approve reads the workload once; the start is the second time.
    if (call == "GET deployments" && std::ranges::count(cluster.calls, "GET deployments") >= 5 && !changed) {
      changed = true;
      policy("none");
    }
    return Fault{};
  };
  cluster.calls.assign(3, "GET deployments");
  ASSERT_TRUE(approve("bob", late));
  done = finished(late.id);
  EXPECT_TRUE(changed);
  EXPECT_EQ(done.state, RunState::denied);
  EXPECT_EQ(done.result_reason, "PolicyDenied");
  EXPECT_NE(done.message.find("oddjob.dev/approval was '1', is 'none'"), std::string::npos) << done.message;
  nothing_started(late.id);
}

TEST_F(ApprovalTest, AnApproverWhoLeftTheTeamDoesNotCountAtTheStart) {
  Strings teams = {"sre"};
  bool gone = false;
  options.known = [&](const Subject& s) -> std::optional<Subject> {
    if (gone) return std::nullopt;
    Subject now = s;
    if (s.user == "dora") now.teams = teams;
    return now;
  };
  end();
  begin();
  start();
  const Run r = pending("2");
  ASSERT_TRUE(approve("dora", r, {}, {"sre"}));
  teams = {"sales"};
  ASSERT_TRUE(approve("bob", r));
  EXPECT_EQ(stored(r.id).state, RunState::pending_approval) << "one of the two does not count any more";
  ASSERT_TRUE(approve("carl", r));
  EXPECT_EQ(finished(r.id).state, RunState::succeeded);

  // Left after the last yes, before the start.
  const Run late = pending("1");
  bool left = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call == "GET deployments" && !stored(late.id).approvals.empty()) left = gone = true;
    return Fault{};
  };
  ASSERT_TRUE(approve("bob", late));
  const Run done = finished(late.id);
  EXPECT_TRUE(left);
  EXPECT_EQ(done.state, RunState::denied);
  EXPECT_NE(done.message.find("no longer known"), std::string::npos) << done.message;
}

TEST_F(ApprovalTest, AJobThatIsTouchedWhileItWaitsNeverStarts) {
  struct Row {
    const char* what;
    std::function<void(const Run&)> attack;
    const char* reason;
  };
  const std::vector<Row> rows = {
      {"unsuspended",
       [this](const Run& r) {
         edit_job(
             r,
             [](json::value& job) {
               ensure(job, {"spec", "suspend"}) = false;
             },
             true);
       },
       "JobTampered"},
      {"another command",
       [this](const Run& r) {
         edit_job(
             r,
             [](json::value& job) {
               ensure(job, {"spec", "template", "spec", "containers"}).as_array()[0].as_object()["command"] =
                   json::array{"rm", "-rf", "/data"};
             },
             true);
       },
       "JobTampered"},
      {"deleted", [this](const Run& r) { cluster.delete_job(job_key(r.id)); }, "JobDeleted"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.what);
    start();
    const Run r = pending();
    row.attack(r);
    const Run done = finished(r.id);
    EXPECT_EQ(done.state, RunState::denied);
    EXPECT_EQ(done.result_reason, row.reason);
    EXPECT_FALSE(done.message.empty());
    EXPECT_EQ(event(r.id, "run.tampered").actor, "oddjob");
    EXPECT_EQ(refused(approve("bob", r)), "approval.not_pending");
    EXPECT_TRUE(cluster.keys("jobs").empty());
    end();
    fresh();
  }
}

TEST_F(ApprovalTest, AJobRecreatedUnderTheSameNameIsStoppedAndNeverAdopted) {
  start();
  const Run r = pending();
  json::value copy = *cluster.object(job_key(r.id));
  erase(copy, {"metadata", "uid"});
  erase(copy, {"metadata", "resourceVersion"});
  ensure(copy, {"spec", "suspend"}) = false;
  cluster.remove(job_key(r.id));
  cluster.put("jobs", copy);
  const Run done = finished(r.id);
  EXPECT_EQ(done.state, RunState::denied);
  EXPECT_TRUE(until([&] { return cluster.keys("jobs").empty(); })) << "the imitation is deleted";
  EXPECT_EQ(refused(approve("bob", r)), "approval.not_pending");

  // A copy under another name, beside a run that waits.
  const Run second = pending();
  copy = *cluster.object(job_key(second.id));
  erase(copy, {"metadata", "uid"});
  ensure(copy, {"metadata", "name"}) = "oj-copy";
  ensure(copy, {"spec", "suspend"}) = false;
  cluster.put("jobs", copy);
  EXPECT_TRUE(until([&] { return cluster.object("jobs/shop/oj-copy") == nullptr; }));
  EXPECT_EQ(get_string(json::value(event(second.id, "run.tampered").detail), {"job"}), "oj-copy");
  ASSERT_TRUE(approve("bob", second)) << "the run's own Job is untouched";
  EXPECT_EQ(finished(second.id).state, RunState::succeeded);
}

TEST_F(ApprovalTest, AJobWhoseMetadataWasChangedIsNotStarted) {
  // Labels and annotations can be edited without a new generation.
  start();
  const Run r = pending();
  edit_job(
      r,
      [](json::value& job) {
        ensure(job, {"metadata", "annotations", "oddjob.dev/requester"}) = "bob";
      },
      false);
  ASSERT_TRUE(approve("bob", r));
  const Run done = finished(r.id);
  EXPECT_EQ(done.state, RunState::denied);
  EXPECT_EQ(done.result_reason, "JobTampered");
  EXPECT_NE(done.message.find("metadata.annotations.oddjob.dev/requester"), std::string::npos)
      << done.message;
  event(r.id, "run.tampered");
  EXPECT_EQ(cluster.pods_made, 0);
}

TEST_F(ApprovalTest, AJobChangedWhileItRunsIsStopped) {
  start();
  cluster.plan.ends = false;
  cluster.plan.lines = {"up"};
  const Run r = pending();
  ASSERT_TRUE(approve("bob", r));
  ASSERT_TRUE(until([&] { return stored(r.id).state == RunState::running; }));
  edit_job(
      r,
      [](json::value& job) {
        ensure(job, {"spec", "activeDeadlineSeconds"}) = 999999;
      },
      true);
  const Run done = finished(r.id);
  EXPECT_EQ(done.state, RunState::failed);
  EXPECT_EQ(done.result_reason, "JobTampered");
  event(r.id, "run.tampered");
}

// After it was compared with what was approved, and before the patch.
TEST_F(ApprovalTest, AJobThatIsTouchedInTheMomentOfItsStartDoesNotStart) {
  start();
  const Run r = pending();
  bool touched = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call == "PATCH jobs" && !std::exchange(touched, true)) {
      json::value job = *cluster.object(job_key(r.id));
      ensure(job, {"metadata", "annotations", "oddjob.dev/command"}) = "another";
      cluster.put("jobs", job);
    }
    return Fault{};
  };
  ASSERT_TRUE(approve("bob", r));
  const Run done = finished(r.id);
  EXPECT_EQ(done.result_reason, "JobTampered");
  EXPECT_NE(done.message.find("oddjob.dev/command"), std::string::npos) << done.message;
  EXPECT_EQ(cluster.pods_made, 0);
}

TEST_F(ApprovalTest, ACrashBetweenTheYesAndTheStartStartsItOnce) {
  start();
  const Run r = pending();
  bool reached = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call != "PATCH jobs") return Fault{};
    reached = true;
    return Fault{Fault::Kind::hang_before};
  };
  ASSERT_TRUE(approve("bob", r));
  ASSERT_TRUE(until([&] { return reached; }));
  crash();
  cluster.fault = nullptr;
  begin();
  start();
  EXPECT_EQ(finished(r.id).state, RunState::succeeded);
  EXPECT_EQ(cluster.pods_made, 1);
  const auto types = story(r.id);
  EXPECT_EQ(std::ranges::count(types, "run.starting"), 1);
}

TEST_F(ApprovalTest, ARunThatWaitsSurvivesARestart) {
  start();
  const Run r = pending();
  crash();
  begin();
  start();
  ASSERT_TRUE(until([&] { return approve("bob", r).has_value(); }));
  EXPECT_EQ(finished(r.id).state, RunState::succeeded);
  EXPECT_EQ(cluster.jobs_made, 1);
}

TEST_F(ApprovalTest, WithDeferredCreationTheJobComesAfterTheYes) {
  options.defer_pending = true;
  end();
  begin();
  start();
  const Run r = pending();
  ASSERT_TRUE(until([&] { return !run(engine->get(caller("ann"), r.id))->progress.empty(); }));
  EXPECT_EQ(cluster.jobs_made, 0);
  ASSERT_TRUE(approve("bob", r));
  EXPECT_EQ(finished(r.id).state, RunState::succeeded);
  EXPECT_EQ(story(r.id), (Strings{"run.requested", "run.approved", "run.job_created", "run.starting",
                                  "run.started", "run.finished"}));
  const Run never = pending();
  ASSERT_TRUE(run(engine->deny(caller("carl"), never.id, "no")));
  EXPECT_EQ(finished(never.id).state, RunState::denied);
  EXPECT_EQ(cluster.jobs_made, 1);
}

TEST_F(ApprovalTest, BreakingTheGlassStartsAtOnceAndIsSaid) {
  start();
  policy("2");
  auto r = request();
  r.break_glass = true;
  r.reason = "the site is down";
  Caller oncall = caller("ann");
  oncall.subject.teams = {"oncall"};
  const auto made = run(engine->submit(oncall, r, ""));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->run.break_glass);
  const Run done = finished(made->run.id);
  EXPECT_EQ(done.state, RunState::succeeded);
  EXPECT_TRUE(get_bool(json::value(event(done.id, "run.requested").detail), {"breakGlass"}));
}

TEST_F(ApprovalTest, ListsWhatOneCouldApprove) {
  start();
  const Run one = pending();
  const Run two = pending();
  ASSERT_TRUE(until([&] { return engine->may_approve(caller("bob"), one); })) << "the workload is in view";
  const auto names = [&](const std::string& who) {
    Strings out;
    const auto page = run(engine->list(caller(who), {}, "", 10, true)).value();
    for (const auto& r : page.runs) out.push_back(r.id);
    return out;
  };
  EXPECT_EQ(names("bob"), (Strings{two.id, one.id}));
  EXPECT_EQ(names("ann"), Strings{}) << "hers";
  EXPECT_EQ(names("anna"), Strings{});
  EXPECT_EQ(names("root"), Strings{});
  ASSERT_TRUE(approve("bob", one));
  EXPECT_EQ(names("carl"), Strings{two.id});
  EXPECT_TRUE(run(engine->get(caller("carl"), one.id))) << "who may approve may see";
  EXPECT_FALSE(run(engine->get(caller("mallory"), one.id)));
}

TEST_F(ApprovalTest, EnvValuesAreNotInWhatApproversSee) {
  start();
  auto r = request();
  r.env = {{"SECRET", "s3cr3t-value", false}};
  const Run waiting = pending("required", r);
  EXPECT_EQ(json::serialize(to_json(waiting, true)).find("s3cr3t-value"), std::string::npos);
  ASSERT_TRUE(approve("bob", waiting));
  EXPECT_EQ(finished(waiting.id).state, RunState::succeeded);
}

}  // namespace
}  // namespace oddjob::runs::testing
