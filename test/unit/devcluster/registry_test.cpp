// What the API makes of objects: defaults, refusals, deletion, quotas, CRDs.
#include "devcluster/registry.hpp"

#include <gtest/gtest.h>

#include "core/digest.hpp"
#include "devcluster/api/schema.hpp"

namespace oddjob::devcluster {
namespace {

json::value j(std::string_view text) {
  auto v = parse_json(text, "test");
  EXPECT_TRUE(v) << text;
  return v ? *v : json::value();
}

class RegistryTest : public ::testing::Test {
 protected:
  RegistryTest() {
    for (const auto* ns : {"a", "default"})
      (void)registry.create(*registry.find("", "namespaces"), "", json::object{{"metadata", {{"name", ns}}}});
  }
  Result<json::value> create(std::string_view kind, json::value o, const WriteContext& c = {}) {
    for (const auto* r : registry.all())
      if (r->kind == kind) return registry.create(*r, r->namespaced ? "a" : "", std::move(o), c);
    return fail(Errc::internal, "test", "no such kind");
  }
  const ResourceInfo& jobs() { return *registry.find("batch", "jobs"); }
  const ResourceInfo& maps() { return *registry.find("", "configmaps"); }

  Storage storage;
  Registry registry{storage};
};

json::value job(std::string_view name = "x", std::string_view policy = "Never") {
  return json::object{
      {"metadata", {{"name", name}}},
      {"spec",
       {{"template",
         {{"spec",
           {{"restartPolicy", policy},
            {"containers", json::array{json::object{{"name", "c"}, {"image", "busybox"}}}}}}}}}}};
}
json::value pod(std::string_view name, std::string_view cpu = "") {
  json::value out =
      json::object{{"metadata", {{"name", name}}},
                   {"spec", {{"containers", json::array{json::object{{"name", "c"}, {"image", "b:1"}}}}}}};
  if (!cpu.empty())
    find(out, {"spec", "containers"})->get_array()[0].get_object()["resources"] =
        json::object{{"requests", {{"cpu", cpu}}}};
  return out;
}

TEST_F(RegistryTest, AJobIsDefaultedAndSelectsItsPodsByItsUid) {
  const auto made = create("Job", job()).value();
  const auto uid = std::string(get_string(made, {"metadata", "uid"}));
  EXPECT_EQ(get_int(made, {"spec", "backoffLimit"}), 6);
  EXPECT_EQ(get_int(made, {"spec", "completions"}), 1);
  EXPECT_EQ(get_int(made, {"spec", "parallelism"}), 1);
  EXPECT_EQ(get_string(made, {"spec", "completionMode"}), "NonIndexed");
  EXPECT_EQ(get_string(made, {"spec", "podReplacementPolicy"}), "TerminatingOrFailed");
  EXPECT_FALSE(get_bool(made, {"spec", "suspend"}, true));
  EXPECT_EQ(get_string(made, {"spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"}), uid);
  EXPECT_EQ(get_string(made, {"spec", "template", "metadata", "labels", "batch.kubernetes.io/job-name"}),
            "x");
  EXPECT_EQ(get_int(made, {"metadata", "generation"}), 1);
}

TEST_F(RegistryTest, APodIsDefaulted) {
  const auto made = create("Pod", pod("p")).value();
  EXPECT_EQ(get_string(made, {"spec", "restartPolicy"}), "Always");
  EXPECT_EQ(get_int(made, {"spec", "terminationGracePeriodSeconds"}), 30);
  EXPECT_EQ(get_string(made, {"spec", "dnsPolicy"}), "ClusterFirst");
  EXPECT_EQ(get_string(made, {"status", "phase"}), "Pending");
  EXPECT_EQ(get_string(find(made, {"spec", "containers"})->get_array()[0], {"imagePullPolicy"}),
            "IfNotPresent");
}

TEST_F(RegistryTest, RefusalsAreWordedAsARealServersAre) {
  struct Case {
    std::string_view kind;
    json::value object;
    std::string_view message;
  };
  const Case cases[] = {
      {"Job", job("x", "Always"),
       "Job.batch \"x\" is invalid: spec.template.spec.restartPolicy: Required value: valid values: "
       "\"OnFailure\", \"Never\""},
      {"Job", job(std::string(64, 'x')), "must be no more than 63 characters"},
      {"ConfigMap", j(R"({"metadata":{"name":"Bad"}})"),
       "metadata.name: Invalid value: \"Bad\": a lowercase RFC 1123 subdomain"},
      {"ConfigMap", j(R"({})"), "name or generateName is required"},
      {"ConfigMap", j(R"({"metadata":{"name":"x","labels":{"a":"b c"}}})"),
       "metadata.labels: Invalid value: \"b c\""},
      {"ConfigMap", j(R"({"metadata":{"name":"x","namespace":"b"}})"),
       "the namespace of the provided object does not match"},
      {"ConfigMap", j(R"({"metadata":{"name":"x","resourceVersion":"3"}})"),
       "resourceVersion should not be set on objects to be created"},
      {"Pod", pod("p", "abc"), "quantities must match the regular expression"},
      {"Pod", j(R"({"metadata":{"name":"p"},"spec":{"containers":[]}})"), "spec.containers: Required value"},
      {"Pod",
       j(R"({"metadata":{"name":"p"},"spec":{"serviceAccountName":"no","containers":[{"name":"c","image":"b"}]}})"),
       "pods \"p\" is forbidden: error looking up service account a/no: serviceaccount \"no\" not found"},
      {"Deployment",
       j(R"({"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"b"}]}}}})"),
       "`selector` does not match template `labels`"},
  };
  for (const auto& c : cases) {
    const auto got = create(c.kind, c.object);
    ASSERT_FALSE(got) << c.message;
    EXPECT_NE(got.error().message.find(c.message), std::string::npos) << got.error().message;
  }
  EXPECT_TRUE(storage.list("batch/jobs", "").empty()) << "a refused object is not there";
}

