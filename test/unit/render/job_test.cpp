// The Job: runs once, ends in time, collides with nothing; its digest.
#include <functional>

#include "support.hpp"

namespace oddjob::render::test {
namespace {

TEST(Job, RunsOnceAndWaitsToBeReleased) {
  const Rendered r = Asked().must();
  const json::value spec = at(r.job, "spec");
  EXPECT_EQ(spec.at("completions"), json::value(1));
  EXPECT_EQ(spec.at("parallelism"), json::value(1));
  EXPECT_EQ(spec.at("backoffLimit"), json::value(0));
  EXPECT_EQ(spec.at("suspend"), json::value(true));
  EXPECT_FALSE(spec.as_object().contains("manualSelector"));
  EXPECT_FALSE(spec.as_object().contains("selector"));
  EXPECT_EQ(at(r.job, "apiVersion"), json::value("batch/v1"));
  EXPECT_EQ(at(r.job, "metadata.namespace"), json::value("shop"));
}

struct VersionCase {
  int minor;
  bool failure_policy, replacement_policy;
};

TEST(Job, HasOnlyWhatTheServerKnows) {
  for (const auto& [minor, failure, replacement] :
       {VersionCase{0, true, true}, VersionCase{25, false, false}, VersionCase{26, true, false},
        VersionCase{28, true, false}, VersionCase{29, true, true}, VersionCase{36, true, true}}) {
    Asked s;
    s.facts.minor = minor;
    const json::value spec = at(s.must().job, "spec");
    EXPECT_EQ(spec.as_object().contains("podFailurePolicy"), failure) << minor;
    EXPECT_EQ(spec.as_object().contains("podReplacementPolicy"), replacement) << minor;
  }
}

TEST(Job, ADisruptionEndsItUnlessRetriesWereAskedFor) {
  Asked s;
  EXPECT_EQ(
      at(s.must().job, "spec.podFailurePolicy"),
      yaml("{rules: [{action: FailJob, onPodConditions: [{type: DisruptionTarget, status: 'True'}]}]}"));
  s.request.retries = 3;
  EXPECT_EQ(at(s.must().job, "spec.backoffLimit"), json::value(3));
  EXPECT_EQ(at(s.must().job, "spec.podFailurePolicy.rules.0.action"), json::value("Count"));
  EXPECT_EQ(at(s.must().job, "spec.podReplacementPolicy"), json::value("Failed"));
}

struct TimeoutCase {
  std::optional<Duration> asked;
  std::int64_t seconds;
};

TEST(Job, AlwaysHasADeadlineInWholeSeconds) {
  using std::chrono::milliseconds;
  for (const auto& [asked, seconds] : {TimeoutCase{std::nullopt, 1800}, TimeoutCase{milliseconds(1001), 2},
                                       TimeoutCase{milliseconds(90'000), 90}}) {
    Asked s;
    s.policy.default_timeout = std::chrono::minutes(30);
    s.request.timeout = asked;
    EXPECT_EQ(at(s.must().job, "spec.activeDeadlineSeconds"), json::value(seconds));
    EXPECT_EQ(s.must().timeout, asked.value_or(std::chrono::minutes(30)));
  }
}

TEST(Job, ADefaultTimeoutIsNeverLongerThanTheLongestAllowed) {
  Asked s;
  s.policy.max_timeout = std::chrono::minutes(5);
  EXPECT_EQ(at(s.must().job, "spec.activeDeadlineSeconds"), json::value(300));
}

TEST(Job, IsCleanedUp) {
  Asked s;
  s.policy.ttl = std::chrono::minutes(10);
  EXPECT_EQ(at(s.must().job, "spec.ttlSecondsAfterFinished"), json::value(600));
}

TEST(Job, OfACronJobHasNoneOfItsJobSettings) {
  Asked s(example("08-cronjob.yaml"));
  const Rendered r = s.must();
  EXPECT_FALSE(at(r.job, "spec").as_object().contains("completionMode"));
  EXPECT_EQ(at(r.job, "spec.completions"), json::value(1));
  EXPECT_EQ(at(r.job, "spec.template.metadata.labels").at("oddjob.dev/workload"),
            json::value("cronjob.nightly"));
  EXPECT_EQ(pod_of(r).at("restartPolicy"), json::value("Never"));
}

// ---- collisions -------------------------------------------------------------

json::value service(std::string_view selector) {
  return yaml("{kind: Service, metadata: {name: front, namespace: shop}, spec: {selector: " +
              std::string(selector) + "}}");
}
json::value budget(std::string_view selector) {
  return yaml("{metadata: {name: guard, namespace: shop}, spec: {selector: " + std::string(selector) + "}}");
}

struct CollisionCase {
  const char* name;
  const char* service;  // its selector, or nullptr
  const char* budget;
  const char* code;
};
class Collision : public testing::TestWithParam<CollisionCase> {};

TEST_P(Collision, IsFound) {
  Asked s;
  if (GetParam().service != nullptr) s.facts.services = {service(GetParam().service)};
  if (GetParam().budget != nullptr) s.facts.disruption_budgets = {budget(GetParam().budget)};
  const auto r = s.run();
  EXPECT_EQ(r ? "ok" : r.error().code, GetParam().code);
  if (!r) {
    EXPECT_PRED2(has, r.error().message,
                 GetParam().service != nullptr ? "Service \"front\"" : "PodDisruptionBudget \"guard\"");
    EXPECT_EQ(r.error().kind, Errc::failed_precondition);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Collision,
    testing::Values(
        CollisionCase{"TheWorkloadsOwn", "{app: api}", "{matchLabels: {app: api}}", "ok"},
        CollisionCase{"EmptyServiceSelectsNothing", "{}", nullptr, "ok"},
        CollisionCase{"NoSelector", "null", "null", "ok"},
        CollisionCase{"ServiceOfOddJobsLabels", "{app.kubernetes.io/managed-by: oddjob}", nullptr,
                      "render.collision"},
        CollisionCase{"ServiceOfMore", "{app.kubernetes.io/managed-by: oddjob, app: api}", nullptr, "ok"},
        CollisionCase{"BudgetOfAll", nullptr, "{}", "render.collision"},
        CollisionCase{"BudgetByExists", nullptr,
                      "{matchExpressions: [{key: oddjob.dev/run-id, operator: Exists}]}", "render.collision"},
        CollisionCase{"BudgetByNotIn", nullptr,
                      "{matchExpressions: [{key: app, operator: NotIn, values: [x]}]}", "render.collision"},
        CollisionCase{
            "BudgetNarrowed", nullptr,
            "{matchExpressions: [{key: app, operator: NotIn, values: [x]}, {key: app, operator: Exists}]}",
            "ok"}),
    [](const auto& test) { return test.param.name; });

TEST(Collision, ByLabelsThatWereKeptIsOnPurposeAndSaid) {
  Asked s(example("01-plain.yaml"));
  s.facts.services = {service("{app: payments}")};
  s.facts.disruption_budgets = {budget("{matchExpressions: [{key: app, operator: In, values: [payments]}]}")};
  s.policy.keep_labels = {"app"};
  const Rendered r = s.must();
  EXPECT_TRUE(warns(r, "Service \"front\""));
  EXPECT_TRUE(warns(r, "PodDisruptionBudget \"guard\""));
  EXPECT_TRUE(warns(r, "deploy/payments itself"));
}

TEST(Collision, IsOnlyLookedForInTheNamespace) {
  Asked s;
  json::value other = budget("{}");
  other.at("metadata").as_object()["namespace"] = "elsewhere";
  s.facts.disruption_budgets = {other, json::value("nonsense"), json::value(nullptr)};
  json::value external = service("{app.kubernetes.io/managed-by: oddjob}");
  external.at("spec").as_object()["type"] = "ExternalName";
  s.facts.services = {external, json::array{}};
  EXPECT_EQ(s.code(), "ok");
}

// ---- digest -----------------------------------------------------------------

TEST(Digest, StandsOnTheJobAndIsThatOfTheJob) {
  const Rendered r = Asked(example("02-helm-web.yaml")).must();
  EXPECT_TRUE(r.digest.starts_with("sha256:"));
  EXPECT_EQ(r.digest.size(), 71U);
  EXPECT_EQ(at(r.job, "metadata.annotations").at("oddjob.dev/digest"), json::value(r.digest));
  EXPECT_EQ(job_digest(r.job), r.digest);
}

TEST(Digest, IsTheSameForEveryRunOfTheSame) {
  Asked one, two;
  two.identity = {"zzzzzzzzzzzzzzzzzzz2", "ben", "another reason"};
  EXPECT_NE(one.must().job_name, two.must().job_name);
  EXPECT_EQ(one.must().digest, two.must().digest);
  two.identity.reason.clear();
  EXPECT_EQ(one.must().digest, two.must().digest);
}

json::value reversed(const json::value& v) {
  if (const json::object* object = v.if_object()) {
    std::vector<std::string> keys;
    for (const auto& pair : *object) keys.emplace_back(pair.key());
    std::ranges::reverse(keys);
    json::object out;
    for (const std::string& key : keys) out[key] = reversed(object->at(key));
    return out;
  }
  if (const json::array* array = v.if_array()) {
    json::array out;
    for (const json::value& element : *array) out.push_back(reversed(element));
    return out;
  }
  return v;
}

TEST(Digest, DoesNotDependOnTheOrderOfKeys) {
  for (const auto& file : example_files()) {
    Asked s(example(file.filename().string()));
    if (at(s.workload, "spec.template.spec.containers.1") != json::value()) s.request.container = "app";
    const Rendered r = s.must();
    EXPECT_EQ(job_digest(reversed(r.job)), r.digest) << file;
    s.workload = reversed(s.workload);
    EXPECT_EQ(s.must().digest, r.digest) << file;
  }
}

TEST(Digest, IgnoresWhatTheServerAddsToTheMetadataAndTheSwitchThatOddJobTurns) {
  const Rendered r = Asked().must();
  json::value back = r.job;
  back.at("metadata").as_object()["uid"] = "0e2f";
  back.at("metadata").as_object()["resourceVersion"] = "77";
  back.at("spec").as_object()["suspend"] = false;
  back.at("spec").as_object()["selector"] = yaml("{matchLabels: {batch.kubernetes.io/controller-uid: 0e2f}}");
  json::value& labels = back.at("spec").at("template").at("metadata").at("labels");
  labels.as_object()["batch.kubernetes.io/controller-uid"] = "0e2f";
  labels.as_object()["batch.kubernetes.io/job-name"] = r.job_name;
  labels.as_object()["controller-uid"] = "0e2f";
  labels.as_object()["job-name"] = r.job_name;
  back.as_object()["status"] = yaml("{active: 1}");
  EXPECT_EQ(job_digest(back), r.digest);
}

// Every leaf of the Job but those that differ from run to run is covered.
void for_each_leaf(const json::value& v, const std::string& path,
                   const std::function<void(const std::string&)>& f) {
  if (const json::object* object = v.if_object(); object != nullptr && !object->empty()) {
    for (const auto& [key, value] : *object) for_each_leaf(value, path + "/" + std::string(key), f);
  } else if (const json::array* array = v.if_array(); array != nullptr && !array->empty()) {
    for (std::size_t i = 0; i < array->size(); ++i)
      for_each_leaf((*array)[i], path + "/" + std::to_string(i), f);
  } else {
    f(path);
  }
}

// Keys hold slashes, so the leaf is found by walking.
json::value* leaf(json::value& v, std::string_view path) {
  if (path.empty()) return &v;
  path.remove_prefix(1);
  if (json::object* object = v.if_object()) {
    for (auto& [key, value] : *object) {
      const std::string_view k = key;
      if (path == k) return &value;
      if (path.starts_with(k) && path.substr(k.size()).starts_with('/')) {
        if (json::value* found = leaf(value, path.substr(k.size()))) return found;
      }
    }
    return nullptr;
  }
  if (json::array* array = v.if_array()) {
    const auto end = path.find('/');
    const auto index = std::stoul(std::string(path.substr(0, end)));
    return leaf((*array)[index], end == std::string_view::npos ? std::string_view() : path.substr(end));
  }
  return nullptr;
}

TEST(Digest, ChangesWithEverythingElse) {
  Asked s(example("02-helm-web.yaml"));
  s.request.env = {{"DRY_RUN", "1"}};
  const Rendered r = s.must();
  const std::vector<std::string> free{"/metadata/name",
                                      "/metadata/labels/oddjob.dev/run-id",
                                      "/metadata/annotations/oddjob.dev/requester",
                                      "/metadata/annotations/oddjob.dev/reason",
                                      "/metadata/annotations/oddjob.dev/digest",
                                      "/spec/suspend",
                                      "/spec/template/metadata/labels/oddjob.dev/run-id"};
  int seen = 0;
  for_each_leaf(r.job, "", [&](const std::string& path) {
    json::value changed = r.job;
    json::value* at_path = leaf(changed, path);
    ASSERT_NE(at_path, nullptr) << path;
    *at_path = "something else";
    const bool differs_by_run = std::ranges::find(free, path) != free.end();
    EXPECT_EQ(job_digest(changed) == r.digest, differs_by_run) << path;
    ++seen;
  });
  EXPECT_GT(seen, 40);
}

TEST(Digest, OfNonsenseIsADigestStill) {
  EXPECT_TRUE(job_digest(nullptr).starts_with("sha256:"));
  EXPECT_TRUE(job_digest(json::array{1}).starts_with("sha256:"));
  EXPECT_TRUE(job_digest(json::object{{"spec", 1}, {"metadata", "x"}}).starts_with("sha256:"));
}

}  // namespace
}  // namespace oddjob::render::test
