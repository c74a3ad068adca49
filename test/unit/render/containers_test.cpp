// What a run's containers are: one command, no service.
#include "support.hpp"

namespace oddjob::render::test {
namespace {

TEST(Container, RunsTheCommandAndNotTheWorkloadsArguments) {
  Asked s;
  s.request.command = {"node", "backfill.js", "--dry run"};
  const Rendered r = s.must();
  EXPECT_EQ(main_of(r).at("command"), (json::array{"node", "backfill.js", "--dry run"}));
  EXPECT_FALSE(main_of(r).as_object().contains("args"));
  EXPECT_NE(change_at(r, "spec.template.spec.containers[0].args"), nullptr);
}

struct RemovedCase {
  const char* name;
  const char* field;  // of the container, YAML
};

class RemovedFromContainer : public testing::TestWithParam<RemovedCase> {};

TEST_P(RemovedFromContainer, AndReportedWithAReason) {
  const json::value field = yaml(GetParam().field);
  const std::string key(field.as_object().begin()->key());
  Asked s;
  json::value& app = find(s.workload, {"spec", "template", "spec", "containers"})->as_array()[0];
  app.as_object()[key] = field.as_object().begin()->value();
  const Rendered r = s.must();
  EXPECT_FALSE(main_of(r).as_object().contains(key));
  const Change* change = change_at(r, "spec.template.spec.containers[0]." + key);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->action, "removed");
  EXPECT_FALSE(change->reason.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, RemovedFromContainer,
    testing::Values(RemovedCase{"Liveness", "livenessProbe: {httpGet: {path: /, port: 80}}"},
                    RemovedCase{"Readiness", "readinessProbe: {exec: {command: [x]}}"},
                    RemovedCase{"Startup", "startupProbe: {tcpSocket: {port: 1}}"},
                    RemovedCase{"Lifecycle", "lifecycle: {preStop: {exec: {command: [sleep]}}}"},
                    RemovedCase{"Ports", "ports: [{containerPort: 80, hostPort: 80}]"},
                    RemovedCase{"Stdin", "stdin: true"}, RemovedCase{"StdinOnce", "stdinOnce: true"},
                    RemovedCase{"Tty", "tty: true"},
                    RemovedCase{"ResizePolicy",
                                "resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]"},
                    RemovedCase{"RestartPolicy", "restartPolicy: Always"},
                    RemovedCase{"RestartRules", "restartPolicyRules: [{action: Restart}]"}),
    [](const auto& test) { return test.param.name; });

struct KeptCase {
  const char* name;
  const char* field;
};
class KeptInContainer : public testing::TestWithParam<KeptCase> {};

TEST_P(KeptInContainer, AsItIs) {
  const json::value field = yaml(GetParam().field);
  const std::string key(field.as_object().begin()->key());
  Asked s;
  json::value& app = find(s.workload, {"spec", "template", "spec", "containers"})->as_array()[0];
  app.as_object()[key] = field.as_object().begin()->value();
  EXPECT_EQ(main_of(s.must()).at(key), field.as_object().begin()->value());
}

INSTANTIATE_TEST_SUITE_P(
    All, KeptInContainer,
    testing::Values(KeptCase{"Env", "env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]"},
                    KeptCase{"EnvFrom", "envFrom: [{configMapRef: {name: c}}]"},
                    KeptCase{"Security", "securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}"},
                    KeptCase{"Resources", "resources: {limits: {memory: 1Gi}, claims: [{name: gpu}]}"},
                    KeptCase{"WorkingDir", "workingDir: /app"},
                    KeptCase{"PullPolicy", "imagePullPolicy: Always"},
                    KeptCase{"Mounts", "volumeMounts: [{name: v, mountPath: /v, subPath: a}]"},
                    KeptCase{"Termination", "terminationMessagePolicy: FallbackToLogsOnError"}),
    [](const auto& test) { return test.param.name; });

TEST(Environment, ARunsVariableReplacesAllOfThatNameWhereTheFirstStood) {
  Asked s(example("15-kitchen-sink.yaml"));
  s.request.env = {{"A", "new"}, {"Z", "last"}};
  const Rendered r = s.must();
  EXPECT_EQ(main_of(r).at("env"),
            yaml("[{name: A, value: new}, {name: B, value: $(A)2}, {name: Z, value: last}]"));
  EXPECT_EQ(change_at(r, "spec.template.spec.containers[0].env[A]")->action, "replaced");
  EXPECT_EQ(change_at(r, "spec.template.spec.containers[0].env[Z]")->action, "set");
}

TEST(Environment, ASecretReferenceGivesWayWhole) {
  Asked s(example("01-plain.yaml"));
  s.request.env = {{"DATABASE_URL", "postgres://x"}};
  EXPECT_EQ(at(main_of(s.must()), "env.1"), yaml("{name: DATABASE_URL, value: 'postgres://x'}"));
}

struct DollarCase {
  const char* name;
  const char* typed;
  const char* written;
};
class Dollars : public testing::TestWithParam<DollarCase> {};

// The kubelet turns $(A) into A's value where A is set, and $$ into $.
TEST_P(Dollars, ReachTheProgramAsTyped) {
  Asked s(deployment("containers: [{name: app, image: x, env: [{name: A, value: '1'}]}]"));
  s.request.command = {"sh", "-c", GetParam().typed};
  s.request.env = {{"V", GetParam().typed}};
  const Rendered r = s.must();
  EXPECT_EQ(at(main_of(r), "command.2"), json::value(GetParam().written));
  EXPECT_EQ(at(main_of(r), "env.1.value"), json::value(GetParam().written));
  EXPECT_EQ(at(r.job, "metadata.annotations").at("oddjob.dev/command"),
            json::value(canonical_json(json::array{"sh", "-c", GetParam().typed})));
}

INSTANTIATE_TEST_SUITE_P(
    All, Dollars,
    testing::Values(DollarCase{"Shell", "echo $HOME ${HOME}", "echo $HOME ${HOME}"},
                    DollarCase{"Substitution", "for i in $(seq 1 3)", "for i in $(seq 1 3)"},
                    DollarCase{"Unset", "echo $(date)", "echo $(date)"},
                    DollarCase{"Set", "echo $(A)", "echo $$(A)"},
                    DollarCase{"OfTheRun", "echo $(V)", "echo $$(V)"},
                    DollarCase{"OfAService", "$(DB_SERVICE_HOST)", "$$(DB_SERVICE_HOST)"},
                    DollarCase{"ProcessId", "kill $$", "kill $$$"},
                    DollarCase{"Doubled", "a $$(A) $$$ b", "a $$$$(A) $$$$$ b"},
                    DollarCase{"Open", "$(A", "$(A"}, DollarCase{"Last", "x$", "x$"}),
    [](const auto& test) { return test.param.name; });

TEST(Dollars, AnyNameMayBeSetWhereAllOfAConfigMapIs) {
  Asked s(deployment("containers: [{name: app, image: x, envFrom: [{configMapRef: {name: c}}]}]"));
  s.request.command = {"echo", "$(date)", "$(seq 1 3)"};
  EXPECT_EQ(main_of(s.must()).at("command"), (json::array{"echo", "$$(date)", "$(seq 1 3)"}));
}

TEST(Resources, AskedForAreRequestAndLimit) {
  Asked s(
      deployment("containers: [{name: app, image: x, resources: {requests: {cpu: 1, nvidia.com/gpu: 1}}}]"));
  s.request.cpu = "500m";
  s.request.memory = "2Gi";
  EXPECT_EQ(
      main_of(s.must()).at("resources"),
      yaml("{requests: {cpu: 500m, nvidia.com/gpu: 1, memory: 2Gi}, limits: {cpu: 500m, memory: 2Gi}}"));
}

TEST(Resources, OfTheWholePodGiveWayToWhatWasAskedFor) {
  Asked s(example("13-gpu.yaml"));
  s.request.memory = "64Gi";
  EXPECT_EQ(pod_of(s.must()).at("resources"), yaml("{requests: {cpu: '8'}, limits: {cpu: '8'}}"));
}

struct ImageCase {
  const char* name;
  const char* image;
  std::vector<std::string> running;
  std::string expected;
  const char* warning;  // words, or nullptr for none
};
class Image : public testing::TestWithParam<ImageCase> {};

TEST_P(Image, IsTheOneThatRuns) {
  const ImageCase& p = GetParam();
  Asked s;
  find(s.workload, {"spec", "template", "spec", "containers"})->as_array()[0].as_object()["image"] = p.image;
  s.facts.running_image_ids = p.running;
  const Rendered r = s.must();
  EXPECT_EQ(r.image, p.expected);
  EXPECT_EQ(main_of(r).at("image"), json::value(p.expected));
  if (p.warning == nullptr) {
    EXPECT_EQ(r.warnings, std::vector<std::string>());
  } else {
    EXPECT_TRUE(warns(r, p.warning)) << testing::PrintToString(r.warnings);
  }
  ASSERT_NE(change_at(r, "spec.template.spec.containers[0].image"), nullptr);
}

const std::string kA(kDigestA), kB(kDigestB);

INSTANTIATE_TEST_SUITE_P(
    All, Image,
    testing::Values(
        ImageCase{"Containerd", "nginx:1.27", {"docker.io/library/nginx@" + kA}, "nginx@" + kA, nullptr},
        ImageCase{"Docker", "shop/api:v1", {"docker-pullable://shop/api@" + kA}, "shop/api@" + kA, nullptr},
        ImageCase{"PortIsNoTag",
                  "r.example:5000/api",
                  {"r.example:5000/api@" + kA},
                  "r.example:5000/api@" + kA,
                  nullptr},
        ImageCase{"PortAndTag",
                  "r.example:5000/api:v1",
                  {"r.example:5000/api@" + kA},
                  "r.example:5000/api@" + kA,
                  nullptr},
        ImageCase{"AllAgree",
                  "nginx",
                  {"docker.io/library/nginx@" + kA, "", "nginx@" + kA},
                  "nginx@" + kA,
                  nullptr},
        ImageCase{"Mirrored", "nginx", {"mirror.example/library/nginx@" + kA}, "nginx@" + kA, "pulled from"},
        ImageCase{"Rollout", "nginx:1", {"nginx@" + kA, "nginx@" + kB}, "nginx:1", "rollout"},
        ImageCase{"LocalOnly", "nginx:1", {kA}, "nginx:1", "only its node has"},
        ImageCase{"DockerLocal", "nginx:1", {"docker://" + kA}, "nginx:1", "only its node has"},
        ImageCase{"OneLocal", "nginx:1", {"nginx@" + kA, kB}, "nginx:1", "only its node has"},
        ImageCase{"NotADigest", "nginx:1", {"nginx@sha256:abc"}, "nginx:1", "only its node has"},
        ImageCase{"NothingRuns", "nginx:1", {}, "nginx:1", nullptr},
        ImageCase{"PinnedAlready", "nginx:1@sha256:cc", {"nginx@" + kA}, "nginx:1@sha256:cc", nullptr}),
    [](const auto& test) { return test.param.name; });

TEST(Image, StaysAsWrittenWhenAskedFor) {
  Asked s;
  s.request.image_tag_as_written = true;
  s.facts.running_image_ids = {"registry.example.com/api@" + kA};
  EXPECT_EQ(s.must().image, "registry.example.com/api:v1");
}

TEST(Image, TheReportTellsTheTagThatWasDropped) {
  Asked s;
  s.facts.running_image_ids = {"registry.example.com/api@" + kA};
  EXPECT_PRED2(has, change_at(s.must(), "spec.template.spec.containers[0].image")->reason, "\"v1\"");
}

}  // namespace
}  // namespace oddjob::render::test
