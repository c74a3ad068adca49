// Every state of a run against everything that can be seen: what is done next.
#include "runs/machine.hpp"

#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace oddjob::runs {
namespace {

using namespace fixtures;
using Kind = Action::Kind;
using std::chrono::minutes;
using std::chrono::seconds;

Run cancelled(Run r) {
  r.cancel_requested = true;
  r.cancelled_by = "bob";
  return r;
}
Run with_result(Run r, std::string_view reason, std::optional<int> code = {}) {
  r.result_reason = reason;
  r.exit_code = code;
  r.message = "as decided";
  return r;
}
Observation create_failed(Errc kind, std::string code, std::string message) {
  auto o = absent();
  o.create_error = Error{kind, std::move(code), std::move(message), {}};
  return o;
}
Observation foreign() {
  auto o = seen_nothing();
  o.job = Observation::Job::foreign;
  return o;
}
Observation refused(Observation o) {
  o.refusal = Error{Errc::forbidden, "policy.not_allowed", "ann is in none of the teams", {}};
  return o;
}
Observation listed(Observation o) {
  o.pods_listed = true;
  return o;
}
json::value suspended_again() { return job(R"({"suspend": true})", "{}", 3); }
json::value deleting(json::value v) {
  ensure(v, {"metadata", "deletionTimestamp"}) = "2026-01-02T03:00:00Z";
  return v;
}

struct Case {
  const char* name;
  Run run;
  Observation seen;
  Kind does;
  std::optional<RunState> ends_as = {};  // with finish and record_result
  std::string_view reason = {};
  Duration after = Duration{0};  // since kNow
};

void check(const std::vector<Case>& cases) {
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto step = next_step(c.run, c.seen, kNow + c.after);
    EXPECT_EQ(static_cast<int>(step.action.kind), static_cast<int>(c.does));
    ASSERT_EQ(step.outcome.has_value(), c.ends_as.has_value());
    if (!step.outcome) continue;
    EXPECT_EQ(to_string(step.outcome->state), to_string(*c.ends_as));
    if (!c.reason.empty()) {
      EXPECT_EQ(step.outcome->reason, c.reason);
    }
    if (step.outcome->state != RunState::succeeded && !decided(c.run)) {
      EXPECT_FALSE(step.outcome->message.empty());
    }
    EXPECT_TRUE(step.outcome->state == RunState::succeeded || step.outcome->exit_code != 0)
        << "an exit code of 0 must mean success";
  }
}

TEST(Machine, ARunThatHasEndedIsLeftAlone) {
  for (const auto state : {RunState::succeeded, RunState::failed, RunState::timed_out, RunState::cancelled,
                           RunState::lost, RunState::denied, RunState::expired}) {
    oddjob::Run r = cancelled(recorded());
    r.state = state;
    for (const auto& o :
         {seen_nothing(), absent(), foreign(), seen(job()), seen(released(), {pod_running()})}) {
      EXPECT_EQ(static_cast<int>(next_step(r, o, kNow).action.kind), static_cast<int>(Kind::none));
    }
  }
}

TEST(Machine, WithoutSightOfTheClusterItLooksBeforeItActs) {
  check({
      {"starting", starting(), seen_nothing(), Kind::look},
      {"recorded", recorded(), seen_nothing(), Kind::look},
      {"running", running(), seen_nothing(), Kind::look},
      {"cancelled", cancelled(running()), seen_nothing(), Kind::look},
  });
}

TEST(Machine, BeforeTheJobIsRecordedItHasNeverRun) {
  auto lost = absent();
  lost.values_lost = true;
  auto lost_but_there = seen(job());
  lost_but_there.values_lost = true;
  check({
      {"nothing there yet", starting(), absent(), Kind::create_job},
      {"made by us, also by an earlier process", starting(), seen(job()), Kind::record_job},
      {"name taken", starting(), foreign(), Kind::finish, RunState::failed, reasons::kJobNameTaken},
      {"cancelled in time", cancelled(starting()), absent(), Kind::finish, RunState::cancelled},
      {"cancelled, name taken", cancelled(starting()), foreign(), Kind::finish, RunState::cancelled},
      {"cancelled, but made", cancelled(starting()), seen(job()), Kind::delete_job},
      {"env values died with the process", starting(), lost, Kind::finish, RunState::lost,
       reasons::kValuesLost},
      {"env values not needed any more", starting(), lost_but_there, Kind::record_job},
      {"cancelled and values lost", cancelled(starting()), lost, Kind::finish, RunState::cancelled},
  });
}

