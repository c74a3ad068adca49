#include "runs/objects.hpp"

#include <algorithm>
#include <charconv>

#include "core/names.hpp"

namespace oddjob::runs {
namespace {

std::optional<Time> time_at(const json::value& v, KeyPath path) {
  const auto text = get_string(v, path);
  if (text.empty()) return std::nullopt;
  auto t = parse_time(text);
  return t ? std::optional(*t) : std::nullopt;
}

std::optional<int> small_int(const json::value& v, KeyPath path) noexcept {
  const auto n = get_int(v, path);
  if (!n || *n < -2147483647 || *n > 2147483647) return std::nullopt;
  return static_cast<int>(*n);
}

// Copies the members named; what is not there stays out.
void copy_members(const json::object& from, json::object& to, std::initializer_list<std::string_view> names) {
  for (const auto name : names) {
    if (const auto* v = from.if_contains(name)) to[name] = *v;
  }
}

json::object reduce_metadata(const json::value& object, std::initializer_list<std::string_view> annotations) {
  json::object out;
  const auto* meta = find_object(object, {"metadata"});
  if (meta == nullptr) return out;
  copy_members(*meta, out,
               {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
                "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences"});
  json::object labels;
  if (const auto* all = find_object(object, {"metadata", "labels"})) {
    copy_members(*all, labels, {names::kRunIdLabel, names::kManagedByLabel, names::kQueueLabel});
  }
  out["labels"] = std::move(labels);
  json::object kept;
  if (const auto* all = find_object(object, {"metadata", "annotations"}))
    copy_members(*all, kept, annotations);
  out["annotations"] = std::move(kept);
  return out;
}

json::array reduce_containers(const json::value& pod, std::string_view list) {
  json::array out;
  if (const auto* all = find_array(pod, {"spec", list})) {
    for (const auto& c : *all) {
      if (!c.is_object()) continue;
      json::object kept;
      copy_members(c.get_object(), kept, {"name", "restartPolicy"});
      if (const auto memory = get_string(c, {"resources", "limits", "memory"}); !memory.empty()) {
        kept["resources"] = json::object{{"limits", json::object{{"memory", memory}}}};
      }
      out.emplace_back(std::move(kept));
    }
  }
  return out;
}

}  // namespace

std::string_view uid_of(const json::value& object) noexcept {
  return get_string(object, {"metadata", "uid"});
}
std::string_view name_of(const json::value& object) noexcept {
  return get_string(object, {"metadata", "name"});
}
std::string_view run_id_of(const json::value& object) noexcept {
  return get_string(object, {"metadata", "labels", names::kRunIdLabel});
}

const json::object& annotations_of(const json::value& object) noexcept {
  static const json::object kNone;
  const auto* annotations = find_object(object, {"metadata", "annotations"});
  return annotations != nullptr ? *annotations : kNone;
}

std::uint64_t version_of(const json::value& object) noexcept {
  const auto text = get_string(object, {"metadata", "resourceVersion"});
  std::uint64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  return ec == std::errc() && end == text.data() + text.size() ? n : 0;
}

bool owned_by(const json::value& pod, std::string_view uid) noexcept {
  const auto* owners = find_array(pod, {"metadata", "ownerReferences"});
  return owners != nullptr &&
         std::ranges::any_of(*owners, [&](const json::value& o) { return get_string(o, {"uid"}) == uid; });
}

bool being_deleted(const json::value& object) noexcept {
  return !get_string(object, {"metadata", "deletionTimestamp"}).empty();
}

std::optional<Time> deletion_asked_at(const json::value& object) {
  const auto at = time_at(object, {"metadata", "deletionTimestamp"});
  if (!at) return std::nullopt;
  const auto grace = get_int(object, {"metadata", "deletionGracePeriodSeconds"}).value_or(0);
  return *at - std::chrono::seconds(std::clamp<std::int64_t>(grace, 0, 1LL << 31));
}

void keep_first_deletion(json::value& pod, const json::value& before) {
  const auto first = deletion_asked_at(before);
  const auto now = deletion_asked_at(pod);
  if (!first || !now || *now <= *first) return;
  for (const std::string_view key : {"deletionTimestamp", "deletionGracePeriodSeconds"}) {
    if (const auto* v = find(before, {"metadata", key})) ensure(pod, {"metadata", key}) = *v;
  }
}

const json::value* condition(const json::value& object, std::string_view type) noexcept {
  const auto* all = find_array(object, {"status", "conditions"});
  if (all == nullptr) return nullptr;
  for (const auto& c : *all) {
    if (get_string(c, {"type"}) == type) return &c;
  }
  return nullptr;
}

bool condition_true(const json::value& object, std::string_view type) noexcept {
  const auto* c = condition(object, type);
  return c != nullptr && get_string(*c, {"status"}) == "True";
}

bool suspended(const json::value& job) noexcept { return get_bool(job, {"spec", "suspend"}); }

bool never_released(const json::value& job) noexcept {
  // spec.suspend cannot change without metadata.generation growing from 1.
  return suspended(job) && get_int(job, {"metadata", "generation"}).value_or(1) <= 1;
}

JobEnd job_end(const json::value& job) noexcept {
  if (condition_true(job, "Complete") || condition_true(job, "SuccessCriteriaMet")) return JobEnd::complete;
  if (condition_true(job, "Failed") || condition_true(job, "FailureTarget")) return JobEnd::failed;
  return JobEnd::none;
}

std::string main_container(const Run& run, const json::value& pod) {
  const auto named = get_string(pod, {"metadata", "annotations", names::kContainerAnnotation});
  if (!named.empty()) return std::string(named);
  return run.container;
}

ContainerView container_view(const json::value& s) {
  ContainerView v;
  if (find_object(s, {"state", "terminated"}) != nullptr) {
    v.state = ContainerView::State::terminated;
    v.reason = get_string(s, {"state", "terminated", "reason"});
    v.message = get_string(s, {"state", "terminated", "message"});
    v.exit_code = small_int(s, {"state", "terminated", "exitCode"});
    v.signal = small_int(s, {"state", "terminated", "signal"});
    v.started = time_at(s, {"state", "terminated", "startedAt"});
    v.finished = time_at(s, {"state", "terminated", "finishedAt"});
  } else if (find_object(s, {"state", "running"}) != nullptr) {
    v.state = ContainerView::State::running;
    v.started = time_at(s, {"state", "running", "startedAt"});
  } else if (find_object(s, {"state", "waiting"}) != nullptr) {
    v.state = ContainerView::State::waiting;
    v.reason = get_string(s, {"state", "waiting", "reason"});
    v.message = get_string(s, {"state", "waiting", "message"});
  }
  return v;
}

ContainerView find_container(const json::value& pod, std::string_view name) {
  if (const auto* all = find_array(pod, {"status", "containerStatuses"})) {
    for (const auto& s : *all) {
      if (get_string(s, {"name"}) == name) return container_view(s);
    }
  }
  return {};
}

bool has_started(const ContainerView& v) noexcept {
  if (v.state == ContainerView::State::running) return true;
  // A container that could not be made (StartError: no such program) has ended
  // without a start as far as its log goes, but its exit code counts.
  return v.state == ContainerView::State::terminated && v.reason != "ContainerStatusUnknown";
}

bool others_run(const json::value& pod, std::string_view main) noexcept {
  const auto* all = find_array(pod, {"status", "containerStatuses"});
  if (all == nullptr) return false;
  return std::ranges::any_of(*all, [&](const json::value& s) {
    return get_string(s, {"name"}) != main && find_object(s, {"state", "running"}) != nullptr;
  });
}

bool pod_ended(const json::value& pod) noexcept {
  const auto phase = get_string(pod, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed";
}

json::value reduce_job(const json::value& job) {
  json::object out;
  out["metadata"] = reduce_metadata(job, {names::kDigestAnnotation});
  json::object spec;
  if (const auto* all = find_object(job, {"spec"})) {
    copy_members(*all, spec, {"suspend", "backoffLimit", "activeDeadlineSeconds"});
  }
  out["spec"] = std::move(spec);
  json::object status;
  if (const auto* all = find_object(job, {"status"})) {
    copy_members(*all, status,
                 {"conditions", "startTime", "completionTime", "active", "failed", "succeeded"});
  }
  out["status"] = std::move(status);
  return out;
}

json::value reduce_pod(const json::value& pod) {
  json::object out;
  out["metadata"] = reduce_metadata(pod, {names::kContainerAnnotation});
  json::object spec;
  spec["containers"] = reduce_containers(pod, "containers");
  spec["initContainers"] = reduce_containers(pod, "initContainers");
  if (const auto node = get_string(pod, {"spec", "nodeName"}); !node.empty()) spec["nodeName"] = node;
  out["spec"] = std::move(spec);
  json::object status;
  if (const auto* all = find_object(pod, {"status"})) {
    copy_members(*all, status,
                 {"phase", "reason", "message", "conditions", "startTime", "initContainerStatuses",
                  "containerStatuses"});
  }
  out["status"] = std::move(status);
  return out;
}

}  // namespace oddjob::runs