TEST_F(RegistryTest, NothingIsMadeInANamespaceThatIsNotThereOrGoes) {
  EXPECT_EQ(registry.create(maps(), "nope", j(R"({"metadata":{"name":"x"}})")).error().message,
            "namespaces \"nope\" not found");
  ASSERT_TRUE(registry.remove(*registry.find("", "namespaces"), "", "a"));
  EXPECT_EQ(registry.create(maps(), "a", j(R"({"metadata":{"name":"x"}})")).error().message,
            "configmaps \"x\" is forbidden: unable to create new content in namespace a because it is being "
            "terminated");
  EXPECT_EQ(registry.remove(*registry.find("", "namespaces"), "", "default").error().message,
            "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

TEST_F(RegistryTest, GenerationMovesWithTheSpecAlone) {
  (void)create("Job", job());
  const auto labelled = registry.modify(jobs(), "a", "x", [](json::value& o) {
    ensure(o, {"metadata", "labels"}) = json::object{{"k", "v"}};
    return true;
  });
  EXPECT_EQ(get_int(*labelled, {"metadata", "generation"}), 1);
  const auto suspended = registry.modify(jobs(), "a", "x", [](json::value& o) {
    ensure(o, {"spec", "suspend"}) = true;
    return true;
  });
  EXPECT_EQ(get_int(*suspended, {"metadata", "generation"}), 2);
}

TEST_F(RegistryTest, StatusIsWrittenOnlyThroughItsSubresource) {
  (void)create("Job", job());
  const auto edit = [](json::value& o) {
    ensure(o, {"status"}) = json::object{{"active", 1}};
    ensure(o, {"spec", "suspend"}) = true;
    return true;
  };
  EXPECT_EQ(find(*registry.modify(jobs(), "a", "x", edit), {"status", "active"}), nullptr);
  WriteContext status;
  status.subresource = "status";
  (void)registry.modify(jobs(), "a", "x", [](json::value& o) {
    ensure(o, {"spec", "suspend"}) = false;
    return true;
  });
  const auto written = registry.modify(jobs(), "a", "x", edit, status).value();
  EXPECT_EQ(get_int(written, {"status", "active"}), 1);
  EXPECT_FALSE(get_bool(written, {"spec", "suspend"}, true));
}

TEST_F(RegistryTest, AJobsTemplateIsImmutable) {
  (void)create("Job", job());
  const auto got = registry.modify(jobs(), "a", "x", [](json::value& o) {
    ensure(o, {"spec", "template", "spec", "priority"}) = 1;
    return true;
  });
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("field is immutable"), std::string::npos);
}

TEST_F(RegistryTest, FinalizersKeepAnObjectUntilTheLastIsGone) {
  (void)create("ConfigMap", j(R"({"metadata":{"name":"x","finalizers":["a/b"]}})"));
  const auto kept = registry.remove(maps(), "a", "x").value();
  EXPECT_FALSE(get_string(kept, {"metadata", "deletionTimestamp"}).empty());
  ASSERT_TRUE(storage.get("/configmaps", "a", "x"));
  (void)registry.modify(maps(), "a", "x", [](json::value& o) {
    return erase(o, {"metadata", "finalizers"});
  });
  EXPECT_FALSE(storage.get("/configmaps", "a", "x"));
}

TEST_F(RegistryTest, DryRunLeavesNothing) {
  WriteContext dry;
  dry.dry_run = true;
  const auto made = create("Job", job(), dry).value();
  EXPECT_FALSE(get_string(made, {"metadata", "uid"}).empty());
  EXPECT_FALSE(storage.get("batch/jobs", "a", "x"));
  (void)create("Job", job());
  EXPECT_EQ(create("Job", job(), dry).error().code, "AlreadyExists");
}

TEST_F(RegistryTest, DeletionKeepsItsPreconditions) {
  (void)create("ConfigMap", j(R"({"metadata":{"name":"x"}})"));
  DeleteRequest d;
  d.uid = "another";
  EXPECT_EQ(registry.remove(maps(), "a", "x", d).error().code, "Conflict");
  EXPECT_TRUE(storage.get("/configmaps", "a", "x"));
}

TEST_F(RegistryTest, AQuotaRefusesWhatIsOverIt) {
  (void)create("ResourceQuota",
               j(R"({"metadata":{"name":"q"},"spec":{"hard":{"pods":"2","requests.cpu":"1"}}})"));
  EXPECT_EQ(create("Pod", pod("p0")).error().message,
            "pods \"p0\" is forbidden: failed quota: q: must specify requests.cpu");
  ASSERT_TRUE(create("Pod", pod("p1", "600m")));
  EXPECT_EQ(create("Pod", pod("p2", "500m")).error().message,
            "pods \"p2\" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: "
            "requests.cpu=600m, limited: requests.cpu=1");
  ASSERT_TRUE(create("Pod", pod("p2", "100m")));
  EXPECT_NE(create("Pod", pod("p3", "100m"))
                .error()
                .message.find("requested: pods=1, used: pods=2, limited: pods=2"),
            std::string::npos);
}

constexpr std::string_view kCrd =
    R"({"metadata":{"name":"widgets.example.com"},"spec":{"group":"example.com","scope":"Namespaced",
  "names":{"plural":"widgets","kind":"Widget"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":
  {"type":"object","required":["spec"],"properties":{"spec":{"type":"object","required":["size"],"properties":{"size":{"type":"integer","minimum":1},
  "color":{"type":"string","enum":["red","blue"],"default":"red"},"name":{"type":"string","pattern":"^[a-z]+$"}}}}}}}]}})";

