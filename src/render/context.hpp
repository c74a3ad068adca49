// What the rules of rendering work on. Internal to this room.
//
// `render` takes a workload apart into a Context, lets every rule of
// rules/table.cpp change it in order, and puts a Job together again. A rule
// says what it did by changed() and what a person should think about by
// warn().
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "render/render.hpp"

namespace oddjob::render {

// Paths of changes are those of the Job. Elements of lists are named by what
// identifies them (env[NAME], volumes[name], volumeMounts[/path]), containers
// and the rest by their index in the workload's manifest, which is what a
// reader has at hand.
inline constexpr std::string_view kTemplatePath = "spec.template";
inline constexpr std::string_view kPodPath = "spec.template.spec";

enum class Role {
  main,     // runs the command
  sidecar,  // any other of spec.containers
  init,     // runs to completion before
  native,   // an init container with restartPolicy: Always
};

struct Container {
  Role role = Role::sidecar;
  std::string name;
  std::string path;  // "spec.template.spec.containers[0]"
  json::object spec;
};

struct Context {
  const RunRequest& request;
  const Policy& policy;
  const ClusterFacts& facts;
  const Identity& identity;

  // The workload.
  const json::value& workload;
  WorkloadRef ref;
  json::object own_labels{};  // of its pods, as written

  // The pod, being changed: its spec without the two lists of containers.
  json::object pod{};
  std::vector<Container> containers{};  // in order; init and native ones among them
  json::object labels{}, annotations{};
  std::vector<std::string> dropped_containers{};
  std::vector<std::string> kept_labels{};  // keys in `labels` that are there on purpose

  // The Job, being made.
  std::string job_name{};
  json::object job_labels{}, job_annotations{};
  json::object job_spec{};  // without the template
  Duration timeout{};

  std::vector<Change> changes{};
  std::vector<std::string> warnings{};

  Container& main();
  // The server has what came with 1.`minor`; an unknown version is the newest.
  [[nodiscard]] bool server_has(int minor) const noexcept { return facts.minor == 0 || facts.minor >= minor; }
  void changed(std::string path, std::string_view action, std::string_view reason);
  void warn(std::string text) { warnings.push_back(std::move(text)); }
  // Removes a field if it is there, and says so.
  bool remove(json::object& from, std::string_view key, std::string_view parent_path,
              std::string_view reason);
};

// "spec.template.spec.containers[0].livenessProbe"; keys that hold a dot or a
// slash stand in brackets: "metadata.labels[app.kubernetes.io/name]".
std::string join_path(std::string_view parent, std::string_view key);
std::string join_path(std::string_view parent, std::size_t index);

// Members that are null, at any depth, dropped: the API reads them as absent.
json::value without_nulls(const json::value& v);
// "a, b and c", each in quotes.
std::string quoted_list(const std::vector<std::string>& names);

// Kind, name and namespace of a manifest; `asked` fills in what it leaves out.
// Error "render.not_a_workload".
Result<WorkloadRef> read_workload_ref(const json::value& workload, const WorkloadRef& asked);
// The pod template without nulls, its types checked: rules may rely on what
// shape.cpp checks. Errors also "render.malformed", with the path.
Result<json::object> read_template(const json::value& workload);

}  // namespace oddjob::render