TEST(Machine, ARefusedCreateEndsTheRunAndATransientOneIsRepeated) {
  check({
      {"quota", starting(), create_failed(Errc::forbidden, "kube.quota", "exceeded quota: jobs"),
       Kind::finish, RunState::failed, reasons::kCreateRefused},
      {"admission", starting(), create_failed(Errc::forbidden, "kube.admission", "webhook says no"),
       Kind::finish, RunState::failed, reasons::kCreateRefused},
      {"rbac", starting(), create_failed(Errc::forbidden, "kube.forbidden", "cannot create jobs"),
       Kind::finish, RunState::failed, reasons::kCreateRefused},
      {"invalid", starting(), create_failed(Errc::failed_precondition, "kube.invalid", "spec.x: bad"),
       Kind::finish, RunState::failed, reasons::kCreateRefused},
      {"namespace gone", starting(), create_failed(Errc::not_found, "kube.not_found", "namespaces shop"),
       Kind::finish, RunState::failed, reasons::kCreateRefused},
      {"server error", starting(), create_failed(Errc::unavailable, "kube.server_error", "etcd"),
       Kind::create_job},
      {"connection", starting(), create_failed(Errc::unavailable, "http.connect", "refused"),
       Kind::create_job},
      {"timeout", starting(), create_failed(Errc::deadline_exceeded, "http.timeout", "slow"),
       Kind::create_job},
      {"html", starting(), create_failed(Errc::unavailable, "kube.not_json", "text/html"), Kind::create_job},
      {"10 GB body", starting(), create_failed(Errc::too_large, "http.too_large", "body"), Kind::create_job},
      {"token expired", starting(), create_failed(Errc::unauthenticated, "kube.unauthorized", "401"),
       Kind::create_job},
      {"for too long", starting(), create_failed(Errc::unavailable, "kube.server_error", "etcd"),
       Kind::finish, RunState::failed, reasons::kStartTimeout, minutes(15)},
  });
  const auto step =
      next_step(starting(), create_failed(Errc::forbidden, "kube.quota", "exceeded quota: jobs"), kNow);
  EXPECT_NE(step.outcome->message.find("exceeded quota: jobs"), std::string::npos);
  const auto waits =
      next_step(starting(), create_failed(Errc::unavailable, "http.connect", "no route"), kNow);
  EXPECT_NE(waits.progress.find("no route"), std::string::npos) << "the user sees why it takes so long";
}

TEST(Machine, ARecordedJobIsReleasedOnceAndOnlyAsItWasMade) {
  check({
      {"suspended as made", recorded(), seen(job()), Kind::release_job},
      {"cancelled first", cancelled(recorded()), seen(job()), Kind::delete_job},
      {"policy says no", recorded(), refused(seen(job())), Kind::record_result, RunState::denied,
       reasons::kPolicyDenied},
      {"cancelled and refused", cancelled(recorded()), refused(seen(job())), Kind::delete_job},
      {"not within the time", recorded(), seen(job()), Kind::record_result, RunState::failed,
       reasons::kStartTimeout, minutes(15)},
      {"changed by somebody", recorded(), seen(job(R"({"suspend": true, "parallelism": 5})", "{}", 2)),
       Kind::look},
      {"changed by somebody, no pod", recorded(), listed(seen(job(R"({"suspend": true})", "{}", 2))),
       Kind::record_result, RunState::denied, reasons::kJobChanged},
      {"suspended again, its pod was made", recorded(),
       listed(seen(suspended_again(), {pod_waiting("ContainerCreating")})), Kind::record_result,
       RunState::lost, reasons::kJobSuspended},
      {"suspended while it ran", running(), listed(followed(seen(suspended_again(), {pod_running()}), false)),
       Kind::record_result, RunState::lost, reasons::kJobSuspended},
      {"suspended while it ran, pod not seen", running(), listed(seen(suspended_again())),
       Kind::record_result, RunState::lost, reasons::kJobSuspended},
      {"cancelled meanwhile", cancelled(recorded()), listed(seen(suspended_again())), Kind::delete_job},
      {"a refusal after the start is too late", recorded(), refused(seen(released())), Kind::none},
  });
}