TEST_F(RegistryTest, ACustomResourceIsThereAtOnceAndKeepsItsSchema) {
  const auto crd = create("CustomResourceDefinition", j(kCrd)).value();
  EXPECT_EQ(get_string(find_array(crd, {"status", "conditions"})->at(1), {"type"}), "Established");
  const auto made = create("Widget", j(R"({"metadata":{"name":"w"},"spec":{"size":2}})")).value();
  EXPECT_EQ(get_string(made, {"spec", "color"}), "red");
  EXPECT_EQ(get_string(made, {"apiVersion"}), "example.com/v1");
  const auto bad =
      create("Widget", j(R"({"metadata":{"name":"v"},"spec":{"size":0,"color":"green","name":"A"}})"));
  ASSERT_FALSE(bad);
  for (const auto* part : {"spec.size: Invalid value: 0",
                           "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
                           "spec.name in body should match '^[a-z]+$'"})
    EXPECT_NE(bad.error().message.find(part), std::string::npos) << bad.error().message;
  EXPECT_NE(create("Widget", j(R"({"metadata":{"name":"v"},"spec":{"size":"2"}})"))
                .error()
                .message.find("must be of type integer"),
            std::string::npos);
}

TEST_F(RegistryTest, ACustomResourceGoesWithItsDefinition) {
  (void)create("CustomResourceDefinition", j(kCrd));
  const auto* info = registry.find("example.com", "widgets");
  (void)create("Widget", j(R"({"metadata":{"name":"w"},"spec":{"size":2}})"));
  ASSERT_TRUE(registry.remove(*registry.find("apiextensions.k8s.io", "customresourcedefinitions"), "",
                              "widgets.example.com"));
  EXPECT_EQ(registry.find("example.com", "widgets"), nullptr);
  EXPECT_TRUE(storage.list("example.com/widgets", "").empty());
  EXPECT_EQ(info->kind, "Widget") << "who still watches it may look at it";
}

