// Labels and annotations of the run's pod.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/names.hpp"
#include "core/text.hpp"
#include "render/rules/keys.hpp"
#include "render/rules/rules.hpp"

namespace oddjob::render {

bool key_matches(std::string_view pattern, std::string_view key) noexcept {
  if (!pattern.ends_with("/*")) return key == pattern;
  pattern.remove_suffix(2);
  const auto slash = key.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view domain = key.substr(0, slash);
  if (pattern.starts_with("*.")) return domain.ends_with(pattern.substr(1)) || domain == pattern.substr(2);
  return domain == pattern;
}

namespace {

struct KeyRule {
  std::string_view pattern, reason;
};

// Annotations that mean something to whoever deploys or watches the workload.
constexpr auto kScrubbedAnnotations = std::to_array<KeyRule>({
    {"*.argoproj.io/*", "Argo CD would take the pod for part of the application it syncs."},
    {"*.fluxcd.io/*", "Flux would take the pod for part of what it reconciles."},
    {"meta.helm.sh/*", "Helm would take the pod for part of the release."},
    {"helm.sh/*", "Helm would take the pod for part of the release."},
    {"kubectl.kubernetes.io/last-applied-configuration", "It describes another object."},
    {"kubectl.kubernetes.io/restartedAt", "It restarts the workload's pods when it changes."},
    {"deployment.kubernetes.io/*", "It belongs to the Deployment's controller."},
    {"checksum/*", "It restarts the workload's pods when a file changes."},
    {"rollme", "It restarts the workload's pods at each release."},
    {"reloader.stakater.com/*", "It restarts the workload's pods when a file changes."},
    {"prometheus.io/*", "A run is not a target to scrape."},
    {"oddjob.dev/*", "The policy is the workload's; the run carries OddJob's own annotations."},
});

// Keys of controllers: a Job with one of these is refused, or adopted wrongly.
constexpr auto kControllerLabels = std::to_array<std::string_view>({
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/*",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/*",
    "controller-uid",
    "job-name",
    "oddjob.dev/*",
});

constexpr auto kTrackingLabels = std::to_array<KeyRule>({
    {"pod-template-hash", "By this label a ReplicaSet counts its pods."},
    {"controller-revision-hash", "By this label a controller counts its pods."},
    {"*.argoproj.io/*", "By this label Argo CD tracks what it deployed."},
    {"*.fluxcd.io/*", "By this label Flux tracks what it deployed."},
    {"helm.sh/*", "By this label Helm tracks what it deployed."},
});

constexpr std::string_view kLabelReason =
    "No Service, PodDisruptionBudget, HorizontalPodAutoscaler or NetworkPolicy of the workload may select "
    "the run's pod.";

std::string_view reason_for_label(std::string_view key) {
  const auto rule =
      std::ranges::find_if(kTrackingLabels, [&](const KeyRule& r) { return key_matches(r.pattern, key); });
  return rule == kTrackingLabels.end() ? kLabelReason : rule->reason;
}

// "deploy.payments", cut so that it is a label value.
std::string workload_label(const WorkloadRef& ref) {
  std::string value = fmt::format("{}.{}", kind_short(ref.kind), ref.name).substr(0, 63);
  while (value.ends_with('-') || value.ends_with('.')) value.pop_back();
  return value;
}

void keep_label(Context& c, std::string_view key, std::string_view reason) {
  c.labels[key] = c.own_labels.at(key);
  c.kept_labels.emplace_back(key);
  c.changed(join_path("spec.template.metadata.labels", key), "kept", reason);
}

}  // namespace

bool is_controller_label(std::string_view key) noexcept {
  return std::ranges::any_of(kControllerLabels,
                             [&](std::string_view pattern) { return key_matches(pattern, key); });
}

namespace rules_of {

Result<> labels(Context& c) {
  const std::string path = fmt::format("{}.metadata.labels", kTemplatePath);
  c.labels = {{names::kManagedByLabel, names::kManager},
              {names::kRunIdLabel, c.identity.run_id},
              {names::kWorkloadLabel, workload_label(c.ref)}};
  for (const std::string& key : c.policy.keep_labels) {
    if (!c.own_labels.contains(key)) {
      c.warn(
          fmt::format("keep-labels names \"{}\", which the workload's pods don't have", printable(key, 200)));
    } else if (c.labels.contains(key) || is_controller_label(key)) {
      c.warn(fmt::format("keep-labels names \"{}\", which is not kept: it is a controller's",
                         printable(key, 200)));
    }
  }
  for (const auto& pair : c.own_labels) {
    const std::string_view key = pair.key();
    const bool listed = std::ranges::find(c.policy.keep_labels, key) != c.policy.keep_labels.end();
    if (listed && !c.labels.contains(key) && !is_controller_label(key)) {
      keep_label(c, key, "The policy keeps this label (keep-labels).");
    } else if (c.policy.keep_mesh && is_mesh_key(key)) {
      keep_label(c, key, "The policy keeps the service mesh (keep-mesh).");
    } else if (c.labels.contains(key)) {
      c.changed(join_path(path, key), "replaced", "OddJob's own label takes its place.");
    } else {
      c.changed(join_path(path, key), "removed", reason_for_label(key));
    }
  }
  for (const std::string_view key : {names::kManagedByLabel, names::kRunIdLabel, names::kWorkloadLabel}) {
    if (!c.own_labels.contains(key)) {
      c.changed(join_path(path, key), "set", "OddJob's own label, by which it finds its pods.");
    }
  }
  return {};
}

Result<> annotations(Context& c) {
  const std::string path = fmt::format("{}.metadata.annotations", kTemplatePath);
  json::object kept;
  for (const auto& [key, value] : c.annotations) {
    const auto rule = std::ranges::find_if(
        kScrubbedAnnotations,
        [&, k = std::string_view(key)](const KeyRule& r) { return key_matches(r.pattern, k); });
    if (rule == kScrubbedAnnotations.end()) {
      kept.emplace(key, value);
    } else {
      c.changed(join_path(path, std::string_view(key)), "removed", rule->reason);
    }
  }
  c.annotations = std::move(kept);
  return {};
}

// So that kubectl logs and exec, and whoever reads the pod, pick the right one.
Result<> main_container_annotations(Context& c) {
  const std::string path = fmt::format("{}.metadata.annotations", kTemplatePath);
  constexpr std::string_view kDefault = "kubectl.kubernetes.io/default-container";
  const std::string& name = c.main().name;
  const json::value* written = c.annotations.if_contains(kDefault);
  if ((written != nullptr && *written != json::value(name)) ||
      (written == nullptr && c.containers.size() > 1)) {
    c.changed(join_path(path, kDefault), written == nullptr ? "set" : "replaced",
              "kubectl logs and exec pick the container that runs the command.");
    c.annotations[kDefault] = name;
  }
  c.annotations[names::kContainerAnnotation] = name;
  c.changed(join_path(path, names::kContainerAnnotation), "set", "The container whose end is the run's end.");
  return {};
}

}  // namespace rules_of
}  // namespace oddjob::render
