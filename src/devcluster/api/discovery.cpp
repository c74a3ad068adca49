#include "devcluster/api/discovery.hpp"

#include <fmt/format.h>

#include <set>

#include "core/text.hpp"
#include "devcluster/api/exchange.hpp"
#include "devcluster/api/schema.hpp"

namespace oddjob::devcluster {
namespace {

using Groups = std::map<std::string, std::string>;  // group -> version

Groups groups(const Registry& registry) {
  Groups out{{"authentication.k8s.io", "v1"}, {"authorization.k8s.io", "v1"}};
  for (const auto* r : registry.all())
    if (!r->group.empty()) out[r->group] = r->version;
  return out;
}

json::object group_object(const std::string& name, const std::string& version) {
  const json::object v{{"groupVersion", name + "/" + version}, {"version", version}};
  return {{"name", name}, {"versions", json::array{v}}, {"preferredVersion", v}};
}

json::object resource_entry(std::string_view name, std::string_view kind, bool namespaced,
                            json::array verbs) {
  return {{"name", name},
          {"singularName", ""},
          {"namespaced", namespaced},
          {"kind", kind},
          {"verbs", std::move(verbs)}};
}

json::object resource_list(const Registry& registry, std::string_view group, std::string_view version) {
  json::array list;
  for (const auto* r : registry.all()) {
    if (r->group != group) continue;
    auto entry = resource_entry(r->plural, r->kind, r->namespaced, json::value_from(r->verbs).get_array());
    entry["singularName"] = r->singular;
    if (!r->short_names.empty()) entry["shortNames"] = json::value_from(r->short_names);
    if (!r->categories.empty()) entry["categories"] = json::value_from(r->categories);
    list.push_back(std::move(entry));
    if (r->has_status)
      list.push_back(
          resource_entry(r->plural + "/status", r->kind, r->namespaced, {"get", "patch", "update"}));
    if (r->has_scale) {
      auto scale = resource_entry(r->plural + "/scale", "Scale", r->namespaced, {"get", "patch", "update"});
      scale["group"] = "autoscaling";
      scale["version"] = "v1";
      list.push_back(std::move(scale));
    }
    if (r->kind == "Pod") {
      list.push_back(resource_entry("pods/log", "Pod", true, {"get"}));
      auto eviction = resource_entry("pods/eviction", "Eviction", true, {"create"});
      eviction["group"] = "policy";
      eviction["version"] = "v1";
      list.push_back(std::move(eviction));
    }
    if (r->kind == "ServiceAccount")
      list.push_back(resource_entry("serviceaccounts/token", "TokenRequest", true, {"create"}));
  }
  if (group == "authentication.k8s.io") {
    list.push_back(resource_entry("tokenreviews", "TokenReview", false, {"create"}));
    list.push_back(resource_entry("selfsubjectreviews", "SelfSubjectReview", false, {"create"}));
  }
  if (group == "authorization.k8s.io") {
    list.push_back(resource_entry("selfsubjectaccessreviews", "SelfSubjectAccessReview", false, {"create"}));
    list.push_back(resource_entry("selfsubjectrulesreviews", "SelfSubjectRulesReview", false, {"create"}));
    list.push_back(resource_entry("subjectaccessreviews", "SubjectAccessReview", false, {"create"}));
    list.push_back(resource_entry("localsubjectaccessreviews", "LocalSubjectAccessReview", true, {"create"}));
  }
  return {{"kind", "APIResourceList"},
          {"apiVersion", "v1"},
          {"groupVersion", group.empty() ? std::string(version) : fmt::format("{}/{}", group, version)},
          {"resources", std::move(list)}};
}

// OpenAPI v3 of one group: that the server validates fields itself (kubectl apply
// looks for it), and what the kinds are made of (kubectl explain).
json::object openapi_group(Registry& registry, std::string_view group, std::string_view version) {
  json::object paths;
  std::vector<const SchemaType*> types;
  std::vector<const ResourceInfo*> kinds;
  for (const auto* r : registry.all()) {
    if (r->group != group) continue;
    kinds.push_back(r);
    if (const auto* type = r->custom ? nullptr : find_schema(r->kind)) types.push_back(type);
    const std::string base =
        group.empty() ? fmt::format("/api/{}", version) : fmt::format("/apis/{}/{}", group, version);
    const std::string path = r->namespaced
                                 ? fmt::format("{}/namespaces/{{namespace}}/{}/{{name}}", base, r->plural)
                                 : fmt::format("{}/{}/{{name}}", base, r->plural);
    json::array parameters;
    for (const auto* name : {"fieldManager", "fieldValidation", "force", "dryRun"})
      parameters.push_back(
          {{"name", name},
           {"in", "query"},
           {"schema", {{"type", std::string_view(name) == "force" ? "boolean" : "string"}}}});
    paths[path] = {{"patch",
                    {{"operationId", fmt::format("patch{}{}", r->namespaced ? "Namespaced" : "", r->kind)},
                     {"x-kubernetes-action", "patch"},
                     {"x-kubernetes-group-version-kind",
                      {{"group", r->group}, {"version", r->version}, {"kind", r->kind}}},
                     {"parameters", std::move(parameters)},
                     {"responses", {{"200", {{"description", "OK"}}}}}}}};
  }
  auto schemas = openapi_schemas(types);
  for (const auto* r : kinds) {
    if (r->custom) {
      json::value schema = json::object{{"type", "object"}};
      const auto crd = crd_of(registry, *r);
      if (const auto* versions = crd ? find_array(*crd, {"spec", "versions"}) : nullptr)
        for (const auto& v : *versions)
          if (const auto* own = find(v, {"schema", "openAPIV3Schema"});
              own != nullptr && get_bool(v, {"storage"}))
            schema = *own;
      schemas[r->kind] = std::move(schema);
    }
    if (auto* schema = schemas.if_contains(r->kind))
      ensure(*schema, {"x-kubernetes-group-version-kind"}) =
          json::array{json::object{{"group", r->group}, {"version", r->version}, {"kind", r->kind}}};
  }
  return {{"openapi", "3.0.0"},
          {"info", {{"title", "Kubernetes"}, {"version", "v1.36.0"}}},
          {"paths", std::move(paths)},
          {"components", {{"schemas", std::move(schemas)}}}};
}

}  // namespace

std::optional<json::value> discovery(Registry& registry, std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path == "/version")
    return json::object{
        {"major", "1"},          {"minor", "36"},           {"gitVersion", "v1.36.0+oddjob-dev"},
        {"gitCommit", "oddjob"}, {"gitTreeState", "clean"}, {"buildDate", "2025-01-01T00:00:00Z"},
        {"goVersion", "none"},   {"compiler", "g++"},       {"platform", "linux/amd64"}};
  if (path == "/api")
    return json::object{{"kind", "APIVersions"},
                        {"versions", json::array{"v1"}},
                        {"serverAddressByClientCIDRs", json::array()}};
  if (path == "/apis") {
    json::array list;
    for (const auto& [name, version] : groups(registry)) list.push_back(group_object(name, version));
    return json::object{{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(list)}};
  }
  if (path == "/")
    return json::object{{"paths", json::array{"/api", "/apis", "/healthz", "/livez", "/readyz", "/version"}}};
  if (path == "/openapi/v3") {
    json::object paths{{"api/v1", {{"serverRelativeURL", "/openapi/v3/api/v1"}}}};
    for (const auto& [name, version] : groups(registry))
      paths[fmt::format("apis/{}/{}", name, version)] = {
          {"serverRelativeURL", fmt::format("/openapi/v3/apis/{}/{}", name, version)}};
    return json::object{{"paths", std::move(paths)}};
  }
  const auto parts = split(path.substr(1), '/');
  if (parts.size() == 4 && parts[0] == "openapi" && parts[2] == "api")
    return openapi_group(registry, "", parts[3]);
  if (parts.size() == 5 && parts[0] == "openapi" && parts[2] == "apis")
    return openapi_group(registry, parts[3], parts[4]);
  if (parts.size() == 2 && parts[0] == "api" && parts[1] == "v1") return resource_list(registry, "", "v1");
  const auto known = groups(registry);
  if (parts.size() >= 2 && parts[0] == "apis") {
    const auto found = known.find(parts[1]);
    if (found == known.end()) return std::nullopt;
    if (parts.size() == 2) {
      auto o = group_object(found->first, found->second);
      o["kind"] = "APIGroup";
      o["apiVersion"] = "v1";
      return o;
    }
    if (parts.size() == 3 && parts[2] == found->second) return resource_list(registry, parts[1], parts[2]);
  }
  return std::nullopt;
}

}  // namespace oddjob::devcluster
