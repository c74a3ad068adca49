#include "api/discovery.hpp"

#include <fmt/format.h>

#include <array>
#include <string>

#include "api/answers.hpp"
#include "core/aggregation.hpp"
#include "core/json.hpp"

namespace oddjob::api {
namespace {

struct Resource {
  std::string_view name, kind;
  std::array<std::string_view, 2> verbs;
};
// Subresources as Kubernetes names them. `list` and `watch` are left out on
// purpose, though lists can be read: what is found with these verbs is taken for
// Kubernetes objects by controllers (garbage collection, GitOps tools).
constexpr std::array kResources = {
    Resource{"runs", "Run", {"create", "get"}},       Resource{"runs/approve", "Run", {"create", {}}},
    Resource{"runs/cancel", "Run", {"create", {}}},   Resource{"runs/deny", "Run", {"create", {}}},
    Resource{"runs/log", "Run", {"get", {}}},         Resource{"workloads", "Workload", {"get", {}}},
    Resource{"templates", "Template", {"get", {}}},   Resource{"files", "File", {"get", {}}},
    Resource{"images", "Image", {"get", {}}},         Resource{"audit", "AuditEvent", {"get", {}}},
    Resource{"audit/log", "AuditEvent", {"get", {}}}, Resource{"whoami", "Subject", {"get", {}}},
    Resource{"version", "Version", {"get", {}}},
};

std::string group_version() { return fmt::format("{}/{}", kAggregatedGroup, kAggregatedVersion); }

json::object group() {
  const json::object version{{"groupVersion", group_version()}, {"version", kAggregatedVersion}};
  return json::object{
      {"name", kAggregatedGroup}, {"versions", json::array{version}}, {"preferredVersion", version}};
}

json::object with_kind(std::string_view kind, json::object rest) {
  json::object out{{"kind", kind}, {"apiVersion", "v1"}};
  for (auto& [key, value] : rest) out[key] = std::move(value);
  return out;
}

json::array resources() {
  json::array out;
  for (const auto& r : kResources) {
    json::array verbs;
    for (const auto v : r.verbs)
      if (!v.empty()) verbs.emplace_back(v);
    const bool namespaced = r.name == "templates";
    out.push_back(json::object{{"name", r.name},
                               {"singularName", ""},
                               {"namespaced", namespaced},
                               {"kind", r.kind},
                               {"verbs", std::move(verbs)}});
  }
  return out;
}

}  // namespace

std::optional<net::ServerResponse> discovery(const net::ServerRequest& request) {
  if (request.method != "GET" && request.method != "HEAD") return std::nullopt;
  std::string_view path = request.path;
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path == "/livez") return text_response(200, "ok\n");
  if (path == "/apis")
    return json_response(200, with_kind("APIGroupList", {{"groups", json::array{group()}}}));
  if (path == fmt::format("/apis/{}", kAggregatedGroup))
    return json_response(200, with_kind("APIGroup", group()));
  if (path == kAggregatedRoot)
    return json_response(
        200, with_kind("APIResourceList", {{"groupVersion", group_version()}, {"resources", resources()}}));
  // The API server merges what it finds here into its own document. Ours is at
  // /api/v1/openapi.json: these are no Kubernetes objects.
  if (path == "/openapi/v3") return json_response(200, json::object{{"paths", json::object{}}});
  return std::nullopt;
}

}  // namespace oddjob::api
