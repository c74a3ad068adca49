// The rules of rendering, in the order in which they are applied. To add one:
// write a function in the file of its topic, declare it here, add its row to
// the table in table.cpp, and a row to docs/rendering.md.
#pragma once

#include <span>
#include <string_view>

#include "render/context.hpp"

namespace oddjob::render {

struct Rule {
  std::string_view name;
  Result<> (*apply)(Context&);
};
std::span<const Rule> rules() noexcept;

namespace rules_of {

// sidecars.cpp: which containers the pod has
Result<> sidecars(Context& c);
Result<> init_containers(Context& c);

// volumes.cpp
Result<> claim_templates(Context& c);
Result<> read_write_once(Context& c);

// containers.cpp: what is inside them
Result<> probes(Context& c);
Result<> lifecycle(Context& c);
Result<> ports(Context& c);
Result<> terminal(Context& c);
Result<> container_restarts(Context& c);
Result<> command(Context& c);
Result<> environment(Context& c);
Result<> resources(Context& c);

// image.cpp
Result<> pin_image(Context& c);

// pod.cpp
Result<> pod_fields(Context& c);
Result<> service_account(Context& c);
Result<> host_namespaces(Context& c);
Result<> restart_policy(Context& c);
Result<> topology_spread(Context& c);
Result<> pod_affinity(Context& c);
Result<> daemon_set(Context& c);

// metadata.cpp and injection.cpp
Result<> labels(Context& c);
Result<> annotations(Context& c);
Result<> service_mesh(Context& c);
Result<> vault_agent(Context& c);
Result<> main_container_annotations(Context& c);

// references.cpp
Result<> dangling_references(Context& c);

// job.cpp
Result<> job_name(Context& c);
Result<> run_once(Context& c);
Result<> pod_failures(Context& c);
Result<> time_limits(Context& c);
Result<> job_metadata(Context& c);

// collision.cpp
Result<> collisions(Context& c);

}  // namespace rules_of
}  // namespace oddjob::render
