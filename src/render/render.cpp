#include "render/render.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/names.hpp"
#include "core/text.hpp"
#include "render/context.hpp"
#include "render/rules/rules.hpp"

namespace oddjob::render {
namespace {

json::object take_object(json::object& from, std::string_view key) {
  json::value* found = from.if_contains(key);
  json::object out = found == nullptr ? json::object{} : std::move(found->as_object());
  from.stable_erase(key);
  return out;
}

std::vector<std::string> container_names(const json::object& pod_template) {
  std::vector<std::string> names;
  if (const json::array* list = find_array(pod_template.at("spec"), {"containers"})) {
    for (const json::value& container : *list) names.emplace_back(get_string(container, {"name"}));
  }
  return names;
}

Result<std::string> choose(const json::object& pod_template, const RunRequest& request, const Policy& policy,
                           const WorkloadRef& ref) {
  const std::vector<std::string> names = container_names(pod_template);
  const std::string what = to_string(ref);
  if (names.empty()) {
    return fail(Errc::failed_precondition, "render.no_containers", fmt::format("{} has no containers", what));
  }
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (std::find(name + 1, names.end(), *name) == names.end()) continue;
    return fail(Errc::failed_precondition, "render.malformed",
                fmt::format("{} has two containers named \"{}\"", what, printable(*name, 100)));
  }
  constexpr std::string_view kDefault = "kubectl.kubernetes.io/default-container";
  std::string wanted, said_by;
  if (request.container) {
    wanted = *request.container, said_by = "the request";
  } else if (policy.container) {
    wanted = *policy.container, said_by = "annotation oddjob.dev/container";
  } else if (const json::object* annotations = nullptr;
             pod_template.contains("metadata") &&
             (annotations = find_object(pod_template.at("metadata"), {"annotations"})) != nullptr &&
             annotations->contains(kDefault)) {
    wanted = sv(annotations->at(kDefault).as_string());
    said_by = fmt::format("annotation {}", kDefault);
  } else if (names.size() == 1) {
    return names.front();
  } else {
    return fail(
        Errc::invalid_argument, "render.container_ambiguous",
        fmt::format("{} has {} containers ({}), and none is named", what, names.size(), quoted_list(names)),
        "name one with --container, or annotate the workload with oddjob.dev/container");
  }
  if (std::ranges::find(names, wanted) != names.end()) return wanted;
  return fail(
      Errc::invalid_argument, "render.container_unknown",
      fmt::format("{} has no container \"{}\", which {} names", what, printable(wanted, 100), said_by),
      fmt::format("it has {}", quoted_list(names)));
}

void add_containers(Context& c, std::string_view list, const std::string& main_name) {
  json::value* found = c.pod.if_contains(list);
  if (found == nullptr) return;
  const bool init = list == "initContainers";
  json::array& containers = found->as_array();
  for (std::size_t i = 0; i < containers.size(); ++i) {
    Container container;
    container.spec = std::move(containers[i].as_object());
    container.name = sv(container.spec.at("name").as_string());
    container.path = fmt::format("{}.{}[{}]", kPodPath, list, i);
    const json::value* restart = container.spec.if_contains("restartPolicy");
    const bool always = restart != nullptr && *restart == json::value("Always");
    container.role = init ? (always ? Role::native : Role::init)
                          : (container.name == main_name ? Role::main : Role::sidecar);
    c.containers.push_back(std::move(container));
  }
  c.pod.stable_erase(list);
}

// Puts the two lists back in front, where a reader looks for them.
json::object assemble_pod(Context& c) {
  json::array init, containers;
  for (Container& container : c.containers) {
    const bool first = container.role == Role::init || container.role == Role::native;
    (first ? init : containers).emplace_back(std::move(container.spec));
  }
  json::object pod;
  if (!init.empty()) pod["initContainers"] = std::move(init);
  pod["containers"] = std::move(containers);
  for (auto& [key, value] : c.pod) pod[key] = std::move(value);
  return pod;
}

json::value assemble_job(Context& c) {
  json::object metadata{{"name", c.job_name}};
  if (!c.ref.name_space.empty()) metadata["namespace"] = c.ref.name_space;
  metadata["labels"] = std::move(c.job_labels);
  metadata["annotations"] = std::move(c.job_annotations);
  json::object pod_template{
      {"metadata", {{"labels", std::move(c.labels)}, {"annotations", std::move(c.annotations)}}}};
  pod_template["spec"] = assemble_pod(c);
  c.job_spec["template"] = std::move(pod_template);
  return json::object{{"apiVersion", "batch/v1"},
                      {"kind", "Job"},
                      {"metadata", std::move(metadata)},
                      {"spec", std::move(c.job_spec)}};
}

}  // namespace

Result<json::value> pod_template(const json::value& workload) {
  OJ_TRY(json::object found, read_template(workload));
  return json::value(std::move(found));
}

Result<std::string> choose_container(const json::value& workload, const RunRequest& request,
                                     const Policy& policy) {
  OJ_TRY(const WorkloadRef ref, read_workload_ref(workload, request.workload));
  OJ_TRY(const json::object found, read_template(workload));
  return choose(found, request, policy, ref);
}

Result<Rendered> render(const json::value& workload, const RunRequest& request, const Policy& policy,
                        const ClusterFacts& facts, const Identity& identity) {
  OJ_TRY(WorkloadRef ref, read_workload_ref(workload, request.workload));
  // The manifest says what the workload is; a caller with a file may have left it out.
  RunRequest named = request;
  named.workload = ref;
  if (named.workload.name_space.empty()) named.workload.name_space = "default";
  OJ_CHECK(validate(named));
  OJ_TRY(json::object pod_template, read_template(workload));
  OJ_TRY(std::string main_name, choose(pod_template, request, policy, ref));

  Context c{.request = request,
            .policy = policy,
            .facts = facts,
            .identity = identity,
            .workload = workload,
            .ref = std::move(ref)};
  json::object metadata = take_object(pod_template, "metadata");
  c.own_labels = take_object(metadata, "labels");
  c.annotations = take_object(metadata, "annotations");
  for (const auto& pair : metadata) {
    c.changed(join_path("spec.template.metadata", pair.key()), "removed",
              "Of a template's metadata only labels and annotations are meant for its pods.");
  }
  c.pod = take_object(pod_template, "spec");
  add_containers(c, "initContainers", main_name);
  add_containers(c, "containers", main_name);

  for (const Rule& rule : rules()) OJ_CHECK(rule.apply(c));

  Rendered out;
  out.container = main_name;
  out.image = get_string(c.main().spec.at("image"), {});
  out.job_name = c.job_name;
  out.job = assemble_job(c);
  out.digest = job_digest(out.job);
  ensure(out.job, {"metadata", "annotations", names::kDigestAnnotation}) = out.digest;
  out.changes = std::move(c.changes);
  out.warnings = std::move(c.warnings);
  out.timeout = c.timeout;
  return out;
}

json::array report_json(const Rendered& r) {
  json::array out;
  for (const Change& change : r.changes) {
    out.emplace_back(
        json::object{{"path", change.path}, {"action", change.action}, {"reason", change.reason}});
  }
  for (const std::string& warning : r.warnings) out.emplace_back(json::object{{"warning", warning}});
  return out;
}

}  // namespace oddjob::render
