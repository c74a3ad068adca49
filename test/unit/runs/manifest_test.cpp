// The Job in the cluster against the one that was recorded.
#include "runs/manifest.hpp"

#include <gtest/gtest.h>

namespace oddjob::runs {
namespace {

json::value recorded() {
  return json::parse(
      R"({"metadata": {"labels": {"oddjob.dev/run-id": "r"}, "annotations": {"oddjob.dev/digest": "d"}},
    "spec": {"suspend": true, "backoffLimit": 0, "template": {"spec": {"hostNetwork": false, "volumes": [],
      "containers": [{"name": "main", "image": "a@sha256:1", "command": ["rake", "x"],
        "env": [{"name": "SECRET"}, {"name": "EMPTY", "value": ""}],
        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}]}}}})");
}
// As an API server gives it back.
json::value live() {
  return json::parse(R"({"metadata": {"uid": "u", "labels": {"oddjob.dev/run-id": "r", "job-name": "j"},
    "annotations": {"oddjob.dev/digest": "d", "batch.kubernetes.io/job-tracking": ""}},
    "spec": {"suspend": true, "backoffLimit": 0, "completionMode": "NonIndexed", "selector": {},
      "template": {"spec": {"dnsPolicy": "ClusterFirst",
        "containers": [{"name": "main", "image": "a@sha256:1", "command": ["rake", "x"],
          "env": [{"name": "SECRET", "value": "s3cr3t"}, {"name": "EMPTY"}],
          "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "imagePullPolicy": "IfNotPresent"}]}}},
    "status": {}})");
}

TEST(DifferencesOf, WhatTheApiServerDoesIsNone) {
  EXPECT_EQ(differences_of(recorded(), live()), std::vector<std::string>{});
  auto released = live();
  ensure(released, {"spec", "suspend"}) = false;
  EXPECT_EQ(differences_of(recorded(), released), std::vector<std::string>{});
}

TEST(DifferencesOf, NamesWhatSomebodyChanged) {
  struct Row {
    const char* path;
    std::function<void(json::value&)> edit;
  };
  const auto container = [](json::value& v) -> json::object& {
    return ensure(v, {"spec", "template", "spec", "containers"}).as_array()[0].as_object();
  };
  for (const auto& row : std::vector<Row>{
           {"metadata.labels.oddjob.dev/run-id",
            [](auto& v) {
              ensure(v, {"metadata", "labels", "oddjob.dev/run-id"}) = "q";
            }},
           {"metadata.annotations.oddjob.dev/digest",
            [](auto& v) {
              erase(v, {"metadata", "annotations", "oddjob.dev/digest"});
            }},
           {"spec.backoffLimit",
            [](auto& v) {
              ensure(v, {"spec", "backoffLimit"}) = 6;
            }},
           {"spec.template.spec.hostNetwork",
            [](auto& v) {
              ensure(v, {"spec", "template", "spec", "hostNetwork"}) = true;
            }},
           {"spec.template.spec.containers[0].image", [&](auto& v) { container(v)["image"] = "b@sha256:2"; }},
           {"spec.template.spec.containers[0].command",
            [&](auto& v) { container(v)["command"] = json::array{"rake"}; }},
           {"spec.template.spec.containers[0].command[1]",
            [&](auto& v) {
              container(v)["command"] = json::array{"rake", "y"};
            }},
           {"spec.template.spec.containers[0].env",
            [&](auto& v) {
              container(v)["env"].as_array().push_back(json::object{{"name", "LD_PRELOAD"}});
            }},
           {"spec.template.spec.containers[0].resources.limits.cpu",
            [&](auto& v) {
              container(v)["resources"] = json::parse(R"({"limits":{"cpu":"2","memory":"1Gi"}})");
            }},
           {"spec.template.spec.containers",
            [](auto& v) {
              ensure(v, {"spec", "template", "spec", "containers"}).as_array().push_back(json::object{});
            }},
           {"spec.template.spec.volumes",
            [](auto& v) {
              ensure(v, {"spec", "template", "spec", "volumes"}) = json::array{json::object{{"name", "x"}}};
            }},
       }) {
    auto changed = live();
    row.edit(changed);
    EXPECT_EQ(differences_of(recorded(), changed), std::vector<std::string>{row.path});
  }
}

}  // namespace
}  // namespace oddjob::runs
