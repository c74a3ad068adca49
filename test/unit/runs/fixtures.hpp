// Runs, Jobs and pods as the API server shows them, for the tables of this room.
#pragma once

#include <string>
#include <vector>

#include "core/json.hpp"
#include "runs/machine.hpp"

namespace oddjob::runs::fixtures {

inline json::value js(std::string_view text) { return json::parse(text); }

inline constexpr std::string_view kRunId = "aaaaaaaaaabbbbbbbbbb";
inline const Time kNow = *parse_time("2026-01-02T03:00:00Z");

inline Run starting() {
  Run r;
  r.id = kRunId;
  r.state = RunState::starting;
  r.workload = {WorkloadKind::deployment, "shop", "pay"};
  r.requester = "ann";
  r.container = "main";
  r.command = {"true"};
  r.job_name = "oj-pay-bbbbbbbb";
  r.digest = "sha256:d";
  r.created = kNow;
  return r;
}
inline Run recorded() {
  Run r = starting();
  r.job_uid = "job-uid";
  r.released = true;
  return r;
}
// Its Job is there; OddJob has not said yet that it may start.
inline Run unreleased() {
  Run r = recorded();
  r.released = false;
  return r;
}
inline Run pending() {
  Run r = unreleased();
  r.state = RunState::pending_approval;
  r.approval.required = 2;
  r.approval.teams = {"sre"};
  r.approval.expires = kNow + std::chrono::hours(24);
  return r;
}
inline Run running() {
  Run r = recorded();
  r.state = RunState::running;
  r.started = kNow;
  return r;
}

// A Job of ours, suspended as it is made.
inline json::value job(std::string_view spec = R"({"suspend": true, "backoffLimit": 0})",
                       std::string_view status = "{}", int generation = 1) {
  json::value v = js(R"({"metadata": {"name": "oj-pay-bbbbbbbb", "namespace": "shop", "uid": "job-uid",
      "resourceVersion": "10", "labels": {"oddjob.dev/run-id": "aaaaaaaaaabbbbbbbbbb"},
      "annotations": {"oddjob.dev/digest": "sha256:d"}}})");
  ensure(v, {"metadata", "generation"}) = generation;
  ensure(v, {"spec"}) = js(spec);
  ensure(v, {"status"}) = js(status);
  return v;
}
inline json::value released(std::string_view status = "{}") {
  return job(R"({"suspend": false, "backoffLimit": 0, "activeDeadlineSeconds": 60})", status, 2);
}
inline json::value complete() {
  return released(R"({"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1})");
}
inline json::value failed(std::string_view reason, std::string_view message = "") {
  json::value v = released();
  ensure(v, {"status", "conditions"}) = json::array{
      json::object{{"type", "Failed"}, {"status", "True"}, {"reason", reason}, {"message", message}}};
  return v;
}

// `status`: of the pod; `meta`: merged into its metadata.
inline json::value pod(std::string_view status, std::string_view uid = "pod-1",
                       std::string_view meta = "{}") {
  json::value v = js(R"({"metadata": {"namespace": "shop", "creationTimestamp": "2026-01-02T03:00:01Z",
      "labels": {"oddjob.dev/run-id": "aaaaaaaaaabbbbbbbbbb"},
      "annotations": {"oddjob.dev/main-container": "main"},
      "ownerReferences": [{"kind": "Job", "uid": "job-uid"}]},
      "spec": {"nodeName": "node-1", "containers": [{"name": "main", "resources": {"limits": {"memory": "64Mi"}}}]}})");
  ensure(v, {"metadata", "uid"}) = uid;
  ensure(v, {"metadata", "name"}) = "oj-pay-bbbbbbbb-" + std::string(uid);
  const json::value more = js(meta);
  for (const auto& [k, x] : more.get_object()) v.at("metadata").get_object()[k] = x;
  ensure(v, {"status"}) = js(status);
  return v;
}
inline json::value pod_waiting(std::string_view reason, std::string_view message = "",
                               std::string_view uid = "pod-1") {
  json::value v = pod(R"({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}],
      "containerStatuses": [{"name": "main", "state": {"waiting": {}}}]})",
                      uid);
  auto& w = v.at("status").at("containerStatuses").at(0).at("state").at("waiting").get_object();
  w["reason"] = reason;
  if (!message.empty()) w["message"] = message;
  return v;
}
inline json::value pod_running(std::string_view uid = "pod-1") {
  return pod(R"({"phase": "Running", "containerStatuses":
      [{"name": "main", "state": {"running": {"startedAt": "2026-01-02T03:00:05Z"}}}]})",
             uid);
}
inline json::value pod_exited(int code, std::string_view reason = "", std::string_view uid = "pod-1",
                              std::string_view meta = "{}") {
  json::value v = pod(R"({"containerStatuses": [{"name": "main", "state": {"terminated":
      {"startedAt": "2026-01-02T03:00:05Z", "finishedAt": "2026-01-02T03:00:09Z"}}}]})",
                      uid, meta);
  v.at("status").get_object()["phase"] = code == 0 ? "Succeeded" : "Failed";
  auto& t = v.at("status").at("containerStatuses").at(0).at("state").at("terminated").get_object();
  t["exitCode"] = code;
  t["reason"] = reason.empty() ? (code == 0 ? "Completed" : "Error") : reason;
  return v;
}

inline Observation seen_nothing() {
  Observation o;
  o.waiting_since = kNow;
  return o;
}
inline Observation absent() {
  Observation o = seen_nothing();
  o.job = Observation::Job::absent;
  return o;
}
inline Observation seen(json::value job_object, std::vector<json::value> pods = {}) {
  Observation o = seen_nothing();
  o.job = Observation::Job::present;
  o.job_object = std::move(job_object);
  o.pods = std::move(pods);
  return o;
}
// The log of all pods is being read; `drained`: and was read to its end.
inline Observation followed(Observation o, bool drained) {
  for (const auto& p : o.pods) o.followed_pods.emplace(get_string(p, {"metadata", "uid"}));
  o.log_drained = drained;
  return o;
}
// The Job is gone; it and its pods are as they were seen last.
inline Observation gone(Observation o, bool pods_too = true) {
  o.job = Observation::Job::absent;
  o.job_gone_since = kNow;
  o.pods_listed = true;
  if (pods_too) {
    for (const auto& p : o.pods) o.gone_pods.emplace(get_string(p, {"metadata", "uid"}));
  }
  return o;
}

}  // namespace oddjob::runs::fixtures
