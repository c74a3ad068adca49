// Which container runs the command, and what becomes of the others.
#include "support.hpp"

namespace oddjob::render::test {
namespace {

constexpr std::string_view kTwo =
    "containers: [{name: app, image: a}, {name: proxy, image: p, ports: [{containerPort: 1}]}]";

TEST(ChooseContainer, TheOnlyOne) { EXPECT_EQ(Asked().must().container, "app"); }

TEST(ChooseContainer, RequestBeforePolicyBeforeKubectlsAnnotation) {
  Asked s(deployment(kTwo, "annotations: {kubectl.kubernetes.io/default-container: proxy}"));
  EXPECT_EQ(s.must().container, "proxy");
  s.policy.container = "app";
  EXPECT_EQ(s.must().container, "app");
  s.request.container = "proxy";
  EXPECT_EQ(s.must().container, "proxy");
  EXPECT_EQ(*choose_container(s.workload, s.request, s.policy), "proxy");
}

TEST(ChooseContainer, SeveralAndNoneNamedIsAnErrorThatListsThem) {
  const Asked s{deployment(kTwo)};
  const auto r = s.run();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "render.container_ambiguous");
  EXPECT_PRED2(has, r.error().message, "deploy/api");
  EXPECT_PRED2(has, r.error().message, "\"app\" and \"proxy\"");
  EXPECT_PRED2(has, r.error().hint, "--container");
}

TEST(ChooseContainer, AnUnknownNameIsAnErrorWhoeverNamesIt) {
  Asked s;
  s.policy.container = "nope";
  EXPECT_EQ(s.code(), "render.container_unknown");
  s.policy.container.reset();
  s.request.container = "nope";
  EXPECT_EQ(s.code(), "render.container_unknown");
  EXPECT_EQ(Asked(deployment("{}", "annotations: {kubectl.kubernetes.io/default-container: nope}")).code(),
            "render.container_unknown");
}

TEST(ChooseContainer, AnInitContainerIsNoChoice) {
  Asked s(deployment("initContainers: [{name: migrate, image: x}]"));
  s.request.container = "migrate";
  EXPECT_EQ(s.code(), "render.container_unknown");
}

TEST(ChooseContainer, NoContainersAtAll) {
  EXPECT_EQ(Asked(deployment("containers: []")).code(), "render.no_containers");
  EXPECT_EQ(Asked(deployment("containers: null")).code(), "render.no_containers");
}

TEST(ChooseContainer, TwoOfOneNameIsAnError) {
  EXPECT_EQ(Asked(deployment("containers: [{name: app, image: a}, {name: app, image: b}]")).code(),
            "render.malformed");
}

Asked two(SidecarMode mode) {
  Asked s{deployment(kTwo)};
  s.request.container = "app";
  s.request.sidecars = mode;
  return s;
}

TEST(Sidecars, AreDroppedByDefault) {
  Asked s = two(SidecarMode::drop);
  s.request.sidecars.reset();
  const Rendered r = s.must();
  EXPECT_EQ(pod_of(r).at("containers").as_array().size(), 1U);
  EXPECT_EQ(change_at(r, "spec.template.spec.containers[1]")->action, "removed");
}

TEST(Sidecars, TheRequestGoesBeforeThePolicy) {
  Asked s = two(SidecarMode::keep);
  s.policy.sidecars = SidecarMode::drop;
  EXPECT_EQ(pod_of(s.must()).at("containers").as_array().size(), 2U);
  s.request.sidecars.reset();
  EXPECT_EQ(pod_of(s.must()).at("containers").as_array().size(), 1U);
}

TEST(Sidecars, NativeOnesStartBeforeTheCommandAndAfterTheInitContainers) {
  Asked s = two(SidecarMode::native);
  find(s.workload, {"spec", "template", "spec"})->as_object()["initContainers"] =
      yaml("[{name: migrate, image: m}]");
  const Rendered r = s.must();
  EXPECT_EQ(pod_of(r).at("initContainers"),
            yaml("[{name: migrate, image: m}, {name: proxy, image: p, restartPolicy: Always}]"));
  EXPECT_EQ(at(pod_of(r), "containers.0.name"), json::value("app"));
}

TEST(Sidecars, NativeNeedsAServerThatKnowsThem) {
  Asked s = two(SidecarMode::native);
  s.facts.minor = 28;
  const auto r = s.run();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "render.native_sidecars_unsupported");
  EXPECT_PRED2(has, r.error().message, "1.28");
  s.facts.minor = 29;
  EXPECT_EQ(s.code(), "ok");
}

