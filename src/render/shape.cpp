// Checks the types of everything that rules touch, once, so that a malformed
// manifest yields one clear error and no rule has to ask again.
#include <fmt/format.h>

#include "core/text.hpp"
#include "render/context.hpp"

namespace oddjob::render {
namespace {

std::string_view type_name(const json::value& v) noexcept {
  switch (v.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "a list";
    case json::kind::object:
      return "an object";
  }
  return "something else";
}

std::unexpected<Error> malformed(std::string_view path, std::string_view wanted, const json::value& got) {
  return fail(Errc::failed_precondition, "render.malformed",
              fmt::format("{} must be {}, but is {}", printable(path), wanted, type_name(got)));
}

using Check = Result<> (*)(const json::object&, const std::string& path);

Result<> nothing(const json::object& /*unused*/, const std::string& /*unused*/) { return {}; }

Result<> object_at(const json::object& parent, std::string_view key, const std::string& path,
                   Check check = nothing) {
  const json::value* value = parent.if_contains(key);
  if (value == nullptr) return {};
  const std::string here = join_path(path, key);
  if (!value->is_object()) return malformed(here, "an object", *value);
  return check(value->as_object(), here);
}

Result<> string_at(const json::object& parent, std::string_view key, const std::string& path,
                   bool required = false) {
  const json::value* value = parent.if_contains(key);
  if (value == nullptr && !required) return {};
  const std::string here = join_path(path, key);
  if (value == nullptr) return fail(Errc::failed_precondition, "render.malformed", here + " is missing");
  if (!value->is_string()) return malformed(here, "a string", *value);
  if (required && value->as_string().empty()) {
    return fail(Errc::failed_precondition, "render.malformed", here + " is empty");
  }
  return {};
}

Result<> string_map_at(const json::object& parent, std::string_view key, const std::string& path) {
  return object_at(parent, key, path, [](const json::object& map, const std::string& here) -> Result<> {
    for (const auto& pair : map) OJ_CHECK(string_at(map, pair.key(), here));
    return {};
  });
}

Result<> list_at(const json::object& parent, std::string_view key, const std::string& path, Check check) {
  const json::value* value = parent.if_contains(key);
  if (value == nullptr) return {};
  const std::string here = join_path(path, key);
  if (!value->is_array()) return malformed(here, "a list", *value);
  const json::array& list = value->as_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string element = join_path(here, i);
    if (!list[i].is_object()) return malformed(element, "an object", list[i]);
    OJ_CHECK(check(list[i].as_object(), element));
  }
  return {};
}

Result<> named(const json::object& o, const std::string& path) { return string_at(o, "name", path, true); }

Result<> check_resources(const json::object& resources, const std::string& path) {
  OJ_CHECK(object_at(resources, "requests", path));
  return object_at(resources, "limits", path);
}

Result<> check_container(const json::object& c, const std::string& path) {
  OJ_CHECK(named(c, path));
  OJ_CHECK(string_at(c, "image", path));
  OJ_CHECK(list_at(c, "env", path, named));
  OJ_CHECK(list_at(c, "envFrom", path, nothing));
  OJ_CHECK(list_at(c, "volumeMounts", path, named));
  OJ_CHECK(list_at(c, "volumeDevices", path, named));
  return object_at(c, "resources", path, check_resources);
}

Result<> check_pod_term(const json::object& term, const std::string& path) {
  return object_at(term, "labelSelector", path);
}

Result<> check_weighted_term(const json::object& term, const std::string& path) {
  return object_at(term, "podAffinityTerm", path, check_pod_term);
}

Result<> check_pod_affinity(const json::object& affinity, const std::string& path) {
  OJ_CHECK(list_at(affinity, "requiredDuringSchedulingIgnoredDuringExecution", path, check_pod_term));
  return list_at(affinity, "preferredDuringSchedulingIgnoredDuringExecution", path, check_weighted_term);
}

Result<> check_affinity(const json::object& affinity, const std::string& path) {
  OJ_CHECK(object_at(affinity, "podAffinity", path, check_pod_affinity));
  return object_at(affinity, "podAntiAffinity", path, check_pod_affinity);
}

Result<> check_volume(const json::object& volume, const std::string& path) {
  OJ_CHECK(named(volume, path));
  return object_at(volume, "persistentVolumeClaim", path,
                   [](const json::object& claim, const std::string& here) -> Result<> {
                     return string_at(claim, "claimName", here, true);
                   });
}

Result<> check_pod(const json::object& pod, const std::string& path) {
  OJ_CHECK(list_at(pod, "containers", path, check_container));
  OJ_CHECK(list_at(pod, "initContainers", path, check_container));
  OJ_CHECK(list_at(pod, "volumes", path, check_volume));
  OJ_CHECK(list_at(pod, "topologySpreadConstraints", path, check_pod_term));
  OJ_CHECK(object_at(pod, "resources", path, check_resources));
  return object_at(pod, "affinity", path, check_affinity);
}

Result<> check_template_shape(const json::object& pod_template, const std::string& root) {
  OJ_CHECK(object_at(pod_template, "metadata", root,
                     [](const json::object& metadata, const std::string& path) -> Result<> {
                       OJ_CHECK(string_map_at(metadata, "labels", path));
                       return string_map_at(metadata, "annotations", path);
                     }));
  if (!pod_template.contains("spec")) {
    return fail(Errc::failed_precondition, "render.malformed", root + ".spec is missing");
  }
  return object_at(pod_template, "spec", root, check_pod);
}

}  // namespace