TEST_F(RegistryTest, ARepeatedEventIsCounted) {
  const auto about = create("Job", job()).value();
  for (int i = 0; i < 3; ++i) registry.record_event(about, "Warning", "FailedCreate", "no", "job-controller");
  const auto events = storage.list("/events", "a");
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(get_int(*events[0], {"count"}), 3);
}

// ---- schema -------------------------------------------------------------------------

TEST(Schema, UnknownFieldsAreNamedAndGone) {
  auto o = j(
      R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x","naem":"y"},"spec":{"replicaz":1,
    "template":{"spec":{"containers":[{"name":"c","image":"i","comand":["x"],"env":[{"name":"a","valueFrom":{"configMapKeyRef":{"name":"n","key":"k"}}}]}],
    "volumes":[{"name":"v","emptyDir":{}},{"name":"w","nfs":{"server":"s"}}]}}}})");
  EXPECT_EQ(prune(*find_schema("Deployment"), o).value(),
            (std::vector<std::string>{"metadata.naem", "spec.replicaz",
                                      "spec.template.spec.containers[0].comand"}));
  EXPECT_EQ(find(o, {"spec", "replicaz"}), nullptr);
  EXPECT_TRUE(prune(*find_schema("Deployment"), o).value().empty());
}

TEST(Schema, AWrongTypeIsNamed) {
  struct Case {
    std::string_view object, message;
  };
  const Case cases[] = {
      {R"({"spec":{"replicas":"3"}})",
       "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"},
      {R"({"spec":{"paused":"no"}})", "of type bool"},
      {R"({"spec":{"template":{"spec":{"containers":{}}}}})",
       "cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type "
       "[]Container"},
      {R"({"spec":[]})", "cannot unmarshal array"},
  };
  for (const auto& c : cases) {
    auto o = j(c.object);
    const auto got = prune(*find_schema("Deployment"), o);
    ASSERT_FALSE(got) << c.object;
    EXPECT_NE(got.error().message.find(c.message), std::string::npos) << got.error().message;
  }
}

// The body that kubectl 1.33 sends for `kubectl create configmap c --from-literal=a=b`.
std::string sample_protobuf() {
  const auto field = [](int n, std::string_view bytes) {
    return std::string{static_cast<char>(n << 3 | 2), static_cast<char>(bytes.size())} + std::string(bytes);
  };
  const auto object = field(1, field(1, "c") + field(3, "") + field(8, "")) +
                      field(2, field(1, "a") + field(2, "b")) + std::string("\x20\x00", 2);
  return std::string("k8s\0", 4) + field(1, field(1, "v1") + field(2, "ConfigMap")) + field(2, object);
}

TEST(Schema, ProtobufBodiesAreRead) {
  EXPECT_EQ(
      from_protobuf(sample_protobuf()).value(),
      j(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"b"},"immutable":false})"));
}

TEST(Schema, ACutProtobufBodyIsAnErrorAndNothingElse) {
  const auto whole = sample_protobuf();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const auto got = from_protobuf(std::string_view(whole).substr(0, n));  // also what the sanitizers watch
    if (got) {
      EXPECT_NE(*got, *from_protobuf(whole)) << n;
    }
  }
}

TEST(Schema, AFieldOfANewerServerIsRefusedNotLost) {
  auto body = sample_protobuf();
  const auto unknown =
      std::string("k8s\0", 4) + body.substr(4, 2 + 15) + std::string("\x12\x04\xd2\x0f\x01x", 6);
  const auto got = from_protobuf(unknown);
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("field 250 of ConfigMap"), std::string::npos) << got.error().message;
}

}  // namespace
}  // namespace oddjob::devcluster