TEST(Machine, AJobThatIsGoneAfterItsUidWasRecordedIsNeverMadeAgain) {
  const auto other = [] {
    auto v = job();
    ensure(v, {"metadata", "uid"}) = "another";
    return v;
  }();
  auto foreign_gone = gone(foreign());
  foreign_gone.job = Observation::Job::foreign;
  check({
      {"pods not looked at yet", recorded(), absent(), Kind::look},
      {"gone before the start", recorded(), gone(absent()), Kind::finish, RunState::lost,
       reasons::kJobDeleted},
      {"gone while running", running(), gone(absent()), Kind::finish, RunState::lost, reasons::kJobDeleted},
      {"another of that name", recorded(), listed(seen(other)), Kind::finish, RunState::lost,
       reasons::kJobDeleted},
      {"foreign of that name", recorded(), foreign_gone, Kind::finish, RunState::lost, reasons::kJobDeleted},
      {"cancelled", cancelled(recorded()), gone(absent()), Kind::finish, RunState::cancelled},
      {"cancelled while running", cancelled(running()), gone(absent()), Kind::finish, RunState::cancelled},
      {"refused before", with_result(recorded(), reasons::kPolicyDenied), gone(absent()), Kind::finish,
       RunState::denied},
      {"refused before, then cancelled", cancelled(with_result(recorded(), reasons::kPolicyDenied)),
       gone(absent()), Kind::finish, RunState::denied},
      {"its pod still runs", running(), followed(gone(seen(released(), {pod_running()}), false), false),
       Kind::none},
      {"its pod never ends", running(), followed(gone(seen(released(), {pod_running()}), false), false),
       Kind::finish, RunState::lost, reasons::kJobDeleted, seconds(121)},
      {"log not read yet", running(), followed(gone(seen(released(), {pod_exited(143)})), false), Kind::none},
      {"its pod's log was never opened", running(), gone(seen(released(), {pod_running()}), false),
       Kind::follow_log},
      {"started, but not recorded so", recorded(),
       followed(gone(seen(released(), {pod_running()}), false), false), Kind::mark_running},
      {"it was complete before it went", running(), followed(gone(seen(complete(), {pod_exited(0)})), true),
       Kind::finish, RunState::succeeded},
      {"complete, then cancelled, then gone", cancelled(running()),
       followed(gone(seen(complete(), {pod_exited(0)})), true), Kind::finish, RunState::succeeded},
      {"the command had ended by itself", running(), followed(gone(seen(released(), {pod_exited(3)})), true),
       Kind::finish, RunState::failed, "Error"},
      {"cancelled after that", cancelled(running()),
       followed(gone(seen(released(), {pod_exited(143)})), true), Kind::finish, RunState::cancelled},
  });
}

TEST(Machine, FollowsTheLogFirstThenSaysThatItRuns) {
  const auto both = seen(released(), {pod_exited(1, "", "pod-1"), pod_running("pod-2")});
  auto first_only = both;
  first_only.followed_pods = {"pod-1"};
  check({
      {"no pod yet", recorded(), seen(released()), Kind::none},
      {"pod waits", recorded(), seen(released(), {pod_waiting("ContainerCreating")}), Kind::none},
      {"pod runs", recorded(), seen(released(), {pod_running()}), Kind::follow_log},
      {"followed", recorded(), followed(seen(released(), {pod_running()}), false), Kind::mark_running},
      {"a fast pod that has ended already", recorded(), seen(complete(), {pod_exited(0)}), Kind::follow_log},
      {"a fast pod, followed", recorded(), followed(seen(complete(), {pod_exited(0)}), true),
       Kind::mark_running},
      {"runs", running(), followed(seen(released(), {pod_running()}), false), Kind::none},
      {"after a restart the log is taken up", running(), seen(released(), {pod_running()}), Kind::follow_log},
      {"retries: each pod in its turn", running(), both, Kind::follow_log},
      {"retries: the second too", running(), first_only, Kind::follow_log},
  });
  EXPECT_EQ(next_step(running(), both, kNow).action.pod_name, "oj-pay-bbbbbbbb-pod-1");
  EXPECT_EQ(next_step(running(), first_only, kNow).action.pod_name, "oj-pay-bbbbbbbb-pod-2");
}

