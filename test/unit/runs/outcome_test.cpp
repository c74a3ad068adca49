// The exact result, from statuses as the kubelet and the Job controller write them.
#include <gtest/gtest.h>

#include "fixtures.hpp"
#include "runs/objects.hpp"
#include "runs/outcome.hpp"

namespace oddjob::runs {
namespace {

using namespace fixtures;

Observation listed(Observation o) {
  o.pods_listed = true;
  return o;
}
json::value with(json::value v, KeyPath path, std::string_view text) {
  ensure(v, path) = js(text);
  return v;
}
constexpr std::string_view kDeleted =
    R"({"deletionTimestamp": "2026-01-02T03:00:38Z", "deletionGracePeriodSeconds": 30})";  // asked at
                                                                                           // 03:00:08

struct Case {
  const char* name;
  Run run;
  Observation seen;
  std::optional<RunState> state;  // nullopt: not known yet
  std::optional<int> exit_code = {};
  std::string_view reason = {}, says = {};
};

TEST(Outcome, TheKubeletsOwnDeletionDoesNotHideTheFirst) {
  const auto asked = [](std::string_view text) { return json::object{{"metadata", js(text)}}; };
  const json::value before = asked(kDeleted);
  json::value pod =
      asked(R"({"deletionTimestamp": "2026-01-02T03:00:42Z", "deletionGracePeriodSeconds": 0})");
  keep_first_deletion(pod, before);
  EXPECT_EQ(deletion_asked_at(pod), deletion_asked_at(before));
  json::value untouched = asked("{}");
  keep_first_deletion(untouched, before);
  EXPECT_FALSE(deletion_asked_at(untouched));
  json::value first = before;
  keep_first_deletion(first, pod);
  EXPECT_EQ(first, before);
}

TEST(Outcome, IsExact) {
  const std::vector<Case> cases = {
      {"succeeded", running(), seen(complete(), {pod_exited(0)}), RunState::succeeded, 0, "Completed"},
      {"failed", running(), seen(failed("BackoffLimitExceeded"), {pod_exited(3)}), RunState::failed, 3,
       "Error", "3"},
      {"a signal's code", running(), seen(failed("BackoffLimitExceeded"), {pod_exited(139)}),
       RunState::failed, 139, "Error", "signal 11"},
      {"out of memory", running(), seen(failed("BackoffLimitExceeded"), {pod_exited(137, "OOMKilled")}),
       RunState::failed, 137, "OOMKilled", "64Mi"},
      {"no such program", recorded(), seen(failed("BackoffLimitExceeded"), {[] {
                                             auto p = pod_exited(128, "StartError");
                                             p.at("status")
                                                 .at("containerStatuses")
                                                 .at(0)
                                                 .at("state")
                                                 .at("terminated")
                                                 .get_object()["message"] =
                                                 "exec: \"nope\": executable file not found in $PATH";
                                             return p;
                                           }()}),
       RunState::failed, 128, "StartError", "executable file not found"},
      {"deadline, stopped", running(),
       seen(failed("DeadlineExceeded"), {pod_exited(143, "", "pod-1", kDeleted)}), RunState::timed_out, 143,
       "DeadlineExceeded", "60s"},
      {"deadline, and it said 0",
       running(),
       seen(failed("DeadlineExceeded"), {pod_exited(0, "", "pod-1", kDeleted)}),
       RunState::timed_out,
       {},
       "DeadlineExceeded"},
      {"deadline before the start",
       recorded(),
       listed(gone(seen(failed("DeadlineExceeded"), {pod_waiting("ErrImagePull", "no such host")}))),
       RunState::timed_out,
       {},
       "DeadlineExceeded",
       "ErrImagePull: no such host"},
      {"deadline announced by FailureTarget", running(),
       seen(
           [] {
             auto v = released();
             ensure(v, {"status", "conditions"}) =
                 js(R"([{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}])");
             return v;
           }(),
           {pod_exited(143)}),
       RunState::timed_out, 143, "DeadlineExceeded"},
      {"the pod's own deadline",
       recorded(),
       listed(seen(
           failed("BackoffLimitExceeded"),
           {pod(
               R"({"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active on the node longer"})")})),
       RunState::timed_out,
       {},
       "DeadlineExceeded"},
      {"evicted", running(), seen(failed("BackoffLimitExceeded"), {[] {
                                    auto p = pod_exited(137);
                                    p.at("status").get_object()["reason"] = "Evicted";
                                    p.at("status").get_object()["message"] =
                                        "The node was low on resource: memory.";
                                    return p;
                                  }()}),
       RunState::failed, 137, "Evicted", "low on resource"},
      {"evicted before the start",
       recorded(),
       listed(seen(
           failed("BackoffLimitExceeded"),
           {pod(
               R"({"phase": "Failed", "reason": "Evicted", "message": "The node had condition: [DiskPressure]."})")})),
       RunState::failed,
       {},
       "Evicted",
       "DiskPressure"},
      {"preempted", running(),
       seen(
           failed("PodFailurePolicy", "Pod failed with a disruption"),
           {with(
               pod_exited(143), {"status", "conditions"},
               R"([{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "by shop/x"}])")}),
       RunState::failed, 143, "PreemptionByScheduler", "by shop/x"},
      {"the pod failure policy's own rule", running(),
       seen(failed("PodFailurePolicy", "Container main failed with exit code 42"), {pod_exited(42)}),
       RunState::failed, 42, "PodFailurePolicy", "exit code 42"},
      {"an init container failed",
       recorded(),
       listed(seen(
           failed("BackoffLimitExceeded"),
           {pod(
               R"({"phase": "Failed", "initContainerStatuses": [{"name": "migrate", "state": {"terminated":
              {"exitCode": 2, "reason": "Error"}}}],
              "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}]})")})),
       RunState::failed,
       {},
       reasons::kInitFailed,
       "migrate"},
      {"the node lost track",
       running(),
       listed(seen(failed("BackoffLimitExceeded"), {pod_exited(137, "ContainerStatusUnknown")})),
       RunState::lost,
       {}},
      {"the pod was deleted while it ran", running(),
       seen(failed("BackoffLimitExceeded"), {pod_exited(143, "", "pod-1", kDeleted)}), RunState::failed, 143,
       reasons::kPodDeleted, "deleted by somebody"},
      {"deleted while it ran, and it said 0",
       running(),
       seen(failed("BackoffLimitExceeded"), {pod_exited(0, "", "pod-1", kDeleted)}),
       RunState::failed,
       {},
       reasons::kPodDeleted},
      {"deleted after it had ended", running(),
       seen(failed("BackoffLimitExceeded"),
            {pod_exited(
                3, "", "pod-1",
                R"({"deletionTimestamp": "2026-01-02T03:00:50Z", "deletionGracePeriodSeconds": 30})")}),
       RunState::failed, 3, "Error"},
      {"the pod vanished",
       running(),
       listed(gone(seen(failed("BackoffLimitExceeded"), {pod_running()}))),
       RunState::lost,
       {},
       reasons::kPodDeleted},
      {"no pod was ever made",
       recorded(),
       listed(seen(failed("BackoffLimitExceeded", "too many"))),
       RunState::failed,
       {},
       "BackoffLimitExceeded",
       "too many"},
      {"complete, no pod left", running(), listed(seen(complete())), RunState::succeeded, 0, "Completed"},
      {"retries: the last decides", running(),
       seen(failed("BackoffLimitExceeded"), {pod_exited(1, "", "pod-1"), pod_exited(7, "", "pod-2")}),
       RunState::failed, 7, "Error"},
      {"retries: success at last", running(),
       seen(complete(), {pod_exited(1, "", "pod-1"), pod_exited(0, "", "pod-2")}), RunState::succeeded, 0,
       "Completed"},
      {"a sidecar failed, the command did not", running(), seen(failed("BackoffLimitExceeded"), {[] {
                                                                  auto p = pod_exited(0);
                                                                  p.at("status").get_object()["phase"] =
                                                                      "Failed";
                                                                  return p;
                                                                }()}),
       RunState::succeeded, 0, "Completed"},
      {"killed by a full node",
       recorded(),
       listed(seen(
           failed("BackoffLimitExceeded"),
           {pod(
               R"({"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource: cpu"})")})),
       RunState::failed,
       {},
       "OutOfcpu",
       "enough resource"},
      {"still running", running(), seen(released(), {pod_running()}), {}},
      {"ended, the Job has not said so", running(), seen(released(), {pod_exited(1)}), {}},
      {"not recorded yet", starting(), seen(complete(), {pod_exited(0)}), {}},
      {"complete, pod not in step", running(), seen(complete(), {pod_running()}), {}},
      {"failed, pod not in step", running(), seen(failed("BackoffLimitExceeded"), {pod_running()}), {}},
      {"another Job's end",
       running(),
       [] {
         auto o = listed(seen(complete(), {}));
         ensure(o.job_object, {"metadata", "uid"}) = "another";
         return o;
       }(),
       {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto o = outcome_of(c.run, c.seen);
    ASSERT_EQ(o.has_value(), c.state.has_value()) << (o ? o->message : "");
    if (!o) continue;
    EXPECT_EQ(to_string(o->state), to_string(*c.state)) << o->message;
    EXPECT_EQ(o->exit_code, c.exit_code);
    if (!c.reason.empty()) {
      EXPECT_EQ(o->reason, c.reason);
    }
    EXPECT_NE(o->message.find(c.says), std::string::npos) << o->message;
  }
}

TEST(Outcome, OfACancelledRunSaysWhoAndWhatBecameOfIt) {
  oddjob::Run r = running();
  r.cancelled_by = "bob";
  const auto o = cancelled_outcome(r, seen(released(), {pod_exited(143)}));
  EXPECT_EQ(o.state, RunState::cancelled);
  EXPECT_EQ(o.exit_code, 143);
  EXPECT_NE(o.message.find("bob"), std::string::npos);
  EXPECT_EQ(cancelled_outcome(r, seen(released(), {pod_exited(0)})).exit_code, std::nullopt);
  EXPECT_NE(cancelled_outcome(starting(), absent()).message.find("before"), std::string::npos);
}

}  // namespace
}  // namespace oddjob::runs
