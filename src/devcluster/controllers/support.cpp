#include "devcluster/controllers/support.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "devcluster/rules.hpp"

namespace oddjob::devcluster {

Time now_seconds() { return std::chrono::floor<std::chrono::seconds>(system_clock().now()); }
std::string now_text() { return format_time(now_seconds()); }

bool being_deleted(const json::value& o) { return find(o, {"metadata", "deletionTimestamp"}) != nullptr; }

std::string controller_uid(const json::value& o) {
  if (const auto* owners = find_array(o, {"metadata", "ownerReferences"}))
    for (const auto& owner : *owners)
      if (get_bool(owner, {"controller"})) return std::string(get_string(owner, {"uid"}));
  return {};
}

json::value owner_reference(const json::value& owner) {
  return json::object{{"apiVersion", get_string(owner, {"apiVersion"})},
                      {"kind", get_string(owner, {"kind"})},
                      {"name", get_string(owner, {"metadata", "name"})},
                      {"uid", get_string(owner, {"metadata", "uid"})},
                      {"controller", true},
                      {"blockOwnerDeletion", true}};
}

std::vector<Object> owned(Registry& registry, const ResourceKey& r, const json::value& owner) {
  std::vector<Object> out;
  const auto uid = get_string(owner, {"metadata", "uid"});
  for (auto& o : registry.storage().list(r, get_string(owner, {"metadata", "namespace"})))
    if (controller_uid(*o) == uid) out.push_back(std::move(o));
  return out;
}

bool pod_finished(const json::value& pod) {
  const auto phase = get_string(pod, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed";
}

const json::value* true_condition(const json::value& object, std::string_view type) {
  const auto* list = find_array(object, {"status", "conditions"});
  if (list == nullptr) return nullptr;
  for (const auto& c : *list)
    if (get_string(c, {"type"}) == type && get_string(c, {"status"}) == "True") return &c;
  return nullptr;
}

bool pod_ready(const json::value& pod) {
  return !being_deleted(pod) && true_condition(pod, "Ready") != nullptr;
}

Result<json::value> create_pod(Registry& registry, const json::value& owner, const json::value& pod_template,
                               std::string name, std::string_view component) {
  json::value pod = json::object{{"metadata", json::object()}, {"spec", *find(pod_template, {"spec"})}};
  for (const auto* key : {"labels", "annotations", "finalizers"})
    if (const auto* v = find(pod_template, {"metadata", key})) ensure(pod, {"metadata", key}) = *v;
  if (name.empty())
    ensure(pod, {"metadata", "generateName"}) = fmt::format("{}-", get_string(owner, {"metadata", "name"}));
  else
    ensure(pod, {"metadata", "name"}) = name;
  ensure(pod, {"metadata", "ownerReferences"}) = json::array{owner_reference(owner)};
  auto made = registry.create(*registry.find("", "pods"), get_string(owner, {"metadata", "namespace"}),
                              std::move(pod));
  if (made)
    registry.record_event(owner, "Normal", "SuccessfulCreate",
                          fmt::format("Created pod: {}", get_string(*made, {"metadata", "name"})), component);
  else
    registry.record_event(owner, "Warning", "FailedCreate",
                          fmt::format("Error creating: {}", made.error().message), component);
  return made;
}

bool set_condition(json::value& object, std::string_view type, bool on, std::string_view reason,
                   std::string_view message, std::string_view other_time) {
  auto& list = ensure(object, {"status", "conditions"});
  if (!list.is_array()) list.emplace_array();
  json::object fresh{{"type", type},
                     {"status", on ? "True" : "False"},
                     {"lastTransitionTime", now_text()},
                     {"reason", reason},
                     {"message", message}};
  if (!other_time.empty()) fresh[other_time] = fresh["lastTransitionTime"];
  for (auto& c : list.get_array()) {
    if (get_string(c, {"type"}) != type) continue;
    if (get_string(c, {"status"}) == get_string(json::value(fresh), {"status"})) {
      fresh["lastTransitionTime"] = *find(c, {"lastTransitionTime"});
      for (const auto* key : {"lastProbeTime", "lastUpdateTime"})
        if (const auto* v = find(c, {key})) fresh[key] = *v;
      if (json::value(fresh) == c) return false;
    }
    c = std::move(fresh);
    return true;
  }
  list.get_array().push_back(std::move(fresh));
  return true;
}

void write_status(Registry& registry, const ResourceInfo& r, const json::value& object, json::value status) {
  WriteContext c;
  c.subresource = "status";
  (void)registry.modify(
      r, get_string(object, {"metadata", "namespace"}), get_string(object, {"metadata", "name"}),
      [&](json::value& o) {
        auto& at = ensure(o, {"status"});
        if (at == status) return false;
        at = std::move(status);
        return true;
      },
      c);
}

// ---- namespaces, claims, garbage ---------------------------------------------------

void sync_namespace(Registry& registry, const json::value& ns) {
  const std::string name(get_string(ns, {"metadata", "name"}));
  if (!being_deleted(ns)) {
    if (!registry.storage().get("/serviceaccounts", name, "default"))
      (void)registry.create(*registry.find("", "serviceaccounts"), name,
                            json::object{{"metadata", {{"name", "default"}}}});
    return;
  }
  bool empty = true;
  for (const auto* r : registry.all()) {
    if (!r->namespaced) continue;
    for (const auto& o : registry.storage().list(r->key(), name)) {
      empty = false;
      if (being_deleted(*o)) continue;
      DeleteRequest d;
      if (r->kind == "Pod")
        d.grace_seconds = static_cast<int>(
            std::min<std::int64_t>(get_int(*o, {"spec", "terminationGracePeriodSeconds"}).value_or(30), 30));
      (void)registry.remove(*r, name, get_string(*o, {"metadata", "name"}), d);
    }
  }
  if (!empty) {
    for (const auto* r : registry.all())
      if (r->namespaced && !registry.storage().list(r->key(), name).empty()) return;
  }
  (void)registry.modify(*registry.find("", "namespaces"), "", name, [](json::value& o) {
    ensure(o, {"spec", "finalizers"}) = json::array();
    return true;
  });
}

void sync_quota(Registry& registry, const json::value& quota) {
  write_status(registry, *registry.find("", "resourcequotas"), quota,
               quota_status(registry.storage(), registry.all(), quota));
}

void sync_claim(Registry& registry, const json::value& claim) {
  if (get_string(claim, {"status", "phase"}) == "Bound") return;
  json::value status = json::object{{"phase", "Bound"}};
  if (const auto* modes = find(claim, {"spec", "accessModes"})) ensure(status, {"accessModes"}) = *modes;
  if (const auto* size = find(claim, {"spec", "resources", "requests"})) ensure(status, {"capacity"}) = *size;
  write_status(registry, *registry.find("", "persistentvolumeclaims"), claim, std::move(status));
}

namespace {

void for_dependents(Registry& registry, std::string_view owner_uid, std::string_view ns,
                    const std::function<void(const ResourceInfo&, const json::value&)>& fn) {
  for (const auto* r : registry.all()) {
    if (r->kind == "Event" || r->kind == "Namespace" || r->kind == "Node") continue;
    for (const auto& o : registry.storage().list(r->key(), r->namespaced ? ns : "")) {
      const auto* owners = find_array(*o, {"metadata", "ownerReferences"});
      if (owners == nullptr) continue;
      for (const auto& owner : *owners)
        if (get_string(owner, {"uid"}) == owner_uid) fn(*r, *o);
    }
  }
}

void drop_finalizer(Registry& registry, const ResourceInfo& r, const json::value& o,
                    std::string_view finalizer) {
  (void)registry.modify(
      r, get_string(o, {"metadata", "namespace"}), get_string(o, {"metadata", "name"}), [&](json::value& v) {
        auto* list = find(v, {"metadata", "finalizers"});
        if (list == nullptr || !list->is_array()) return false;
        auto& a = list->get_array();
        a.erase(std::remove(a.begin(), a.end(), json::value(json::string(finalizer))), a.end());
        if (a.empty()) erase(v, {"metadata", "finalizers"});
        return true;
      });
}

}  // namespace

void collect_dependents(Registry& registry, std::string_view owner_uid, std::string_view ns) {
  if (owner_uid.empty()) return;
  for_dependents(registry, owner_uid, ns, [&](const ResourceInfo& r, const json::value& o) {
    if (!being_deleted(o))
      (void)registry.remove(r, get_string(o, {"metadata", "namespace"}), get_string(o, {"metadata", "name"}));
  });
}

void collect_garbage(Registry& registry, const ResourceInfo& r, const json::value& object) {
  if (!being_deleted(object)) return;
  const auto* finalizers = find_array(object, {"metadata", "finalizers"});
  if (finalizers == nullptr) return;
  const auto has = [&](std::string_view name) {
    return std::ranges::find(*finalizers, json::value(json::string(name))) != finalizers->end();
  };
  const auto uid = get_string(object, {"metadata", "uid"}),
             ns = get_string(object, {"metadata", "namespace"});
  if (has("orphan")) {
    for_dependents(registry, uid, ns, [&](const ResourceInfo& dependent, const json::value& o) {
      (void)registry.modify(dependent, get_string(o, {"metadata", "namespace"}),
                            get_string(o, {"metadata", "name"}), [&](json::value& v) {
                              auto& a = ensure(v, {"metadata", "ownerReferences"}).get_array();
                              a.erase(std::remove_if(a.begin(), a.end(),
                                                     [&](const json::value& owner) {
                                                       return get_string(owner, {"uid"}) == uid;
                                                     }),
                                      a.end());
                              if (a.empty()) erase(v, {"metadata", "ownerReferences"});
                              return true;
                            });
    });
    drop_finalizer(registry, r, object, "orphan");
  } else if (has("foregroundDeletion")) {
    bool any = false;
    for_dependents(registry, uid, ns, [&](const ResourceInfo& dependent, const json::value& o) {
      any = true;
      DeleteRequest d;
      d.propagation = dependent.kind == "Pod" ? "Background" : "Foreground";
      if (!being_deleted(o))
        (void)registry.remove(dependent, get_string(o, {"metadata", "namespace"}),
                              get_string(o, {"metadata", "name"}), d);
    });
    if (!any) drop_finalizer(registry, r, object, "foregroundDeletion");
  }
}

Again sync_disruption_budget(Registry& registry, const json::value& budget) {
  std::int64_t expected = 0, healthy = 0;
  const auto* selector = find(budget, {"spec", "selector"});
  for (const auto& pod : registry.storage().list("/pods", get_string(budget, {"metadata", "namespace"}))) {
    const auto* labels = find_object(*pod, {"metadata", "labels"});
    const auto* wanted = selector == nullptr ? nullptr : find_object(*selector, {"matchLabels"});
    bool match = wanted != nullptr && labels != nullptr;
    if (match)
      for (const auto& [key, value] : *wanted)
        match = match && labels->contains(key) && labels->at(key) == value;
    if (!match || pod_finished(*pod)) continue;
    ++expected;
    healthy += pod_ready(*pod) ? 1 : 0;
  }
  const auto share = [&](std::string_view key) -> std::optional<std::int64_t> {
    const auto* v = find(budget, {"spec", key});
    if (v == nullptr) return std::nullopt;
    if (v->is_int64()) return v->get_int64();
    if (v->is_string()) return (std::strtol(v->get_string().c_str(), nullptr, 10) * expected + 99) / 100;
    return std::nullopt;
  };
  std::int64_t desired = 0;
  if (const auto n = share("minAvailable"))
    desired = *n;
  else if (const auto m = share("maxUnavailable"))
    desired = std::max<std::int64_t>(expected - *m, 0);
  write_status(registry, *registry.find("policy", "poddisruptionbudgets"), budget,
               json::object{{"currentHealthy", healthy},
                            {"desiredHealthy", desired},
                            {"expectedPods", expected},
                            {"disruptionsAllowed", std::max<std::int64_t>(healthy - desired, 0)},
                            {"observedGeneration", get_int(budget, {"metadata", "generation"}).value_or(1)}});
  return std::nullopt;
}

}  // namespace oddjob::devcluster