TEST(Machine, EndsOnlyWhenTheLogIsReadToItsEnd) {
  check({
      {"success, log open", running(), followed(seen(complete(), {pod_exited(0)}), false), Kind::none},
      {"success", running(), followed(seen(complete(), {pod_exited(0)}), true), Kind::finish,
       RunState::succeeded},
      {"failure", running(), followed(seen(failed("BackoffLimitExceeded"), {pod_exited(3)}), true),
       Kind::finish, RunState::failed, "Error"},
      {"failure, log open", running(), followed(seen(failed("BackoffLimitExceeded"), {pod_exited(3)}), false),
       Kind::none},
      {"the command ended, the Job not yet", running(), followed(seen(released(), {pod_exited(3)}), true),
       Kind::none},
      {"cancelled too late", cancelled(running()), followed(seen(complete(), {pod_exited(0)}), true),
       Kind::finish, RunState::succeeded},
  });
}

TEST(Machine, AnEndWhosePodHasNotSpokenIsLookedAtAndWaitedFor) {
  auto ending = pod_running();
  ensure(ending, {"metadata", "deletionTimestamp"}) = "2026-01-02T03:00:30Z";
  const auto late = followed(seen(failed("DeadlineExceeded"), {ending}), false);
  auto done = followed(listed(seen(failed("DeadlineExceeded"), {ending})), true);
  check({
      {"the watches are not in step", running(), followed(seen(complete(), {pod_running()}), false),
       Kind::look},
      {"deadline: the pod is being ended", running(), late, Kind::look},
      {"it has its grace", running(), listed(late), Kind::none, {}, {}, seconds(60)},
      {"and no more", running(), done, Kind::finish, RunState::timed_out, "DeadlineExceeded", seconds(91)},
      {"complete, its pod gone", running(), gone(listed(followed(seen(complete()), true))), Kind::finish,
       RunState::succeeded},
  });
}

TEST(Machine, CancelWorksInEveryState) {
  auto awaiting = starting();
  awaiting.state = RunState::pending_approval;
  awaiting.approval = pending().approval;
  check({
      {"pending approval", cancelled(awaiting), absent(), Kind::finish, RunState::cancelled},
      {"pending approval, suspended Job", cancelled(awaiting), seen(job()), Kind::delete_job},
      {"no pod yet", cancelled(recorded()), seen(released()), Kind::delete_job},
      {"waiting pod", cancelled(recorded()), seen(released(), {pod_waiting("ImagePullBackOff")}),
       Kind::delete_job},
      {"running: the log is held on to first", cancelled(running()), seen(released(), {pod_running()}),
       Kind::follow_log},
      {"running", cancelled(running()), followed(seen(released(), {pod_running()}), false), Kind::delete_job},
      {"being deleted", cancelled(running()), followed(seen(deleting(released()), {pod_running()}), false),
       Kind::none},
      {"its own doing is no result", cancelled(running()),
       followed(seen(deleting(failed("BackoffLimitExceeded")), {pod_exited(143)}), true), Kind::none},
      {"gone, grace runs", cancelled(running()),
       followed(gone(seen(released(), {pod_running()}), false), false), Kind::none},
      {"gone, all read", cancelled(running()), followed(gone(seen(released(), {pod_exited(143)})), true),
       Kind::finish, RunState::cancelled},
  });
}

TEST(Machine, APodThatNeverStartsIsShownAndEndsInTime) {
  const auto pull = seen(released(), {pod_waiting("ImagePullBackOff", "Back-off pulling image \"x\"")});
  const auto step = next_step(recorded(), pull, kNow);
  EXPECT_EQ(static_cast<int>(step.action.kind), static_cast<int>(Kind::none));
  EXPECT_EQ(step.progress, "ImagePullBackOff: Back-off pulling image \"x\"");
  ASSERT_TRUE(step.action.deadline);
  EXPECT_EQ(*step.action.deadline, kNow + minutes(15));
  const auto late = next_step(recorded(), pull, kNow + minutes(15));
  EXPECT_EQ(static_cast<int>(late.action.kind), static_cast<int>(Kind::record_result));
  EXPECT_EQ(late.outcome->reason, reasons::kStartTimeout);
  EXPECT_NE(late.outcome->message.find("ImagePullBackOff"), std::string::npos);
  check({
      {"decided: the Job goes first", with_result(recorded(), reasons::kStartTimeout), pull,
       Kind::delete_job},
      {"decided, gone", with_result(recorded(), reasons::kStartTimeout),
       gone(seen(released(), {pod_waiting("ImagePullBackOff")})), Kind::finish, RunState::failed,
       reasons::kStartTimeout},
      {"decided, being deleted", with_result(recorded(), reasons::kStartTimeout), seen(deleting(released())),
       Kind::none},
      {"the time starts anew where it runs after all",
       recorded(),
       followed(seen(released(), {pod_running()}), false),
       Kind::mark_running,
       {},
       {},
       minutes(20)},
  });
}

