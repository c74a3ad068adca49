// Containers that somebody else would add to the pod when it is created: they
// don't end by themselves, and so keep a Job from ever ending.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "render/rules/keys.hpp"
#include "render/rules/rules.hpp"

namespace oddjob::render {
namespace {

constexpr auto kMeshKeys = std::to_array<std::string_view>({
    "*.istio.io/*",
    "*.linkerd.io/*",
    "*.kuma.io/*",
    "consul.hashicorp.com/*",
    "*.openservicemesh.io/*",
    "dapr.io/*",
});

struct OffSwitch {
  std::string_view domain, key, off;
  bool label, annotation;
  bool always;  // meshes that inject by a mark on the namespace, which is not seen here
};

// Istio reads the label, and where there is none the older annotation.
// Linkerd reads the annotation, Kuma the label (once the annotation).
constexpr auto kOffSwitches = std::to_array<OffSwitch>({
    {"*.istio.io/*", "sidecar.istio.io/inject", "false", true, true, true},
    {"*.linkerd.io/*", "linkerd.io/inject", "disabled", false, true, true},
    {"*.kuma.io/*", "kuma.io/sidecar-injection", "disabled", true, true, false},
    {"consul.hashicorp.com/*", "consul.hashicorp.com/connect-inject", "false", false, true, false},
    {"*.openservicemesh.io/*", "openservicemesh.io/sidecar-injection", "disabled", false, true, false},
    {"dapr.io/*", "dapr.io/enabled", "false", false, true, false},
});

bool mentions(const json::object& keys, std::string_view pattern) {
  return std::ranges::any_of(keys, [&](const auto& pair) { return key_matches(pattern, pair.key()); });
}

constexpr std::string_view kOffReason =
    "A mesh's proxy doesn't end when the command does (keep-mesh keeps it).";

}  // namespace

bool is_mesh_key(std::string_view key) noexcept {
  return std::ranges::any_of(kMeshKeys, [&](std::string_view pattern) { return key_matches(pattern, key); });
}

namespace rules_of {

Result<> service_mesh(Context& c) {
  const std::string labels = fmt::format("{}.metadata.labels", kTemplatePath);
  const std::string annotations = fmt::format("{}.metadata.annotations", kTemplatePath);
  if (c.policy.keep_mesh) {
    if (std::ranges::any_of(kMeshKeys, [&](std::string_view p) {
          return mentions(c.annotations, p) || mentions(c.labels, p);
        })) {
      c.warn(
          "service-mesh injection is kept: a proxy that is not a native sidecar keeps the pod alive after "
          "the command");
    }
    return {};
  }
  const json::object written = c.annotations;
  for (const auto& pair : written) {
    if (!is_mesh_key(pair.key())) continue;
    c.annotations.stable_erase(pair.key());
    const bool is_switch =
        std::ranges::any_of(kOffSwitches, [&](const OffSwitch& s) { return s.key == pair.key(); });
    if (!is_switch) c.changed(join_path(annotations, std::string_view(pair.key())), "removed", kOffReason);
  }
  for (const OffSwitch& mesh : kOffSwitches) {
    if (!mesh.always && !mentions(written, mesh.domain) && !mentions(c.own_labels, mesh.domain)) continue;
    // A switch that keep-labels names has been asked for.
    if (c.labels.contains(mesh.key)) continue;
    if (mesh.label) {
      c.labels[mesh.key] = mesh.off;
      c.changed(join_path(labels, mesh.key), "set", kOffReason);
    }
    if (mesh.annotation) {
      c.annotations[mesh.key] = mesh.off;
      c.changed(join_path(annotations, mesh.key), written.contains(mesh.key) ? "replaced" : "set",
                kOffReason);
    }
  }
  return {};
}

// Vault's agent fills in secrets before the command starts, which is wanted,
// and then stays as a sidecar to renew them, which is not.
Result<> vault_agent(Context& c) {
  const auto is = [&](std::string_view key, std::string_view value) {
    const json::value* found = c.annotations.if_contains(key);
    return found != nullptr && *found == json::value(value);
  };
  constexpr std::string_view kOnly = "vault.hashicorp.com/agent-pre-populate-only";
  if (!is("vault.hashicorp.com/agent-inject", "true") || is(kOnly, "true")) return {};
  if (c.request.sidecars.value_or(c.policy.sidecars.value_or(SidecarMode::drop)) != SidecarMode::drop)
    return {};
  c.annotations[kOnly] = "true";
  c.changed(
      join_path("spec.template.metadata.annotations", kOnly), "set",
      "Vault's agent fills in the secrets and then ends; as a sidecar it would keep the run from ending.");
  return {};
}

}  // namespace rules_of
}  // namespace oddjob::render
