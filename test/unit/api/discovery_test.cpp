// What Kubernetes is told of the aggregated API is what there is.
#include "api/discovery.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "api/router.hpp"
#include "core/aggregation.hpp"
#include "core/json.hpp"
#include "core/text.hpp"

namespace oddjob::api {
namespace {

std::optional<net::ServerResponse> ask(std::string path, std::string method = "GET") {
  net::ServerRequest request;
  request.method = std::move(method);
  request.path = std::move(path);
  return discovery(request);
}

json::value body_of(const std::string& path) {
  const auto answer = ask(path);
  EXPECT_TRUE(answer) << path;
  if (!answer) return {};
  EXPECT_EQ(answer->status, 200) << path;
  return parse_json(answer->body, path).value();
}

TEST(Discovery, AnswersWhatKubernetesAsks) {
  EXPECT_EQ(get_string(body_of("/apis"), {"kind"}), "APIGroupList");
  EXPECT_EQ(get_string(body_of("/apis/run.oddjob.dev"), {"kind"}), "APIGroup");
  EXPECT_EQ(get_string(body_of("/apis/run.oddjob.dev/"), {"preferredVersion", "version"}), "v1alpha1");
  const auto list = body_of("/apis/run.oddjob.dev/v1alpha1");
  EXPECT_EQ(get_string(list, {"kind"}), "APIResourceList");
  EXPECT_EQ(get_string(list, {"groupVersion"}), "run.oddjob.dev/v1alpha1");
  EXPECT_TRUE(ask("/livez"));
  EXPECT_TRUE(ask("/openapi/v3"));
  for (const auto* path :
       {"/", "/api/v1/runs", "/apis/apps/v1", "/openapi/v2", "/apis/run.oddjob.dev/v1alpha1/runs"})
    EXPECT_FALSE(ask(path)) << path;
  EXPECT_FALSE(ask("/apis", "POST"));
}

// "runs/log" of a path below the root, as the API server takes it apart.
std::string resource_of(const std::string& aggregated) {
  auto parts = split(aggregated.substr(kAggregatedRoot.size() + 1), '/');
  if (parts.size() > 2 && parts[0] == "namespaces") parts.erase(parts.begin(), parts.begin() + 2);
  return parts.size() > 2 ? parts[0] + "/" + parts[2] : parts[0];
}

TEST(Discovery, EveryRouteIsAResourceThatTheRoleGrants) {
  std::set<std::string> found;
  const auto list = body_of("/apis/run.oddjob.dev/v1alpha1");
  for (const auto& r : list.at("resources").as_array()) {
    found.emplace(get_string(r, {"name"}));
    for (const auto& verb : r.at("verbs").as_array())
      EXPECT_TRUE(verb == "create" || verb == "get") << "controllers take what can be listed for objects";
  }
  std::ifstream chart(ODDJOB_SOURCE_DIR "/deploy/helm/oddjob/templates/apiservice.yaml");
  std::stringstream text;
  text << chart.rdbuf();
  std::set<std::string> granted;
  for (const auto& line : split(text.str(), '\n'))
    if (const auto at = line.find("resources: ["); at != std::string::npos)
      for (const auto& name : split(line.substr(at + 12, line.find(']') - at - 12), ','))
        granted.emplace(trim(name));

  std::set<std::string> used;
  for (const auto& route : routes()) {
    if (!route.pattern.starts_with("/api/v1/") || route.pattern == "/api/v1/openapi.json") continue;
    if (route.pattern == "/api/v1/login") continue;  // who comes by way of the API server is known already
    used.insert(resource_of(to_aggregated(route.pattern)));
  }
  EXPECT_EQ(found, used);
  EXPECT_EQ(granted, used);
}

}  // namespace
}  // namespace oddjob::api
