// Bad input: one clear error that names what and where, and never a crash.
#include "support.hpp"

namespace oddjob::render::test {
namespace {

struct BadCase {
  const char* name;
  const char* pod;   // YAML over the pod's spec
  const char* path;  // that the error names
};
class Malformed : public testing::TestWithParam<BadCase> {};

TEST_P(Malformed, YieldsOneErrorWithThePath) {
  const Asked s(deployment(GetParam().pod));
  const auto r = s.run();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "render.malformed");
  EXPECT_PRED2(has, r.error().message, GetParam().path);
  EXPECT_PRED2(has, r.error().message, "deploy/api");
  EXPECT_FALSE(pod_template(s.workload));
  EXPECT_FALSE(choose_container(s.workload, s.request, s.policy));
}

INSTANTIATE_TEST_SUITE_P(
    All, Malformed,
    testing::Values(
        BadCase{"ContainersString", "containers: app",
                "spec.template.spec.containers must be a list, but is a string"},
        BadCase{"ContainersObject", "containers: {a: 1}", "spec.template.spec.containers must be a list"},
        BadCase{"ContainerNull", "containers: [null]", "containers[0] must be an object, but is null"},
        BadCase{"ContainerNumber", "containers: [{name: a, image: x}, 7]", "containers[1] must be an object"},
        BadCase{"NoName", "containers: [{image: x}]", "containers[0].name is missing"},
        BadCase{"NameNumber", "containers: [{name: 7}]",
                "containers[0].name must be a string, but is a number"},
        BadCase{"ImageList", "containers: [{name: app, image: [x]}]", "containers[0].image must be a string"},
        BadCase{"EnvObject", "containers: [{name: app, image: x, env: {A: b}}]",
                "containers[0].env must be a list"},
        BadCase{"EnvNoName", "containers: [{name: app, image: x, env: [{value: b}]}]",
                "env[0].name is missing"},
        BadCase{"MountsText", "containers: [{name: app, image: x, volumeMounts: yes}]",
                "volumeMounts must be a list"},
        BadCase{"ResourcesText", "containers: [{name: app, image: x, resources: lots}]",
                "resources must be an object"},
        BadCase{"LimitsList", "containers: [{name: app, image: x, resources: {limits: []}}]",
                "limits must be an object"},
        BadCase{"InitText", "initContainers: x", "initContainers must be a list"},
        BadCase{"VolumesObject", "volumes: {}", "volumes must be a list"},
        BadCase{"ClaimText", "volumes: [{name: a, persistentVolumeClaim: c}]",
                "volumes[0].persistentVolumeClaim must be"},
        BadCase{"ClaimNoName", "volumes: [{name: a, persistentVolumeClaim: {}}]", "claimName is missing"},
        BadCase{"AffinityList", "affinity: []", "affinity must be an object"},
        BadCase{"TermsObject",
                "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {}}}",
                "requiredDuringSchedulingIgnoredDuringExecution must be a list"},
        BadCase{"TermText",
                "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [x]}}",
                "preferredDuringSchedulingIgnoredDuringExecution[0] must be an object"},
        BadCase{"SpreadText", "topologySpreadConstraints: [x]",
                "topologySpreadConstraints[0] must be an object"}),
    [](const auto& test) { return test.param.name; });

TEST(MalformedManifest, TheMainContainerNeedsAnImage) {
  const auto r = Asked(deployment("containers: [{name: app}]")).run();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "render.malformed");
  EXPECT_PRED2(has, r.error().message, "deploy/api: spec.template.spec.containers[0].image is missing");
}

TEST(MalformedMetadata, IsNamedToo) {
  for (const auto& [metadata, path] :
       {std::pair{"labels: [a]", "metadata.labels must be an object"},
        std::pair{"labels: {a: 1}", "metadata.labels.a must be"},
        std::pair{"annotations: {x/y: true}",
                  "metadata.annotations[x/y] must be a string, but is a boolean"}}) {
    const auto r = Asked(deployment("{}", metadata)).run();
    ASSERT_FALSE(r) << metadata;
    EXPECT_PRED2(has, r.error().message, path);
  }
}

