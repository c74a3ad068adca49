// Rendering: from a workload and a request to a Job that behaves. Pure.
// The rules are those of docs/rendering.md, each a function of its own in rules/.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "core/policy.hpp"
#include "core/words.hpp"

namespace oddjob::render {

// What render must know of the cluster. Offline, everything may be empty.
struct ClusterFacts {
  int minor = 0;                      // 1.x of the server; 0: unknown, newest is assumed
  std::vector<json::value> services;  // of the namespace
  std::vector<json::value> disruption_budgets;
  std::vector<json::value> volume_claims;  // PersistentVolumeClaims, for access modes; may be empty
  std::string volume_claims_problem;       // why they could not be read, if they could not
  // imageIDs of the chosen container in the workload's ready pods.
  std::vector<std::string> running_image_ids;
};

struct Identity {  // goes into names, labels, annotations
  std::string run_id;
  std::string requester;
  std::string reason;
};

struct Change {
  std::string path;    // "spec.template.spec.containers[0].livenessProbe"
  std::string action;  // "removed" "set" "kept" "replaced"
  std::string reason;  // why, a sentence
};

struct Rendered {
  json::value job;        // batch/v1 Job, suspend: true (OddJob releases it once it is recorded)
  std::string container;  // the chosen one
  std::string image;      // as it stands in the Job
  std::string job_name;
  std::string digest;  // over the Job less what differs from run to run
  std::vector<Change> changes;
  std::vector<std::string> warnings;
  Duration timeout{};
};

// Errors (kind failed_precondition or invalid_argument): "render.no_containers",
// "render.container_ambiguous", "render.container_unknown", "render.collision"
// (names the Service or PDB), "render.native_sidecars_unsupported",
// "render.not_a_workload", "render.name".
Result<Rendered> render(const json::value& workload, const RunRequest& request, const Policy& policy,
                        const ClusterFacts& facts, const Identity& identity);

// The workload's pod template: for a CronJob that of its job template.
Result<json::value> pod_template(const json::value& workload);
// --container, else oddjob.dev/container (in policy), else kubectl.kubernetes.io/default-container,
// else the only one, else (several and none named) "render.container_ambiguous".
Result<std::string> choose_container(const json::value& workload, const RunRequest& request,
                                     const Policy& policy);
// The digest of a Job as `render` defines it, of a Job read back from anywhere.
std::string job_digest(const json::value& job);

// The image that a run of a container gets: the very one that its running pods
// report, where they agree; else as it is written.
std::string pinned_image(std::string_view written, std::span<const std::string> running_image_ids);

json::array report_json(const Rendered& r);  // [{"path","action","reason"}…, {"warning":…}…]
// What differs between the workload's pod template and the Job's, with the
// reason beside each difference; for `oddjob render --diff`. Plain text, a
// unified-diff-like listing of YAML lines; `color` adds SGR colours.
std::string diff_text(const json::value& workload, const Rendered& r, bool color);

}  // namespace oddjob::render
