#include <array>

#include "render/rules/rules.hpp"

namespace oddjob::render {

std::span<const Rule> rules() noexcept {
  using namespace rules_of;
  static constexpr auto kRules = std::to_array<Rule>({
      // First what there is, so that nothing is said of containers that go.
      {"sidecars", sidecars},
      {"init-containers", init_containers},
      {"claim-templates", claim_templates},
      {"read-write-once", read_write_once},
      {"probes", probes},
      {"lifecycle", lifecycle},
      {"ports", ports},
      {"terminal", terminal},
      {"container-restarts", container_restarts},
      {"environment", environment},
      {"command", command},  // after environment: what must be escaped depends on it
      {"resources", resources},
      {"pin-image", pin_image},
      {"pod-fields", pod_fields},
      {"service-account", service_account},
      {"host-namespaces", host_namespaces},
      {"restart-policy", restart_policy},
      {"topology-spread", topology_spread},
      {"pod-affinity", pod_affinity},
      {"daemon-set", daemon_set},
      {"labels", labels},
      {"annotations", annotations},
      {"service-mesh", service_mesh},
      {"vault-agent", vault_agent},
      {"main-container", main_container_annotations},
      {"dangling-references", dangling_references},
      {"job-name", job_name},
      {"run-once", run_once},
      {"pod-failures", pod_failures},
      {"time-limits", time_limits},
      {"job-metadata", job_metadata},
      // Last, over the labels as they will be.
      {"collisions", collisions},
  });
  return kRules;
}

}  // namespace oddjob::render
