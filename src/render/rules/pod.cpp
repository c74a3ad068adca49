// The pod as a whole: identity, host, scheduling.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/text.hpp"
#include "render/rules/rules.hpp"
#include "render/selector.hpp"

namespace oddjob::render::rules_of {
namespace {

struct RemovedField {
  std::string_view key, reason;
};

constexpr auto kRemovedFields = std::to_array<RemovedField>({
    {"nodeName", "The scheduler chooses the node; a name here would go around it."},
    {"hostname", "The host name is that of the workload's pods."},
    {"subdomain", "The subdomain is that of the workload's headless Service."},
    {"setHostnameAsFQDN", "The host name is that of the workload's pods."},
    {"hostnameOverride", "The host name is that of the workload's pods."},
    {"readinessGates", "A run is never ready to serve, so nothing would ever open the gates."},
    {"schedulingGates", "Whatever opens the gates of the workload's pods doesn't know of this one."},
    {"workloadRef", "The run's pod is no member of the workload's scheduling group."},
    {"schedulingGroup", "The run's pod is no member of the workload's scheduling group."},
    {"activeDeadlineSeconds", "The deadline of the run is the Job's."},
    {"ephemeralContainers", "Debug containers can't be part of a new pod."},
});

// Does this term of pod (anti-)affinity select the workload's own pods? Where
// that hangs on the labels of namespaces, which aren't known here, it may.
bool selects_own(const Context& c, const json::value& term) {
  const json::object& fields = term.as_object();
  if (!selector_matches(fields.if_contains("labelSelector"), c.own_labels)) return false;
  if (fields.contains("namespaceSelector")) return true;
  const json::array* namespaces = find_array(term, {"namespaces"});
  if (namespaces == nullptr || namespaces->empty() || c.ref.name_space.empty()) return true;
  return std::ranges::find(*namespaces, json::value(c.ref.name_space)) != namespaces->end();
}

// Removes elements of `parent[key]` that `gone` picks; the list too if none stays.
template <class Pick>
void prune(Context& c, json::object& parent, std::string_view key, const std::string& path,
           std::string_view reason, Pick gone) {
  json::value* found = parent.if_contains(key);
  if (found == nullptr) return;
  json::array kept;
  const json::array& list = found->as_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (gone(list[i])) {
      c.changed(join_path(join_path(path, key), i), "removed", reason);
    } else {
      kept.push_back(list[i]);
    }
  }
  if (kept.size() == list.size()) return;
  if (kept.empty()) {
    parent.stable_erase(key);
  } else {
    *found = std::move(kept);
  }
}

}  // namespace

Result<> pod_fields(Context& c) {
  for (const auto& [key, reason] : kRemovedFields) c.remove(c.pod, key, kPodPath, reason);
  return {};
}

Result<> service_account(Context& c) {
  if (!c.request.service_account) return {};
  c.remove(c.pod, "serviceAccount", kPodPath, "The old name of serviceAccountName.");
  const json::value* written = c.pod.if_contains("serviceAccountName");
  if (written != nullptr && *written == json::value(*c.request.service_account)) return {};
  c.changed(join_path(kPodPath, "serviceAccountName"), written == nullptr ? "set" : "replaced",
            "Asked for on this run; the policy lets runs have this account (allow-service-accounts).");
  c.pod["serviceAccountName"] = *c.request.service_account;
  return {};
}

Result<> host_namespaces(Context& c) {
  for (const std::string_view key : {"hostNetwork", "hostPID", "hostIPC"}) {
    if (!c.pod.contains(key)) continue;
    if (c.policy.allow_host_network) {
      c.changed(join_path(kPodPath, key), "kept", "The policy lets runs share the host's namespaces.");
    } else {
      c.remove(c.pod, key, kPodPath,
               "A run may share the host's namespaces only if the policy says so (allow-host-network).");
    }
  }
  return {};
}

Result<> restart_policy(Context& c) {
  const json::value* written = c.pod.if_contains("restartPolicy");
  if (written == nullptr || *written != json::value("Never")) {
    c.changed(join_path(kPodPath, "restartPolicy"), written == nullptr ? "set" : "replaced",
              "A run runs once: a failed command is not started again.");
  }
  c.pod["restartPolicy"] = "Never";
  return {};
}

Result<> topology_spread(Context& c) {
  prune(c, c.pod, "topologySpreadConstraints", std::string(kPodPath),
        "It spreads the workload's own pods, of which the run's is none.",
        [&](const json::value& constraint) {
          return selector_matches(constraint.as_object().if_contains("labelSelector"), c.own_labels);
        });
  return {};
}

Result<> pod_affinity(Context& c) {
  json::value* affinity = c.pod.if_contains("affinity");
  if (affinity == nullptr) return {};
  constexpr std::string_view kReason =
      "It places the workload's own pods by each other, of which the run's is none.";
  for (const std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    json::value* terms = affinity->as_object().if_contains(kind);
    if (terms == nullptr) continue;
    const std::string path = fmt::format("{}.affinity.{}", kPodPath, kind);
    prune(c, terms->as_object(), "requiredDuringSchedulingIgnoredDuringExecution", path, kReason,
          [&](const json::value& term) { return selects_own(c, term); });
    prune(c, terms->as_object(), "preferredDuringSchedulingIgnoredDuringExecution", path, kReason,
          [&](const json::value& weighted) {
            const json::value* term = weighted.as_object().if_contains("podAffinityTerm");
            return term != nullptr && selects_own(c, *term);
          });
    if (terms->as_object().empty()) affinity->as_object().stable_erase(kind);
  }
  if (affinity->as_object().empty()) c.pod.stable_erase("affinity");
  return {};
}

Result<> daemon_set(Context& c) {
  if (c.ref.kind == WorkloadKind::daemon_set) {
    c.warn("a DaemonSet runs on every node, but the run has one pod, on a node that the scheduler chooses");
  }
  return {};
}

}  // namespace oddjob::render::rules_of
