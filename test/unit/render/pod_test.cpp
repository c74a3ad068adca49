// The pod as a whole: what is dropped, what stays.
#include "support.hpp"

namespace oddjob::render::test {
namespace {

struct FieldCase {
  const char* name;
  const char* field;  // of the pod's spec
};

class RemovedFromPod : public testing::TestWithParam<FieldCase> {};

TEST_P(RemovedFromPod, AndReportedWithAReason) {
  const json::value field = yaml(GetParam().field);
  const std::string key(field.as_object().begin()->key());
  const Rendered r = Asked(deployment(GetParam().field)).must();
  EXPECT_FALSE(pod_of(r).as_object().contains(key));
  const Change* change = change_at(r, "spec.template.spec." + key);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->action, "removed");
  EXPECT_FALSE(change->reason.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, RemovedFromPod,
    testing::Values(FieldCase{"NodeName", "nodeName: n1"}, FieldCase{"Hostname", "hostname: db-0"},
                    FieldCase{"Subdomain", "subdomain: db"}, FieldCase{"Fqdn", "setHostnameAsFQDN: true"},
                    FieldCase{"HostnameOverride", "hostnameOverride: x"},
                    FieldCase{"ReadinessGates", "readinessGates: [{conditionType: a/b}]"},
                    FieldCase{"SchedulingGates", "schedulingGates: [{name: a/b}]"},
                    FieldCase{"SchedulingGroup", "schedulingGroup: {podGroupName: g}"},
                    FieldCase{"WorkloadRef", "workloadRef: {name: w}"},
                    FieldCase{"Deadline", "activeDeadlineSeconds: 5"},
                    FieldCase{"Ephemeral", "ephemeralContainers: [{name: debug, image: x}]"},
                    FieldCase{"HostNetwork", "hostNetwork: true"}, FieldCase{"HostPid", "hostPID: true"},
                    FieldCase{"HostIpc", "hostIPC: true"}),
    [](const auto& test) { return test.param.name; });

class KeptInPod : public testing::TestWithParam<FieldCase> {};

TEST_P(KeptInPod, AsItIs) {
  const json::value field = yaml(GetParam().field);
  const std::string key(field.as_object().begin()->key());
  EXPECT_EQ(pod_of(Asked(deployment(GetParam().field)).must()).at(key), field.as_object().begin()->value());
}

INSTANTIATE_TEST_SUITE_P(
    All, KeptInPod,
    testing::Values(FieldCase{"PullSecrets", "imagePullSecrets: [{name: r}]"},
                    FieldCase{"ServiceAccount", "serviceAccountName: api"},
                    FieldCase{"Automount", "automountServiceAccountToken: false"},
                    FieldCase{"Security", "securityContext: {runAsNonRoot: true, fsGroup: 1}"},
                    FieldCase{"NodeSelector", "nodeSelector: {disk: ssd}"},
                    FieldCase{"Tolerations", "tolerations: [{operator: Exists}]"},
                    FieldCase{"Priority", "priorityClassName: high"},
                    FieldCase{"Runtime", "runtimeClassName: kata"},
                    FieldCase{"Dns", "dnsConfig: {options: [{name: ndots, value: '2'}]}"},
                    FieldCase{"HostAliases", "hostAliases: [{ip: 10.0.0.1, hostnames: [x]}]"},
                    FieldCase{"Grace", "terminationGracePeriodSeconds: 5"},
                    FieldCase{"Claims", "resourceClaims: [{name: gpu, resourceClaimTemplateName: t}]"},
                    FieldCase{"Volumes",
                              "volumes: [{name: a, emptyDir: {}}, {name: b, secret: {secretName: s}}]"},
                    FieldCase{"Unknown", "somethingNew: {of: tomorrow}"}),
    [](const auto& test) { return test.param.name; });

TEST(Pod, SharesTheHostOnlyIfThePolicySaysSo) {
  Asked s(example("06-host-network.yaml"));
  EXPECT_FALSE(pod_of(s.must()).as_object().contains("hostNetwork"));
  s.policy.allow_host_network = true;
  const Rendered r = s.must();
  for (const char* key : {"hostNetwork", "hostPID", "hostIPC"}) {
    EXPECT_EQ(pod_of(r).at(key), json::value(true));
    EXPECT_EQ(change_at(r, std::string("spec.template.spec.") + key)->action, "kept");
  }
  EXPECT_FALSE(main_of(r).as_object().contains("ports"));
}

TEST(Pod, NeverRestarts) {
  for (const char* written :
       {"{}", "restartPolicy: Always", "restartPolicy: OnFailure", "restartPolicy: Never"}) {
    EXPECT_EQ(pod_of(Asked(deployment(written)).must()).at("restartPolicy"), json::value("Never")) << written;
  }
}

TEST(Pod, ADaemonSetsRunSaysThatItHasOnePod) {
  EXPECT_TRUE(warns(Asked(example("06-host-network.yaml")).must(), "one pod"));
}

struct TermCase {
  const char* name;
  const char* selector;  // YAML of what follows labelSelector
  bool removed;
};
class OwnTerms : public testing::TestWithParam<TermCase> {};

// The pods have labels app=api, tier=web.
Asked with_terms(const std::string& rest) {
  Asked s(deployment(
      "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: h, " +
          rest + "}]}}\ntopologySpreadConstraints: [{maxSkew: 1, topologyKey: h, " + rest + "}]",
      "labels: {tier: web}"));
  return s;
}

TEST_P(OwnTerms, GoWhereTheySelectTheWorkload) {
  const Rendered r = with_terms(GetParam().selector).must();
  EXPECT_EQ(!pod_of(r).as_object().contains("affinity"), GetParam().removed);
  EXPECT_EQ(!pod_of(r).as_object().contains("topologySpreadConstraints"), GetParam().removed);
  EXPECT_EQ(change_at(r, "spec.template.spec.topologySpreadConstraints[0]") != nullptr, GetParam().removed);
  EXPECT_EQ(change_at(r,
                      "spec.template.spec.affinity.podAntiAffinity."
                      "requiredDuringSchedulingIgnoredDuringExecution[0]") != nullptr,
            GetParam().removed);
}

INSTANTIATE_TEST_SUITE_P(
    All, OwnTerms,
    testing::Values(
        TermCase{"Equal", "labelSelector: {matchLabels: {app: api}}", true},
        TermCase{"Other", "labelSelector: {matchLabels: {app: cache}}", false},
        TermCase{"Both", "labelSelector: {matchLabels: {app: api, tier: web}}", true},
        TermCase{"More", "labelSelector: {matchLabels: {app: api, zone: a}}", false},
        TermCase{"In", "labelSelector: {matchExpressions: [{key: app, operator: In, values: [x, api]}]}",
                 true},
        TermCase{"NotIn", "labelSelector: {matchExpressions: [{key: app, operator: NotIn, values: [api]}]}",
                 false},
        TermCase{"NotInOther", "labelSelector: {matchExpressions: [{key: no, operator: NotIn, values: [x]}]}",
                 true},
        TermCase{"Exists", "labelSelector: {matchExpressions: [{key: tier, operator: Exists}]}", true},
        TermCase{"Absent", "labelSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}", false},
        TermCase{"Nonsense", "labelSelector: {matchExpressions: [{key: tier, operator: Like}]}", false},
        TermCase{"Empty", "labelSelector: {}", true}, TermCase{"None", "minDomains: 1", false}),
    [](const auto& test) { return test.param.name; });

TEST(Scheduling, OnlyTheTermsOfOtherNamespacesAndOtherPodsStay) {
  const Rendered r = Asked(example("14-spread-and-affinity.yaml")).must();
  const json::value pod = pod_of(r);
  EXPECT_EQ(at(pod, "topologySpreadConstraints.0.labelSelector.matchLabels.app"), json::value("cache"));
  EXPECT_EQ(at(pod, "topologySpreadConstraints.1"), json::value());
  EXPECT_EQ(at(pod, "affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution").as_array().size(),
            1U);
  EXPECT_EQ(at(pod, "affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution").as_array().size(),
            1U);
  EXPECT_EQ(at(pod, "affinity.podAntiAffinity"), json::value());
}

TEST(Scheduling, NodeAffinityStays) {
  const json::value pod = pod_of(Asked(example("02-helm-web.yaml")).must());
  EXPECT_TRUE(at(pod, "affinity.nodeAffinity").is_object());
  EXPECT_EQ(at(pod, "affinity").as_object().size(), 1U);
}

TEST(ClaimTemplates, OfAStatefulSetAreNotMountedAndNamed) {
  const Rendered r = Asked(example("07-statefulset.yaml")).must();
  EXPECT_EQ(main_of(r).at("volumeMounts"), yaml("[{name: conf, mountPath: /etc/postgresql}]"));
  EXPECT_FALSE(main_of(r).as_object().contains("volumeDevices"));
  EXPECT_EQ(pod_of(r).at("volumes"), yaml("[{name: conf, configMap: {name: db}}]"));
  EXPECT_TRUE(warns(r, "\"data\" and \"wal\""));
  EXPECT_NE(change_at(r, "spec.template.spec.containers[0].volumeMounts[/var/lib/postgresql/data]"), nullptr);
}

json::value claim(std::string_view name, std::string_view mode) {
  return yaml("{metadata: {name: " + std::string(name) + "}, spec: {accessModes: [" + std::string(mode) +
              "]}}");
}

Asked media(Policy::RwoVolumes mode) {
  Asked s(example("05-volumes.yaml"));
  s.policy.rwo_volumes = mode;
  s.facts.volume_claims = {claim("media-originals", "ReadWriteOnce"), claim("media-shared", "ReadWriteMany")};
  return s;
}

TEST(ReadWriteOnce, IsWarnedAboutAndLeft) {
  const Asked s = media(Policy::RwoVolumes::warn);
  const Rendered r = s.must();
  EXPECT_TRUE(warns(r, "volume \"originals\": claim \"media-originals\" is ReadWriteOnce"));
  EXPECT_FALSE(warns(r, "media-shared"));
  EXPECT_EQ(pod_of(r).at("volumes"), at(s.workload, "spec.template.spec.volumes"));
}

TEST(ReadWriteOnce, CanBeDropped) {
  const Rendered r = media(Policy::RwoVolumes::drop).must();
  EXPECT_EQ(at(pod_of(r), "volumes.0.name"), json::value("shared"));
  EXPECT_EQ(at(main_of(r), "volumeMounts.0.name"), json::value("shared"));
  EXPECT_NE(change_at(r, "spec.template.spec.volumes[originals]"), nullptr);
}

TEST(ReadWriteOnce, CanBeMountedReadOnly) {
  const Rendered r = media(Policy::RwoVolumes::read_only).must();
  EXPECT_EQ(at(pod_of(r), "volumes.0.persistentVolumeClaim.readOnly"), json::value(true));
  EXPECT_EQ(at(main_of(r), "volumeMounts.0.readOnly"), json::value(true));
  EXPECT_EQ(at(main_of(r), "volumeMounts.1.readOnly"), json::value());
}

TEST(ReadWriteOnce, AClaimThatIsNotKnownIsTakenForOne) {
  Asked s = media(Policy::RwoVolumes::drop);
  s.facts.volume_claims.clear();
  const Rendered r = s.must();
  EXPECT_EQ(at(pod_of(r), "volumes.0.name"), json::value("token"));
  s.policy.rwo_volumes = Policy::RwoVolumes::warn;
  EXPECT_TRUE(warns(s.must(), "not known"));
  s.facts.volume_claims_problem = "persistentvolumeclaims is forbidden";
  EXPECT_TRUE(warns(s.must(), "not known here (persistentvolumeclaims is forbidden)"));
}

struct ModeCase {
  const char* modes;
  const char* warning;  // nullptr: none
};

TEST(ReadWriteOnce, EachAccessModeSaysWhatItMeans) {
  for (const auto& [modes, warning] :
       {ModeCase{"ReadWriteOncePod", "can't start while"}, ModeCase{"ReadOnlyMany", nullptr},
        ModeCase{"ReadWriteOnce, ReadWriteMany", nullptr},
        ModeCase{"ReadWriteOnce, ReadOnlyMany", "ReadWriteOnce"}, ModeCase{"", "not known"}}) {
    Asked s = media(Policy::RwoVolumes::warn);
    s.facts.volume_claims[0] = claim("media-originals", modes);
    const Rendered r = s.must();
    if (warning == nullptr) {
      EXPECT_FALSE(warns(r, "media-originals")) << modes;
    } else {
      EXPECT_TRUE(warns(r, warning)) << modes;
    }
  }
}

}  // namespace
}  // namespace oddjob::render::test
