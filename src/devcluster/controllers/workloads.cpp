// Deployments, ReplicaSets, StatefulSets, DaemonSets.
#include <fmt/format.h>

#include <algorithm>

#include "core/digest.hpp"
#include "devcluster/controllers/support.hpp"

namespace oddjob::devcluster {
namespace {

std::int64_t generation(const json::value& o) { return get_int(o, {"metadata", "generation"}).value_or(1); }
std::int64_t replicas_of(const json::value& o) { return get_int(o, {"spec", "replicas"}).value_or(1); }

void remove_pod(Registry& registry, const json::value& owner, const json::value& pod,
                std::string_view component) {
  if (being_deleted(pod)) return;
  if (registry.remove(*registry.find("", "pods"), get_string(pod, {"metadata", "namespace"}),
                      get_string(pod, {"metadata", "name"})))
    registry.record_event(owner, "Normal", "SuccessfulDelete",
                          fmt::format("Deleted pod: {}", get_string(pod, {"metadata", "name"})), component);
}

std::vector<Object> living(const std::vector<Object>& pods) {
  std::vector<Object> out;
  for (const auto& p : pods)
    if (!being_deleted(*p) && !pod_finished(*p)) out.push_back(p);
  return out;
}

std::int64_t ready_count(const std::vector<Object>& pods) {
  return std::ranges::count_if(pods, [](const Object& p) { return pod_ready(*p); });
}

// In the letters that Kubernetes has for made names: no vowels, so that no words come about.
std::string template_hash(const json::value& o) {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrst";
  auto hash = sha256_hex(canonical_json(*find(o, {"spec", "template"}))).substr(0, 10);
  for (char& c : hash) c = kLetters[static_cast<std::size_t>(c <= '9' ? c - '0' : c - 'a' + 10)];
  return hash;
}

}  // namespace

Again sync_replica_set(Registry& registry, const json::value& set) {
  if (being_deleted(set)) return std::nullopt;
  auto pods = living(owned(registry, "/pods", set));
  const auto wanted = static_cast<std::size_t>(replicas_of(set));
  Again again;
  for (std::size_t n = pods.size(); n < wanted; ++n)
    if (!create_pod(registry, set, *find(set, {"spec", "template"}), {}, "replicaset-controller")) {
      again = std::chrono::seconds(2);
      break;
    }
  if (pods.size() > wanted) {
    // Those that are not ready go first.
    std::ranges::stable_sort(pods, {}, [](const Object& p) { return pod_ready(*p); });
    for (std::size_t i = 0; i < pods.size() - wanted; ++i)
      remove_pod(registry, set, *pods[i], "replicaset-controller");
  }
  pods = living(owned(registry, "/pods", set));
  const auto ready = ready_count(pods);
  json::object status{{"replicas", pods.size()},
                      {"fullyLabeledReplicas", pods.size()},
                      {"observedGeneration", generation(set)}};
  if (ready > 0) status["readyReplicas"] = status["availableReplicas"] = ready;
  write_status(registry, *registry.find("apps", "replicasets"), set, std::move(status));
  return again;
}

Again sync_deployment(Registry& registry, const json::value& deployment) {
  if (being_deleted(deployment)) return std::nullopt;
  const auto& sets_resource = *registry.find("apps", "replicasets");
  const std::string ns(get_string(deployment, {"metadata", "namespace"})),
      name(get_string(deployment, {"metadata", "name"}));
  const auto hash = template_hash(deployment);
  auto sets = owned(registry, "apps/replicasets", deployment);
  Object current;
  std::int64_t revision = 0;
  for (const auto& s : sets) {
    if (get_string(*s, {"metadata", "labels", "pod-template-hash"}) == hash) current = s;
    revision = std::max<std::int64_t>(
        revision,
        std::strtol(
            std::string(get_string(*s, {"metadata", "annotations", "deployment.kubernetes.io/revision"}))
                .c_str(),
            nullptr, 10));
  }
  if (!current) {
    json::value set =
        json::object{{"metadata", {{"name", fmt::format("{}-{}", name, hash)}}}, {"spec", {{"replicas", 0}}}};
    ensure(set, {"metadata", "labels"}) =
        find(deployment, {"spec", "template", "metadata", "labels"}) == nullptr
            ? json::value(json::object())
            : *find(deployment, {"spec", "template", "metadata", "labels"});
    ensure(set, {"metadata", "labels", "pod-template-hash"}) = hash;
    ensure(set, {"metadata", "annotations", "deployment.kubernetes.io/revision"}) =
        std::to_string(revision + 1);
    ensure(set, {"metadata", "ownerReferences"}) = json::array{owner_reference(deployment)};
    ensure(set, {"spec", "selector"}) = *find(deployment, {"spec", "selector"});
    ensure(set, {"spec", "selector", "matchLabels", "pod-template-hash"}) = hash;
    ensure(set, {"spec", "template"}) = *find(deployment, {"spec", "template"});
    ensure(set, {"spec", "template", "metadata", "labels", "pod-template-hash"}) = hash;
    auto made = registry.create(sets_resource, ns, std::move(set));
    if (!made) return std::chrono::seconds(2);
    current = std::make_shared<const json::value>(std::move(*made));
    ++revision;
    sets.push_back(current);
    (void)registry.modify(*registry.find("apps", "deployments"), ns, name, [&](json::value& o) {
      ensure(o, {"metadata", "annotations", "deployment.kubernetes.io/revision"}) = std::to_string(revision);
      return true;
    });
  }
  const auto wanted = replicas_of(deployment);
  const auto scale = [&](const json::value& set, std::int64_t n) {
    if (replicas_of(set) == n) return;
    registry.record_event(
        deployment, "Normal", "ScalingReplicaSet",
        fmt::format("Scaled {} replica set {} from {} to {}", n > replicas_of(set) ? "up" : "down",
                    get_string(set, {"metadata", "name"}), replicas_of(set), n),
        "deployment-controller");
    (void)registry.modify(sets_resource, ns, get_string(set, {"metadata", "name"}), [&](json::value& o) {
      ensure(o, {"spec", "replicas"}) = n;
      return true;
    });
  };
  const bool paused = get_bool(deployment, {"spec", "paused"});
  if (!paused) {
    // Simpler than the real one: all new pods at once, the old ones when those are ready.
    scale(*current, wanted);
    const auto ready = get_int(*current, {"status", "availableReplicas"}).value_or(0);
    for (const auto& s : sets)
      if (s != current &&
          (ready >= wanted || get_string(deployment, {"spec", "strategy", "type"}) == "Recreate"))
        scale(*s, 0);
  }
  std::int64_t total = 0, ready = 0;
  for (const auto& s : owned(registry, "apps/replicasets", deployment)) {
    total += get_int(*s, {"status", "replicas"}).value_or(0);
    ready += get_int(*s, {"status", "readyReplicas"}).value_or(0);
  }
  const auto updated = get_int(*current, {"status", "replicas"}).value_or(0);
  const auto fresh_ready = get_int(*current, {"status", "availableReplicas"}).value_or(0);
  const auto now = registry.storage().get("apps/deployments", ns, name);
  if (!now) return std::nullopt;
  json::value next = *now;
  auto& status = ensure(next, {"status"});
  if (!status.is_object()) status.emplace_object();
  const auto put = [&](std::string_view key, std::int64_t n) {
    if (n != 0)
      status.get_object()[key] = n;
    else
      status.get_object().erase(key);
  };
  status.get_object()["observedGeneration"] = generation(*now);
  put("replicas", total);
  put("updatedReplicas", updated);
  put("readyReplicas", ready);
  put("availableReplicas", ready);
  put("unavailableReplicas", std::max<std::int64_t>(wanted - ready, 0));
  status.get_object()["terminatingReplicas"] = 0;
  const bool available = ready >= wanted;
  set_condition(
      next, "Available", available, available ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
      available ? "Deployment has minimum availability." : "Deployment does not have minimum availability.",
      "lastUpdateTime");
  const bool done = fresh_ready >= wanted && total == updated;
  set_condition(next, "Progressing", true, done ? "NewReplicaSetAvailable" : "ReplicaSetUpdated",
                fmt::format("ReplicaSet \"{}\" {}.", get_string(*current, {"metadata", "name"}),
                            done ? "has successfully progressed" : "is progressing"),
                "lastUpdateTime");
  write_status(registry, *registry.find("apps", "deployments"), *now, status);
  return std::nullopt;
}

Again sync_stateful_set(Registry& registry, const json::value& set) {
  if (being_deleted(set)) return std::nullopt;
  const std::string ns(get_string(set, {"metadata", "namespace"})),
      name(get_string(set, {"metadata", "name"}));
  const auto wanted = replicas_of(set);
  const auto hash = template_hash(set);
  const bool parallel = get_string(set, {"spec", "podManagementPolicy"}) == "Parallel";
  Again again;
  for (std::int64_t i = 0; i < wanted; ++i) {
    const auto pod_name = fmt::format("{}-{}", name, i);
    const auto pod = registry.storage().get("/pods", ns, pod_name);
    if (pod && (pod_finished(*pod) ||
                get_string(*pod, {"metadata", "labels", "controller-revision-hash"}) != hash)) {
      remove_pod(registry, set, *pod, "statefulset-controller");
      if (!parallel) break;
      continue;
    }
    if (!pod) {
      json::value pod_template = *find(set, {"spec", "template"});
      ensure(pod_template, {"metadata", "labels", "statefulset.kubernetes.io/pod-name"}) = pod_name;
      ensure(pod_template, {"metadata", "labels", "apps.kubernetes.io/pod-index"}) = std::to_string(i);
      ensure(pod_template, {"metadata", "labels", "controller-revision-hash"}) = hash;
      ensure(pod_template, {"spec", "hostname"}) = pod_name;
      if (const auto* claims = find_array(set, {"spec", "volumeClaimTemplates"})) {
        for (const auto& claim : *claims) {
          const auto claim_name = fmt::format("{}-{}", get_string(claim, {"metadata", "name"}), pod_name);
          if (!registry.storage().get("/persistentvolumeclaims", ns, claim_name)) {
            json::value made =
                json::object{{"metadata", {{"name", claim_name}}}, {"spec", *find(claim, {"spec"})}};
            (void)registry.create(*registry.find("", "persistentvolumeclaims"), ns, std::move(made));
          }
          auto& volumes = ensure(pod_template, {"spec", "volumes"});
          if (!volumes.is_array()) volumes.emplace_array();
          volumes.get_array().push_back(json::object{{"name", *find(claim, {"metadata", "name"})},
                                                     {"persistentVolumeClaim", {{"claimName", claim_name}}}});
        }
      }
      if (!create_pod(registry, set, pod_template, pod_name, "statefulset-controller"))
        again = std::chrono::seconds(2);
    }
    const auto now = registry.storage().get("/pods", ns, pod_name);
    if (!parallel && (!now || !pod_ready(*now))) break;  // one after another
  }
  const auto pods = living(owned(registry, "/pods", set));
  for (const auto& pod : pods) {
    const auto index = std::strtol(
        std::string(get_string(*pod, {"metadata", "labels", "apps.kubernetes.io/pod-index"})).c_str(),
        nullptr, 10);
    if (index >= wanted) remove_pod(registry, set, *pod, "statefulset-controller");
  }
  const auto ready = ready_count(pods);
  write_status(registry, *registry.find("apps", "statefulsets"), set,
               json::object{{"observedGeneration", generation(set)},
                            {"replicas", pods.size()},
                            {"readyReplicas", ready},
                            {"availableReplicas", ready},
                            {"currentReplicas", pods.size()},
                            {"updatedReplicas", pods.size()},
                            {"currentRevision", name + "-" + hash},
                            {"updateRevision", name + "-" + hash},
                            {"collisionCount", 0}});
  return again;
}

Again sync_daemon_set(Registry& registry, const json::value& set) {
  if (being_deleted(set)) return std::nullopt;
  const auto hash = template_hash(set);
  auto pods = living(owned(registry, "/pods", set));
  for (const auto& pod : pods)
    if (get_string(*pod, {"metadata", "labels", "controller-revision-hash"}) != hash)
      remove_pod(registry, set, *pod, "daemonset-controller");
  Again again;
  if (pods.empty()) {
    json::value pod_template = *find(set, {"spec", "template"});
    ensure(pod_template, {"metadata", "labels", "controller-revision-hash"}) = hash;
    if (!create_pod(registry, set, pod_template, {}, "daemonset-controller")) again = std::chrono::seconds(2);
  }
  pods = living(owned(registry, "/pods", set));
  const auto ready = ready_count(pods);
  write_status(registry, *registry.find("apps", "daemonsets"), set,
               json::object{{"observedGeneration", generation(set)},
                            {"desiredNumberScheduled", 1},
                            {"currentNumberScheduled", pods.size()},
                            {"numberReady", ready},
                            {"numberAvailable", ready},
                            {"updatedNumberScheduled", pods.size()},
                            {"numberMisscheduled", 0}});
  return again;
}

}  // namespace oddjob::devcluster