Result<WorkloadRef> read_workload_ref(const json::value& workload, const WorkloadRef& asked) {
  const auto refuse = [](std::string why) {
    return fail(Errc::invalid_argument, "render.not_a_workload", std::move(why),
                "a run is made from a Deployment, StatefulSet, DaemonSet or CronJob");
  };
  if (!workload.is_object())
    return refuse(fmt::format("a manifest must be an object, but is {}", type_name(workload)));
  const std::string_view kind_text = get_string(workload, {"kind"});
  const auto kind = workload_kind_from_kind_name(kind_text);
  if (!kind) {
    return refuse(kind_text.empty() ? std::string("the manifest has no kind")
                                    : fmt::format("\"{}\" is not a workload", printable(kind_text, 100)));
  }
  const std::string_view version = get_string(workload, {"apiVersion"}, api_version(*kind));
  const std::string_view wanted = api_version(*kind);
  if (version.substr(0, version.find('/')) != wanted.substr(0, wanted.find('/'))) {
    return refuse(fmt::format("apiVersion of a {} must be {}, but is \"{}\"", kind_name(*kind), wanted,
                              printable(version, 100)));
  }
  WorkloadRef ref{*kind, std::string(get_string(workload, {"metadata", "namespace"}, asked.name_space)),
                  std::string(get_string(workload, {"metadata", "name"}, asked.name))};
  if (!is_dns_subdomain(ref.name)) {
    return refuse(ref.name.empty()
                      ? std::string("metadata.name is missing")
                      : fmt::format("metadata.name \"{}\" is not a valid name", printable(ref.name, 100)));
  }
  return ref;
}

Result<json::object> read_template(const json::value& workload) {
  OJ_TRY(const WorkloadRef ref, read_workload_ref(workload, {WorkloadKind::deployment, "", "unnamed"}));
  const bool nested = ref.kind == WorkloadKind::cron_job;
  const json::value* found = nested ? find(workload, {"spec", "jobTemplate", "spec", "template"})
                                    : find(workload, {"spec", "template"});
  const std::string path = nested ? "spec.jobTemplate.spec.template" : "spec.template";
  if (found == nullptr || found->is_null()) {
    return fail(Errc::failed_precondition, "render.malformed",
                fmt::format("{} has no {}", to_string(ref), path));
  }
  if (!found->is_object()) return malformed(path, "an object", *found);
  json::value bare = without_nulls(*found);
  if (auto checked = check_template_shape(bare.as_object(), path); !checked) {
    return fail(std::move(checked).error().with_context(to_string(ref)));
  }
  return std::move(bare.as_object());
}

}  // namespace oddjob::render