TEST(Machine, KeptSidecarsAreEndedAfterTheResultIsRecorded) {
  auto p = pod_exited(3);
  p.at("status").get_object()["phase"] = "Running";
  p.at("status")
      .at("containerStatuses")
      .get_array()
      .push_back(js(R"({"name": "proxy", "state": {"running": {}}})"));
  check({
      {"log first", running(), followed(seen(released(), {p}), false), Kind::none},
      {"result on record", running(), followed(seen(released(), {p}), true), Kind::record_result,
       RunState::failed, "Error"},
      {"then the Job goes", with_result(running(), "Error", 3), followed(seen(released(), {p}), true),
       Kind::delete_job},
      {"after a crash in between, the same", with_result(running(), "Error", 3), seen(released(), {p}),
       Kind::follow_log},
      {"gone", with_result(running(), "Error", 3), followed(gone(seen(released(), {p})), true), Kind::finish,
       RunState::failed, "Error"},
      {"success of the main container", with_result(running(), "Completed", 0),
       followed(gone(seen(released(), {p})), true), Kind::finish, RunState::succeeded, "Completed"},
  });
  EXPECT_EQ(next_step(running(), followed(seen(released(), {p}), true), kNow).outcome->exit_code, 3);
}

// Whatever is seen in whatever state: the machine never makes a Job whose uid
// is on record, never releases one twice, and never ends a run before its log
// is read, but by patience.
TEST(Machine, NeverTwiceWhateverIsSeen) {
  const std::vector<oddjob::Run> runs = {starting(),
                                         recorded(),
                                         running(),
                                         cancelled(starting()),
                                         cancelled(recorded()),
                                         cancelled(running()),
                                         with_result(recorded(), reasons::kPolicyDenied),
                                         with_result(running(), "Error", 3)};
  const std::vector<json::value> jobs = {job(),
                                         released(),
                                         suspended_again(),
                                         complete(),
                                         failed("DeadlineExceeded"),
                                         failed("BackoffLimitExceeded"),
                                         deleting(released()),
                                         deleting(job())};
  const std::vector<std::vector<json::value>> pod_lists = {
      {},
      {pod_waiting("ContainerCreating")},
      {pod_running()},
      {pod_exited(0)},
      {pod_exited(137, "OOMKilled")},
      {pod_exited(1, "", "pod-1"), pod_running("pod-2")}};
  int combinations = 0;
  for (const auto& run : runs) {
    for (const auto& j : jobs) {
      for (const auto& pods : pod_lists) {
        for (int bits = 0; bits < 32; ++bits) {
          Observation o = seen(j, pods);
          if ((bits & 1) != 0) o = followed(o, (bits & 2) != 0);
          if ((bits & 4) != 0) o = gone(o, (bits & 8) != 0);
          if ((bits & 16) != 0) o.values_lost = true;
          const auto step = next_step(run, o, kNow + seconds(1));
          ++combinations;
          const auto kind = step.action.kind;
          if (!run.job_uid.empty()) {
            EXPECT_NE(static_cast<int>(kind), static_cast<int>(Kind::create_job));
          }
          if (kind == Kind::release_job) {
            EXPECT_EQ(get_int(o.job_object, {"metadata", "generation"}), 1);
            EXPECT_FALSE(run.cancel_requested || decided(run));
          }
          const bool unread = !run.job_uid.empty() && !o.followed_pods.empty() && !o.log_drained;
          EXPECT_FALSE(kind == Kind::finish && unread);
          EXPECT_EQ(step.outcome.has_value(), kind == Kind::finish || kind == Kind::record_result);
          if (step.outcome && kind == Kind::finish) {
            EXPECT_TRUE(is_final(step.outcome->state));
          }
        }
      }
    }
  }
  EXPECT_EQ(combinations, 8 * 8 * 6 * 32);
}

