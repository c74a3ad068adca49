// Why a pod does not start, said as kubectl would show it.
#include <algorithm>

#include "core/names.hpp"
#include "core/text.hpp"
#include "runs/machine.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

constexpr std::size_t kMaxText = 1024;

std::string say(std::string_view reason, std::string_view message) {
  message = trim(message);
  if (message.empty()) return printable(reason, kMaxText);
  return printable(std::string(reason) + ": " + std::string(message), kMaxText);
}

// Reasons that every pod passes on its way; they say nothing by themselves.
bool ordinary(std::string_view reason) noexcept {
  return reason.empty() || reason == "ContainerCreating" || reason == "PodInitializing";
}

// The newest event of `uid` with one of these reasons ("": any warning).
const json::value* newest(const std::vector<json::value>& events, std::string_view uid,
                          std::initializer_list<std::string_view> reasons) {
  for (auto it = events.rbegin(); it != events.rend(); ++it) {
    if (!uid.empty() && get_string(*it, {"involvedObject", "uid"}) != uid) continue;
    const auto reason = get_string(*it, {"reason"});
    if (reason == "FailedScheduling" || reason == "NotTriggerScaleUp")
      continue;  // its condition says it, while it holds
    for (const auto r : reasons) {
      if (r.empty() ? get_string(*it, {"type"}) == "Warning" : reason == r) return &*it;
    }
  }
  return nullptr;
}

std::string from_containers(const json::value& pod, std::string_view list, std::string_view prefix) {
  const auto* all = find_array(pod, {"status", list});
  if (all == nullptr) return {};
  for (const auto& s : *all) {
    const auto v = container_view(s);
    if (v.state == ContainerView::State::waiting && !ordinary(v.reason)) {
      const std::string text = say(v.reason, v.message);
      return prefix.empty() ? text : std::string(prefix) + std::string(get_string(s, {"name"})) + ": " + text;
    }
  }
  return {};
}

bool is_native_sidecar(const json::value& pod, std::string_view name) {
  const auto* all = find_array(pod, {"spec", "initContainers"});
  return all != nullptr && std::ranges::any_of(*all, [&](const json::value& c) {
           return get_string(c, {"name"}) == name && get_string(c, {"restartPolicy"}) == "Always";
         });
}

std::string running_init(const json::value& pod) {
  const auto* all = find_array(pod, {"status", "initContainerStatuses"});
  if (all == nullptr) return {};
  for (const auto& s : *all) {
    const auto name = get_string(s, {"name"});
    if (is_native_sidecar(pod, name)) continue;
    if (container_view(s).state == ContainerView::State::running) {
      return "Init container " + printable(name, 64) + " is running";
    }
  }
  return {};
}

// Nothing says why: is that so, or could we not read what would?
std::string silent(const Observation& seen, std::string_view what) {
  if (seen.events_problem.empty()) return std::string(what);
  return std::string(what) + " (why is not known, as events cannot be read: " + seen.events_problem + ")";
}

// What its own status says.
std::string pod_says(const json::value& pod) {
  if (const auto* c = condition(pod, "PodScheduled"); c != nullptr && get_string(*c, {"status"}) == "False") {
    const auto reason = get_string(*c, {"reason"});
    return say(reason.empty() ? "Unschedulable" : reason, get_string(*c, {"message"}));
  }
  if (auto text = from_containers(pod, "initContainerStatuses", "Init container "); !text.empty())
    return text;
  if (auto text = from_containers(pod, "containerStatuses", ""); !text.empty()) return text;
  return running_init(pod);
}

std::string pod_waits(const Observation& seen, const json::value& pod) {
  if (auto text = pod_says(pod); !text.empty()) return text;
  const auto uid = uid_of(pod);
  if (const auto* e = newest(seen.events, uid, {""}))
    return say(get_string(*e, {"reason"}), get_string(*e, {"message"}));
  const auto* pulling = newest(seen.events, uid, {"Pulling", "Pulled"});
  if (pulling != nullptr && get_string(*pulling, {"reason"}) == "Pulling") {
    return say("Pulling", get_string(*pulling, {"message"}));
  }
  return silent(seen, get_string(pod, {"spec", "nodeName"}).empty() ? "Waiting for a node"
                                                                    : "Waiting for the container to start");
}

// The newest pod that still is there speaks; those before it were replaced.
const json::value* speaker(const Observation& seen) {
  for (auto it = seen.pods.rbegin(); it != seen.pods.rend(); ++it) {
    if (!seen.gone_pods.contains(uid_of(*it))) return &*it;
  }
  return nullptr;
}

bool past_its_start(const json::value& pod) {
  const auto name = get_string(pod, {"metadata", "annotations", names::kContainerAnnotation});
  const auto* all = find_array(pod, {"status", "containerStatuses"});
  return pod_ended(pod) || (all != nullptr && std::ranges::any_of(*all, [&](const json::value& s) {
           const auto state = container_view(s).state;
           return (name.empty() || get_string(s, {"name"}) == name) &&
                  (state == ContainerView::State::running || state == ContainerView::State::terminated);
         }));
}

}  // namespace

bool events_may_tell(const Observation& seen) {
  if (seen.job != Observation::Job::present || suspended(seen.job_object)) return false;
  const json::value* pod = speaker(seen);
  return pod == nullptr || (!past_its_start(*pod) && pod_says(*pod).empty());
}

std::string why_waiting(const Observation& seen) {
  if (seen.job != Observation::Job::present) return {};
  if (const json::value* pod = speaker(seen)) return past_its_start(*pod) ? std::string() : pod_waits(seen, *pod);
  if (suspended(seen.job_object)) return {};
  if (const auto* e = newest(seen.events, uid_of(seen.job_object), {"FailedCreate", ""})) {
    auto message = get_string(*e, {"message"});
    constexpr std::string_view kPrefix = "Error creating: ";
    if (message.starts_with(kPrefix)) message.remove_prefix(kPrefix.size());
    return say(get_string(*e, {"reason"}), message);
  }
  return silent(seen, "Waiting for the pod to be made");
}

}  // namespace oddjob::runs
