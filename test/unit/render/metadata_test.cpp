// Labels and annotations: nothing that belongs to the workload may take the
// run's pod for its own.
#include "core/text.hpp"
#include "support.hpp"

namespace oddjob::render::test {
namespace {

json::value labels_of(const Rendered& r) { return at(r.job, "spec.template.metadata.labels"); }
json::value annotations_of(const Rendered& r) { return at(r.job, "spec.template.metadata.annotations"); }

TEST(Labels, AreOddJobsOwn) {
  const Rendered r = Asked().must();
  EXPECT_EQ(labels_of(r),
            yaml(R"({app.kubernetes.io/managed-by: oddjob, oddjob.dev/run-id: aaaabbbbccccddddeee7,
                                   oddjob.dev/workload: deploy.api, sidecar.istio.io/inject: "false"})"));
  EXPECT_EQ(at(r.job, "metadata.labels"), yaml(R"({app.kubernetes.io/managed-by: oddjob,
                                   oddjob.dev/run-id: aaaabbbbccccddddeee7, oddjob.dev/workload: deploy.api})"));
  EXPECT_EQ(change_at(r, "spec.template.metadata.labels.app")->action, "removed");
}

TEST(Labels, ThePolicyCanKeepSomeOnPodAndJob) {
  Asked s(deployment("{}", "labels: {team: pay, tier: web}"));
  s.policy.keep_labels = {"team", "absent"};
  const Rendered r = s.must();
  EXPECT_EQ(labels_of(r).at("team"), json::value("pay"));
  EXPECT_EQ(at(r.job, "metadata.labels.team"), json::value("pay"));
  EXPECT_FALSE(labels_of(r).as_object().contains("tier"));
  EXPECT_EQ(change_at(r, "spec.template.metadata.labels.team")->action, "kept");
  EXPECT_TRUE(warns(r, "\"absent\""));
}

TEST(Labels, OfControllersAreNeverKept) {
  for (const char* key :
       {"pod-template-hash", "job-name", "controller-uid", "batch.kubernetes.io/job-name",
        "app.kubernetes.io/managed-by", "oddjob.dev/run-id", "statefulset.kubernetes.io/pod-name"}) {
    Asked s(deployment("{}", "labels: {" + std::string(key) + ": theirs}"));
    s.policy.keep_labels = {key};
    const Rendered r = s.must();
    const json::value labels = labels_of(r);
    const json::value* left = labels.as_object().if_contains(key);
    EXPECT_TRUE(left == nullptr || *left != json::value("theirs")) << key;
    EXPECT_TRUE(warns(r, key)) << key;
  }
}

struct AnnotationCase {
  const char* key;
  bool kept;
};
class PodAnnotation : public testing::TestWithParam<AnnotationCase> {};

TEST_P(PodAnnotation, IsKeptOrDropped) {
  const auto& [key, kept] = GetParam();
  const Rendered r = Asked(deployment("{}", "annotations: {\"" + std::string(key) + "\": \"v\"}")).must();
  EXPECT_EQ(annotations_of(r).as_object().contains(key) && annotations_of(r).at(key) == json::value("v"),
            kept);
  const bool plain = std::string_view(key).find('/') == std::string_view::npos;
  const std::string path = "spec.template.metadata.annotations";
  const Change* change = change_at(r, plain ? path + "." + key : path + "[" + key + "]");
  if (kept) {
    EXPECT_EQ(change, nullptr);
  } else {
    ASSERT_NE(change, nullptr);
    EXPECT_FALSE(change->reason.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, PodAnnotation,
    testing::Values(
        AnnotationCase{"argocd.argoproj.io/sync-wave", false},
        AnnotationCase{"kustomize.toolkit.fluxcd.io/checksum", false},
        AnnotationCase{"reconcile.fluxcd.io/requestedAt", false},
        AnnotationCase{"meta.helm.sh/release-name", false}, AnnotationCase{"helm.sh/hook", false},
        AnnotationCase{"kubectl.kubernetes.io/last-applied-configuration", false},
        AnnotationCase{"kubectl.kubernetes.io/restartedAt", false},
        AnnotationCase{"deployment.kubernetes.io/revision", false}, AnnotationCase{"checksum/config", false},
        AnnotationCase{"rollme", false}, AnnotationCase{"oddjob.dev/allowed-teams", false},
        AnnotationCase{"prometheus.io/scrape", false}, AnnotationCase{"sidecar.istio.io/proxyCPU", false},
        AnnotationCase{"istio.io/rev", false}, AnnotationCase{"config.linkerd.io/proxy-cpu-limit", false},
        AnnotationCase{"ad.datadoghq.com/app.logs", true}, AnnotationCase{"example.com/note", true},
        AnnotationCase{"k8s.v1.cni.cncf.io/networks", true}, AnnotationCase{"nothelm.sh/x", true},
        AnnotationCase{"container.apparmor.security.beta.kubernetes.io/app", true}));

TEST(ServiceMesh, IsTurnedOffForIstioAndLinkerdEvenIfOnlyTheNamespaceAsksForIt) {
  const Rendered r = Asked().must();
  EXPECT_EQ(labels_of(r).at("sidecar.istio.io/inject"), json::value("false"));
  EXPECT_EQ(annotations_of(r).at("sidecar.istio.io/inject"), json::value("false"));
  EXPECT_EQ(annotations_of(r).at("linkerd.io/inject"), json::value("disabled"));
  EXPECT_FALSE(annotations_of(r).as_object().contains("dapr.io/enabled"));
}

TEST(ServiceMesh, OthersAreTurnedOffWhereTheWorkloadUsesThem) {
  const Rendered r = Asked(example("09-istio.yaml")).must();
  EXPECT_EQ(labels_of(r).at("kuma.io/sidecar-injection"), json::value("disabled"));
  EXPECT_EQ(annotations_of(r).at("dapr.io/enabled"), json::value("false"));
  EXPECT_FALSE(annotations_of(r).as_object().contains("dapr.io/app-id"));
  EXPECT_FALSE(labels_of(r).as_object().contains("istio.io/rev"));
}

TEST(ServiceMesh, StaysIfThePolicyKeepsIt) {
  Asked s(example("09-istio.yaml"));
  s.policy.keep_mesh = true;
  const Rendered r = s.must();
  EXPECT_EQ(labels_of(r).at("sidecar.istio.io/inject"), json::value("true"));
  EXPECT_EQ(labels_of(r).at("istio.io/rev"), json::value("stable"));
  EXPECT_EQ(annotations_of(r).at("linkerd.io/inject"), json::value("enabled"));
  EXPECT_FALSE(labels_of(r).as_object().contains("app"));
  EXPECT_TRUE(warns(r, "service-mesh"));
}

TEST(Vault, ItsAgentFillsInSecretsAndEnds) {
  Asked s(example("09-istio.yaml"));
  constexpr const char* kOnly = "vault.hashicorp.com/agent-pre-populate-only";
  EXPECT_EQ(annotations_of(s.must()).at(kOnly), json::value("true"));
  EXPECT_EQ(annotations_of(s.must()).at("vault.hashicorp.com/role"), json::value("checkout"));
  s.request.sidecars = SidecarMode::keep;
  EXPECT_FALSE(annotations_of(s.must()).as_object().contains(kOnly));
}

TEST(Metadata, OfTheTemplateIsOnlyLabelsAndAnnotations) {
  const Rendered r = Asked(example("15-kitchen-sink.yaml")).must();
  EXPECT_EQ(at(r.job, "spec.template.metadata").as_object().size(), 2U);
  EXPECT_NE(change_at(r, "spec.template.metadata.finalizers"), nullptr);
  EXPECT_FALSE(at(r.job, "metadata").as_object().contains("ownerReferences"));
}

TEST(Metadata, RequesterReasonAndCommandStandInAnnotationsNeverInLabels) {
  Asked s;
  s.identity.requester = "Zoë Ångström <zoe@example.com>";
  s.identity.reason = "Belege für 支払い prüfen: \"sofort\"";
  s.request.command = {"sh", "-c", "echo 'é' | tr a b"};
  const Rendered r = s.must();
  const json::value a = at(r.job, "metadata.annotations");
  EXPECT_EQ(a.at("oddjob.dev/requester"), json::value(s.identity.requester));
  EXPECT_EQ(a.at("oddjob.dev/reason"), json::value(s.identity.reason));
  EXPECT_EQ(a.at("oddjob.dev/command"), json::value(R"(["sh","-c","echo 'é' | tr a b"])"));
  EXPECT_EQ(a.at("oddjob.dev/workload-ref"), json::value("deploy/api"));
  EXPECT_EQ(a.at("oddjob.dev/main-container"), json::value("app"));
  EXPECT_EQ(annotations_of(r).at("oddjob.dev/main-container"), json::value("app"));
  for (const json::value& where : {labels_of(r), at(r.job, "metadata.labels")}) {
    for (const auto& pair : where.as_object())
      EXPECT_TRUE(is_label_value(sv(pair.value().as_string()))) << pair.key();
  }
}

TEST(Metadata, ACommandTooLongForAnAnnotationStandsInThePodOnly) {
  Asked s;
  s.request.command = {"echo",
                       std::string((std::size_t{128} << 10U) - 100, '\x01')};  // six bytes each in JSON
  const Rendered r = s.must();
  EXPECT_FALSE(at(r.job, "metadata.annotations").as_object().contains("oddjob.dev/command"));
  EXPECT_TRUE(warns(r, "too long for an annotation"));
  EXPECT_EQ(at(main_of(r), "command.1"), json::value(s.request.command[1]));
  s.request.command[1].assign((std::size_t{120} << 10U), '\n');
  EXPECT_TRUE(at(s.must().job, "metadata.annotations").as_object().contains("oddjob.dev/command"));
}

TEST(Metadata, AnnotationsOverTheApisLimitAreAnError) {
  Asked s(
      deployment("{}", "annotations: {example.com/big: " + std::string(std::size_t{256} << 10U, 'x') + "}"));
  EXPECT_EQ(s.code(), "render.annotations_too_large");
}

struct NameCase {
  const char* workload;
  const char* expected;
};

TEST(Name, IsALabelOfAtMost63CharactersThatEndsWell) {
  for (const auto& [workload, expected] :
       {NameCase{"api", "oj-api-ddddeee7"}, NameCase{"api.v2.example", "oj-api-v2-example-ddddeee7"},
        NameCase{"recommendation-engine-feature-extraction-worker-p-queue-large-a",
                 "oj-recommendation-engine-feature-extraction-worker-p-q-ddddeee7"},
        NameCase{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b.c",
                 "oj-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-ddddeee7"}}) {
    Asked s;
    s.workload.at("metadata").as_object()["name"] = workload;
    const Rendered r = s.must();
    EXPECT_EQ(r.job_name, expected);
    EXPECT_TRUE(is_dns_label(r.job_name)) << r.job_name;
    EXPECT_EQ(at(r.job, "metadata.name"), json::value(expected));
  }
}

TEST(Name, ALongOneGivesAWorkloadLabelThatEndsWell) {
  for (std::size_t dash = 40; dash < 63; ++dash) {
    std::string name(70, 'a');
    name[dash] = '.';
    Asked s;
    s.workload.at("metadata").as_object()["name"] = name;
    EXPECT_TRUE(is_label_value(sv(labels_of(s.must()).at("oddjob.dev/workload").as_string()))) << name;
    EXPECT_TRUE(is_dns_label(s.must().job_name));
  }
}

TEST(Name, ARunIdThatCanBeNoNameIsAnError) {
  for (const char* id : {"", "UPPER", "with space", "ends-", "a/b"}) {
    Asked s;
    s.identity.run_id = id;
    EXPECT_EQ(s.code(), "render.name") << id;
  }
}

}  // namespace
}  // namespace oddjob::render::test