Run deferred(Run r) {
  r.approval.deferred = true;
  r.job_uid.clear();
  return r;
}
Run unrecorded(Run r) {
  r.job_uid.clear();
  return r;
}
json::value edited(json::value v) {
  ensure(v, {"metadata", "generation"}) = 2;
  return v;
}

TEST(Machine, ARunThatWaitsForApproval) {
  using std::chrono::hours;
  const auto denied_by_bob = with_result(pending(), reasons::kApprovalDenied);
  check({
      {"looks first", pending(), seen_nothing(), Kind::look},
      {"has its Job made", unrecorded(pending()), absent(), Kind::create_job},
      {"however long that takes", unrecorded(pending()), absent(), Kind::create_job, {}, {}, hours(23)},
      {"records it", unrecorded(pending()), seen(job()), Kind::record_job},
      {"a name that is taken", unrecorded(pending()), foreign(), Kind::finish, RunState::failed,
       reasons::kJobNameTaken},
      {"refused by quota", unrecorded(pending()), create_failed(Errc::forbidden, "kube.quota", "exceeded"),
       Kind::finish, RunState::failed, reasons::kCreateRefused},
      {"then waits", pending(), seen(job()), Kind::none},
      {"until it expires", pending(), seen(job()), Kind::record_result, RunState::expired,
       reasons::kApprovalExpired, hours(24)},
      {"also where the cluster cannot be seen", pending(), seen_nothing(), Kind::record_result,
       RunState::expired, reasons::kApprovalExpired, hours(24)},
      {"expired: its Job goes", with_result(pending(), reasons::kApprovalExpired), seen(job()),
       Kind::delete_job},
      {"then it ends", with_result(pending(), reasons::kApprovalExpired), gone(seen(job())), Kind::finish,
       RunState::expired, reasons::kApprovalExpired},
      {"denied: its Job goes", denied_by_bob, seen(job()), Kind::delete_job},
      {"denied, being deleted", denied_by_bob, seen(deleting(job())), Kind::none},
      {"denied, and gone", denied_by_bob, gone(seen(job())), Kind::finish, RunState::denied,
       reasons::kApprovalDenied},
      {"denied before its Job was recorded", unrecorded(denied_by_bob), seen(job()), Kind::delete_job},
      {"denied before its Job was made", unrecorded(denied_by_bob), absent(), Kind::finish, RunState::denied,
       reasons::kApprovalDenied},
      {"cancelled", cancelled(pending()), seen(job()), Kind::delete_job},
      {"cancelled and gone", cancelled(pending()), gone(seen(job())), Kind::finish, RunState::cancelled},
      {"unsuspended by somebody", pending(), seen(released()), Kind::record_result, RunState::denied,
       reasons::kJobTampered},
      {"and its pod runs: the log is evidence", pending(), seen(released(), {pod_running()}),
       Kind::follow_log},
      {"changed, still suspended", pending(), seen(edited(job())), Kind::record_result, RunState::denied,
       reasons::kJobTampered},
      {"ended behind our back", pending(), seen(complete()), Kind::record_result, RunState::denied,
       reasons::kJobTampered},
      {"deleted", pending(), gone(seen(job())), Kind::record_result, RunState::denied, reasons::kJobDeleted},
      {"replaced", pending(), foreign(), Kind::record_result, RunState::denied, reasons::kJobDeleted},
      {"tampering recorded: it is deleted", with_result(pending(), reasons::kJobTampered), seen(released()),
       Kind::delete_job},
  });
}

TEST(Machine, WithDeferredCreationNothingIsMadeBeforeTheYes) {
  using std::chrono::hours;
  check({
      {"waits without a look", deferred(pending()), seen_nothing(), Kind::none},
      {"expires", deferred(pending()), absent(), Kind::record_result, RunState::expired,
       reasons::kApprovalExpired, hours(24)},
      {"cancelled", cancelled(deferred(pending())), absent(), Kind::finish, RunState::cancelled},
      {"denied", with_result(deferred(pending()), reasons::kApprovalDenied), absent(), Kind::finish,
       RunState::denied, reasons::kApprovalDenied},
  });
}