TEST(Sidecars, KeptOnesAreStillNoServiceAndTheRunSaysWhenItEnds) {
  const Rendered r = two(SidecarMode::keep).must();
  EXPECT_EQ(at(pod_of(r), "containers.1"), yaml("{name: proxy, image: p}"));
  EXPECT_TRUE(warns(r, "the run ends when container \"app\" does"));
  EXPECT_EQ(at(r.job, "spec.template.metadata.annotations").at("kubectl.kubernetes.io/default-container"),
            json::value("app"));
}

TEST(Sidecars, ThoseThatAreNativeAlreadyFollowTheMode) {
  Asked s(example("04-flux-init-chain.yaml"));
  s.request.sidecars = SidecarMode::drop;
  EXPECT_EQ(pod_of(s.must()).at("initContainers").as_array().size(), 2U);
  EXPECT_NE(change_at(s.must(), "spec.template.spec.initContainers[1]"), nullptr);
  for (const SidecarMode mode : {SidecarMode::native, SidecarMode::keep}) {
    s.request.sidecars = mode;
    const Rendered r = s.must();
    EXPECT_EQ(at(pod_of(r), "initContainers.1.restartPolicy"), json::value("Always"));
    EXPECT_EQ(change_at(r, "spec.template.spec.initContainers[1]")->action, "kept");
    EXPECT_TRUE(warns(r, "startup probe"));
  }
}

TEST(InitContainers, RunUnlessSkippedAndNativeSidecarsAreNoneOfThem) {
  Asked s(example("04-flux-init-chain.yaml"));
  s.request.sidecars = SidecarMode::keep;
  s.policy.init_containers = InitMode::skip;
  const json::value pod = pod_of(s.must());
  ASSERT_EQ(pod.at("initContainers").as_array().size(), 1U);
  EXPECT_EQ(at(pod, "initContainers.0.name"), json::value("vault-env"));
  s.request.init_containers = InitMode::run;
  EXPECT_EQ(pod_of(s.must()).at("initContainers").as_array().size(), 3U);
}

TEST(References, ToADroppedContainerOrALostLabelAreSaid) {
  Asked s(deployment(R"(
containers:
  - name: app
    image: a
    env:
      - {name: HASH, valueFrom: {fieldRef: {fieldPath: "metadata.labels['pod-template-hash']"}}}
      - {name: SUM, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['checksum/config']"}}}
      - {name: CPU, valueFrom: {resourceFieldRef: {containerName: proxy, resource: limits.cpu}}}
      - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  - {name: proxy, image: p}
volumes:
  - {name: info, projected: {sources: [{downwardAPI: {items: [{path: app, fieldRef: {fieldPath: "metadata.labels['app']"}}]}}]}}
)",
                     "annotations: {checksum/config: abc}"));
  s.request.container = "app";
  const Rendered r = s.must();
  EXPECT_TRUE(warns(r, "variable HASH of container \"app\" reads metadata.labels['pod-template-hash']"));
  EXPECT_TRUE(warns(r, "variable SUM"));
  EXPECT_TRUE(warns(r, "variable CPU of container \"app\" reads resources of container \"proxy\""));
  EXPECT_TRUE(warns(r, "volume \"info\" reads metadata.labels['app']"));
  EXPECT_FALSE(warns(r, "NODE"));
  s.policy.keep_labels = {"app"};
  EXPECT_FALSE(warns(s.must(), "volume \"info\""));
}

}  // namespace
}  // namespace oddjob::render::test
