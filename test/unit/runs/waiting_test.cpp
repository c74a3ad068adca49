// What a waiting user is told, from statuses and events of real clusters.
#include <gtest/gtest.h>

#include "fixtures.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

using namespace fixtures;

json::value event(std::string_view uid, std::string_view type, std::string_view reason,
                  std::string_view message) {
  return json::object{{"involvedObject", json::object{{"uid", uid}}},
                      {"type", type},
                      {"reason", reason},
                      {"message", message}};
}
Observation with(Observation o, std::vector<json::value> events) {
  o.events = std::move(events);
  return o;
}
Observation without_events(Observation o) {
  o.events_problem = "events is forbidden";
  return o;
}

TEST(WhyWaiting, SaysWhatKubernetesSays) {
  struct Case {
    const char* name;
    Observation seen;
    std::string_view says;
  };
  const auto fresh = pod(R"({"phase": "Pending"})");
  auto unbound = fresh;
  erase(unbound, {"spec", "nodeName"});
  const std::vector<Case> cases = {
      {"nothing is there", absent(), ""},
      {"suspended", seen(job()), ""},
      {"released", seen(released()), "Waiting for the pod to be made"},
      {"quota",
       with(seen(released()), {event("job-uid", "Warning", "FailedCreate",
                                     "Error creating: pods \"oj-pay-x\" is forbidden: exceeded quota: "
                                     "compute, requested: cpu=2, used: cpu=3, limited: cpu=4")}),
       "FailedCreate: pods \"oj-pay-x\" is forbidden: exceeded quota: compute, requested: cpu=2, used: "
       "cpu=3, limited: cpu=4"},
      {"admission",
       with(seen(released()),
            {event("job-uid", "Warning", "FailedCreate",
                   "Error creating: admission webhook \"v.example.com\" denied the request: no")}),
       "FailedCreate: admission webhook \"v.example.com\" denied the request: no"},
      {"another object's event", with(seen(released()), {event("else", "Warning", "FailedCreate", "x")}),
       "Waiting for the pod to be made"},
      {"unschedulable", seen(released(), {pod(R"({"phase": "Pending", "conditions": [{"type": "PodScheduled",
          "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."}]})")}),
       "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."},
      {"gated", seen(released(), {pod(R"({"phase": "Pending", "conditions": [{"type": "PodScheduled",
          "status": "False", "reason": "SchedulingGated", "message": "Scheduling is blocked"}]})")}),
       "SchedulingGated: Scheduling is blocked"},
      {"image", seen(released(), {pod_waiting("ErrImagePull", "rpc error: not found")}),
       "ErrImagePull: rpc error: not found"},
      {"back-off", seen(released(), {pod_waiting("ImagePullBackOff", "Back-off pulling image \"x:1\"")}),
       "ImagePullBackOff: Back-off pulling image \"x:1\""},
      {"bad name", seen(released(), {pod_waiting("InvalidImageName", "couldn't parse")}),
       "InvalidImageName: couldn't parse"},
      {"config", seen(released(), {pod_waiting("CreateContainerConfigError", "secret \"db\" not found")}),
       "CreateContainerConfigError: secret \"db\" not found"},
      {"no node yet", seen(released(), {unbound}), "Waiting for a node"},
      {"what would tell cannot be read", without_events(seen(released())),
       "Waiting for the pod to be made (why is not known, as events cannot be read: events is forbidden)"},
      {"nor is it for a pod", without_events(seen(released(), {unbound})),
       "Waiting for a node (why is not known, as events cannot be read: events is forbidden)"},
      {"a status tells all the same",
       without_events(seen(released(), {pod_waiting("ImagePullBackOff", "x:1")})), "ImagePullBackOff: x:1"},
      {"creating", seen(released(), {pod_waiting("ContainerCreating")}),
       "Waiting for the container to start"},
      {"pulling",
       with(seen(released(), {pod_waiting("ContainerCreating")}),
            {event("pod-1", "Normal", "Scheduled", "s"),
             event("pod-1", "Normal", "Pulling", "Pulling image \"x\"")}),
       "Pulling: Pulling image \"x\""},
      {"pulled",
       with(seen(released(), {pod_waiting("ContainerCreating")}),
            {event("pod-1", "Normal", "Pulling", "Pulling image \"x\""),
             event("pod-1", "Normal", "Pulled", "done")}),
       "Waiting for the container to start"},
      {"volume",
       with(seen(released(), {pod_waiting("ContainerCreating")}),
            {event("pod-1", "Warning", "FailedMount", "MountVolume.SetUp failed for volume \"v\"")}),
       "FailedMount: MountVolume.SetUp failed for volume \"v\""},
      {"a scheduling failure that is over",
       with(seen(released(), {pod_waiting("ContainerCreating")}),
            {event("pod-1", "Warning", "FailedScheduling", "0/3 nodes")}),
       "Waiting for the container to start"},
      {"init image",
       seen(released(), {pod(R"({"phase": "Pending", "initContainerStatuses": [{"name": "migrate",
          "state": {"waiting": {"reason": "ImagePullBackOff", "message": "m"}}}]})")}),
       "Init container migrate: ImagePullBackOff: m"},
      {"init runs",
       seen(released(), {pod(R"({"phase": "Pending", "initContainerStatuses": [{"name": "migrate",
          "state": {"running": {}}}], "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}]})")}),
       "Init container migrate is running"},
      {"runs", seen(released(), {pod_running()}), ""},
      {"ended", seen(complete(), {pod_exited(0)}), ""},
      {"the newest pod speaks",
       seen(released(), {pod_exited(1, "", "pod-1"), pod_waiting("ErrImagePull", "m", "pod-2")}),
       "ErrImagePull: m"},
      {"control characters are made visible", seen(released(), {pod_waiting("ErrImagePull", "a\x1b[31mb")}),
       "ErrImagePull: a\\x1b[31mb"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(why_waiting(c.seen), c.says);
  }
}

TEST(WhyWaiting, EventsAreAskedForWhereTheyMayChangeTheAnswer) {
  const auto warned = [](Observation o) {
    const auto uid = o.pods.empty() ? uid_of(o.job_object) : uid_of(o.pods.back());
    return with(std::move(o), {event(uid, "Warning", "Strange", "said by an event only")});
  };
  const std::vector<Observation> all = {
      absent(),
      seen(job()),
      seen(job(), {pod_waiting("ContainerCreating")}),
      seen(released()),
      seen(released(), {pod(R"({"phase": "Pending"})")}),
      seen(released(), {pod_waiting("ContainerCreating")}),
      seen(released(), {pod_waiting("ErrImagePull", "x:1")}),
      seen(released(), {pod(R"({"phase": "Pending", "conditions": [{"type": "PodScheduled",
          "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]})")}),
      seen(released(), {pod(R"({"phase": "Pending", "initContainerStatuses": [{"name": "migrate",
          "state": {"running": {}}}]})")}),
      seen(released(), {pod_running()}),
      seen(complete(), {pod_exited(0)}),
  };
  int asked = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    const bool released_or_gone = all[i].job == Observation::Job::absent || !suspended(all[i].job_object);
    EXPECT_EQ(events_may_tell(all[i]), released_or_gone && why_waiting(warned(all[i])) != why_waiting(all[i]));
    asked += events_may_tell(all[i]) ? 1 : 0;
  }
  EXPECT_EQ(asked, 3);
}

TEST(WhyWaiting, IsBounded) {
  EXPECT_LE(why_waiting(seen(released(), {pod_waiting("ErrImagePull", std::string(100'000, 'x'))})).size(),
            1100U);
}

}  // namespace
}  // namespace oddjob::runs