TEST(Machine, AJobStartedOrChangedBehindOddJobsBackIsStopped) {
  auto twice = released();
  ensure(twice, {"metadata", "generation"}) = 3;
  auto in_queue = [](Observation o) {
    o.queued = true;
    return o;
  };
  check({
      {"started before OddJob said so", unreleased(), seen(released()), Kind::record_result, RunState::denied,
       reasons::kJobTampered},
      {"its log is read first", unreleased(), seen(released(), {pod_running()}), Kind::follow_log},
      {"and it does not count as running", unreleased(), followed(seen(released(), {pod_running()}), false),
       Kind::record_result, RunState::denied, reasons::kJobTampered},
      {"released by OddJob", recorded(), seen(released()), Kind::none},
      {"changed after that", running(), followed(seen(twice, {pod_running()}), false), Kind::record_result,
       RunState::failed, reasons::kJobTampered},
      {"tampering recorded", with_result(running(), reasons::kJobTampered),
       followed(seen(twice, {pod_running()}), false), Kind::delete_job},
      {"what Kueue changes is its own matter", recorded(), in_queue(seen(twice)), Kind::none},
      {"what does not match what was approved", unreleased(),
       [] {
         auto o = seen(job());
         o.refusal = Error{Errc::forbidden, "run.job_changed", "it differs in spec.template", {}};
         return o;
       }(),
       Kind::record_result, RunState::denied, reasons::kJobTampered},
  });
  EXPECT_TRUE(is_tampering({RunState::denied, {}, std::string(reasons::kJobTampered), ""}));
  EXPECT_TRUE(is_tampering({RunState::denied, {}, std::string(reasons::kJobDeleted), ""}));
  EXPECT_FALSE(is_tampering({RunState::lost, {}, std::string(reasons::kJobDeleted), ""}));
  EXPECT_FALSE(is_tampering({RunState::denied, {}, std::string(reasons::kApprovalDenied), ""}));
}

TEST(Machine, WhereKueueStartsTheJobOddJobsYesComesBeforeItIsMade) {
  const auto queued = [](Observation o) {
    o.queued = true;
    return o;
  };
  auto recovered = queued(absent());
  recovered.recovered = true;
  auto before = starting();
  auto yes = starting();
  yes.released = true;
  check({
      {"asks first", before, queued(absent()), Kind::release_job},
      {"the policy says no", before, queued(refused(absent())), Kind::finish, RunState::denied,
       reasons::kPolicyDenied},
      {"then it is made", yes, queued(absent()), Kind::create_job},
      {"and waits in the queue", recorded(), queued(seen(job())), Kind::none},
      {"long, but not for ever", recorded(), queued(seen(job())), Kind::record_result, RunState::failed,
       reasons::kStartTimeout, std::chrono::hours(24)},
      {"after a restart, missing: not made a second time", yes, recovered, Kind::finish, RunState::lost,
       reasons::kResultUnknown},
  });
}

TEST(Machine, WhatABackupRemembersIsNotRunAgain) {
  auto recovered = absent();
  recovered.recovered = true;
  auto traced = recovered;
  traced.job_was_made = true;
  auto found = seen(job());
  found.recovered = found.job_was_made = true;
  const Duration late = recovered.start_timeout;
  auto waiting = recovered;
  waiting.waiting_since = kNow + late;
  auto run = starting();
  run.created = kNow;
  auto approved = run;
  approved.approvals.emplace_back().at = approved.created + std::chrono::hours(5);
  check({
      {"a crash on the way: made", run, recovered, Kind::create_job},
      {"there are traces of it", run, traced, Kind::finish, RunState::lost, reasons::kResultUnknown},
      {"it is there: adopted", run, found, Kind::record_job},
      {"longer ago than a start may take", run, recovered, Kind::finish, RunState::lost,
       reasons::kResultUnknown, late},
      {"by the last approval", approved, waiting, Kind::create_job, {}, {}, late},
      {"what nobody may have run ends as asked", cancelled(run), traced, Kind::finish, RunState::cancelled},
  });
}

TEST(WaitingForApproval, SaysByWhomAndUntilWhen) {
  auto r = pending();
  r.approvals.emplace_back();
  EXPECT_EQ(waiting_for_approval(r),
            "Waiting for approval by team sre (1 of 2 so far), until 2026-01-03T03:00:00Z");
}

}  // namespace
}  // namespace oddjob::runs