TEST(MalformedCronJob, IsNamedByItsOwnPath) {
  const auto r =
      Asked(yaml("{apiVersion: batch/v1, kind: CronJob, metadata: {name: n}, spec: {jobTemplate: {spec: "
                 "{template: {spec: {containers: x}}}}}}"))
          .run();
  ASSERT_FALSE(r);
  EXPECT_PRED2(has, r.error().message, "cronjob/n: spec.jobTemplate.spec.template.spec.containers");
}

struct NotOneCase {
  const char* manifest;
  const char* code;
};

TEST(NotAWorkload, IsSaidSo) {
  for (const auto& [manifest, code] :
       {NotOneCase{"[]", "render.not_a_workload"}, NotOneCase{"text", "render.not_a_workload"},
        NotOneCase{"{}", "render.not_a_workload"},
        NotOneCase{"{kind: Pod, apiVersion: v1}", "render.not_a_workload"},
        NotOneCase{"{kind: [Deployment]}", "render.not_a_workload"},
        NotOneCase{"{kind: Job, apiVersion: batch/v1, metadata: {name: x}}", "render.not_a_workload"},
        NotOneCase{"{kind: Deployment, apiVersion: example.com/v1, metadata: {name: x}}",
                   "render.not_a_workload"},
        NotOneCase{"{kind: Deployment, apiVersion: apps/v1, metadata: {name: Not_A_Name}}",
                   "render.not_a_workload"},
        NotOneCase{"{kind: Deployment, apiVersion: apps/v1, metadata: {name: x}}", "render.malformed"},
        NotOneCase{"{kind: Deployment, apiVersion: apps/v1, metadata: {name: x}, spec: 3}",
                   "render.malformed"},
        NotOneCase{"{kind: Deployment, apiVersion: apps/v1, metadata: {name: x}, spec: {template: []}}",
                   "render.malformed"},
        NotOneCase{"{kind: Deployment, apiVersion: apps/v1, metadata: {name: x}, spec: {template: {}}}",
                   "render.malformed"}}) {
    EXPECT_EQ(Asked(yaml(manifest)).code(), code) << manifest;
  }
}

TEST(MalformedManifest, AnyPartReplacedByAnythingIsAnErrorOrAJobButNeverACrash) {
  const std::vector<json::value> odd{nullptr,
                                     true,
                                     7,
                                     -1.5,
                                     "x",
                                     json::array{},
                                     json::object{},
                                     json::array{nullptr, 1},
                                     json::object{{"name", json::array{}}}};
  for (const auto& file : example_files()) {
    const json::value whole = workload_in(file);
    // Walks to every place of the tree and puts every odd value there.
    std::vector<json::value*> places;
    json::value copy = whole;
    const auto collect = [&](auto&& self, json::value& v) -> void {
      places.push_back(&v);
      if (json::object* object = v.if_object()) {
        for (auto& pair : *object) self(self, pair.value());
      } else if (json::array* array = v.if_array()) {
        for (json::value& element : *array) self(self, element);
      }
    };
    collect(collect, copy);
    for (json::value* place : places) {
      const json::value before = *place;
      json::value keep = std::move(*place);
      for (const json::value& value : odd) {
        *place = value;
        Asked s(copy);
        s.policy.rwo_volumes = Policy::RwoVolumes::read_only;
        s.facts.services = {copy};
        s.facts.disruption_budgets = {copy};
        s.facts.volume_claims = {copy};
        const auto r = s.run();
        if (r) {
          EXPECT_FALSE(diff_text(copy, *r, true).empty());
        } else {
          EXPECT_FALSE(r.error().message.empty());
        }
      }
      *place = std::move(keep);
      EXPECT_EQ(*place, before);
    }
  }
}

TEST(BadRequest, IsRefusedHereToo) {
  Asked s;
  s.request.command.clear();
  EXPECT_EQ(s.code(), "request.command_empty");
  s.request.command = {"x"};
  s.request.cpu = "lots";
  EXPECT_NE(s.code(), "ok");
}

TEST(Nulls, AreAsAbsent) {
  Asked s(deployment("affinity: null\nvolumes: null\nhostNetwork: null\ninitContainers: null",
                     "annotations: null"));
  const Rendered r = s.must();
  EXPECT_EQ(r.digest, Asked().must().digest);
}

}  // namespace
}  // namespace oddjob::render::test
