// Volumes that a second pod can't simply share.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "render/rules/rules.hpp"

namespace oddjob::render::rules_of {
namespace {

using Names = std::set<std::string, std::less<>>;

// Removes what mounts these volumes, in every container.
void remove_mounts(Context& c, const Names& volumes, std::string_view reason) {
  for (Container& container : c.containers) {
    for (const std::string_view list : {"volumeMounts", "volumeDevices"}) {
      json::value* found = container.spec.if_contains(list);
      if (found == nullptr) continue;
      json::array kept;
      const json::array& mounts = found->as_array();
      for (const json::value& mount : mounts) {
        if (!volumes.contains(get_string(mount, {"name"}))) {
          kept.push_back(mount);
          continue;
        }
        const std::string_view where = list == "volumeMounts" ? "mountPath" : "devicePath";
        c.changed(fmt::format("{}.{}[{}]", container.path, list, get_string(mount, {where})), "removed",
                  reason);
      }
      if (kept.empty()) {
        container.spec.stable_erase(list);
      } else {
        *found = std::move(kept);
      }
    }
  }
}

void remove_volumes(Context& c, const Names& volumes, std::string_view reason) {
  json::value* found = c.pod.if_contains("volumes");
  if (found == nullptr) return;
  json::array kept;
  for (const json::value& volume : found->as_array()) {
    const std::string_view name = get_string(volume, {"name"});
    if (!volumes.contains(name)) {
      kept.push_back(volume);
    } else {
      c.changed(fmt::format("{}.volumes[{}]", kPodPath, name), "removed", reason);
    }
  }
  if (kept.empty()) {
    c.pod.stable_erase("volumes");
  } else {
    *found = std::move(kept);
  }
}

void mount_read_only(Context& c, json::object& volume, std::string_view reason) {
  const std::string name(sv(volume["name"].as_string()));
  volume["persistentVolumeClaim"].as_object()["readOnly"] = true;
  c.changed(fmt::format("{}.volumes[{}].persistentVolumeClaim.readOnly", kPodPath, name), "set", reason);
  for (Container& container : c.containers) {
    json::value* mounts = container.spec.if_contains("volumeMounts");
    if (mounts == nullptr) continue;
    for (json::value& mount : mounts->as_array()) {
      if (get_string(mount, {"name"}) != name) continue;
      mount.as_object()["readOnly"] = true;
      c.changed(fmt::format("{}.volumeMounts[{}].readOnly", container.path, get_string(mount, {"mountPath"})),
                "set", reason);
    }
  }
}

enum class Access { shared, once, once_pod, unknown };

// Only what the claim says: a volume that may be used by many nodes is fine,
// whatever else it may be.
Access access_of(const ClusterFacts& facts, std::string_view claim) {
  for (const json::value& pvc : facts.volume_claims) {
    if (get_string(pvc, {"metadata", "name"}) != claim) continue;
    const json::array* modes = find_array(pvc, {"spec", "accessModes"});
    if (modes == nullptr || modes->empty()) return Access::unknown;
    const auto has = [&](std::string_view mode) {
      return std::ranges::find(*modes, json::value(mode)) != modes->end();
    };
    if (has("ReadWriteMany")) return Access::shared;
    if (has("ReadWriteOncePod")) return Access::once_pod;
    return has("ReadWriteOnce") ? Access::once : Access::shared;
  }
  return Access::unknown;
}

std::string why_it_matters(Access access, const std::string& problem) {
  switch (access) {
    case Access::once_pod:
      return "is ReadWriteOncePod: the run can't start while another pod uses it";
    case Access::once:
      return "is ReadWriteOnce: the run starts only on the node that has it, and writes beside the workload";
    default:
      return fmt::format(
          "has an access mode that is not known here{}: if it is ReadWriteOnce, the run may not start",
          problem.empty() ? "" : " (" + problem + ")");
  }
}

}  // namespace

// Each pod of a StatefulSet has claims of its own, by ordinal. Which ordinal's
// data a run should touch is not OddJob's to guess, and mounting them beside
// the pod that owns them is how data gets lost.
Result<> claim_templates(Context& c) {
  if (c.ref.kind != WorkloadKind::stateful_set) return {};
  const json::array* templates = find_array(c.workload, {"spec", "volumeClaimTemplates"});
  if (templates == nullptr || templates->empty()) return {};
  Names names;
  for (const json::value& claim : *templates) {
    const std::string_view name = get_string(claim, {"metadata", "name"});
    if (!name.empty()) names.emplace(name);
  }
  constexpr std::string_view kReason =
      "The volume comes from volumeClaimTemplates: each pod of a StatefulSet has its own, and a run belongs "
      "to none of them.";
  const std::size_t before = c.changes.size();
  remove_mounts(c, names, kReason);
  remove_volumes(c, names, kReason);
  if (c.changes.size() != before) {
    c.warn(fmt::format(
        "volumes {} belong to the StatefulSet's single pods and are not mounted: their paths are empty, or "
        "what the image has there",
        quoted_list({names.begin(), names.end()})));
  }
  return {};
}

Result<> read_write_once(Context& c) {
  json::value* volumes = c.pod.if_contains("volumes");
  if (volumes == nullptr) return {};
  Names dropped;
  constexpr std::string_view kDropped =
      "The policy drops volumes that only one node may mount (rwo-volumes: drop).";
  for (json::value& volume : volumes->as_array()) {
    const json::value* claim = volume.as_object().if_contains("persistentVolumeClaim");
    if (claim == nullptr) continue;
    const std::string_view name = get_string(volume, {"name"}),
                           claim_name = get_string(*claim, {"claimName"});
    const Access access = access_of(c.facts, claim_name);
    if (access == Access::shared) continue;
    if (c.policy.rwo_volumes == Policy::RwoVolumes::drop) {
      dropped.emplace(name);
      c.warn(
          fmt::format("volume \"{}\" (claim \"{}\") is not mounted, as the policy says", name, claim_name));
      continue;
    }
    c.warn(fmt::format("volume \"{}\": claim \"{}\" {}", name, claim_name,
                       why_it_matters(access, c.facts.volume_claims_problem)));
    if (c.policy.rwo_volumes == Policy::RwoVolumes::read_only) {
      mount_read_only(c, volume.as_object(),
                      "The policy mounts volumes of one node read-only (rwo-volumes: read-only).");
    }
  }
  if (!dropped.empty()) {
    remove_mounts(c, dropped, kDropped);
    remove_volumes(c, dropped, kDropped);
  }
  return {};
}

}  // namespace oddjob::render::rules_of
