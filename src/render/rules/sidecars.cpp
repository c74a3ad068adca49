// Which containers the run's pod has beside the one that runs the command.
#include <fmt/format.h>

#include <algorithm>

#include "render/rules/rules.hpp"

namespace oddjob::render::rules_of {
namespace {

SidecarMode sidecar_mode(const Context& c) {
  return c.request.sidecars.value_or(c.policy.sidecars.value_or(SidecarMode::drop));
}

void drop(Context& c, Role role, std::string_view reason) {
  for (const Container& container : c.containers) {
    if (container.role != role) continue;
    c.changed(container.path, "removed", reason);
    c.dropped_containers.push_back(container.name);
  }
  std::erase_if(c.containers, [role](const Container& container) { return container.role == role; });
}

std::vector<std::string> names_of(const Context& c, Role role) {
  std::vector<std::string> names;
  for (const Container& container : c.containers) {
    if (container.role == role) names.push_back(container.name);
  }
  return names;
}

void make_native(Context& c) {
  for (Container& container : c.containers) {
    if (container.role != Role::sidecar) continue;
    c.changed(container.path, "replaced",
              "The sidecar is moved to initContainers with restartPolicy Always, so that it ends when the "
              "command does.");
    container.role = Role::native;
    container.spec["restartPolicy"] = "Always";
    container.path = fmt::format("{}.initContainers[{}]", kPodPath, container.name);
    c.changed(container.path, "set", "A native sidecar: started before the command, ended after it.");
  }
  // Last of the init containers: the workload's own init containers never had
  // these sidecars beside them.
  std::ranges::stable_partition(c.containers,
                                [](const Container& container) { return container.role != Role::main; });
}

}  // namespace

Result<> sidecars(Context& c) {
  const std::vector<std::string> others = names_of(c, Role::sidecar);
  const std::vector<std::string> native = names_of(c, Role::native);
  if (others.empty() && native.empty()) return {};
  switch (sidecar_mode(c)) {
    case SidecarMode::drop:
      drop(c, Role::sidecar,
           "Sidecars are dropped (sidecars: drop): one that never ends would keep the run from ending.");
      drop(c, Role::native, "Native sidecars are dropped too (sidecars: drop).");
      break;
    case SidecarMode::native:
      if (!others.empty() && !c.server_has(29)) {
        return fail(Errc::failed_precondition, "render.native_sidecars_unsupported",
                    fmt::format("sidecars: native needs Kubernetes 1.29 or newer, but the server is 1.{}",
                                c.facts.minor),
                    "use sidecars: drop or keep");
      }
      make_native(c);
      break;
    case SidecarMode::keep:
      for (const Container& container : c.containers) {
        if (container.role == Role::sidecar) {
          c.changed(container.path, "kept", "Sidecars are kept as they are (sidecars: keep).");
        }
      }
      if (!others.empty()) {
        c.warn(fmt::format(
            "sidecars {} are kept: the run ends when container \"{}\" does, and OddJob then ends the Job",
            quoted_list(others), c.main().name));
      }
      break;
  }
  if (sidecar_mode(c) == SidecarMode::drop) return {};
  for (const Container& container : c.containers) {
    if (std::ranges::find(native, container.name) != native.end()) {
      c.changed(container.path, "kept", "A native sidecar: it ends by itself when the command has ended.");
    }
  }
  return {};
}

Result<> init_containers(Context& c) {
  const InitMode mode = c.request.init_containers.value_or(c.policy.init_containers.value_or(InitMode::run));
  if (mode == InitMode::skip) {
    drop(c, Role::init, "Init containers are skipped, as the request or the policy says.");
  }
  return {};
}

}  // namespace oddjob::render::rules_of
