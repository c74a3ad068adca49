// Kubernetes manifests on disk, for the commands that work offline.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "core/error.hpp"
#include "core/json.hpp"
#include "core/words.hpp"
#include "render/render.hpp"

namespace oddjob::cli {

// One object of a file, and where it stands there. Items of a List are objects
// of their own.
struct Manifest {
  std::string file;
  json::value object;
  std::string prefix;  // of paths in `lines`: "" or "items[2]."
  std::map<std::string, int, std::less<>> lines;
  [[nodiscard]] std::string kind() const { return std::string(get_string(object, {"kind"})); }
  // The line of a path such as "spec.args[1]", or of what holds it; 0: not known.
  [[nodiscard]] int line(std::string_view path) const;
};

// `path` is a file, or `-` for standard input. Errors: "cli.file_unreadable", those of YAML.
Result<std::vector<Manifest>> read_manifests(const std::string& path);
// The .yaml, .yml and .json files below a folder, in order, without hidden ones;
// of a file itself. Error "cli.file_unreadable", also for more than 20,000.
Result<std::vector<std::string>> manifest_files(const std::string& path);

WorkloadRef workload_reference(const json::value& workload);
// What rendering needs of the objects: workloads, and facts of the namespace.
struct Scene {
  std::vector<json::value> workloads;
  render::ClusterFacts facts;
};
Scene scene_of(const std::vector<Manifest>& manifests);
// The workload that `wanted` names ("deploy/x"), or the only one where it is
// empty. `where` names the files. Error "cli.no_workload".
Result<json::value> choose_workload(const std::vector<json::value>& all, const std::string& wanted,
                                    std::string_view where);

// As `oddjob render` prints: the warnings, then the Job or what differs.
void print_rendered(const Invocation& invocation, const json::value& workload,
                    const render::Rendered& rendered, bool diff);

}  // namespace oddjob::cli
