// The Job controller. https://kubernetes.io/docs/concepts/workloads/controllers/job/
#include <fmt/format.h>

#include <algorithm>

#include "devcluster/controllers/support.hpp"

namespace oddjob::devcluster {
namespace {

constexpr std::string_view kComponent = "job-controller";
constexpr std::string_view kFinalizer = "batch.kubernetes.io/job-tracking";

bool tracked(const json::value& pod) {
  const auto* list = find_array(pod, {"metadata", "finalizers"});
  return list != nullptr && std::ranges::find(*list, json::value(json::string(kFinalizer))) != list->end();
}

// A pod that will never run again: ended, or deleted before it had a node.
bool over(const json::value& pod) {
  return pod_finished(pod) || (being_deleted(pod) && get_string(pod, {"spec", "nodeName"}).empty());
}

void untrack(Registry& registry, const json::value& pod) {
  (void)registry.modify(*registry.find("", "pods"), get_string(pod, {"metadata", "namespace"}),
                        get_string(pod, {"metadata", "name"}), [](json::value& o) {
                          auto* list = find(o, {"metadata", "finalizers"});
                          if (list == nullptr) return false;
                          auto& a = list->get_array();
                          a.erase(std::remove(a.begin(), a.end(), json::value(json::string(kFinalizer))),
                                  a.end());
                          if (a.empty()) erase(o, {"metadata", "finalizers"});
                          return true;
                        });
}

void delete_pod(Registry& registry, const json::value& job, const json::value& pod) {
  if (being_deleted(pod)) return;
  if (registry.remove(*registry.find("", "pods"), get_string(pod, {"metadata", "namespace"}),
                      get_string(pod, {"metadata", "name"})))
    registry.record_event(job, "Normal", "SuccessfulDelete",
                          fmt::format("Deleted pod: {}", get_string(pod, {"metadata", "name"})), kComponent);
}

struct Verdict {
  enum class Action { count, ignore, fail_job } action = Action::count;
  std::string message;
};

// spec.podFailurePolicy for one failed pod: the first rule that matches decides.
Verdict judge(const json::value& job, const json::value& pod) {
  const auto* rules = find_array(job, {"spec", "podFailurePolicy", "rules"});
  if (rules == nullptr) return {};
  const auto where =
      fmt::format("{}/{}", get_string(pod, {"metadata", "namespace"}), get_string(pod, {"metadata", "name"}));
  for (std::size_t i = 0; i < rules->size(); ++i) {
    const auto& rule = (*rules)[i];
    const auto action = get_string(rule, {"action"});
    std::string message;
    if (const auto* codes = find(rule, {"onExitCodes"})) {
      const auto* values = find_array(*codes, {"values"});
      const bool in = get_string(*codes, {"operator"}) == "In";
      const auto only = get_string(*codes, {"containerName"});
      for (const auto* key : {"containerStatuses", "initContainerStatuses"}) {
        const auto* statuses = find_array(pod, {"status", key});
        if (statuses == nullptr) continue;
        for (const auto& s : *statuses) {
          const auto code = get_int(s, {"state", "terminated", "exitCode"}).value_or(0);
          if (code == 0 || (!only.empty() && get_string(s, {"name"}) != only)) continue;
          const bool listed =
              values != nullptr && std::ranges::find(*values, json::value(code)) != values->end();
          if (listed == in)
            message =
                fmt::format("Container {} for pod {} failed with exit code {} matching {} rule at index {}",
                            get_string(s, {"name"}), where, code, action, i);
        }
      }
    }
    if (const auto* conditions = find_array(rule, {"onPodConditions"})) {
      for (const auto& c : *conditions) {
        const auto* list = find_array(pod, {"status", "conditions"});
        if (list == nullptr) continue;
        for (const auto& have : *list)
          if (get_string(have, {"type"}) == get_string(c, {"type"}) &&
              get_string(have, {"status"}) == get_string(c, {"status"}, "True"))
            message = fmt::format("Pod {} has condition {} matching {} rule at index {}", where,
                                  get_string(c, {"type"}), action, i);
      }
    }
    if (message.empty()) continue;
    if (action == "FailJob") return {Verdict::Action::fail_job, message};
    if (action == "Ignore") return {Verdict::Action::ignore, {}};
    return {};
  }
  return {};
}

Again after_the_end(Registry& registry, const json::value& job, const json::value& condition) {
  const auto ttl = get_int(job, {"spec", "ttlSecondsAfterFinished"});
  const auto end = parse_time(get_string(condition, {"lastTransitionTime"}));
  if (!ttl || !end) return std::nullopt;
  const auto left = std::chrono::ceil<Duration>(*end + std::chrono::seconds(*ttl) - system_clock().now());
  if (left > Duration::zero()) return left;
  DeleteRequest d;
  d.uid = std::string(get_string(job, {"metadata", "uid"}));
  (void)registry.remove(*registry.find("batch", "jobs"), get_string(job, {"metadata", "namespace"}),
                        get_string(job, {"metadata", "name"}), d);
  return std::nullopt;
}

}  // namespace

Again sync_job(Registry& registry, const json::value& stored) {
  const auto& resource = *registry.find("batch", "jobs");
  const auto pods = owned(registry, "/pods", stored);
  if (being_deleted(stored)) {
    for (const auto& pod : pods)
      if (tracked(*pod)) untrack(registry, *pod);
    return std::nullopt;
  }
  for (const auto* type : {"Complete", "Failed"})
    if (const auto* c = true_condition(stored, type)) {
      for (const auto& pod : pods)
        if (tracked(*pod) && over(*pod)) untrack(registry, *pod);
      return after_the_end(registry, stored, *c);
    }
  json::value job = stored;
  auto& status = ensure(job, {"status"});
  if (!status.is_object()) status.emplace_object();
  std::int64_t succeeded = get_int(status, {"succeeded"}).value_or(0),
               failed = get_int(status, {"failed"}).value_or(0);
  std::int64_t active = 0, ready = 0, terminating = 0;
  std::vector<Object> counted, living;
  std::optional<Time> last_failure;
  std::string fail_reason, fail_message;
  if (const auto* target = true_condition(job, "FailureTarget")) {
    fail_reason = get_string(*target, {"reason"});
    fail_message = get_string(*target, {"message"});
  }
  for (const auto& pod : pods) {
    if (over(*pod)) {
      if (get_string(*pod, {"status", "phase"}) != "Succeeded")
        if (const auto t = parse_time(get_string(*pod, {"metadata", "creationTimestamp"})))
          last_failure = std::max(last_failure.value_or(*t), *t);
      if (!tracked(*pod)) continue;
      counted.push_back(pod);
      if (get_string(*pod, {"status", "phase"}) == "Succeeded") {
        ++succeeded;
        continue;
      }
      const auto verdict = judge(job, *pod);
      if (verdict.action == Verdict::Action::ignore) continue;
      ++failed;
      if (verdict.action == Verdict::Action::fail_job && fail_reason.empty()) {
        fail_reason = "PodFailurePolicy";
        fail_message = verdict.message;
      }
      continue;
    }
    if (being_deleted(*pod)) {
      ++terminating;
      continue;
    }
    ++active;
    ready += pod_ready(*pod) ? 1 : 0;
    living.push_back(pod);
  }

  Again again;
  const auto sooner = [&](Duration d) { again = again ? std::min(*again, d) : d; };
  const bool suspended = get_bool(job, {"spec", "suspend"});
  const auto backoff = get_int(job, {"spec", "backoffLimit"}).value_or(6);
  const auto completions = get_int(job, {"spec", "completions"});
  if (fail_reason.empty() && failed > backoff) {
    fail_reason = "BackoffLimitExceeded";
    fail_message = "Job has reached the specified backoff limit";
  }
  const auto deadline = get_int(job, {"spec", "activeDeadlineSeconds"});
  if (!suspended && fail_reason.empty() && deadline) {
    if (const auto start = parse_time(get_string(status, {"startTime"}))) {
      const auto left =
          std::chrono::ceil<Duration>(*start + std::chrono::seconds(*deadline) - system_clock().now());
      if (left <= Duration::zero()) {
        fail_reason = "DeadlineExceeded";
        fail_message = "Job was active longer than specified deadline";
      } else {
        sooner(left);
      }
    } else {
      sooner(std::chrono::seconds(*deadline));
    }
  }
  const bool complete =
      fail_reason.empty() && (completions ? succeeded >= *completions : succeeded > 0 && active == 0);
  std::vector<std::pair<std::string, std::string>> events;

  if (!fail_reason.empty() || complete) {
    set_condition(job, complete ? "SuccessCriteriaMet" : "FailureTarget", true,
                  complete ? "CompletionsReached" : fail_reason,
                  complete ? "Reached expected number of succeeded pods" : fail_message, "lastProbeTime");
    for (const auto& pod : living) delete_pod(registry, job, *pod);
    terminating += static_cast<std::int64_t>(living.size());
    active = ready = 0;
    if (terminating == 0) {
      if (complete) {
        ensure(status, {"completionTime"}) = now_text();
        set_condition(job, "Complete", true, "CompletionsReached",
                      "Reached expected number of succeeded pods", "lastProbeTime");
        events.emplace_back("Completed", "Job completed");
      } else {
        set_condition(job, "Failed", true, fail_reason, fail_message, "lastProbeTime");
        events.emplace_back(fail_reason, fail_message);
      }
    }
  } else if (suspended) {
    for (const auto& pod : living) delete_pod(registry, job, *pod);
    terminating += static_cast<std::int64_t>(living.size());
    active = ready = 0;
    if (true_condition(job, "Suspended") == nullptr) {
      set_condition(job, "Suspended", true, "JobSuspended", "Job suspended");
      events.emplace_back("Suspended", "Job suspended");
    }
    erase(status, {"startTime"});
  } else {
    if (true_condition(job, "Suspended") != nullptr) {
      set_condition(job, "Suspended", false, "JobResumed", "Job resumed");
      events.emplace_back("Resumed", "Job resumed");
    }
    if (get_string(status, {"startTime"}).empty()) ensure(status, {"startTime"}) = now_text();
    const bool wait_for_terminating = get_string(job, {"spec", "podReplacementPolicy"}) == "Failed";
    auto wanted = get_int(job, {"spec", "parallelism"}).value_or(1);
    if (completions)
      wanted = std::min(wanted, *completions - succeeded);
    else if (succeeded > 0)
      wanted = active;
    wanted -= active + (wait_for_terminating ? terminating : 0);
    if (wanted > 0 && failed > 0 && last_failure) {
      // 10 s, doubled at each failure, at most 6 min: as the real controller waits.
      const auto pause =
          std::chrono::seconds(std::min<std::int64_t>(10LL << std::min<std::int64_t>(failed - 1, 6), 360));
      const auto left = std::chrono::ceil<Duration>(*last_failure + pause - system_clock().now());
      if (left > Duration::zero()) {
        sooner(left);
        wanted = 0;
      }
    }
    for (; wanted > 0; --wanted) {
      json::value pod_template = *find(job, {"spec", "template"});
      auto& finalizers = ensure(pod_template, {"metadata", "finalizers"});
      if (!finalizers.is_array()) finalizers.emplace_array();
      finalizers.get_array().push_back(json::string(kFinalizer));
      if (!create_pod(registry, job, pod_template, {}, kComponent)) {
        sooner(std::chrono::seconds(2));
        break;
      }
      ++active;
    }
  }
  const auto put = [&](std::string_view key, std::int64_t n, bool always) {
    if (n != 0 || always)
      status.get_object()[key] = n;
    else
      status.get_object().erase(key);
  };
  put("active", active, false);
  put("ready", ready, true);
  put("terminating", terminating, true);
  put("succeeded", succeeded, false);
  put("failed", failed, false);
  ensure(status, {"uncountedTerminatedPods"}) = json::object();
  write_status(registry, resource, job, status);
  // Counted first, let go afterwards: a pod can't be counted twice.
  for (const auto& pod : counted) untrack(registry, *pod);
  for (const auto& [reason, message] : events)
    registry.record_event(job, fail_reason.empty() ? "Normal" : "Warning", reason, message, kComponent);
  if (const auto now = registry.storage().get("batch/jobs", get_string(job, {"metadata", "namespace"}),
                                              get_string(job, {"metadata", "name"})))
    for (const auto* type : {"Complete", "Failed"})
      if (const auto* c = true_condition(*now, type)) return after_the_end(registry, *now, *c);
  return again;
}

void release_orphaned_pod(Registry& registry, const json::value& pod) {
  if (!tracked(pod)) return;
  const auto uid = controller_uid(pod);
  if (const auto* owners = find_array(pod, {"metadata", "ownerReferences"});
      owners != nullptr && !uid.empty()) {
    for (const auto& owner : *owners) {
      const auto job = registry.storage().get("batch/jobs", get_string(pod, {"metadata", "namespace"}),
                                              get_string(owner, {"name"}));
      if (job && get_string(*job, {"metadata", "uid"}) == uid) return;
    }
  }
  untrack(registry, pod);
}

}  // namespace oddjob::devcluster
