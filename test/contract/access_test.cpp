// Reviews, and the other kinds that OddJob or its users' first hour need.
#include "contract.hpp"
#include "core/digest.hpp"

namespace oddjob::contract {
namespace {

class Access : public Contract {};

TEST_F(Access, TheServerTellsItsVersion) {
  const auto v = run(api().version());
  ASSERT_TRUE(v) << v.error().message;
  EXPECT_EQ(v->major, 1);
  EXPECT_GE(v->minor, 25);
  EXPECT_TRUE(v->git.starts_with("v1.")) << v->git;
}

TEST_F(Access, AnUnknownResourceIsNotFound) {
  const Resource none{"oddjob.invalid", "v1", "nothings", true, "Nothing"};
  kube::ListOptions o;
  o.name_space = ns();
  const auto r = run(api().list(none, o));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.not_found");
}

TEST_F(Access, AMadeUpTokenIsReviewedAsUnauthenticated) {
  const auto r = try_create(resources::token_reviews, {{"apiVersion", "authentication.k8s.io/v1"},
                                                       {"kind", "TokenReview"},
                                                       {"spec", {{"token", "made-up"}}}});
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_FALSE(get_bool(*r, {"status", "authenticated"}));
}

TEST_F(Access, AServiceAccountsTokenIsReviewedAsItsUserAndGroups) {
  const auto asked =
      run(api().raw("POST", "/api/v1/namespaces/" + ns() + "/serviceaccounts/default/token",
                    R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}})"));
  ASSERT_TRUE(asked) << asked.error().message;
  if (asked->status == 404 || asked->status == 405) GTEST_SKIP() << "this API server issues no tokens";
  ASSERT_EQ(asked->status, 201) << asked->body;
  const auto token = parse_json(asked->body, "token").value();
  const auto r =
      try_create(resources::token_reviews, {{"spec", {{"token", get_string(token, {"status", "token"})}}}});
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(get_bool(*r, {"status", "authenticated"}));
  EXPECT_EQ(get_string(*r, {"status", "user", "username"}), "system:serviceaccount:" + ns() + ":default");
  const json::array* groups = find_array(*r, {"status", "user", "groups"});
  ASSERT_NE(groups, nullptr);
  EXPECT_NE(std::find(groups->begin(), groups->end(), json::value("system:serviceaccounts")), groups->end());
}

TEST_F(Access, OnesOwnPermissionsCanBeAsked) {
  const auto r =
      try_create(resources::self_subject_access_reviews,
                 {{"apiVersion", "authorization.k8s.io/v1"},
                  {"kind", "SelfSubjectAccessReview"},
                  {"spec",
                   {{"resourceAttributes",
                     {{"namespace", ns()}, {"verb", "create"}, {"group", "batch"}, {"resource", "jobs"}}}}}});
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(get_bool(*r, {"status", "allowed"}));
}

TEST_F(Access, AWrongTokenIsUnauthorized) {
  kube::Config bad = api().config();
  bad.client_cert_pem.clear();
  bad.client_key_pem.clear();
  bad.token_file.clear();
  bad.exec.reset();
  bad.username.clear();
  bad.token = "made-up-token";
  kube::Client client(loop(), bad);
  const auto r = run(client.get(resources::pods, ns(), "x"));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.unauthorized") << r.error().message;
}

TEST_F(Access, ServicesAndDisruptionBudgetsAreKeptAndListed) {
  create(resources::services,
         {{"metadata", {{"name", "web"}}},
          {"spec", {{"selector", {{"app", "web"}}}, {"ports", json::array{json::object{{"port", 80}}}}}}});
  create(resources::pod_disruption_budgets,
         {{"metadata", {{"name", "web"}}},
          {"spec", {{"minAvailable", 1}, {"selector", {{"matchLabels", {{"app", "web"}}}}}}}});
  const auto services = list(resources::services);
  ASSERT_EQ(services.size(), 1U);
  EXPECT_EQ(get_string(services[0], {"spec", "selector", "app"}), "web");
  EXPECT_EQ(get_string(services[0], {"spec", "type"}), "ClusterIP");
  const auto budgets = list(resources::pod_disruption_budgets);
  ASSERT_EQ(budgets.size(), 1U);
  EXPECT_EQ(get_string(budgets[0], {"spec", "selector", "matchLabels", "app"}), "web");
  patch(resources::services, "web", json::object{{"spec", {{"selector", {{"app", "api"}}}}}});
  remove(resources::services, "web");
  remove(resources::pod_disruption_budgets, "web");
  EXPECT_TRUE(wait_gone(resources::services, "web"));
  EXPECT_TRUE(wait_gone(resources::pod_disruption_budgets, "web"));
}

TEST_F(Access, SecretsKeepStringDataAsBase64) {
  create(resources::secrets, {{"metadata", {{"name", "s"}}}, {"stringData", {{"a", "b"}}}});
  const auto s = get(resources::secrets, "s");
  ASSERT_TRUE(s);
  EXPECT_EQ(get_string(*s, {"data", "a"}), base64_encode("b"));
  EXPECT_EQ(find(*s, {"stringData"}), nullptr);
  EXPECT_EQ(get_string(*s, {"type"}), "Opaque");
}

TEST_F(Access, ALeaseIsTakenByWhoeverHasItsVersion) {
  const auto made = create(leases, {{"metadata", {{"name", "leader"}}},
                                    {"spec",
                                     {{"holderIdentity", "a"},
                                      {"leaseDurationSeconds", 15},
                                      {"renewTime", "2026-01-02T03:04:05.000006Z"}}}});
  json::value a = made;
  json::value b = made;
  a.at("spec").as_object()["holderIdentity"] = "first";
  b.at("spec").as_object()["holderIdentity"] = "second";
  const auto first = run(api().update(leases, ns(), "leader", a));
  ASSERT_TRUE(first) << first.error().message;
  const auto second = run(api().update(leases, ns(), "leader", b));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "kube.conflict");
  EXPECT_EQ(get_string(*get(leases, "leader"), {"spec", "renewTime"}), "2026-01-02T03:04:05.000006Z");
}

TEST_F(Access, CustomResourcesAreServedOnceDefined) {
  const std::string group = ns() + ".oddjob.dev";
  const json::object schema{
      {"openAPIV3Schema", {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}}}};
  const json::object version{{"name", "v1alpha1"}, {"served", true}, {"storage", true}, {"schema", schema}};
  create(crds,
         {{"apiVersion", "apiextensions.k8s.io/v1"},
          {"kind", "CustomResourceDefinition"},
          {"metadata", {{"name", "widgets." + group}}},
          {"spec",
           {{"group", group},
            {"scope", "Namespaced"},
            {"names",
             {{"plural", "widgets"}, {"singular", "widget"}, {"kind", "Widget"}, {"listKind", "WidgetList"}}},
            {"versions", json::array{version}}}}});
  wait_condition(crds, "widgets." + group, "Established");
  const Resource widgets{group, "v1alpha1", "widgets", true, "Widget"};
  const json::value widget = json::object{{"apiVersion", group + "/v1alpha1"},
                                          {"kind", "Widget"},
                                          {"metadata", {{"name", "w"}}},
                                          {"spec", {{"size", 3}}}};
  Result<json::value> made = fail(Errc::internal, "x", "x");
  ASSERT_TRUE(until([&] {
    made = try_create(widgets, widget);
    return made.has_value();
  })) << made.error().message;
  EXPECT_EQ(get_int(*get(widgets, "w"), {"spec", "size"}), 3);
  EXPECT_EQ(get_int(patch(widgets, "w", json::object{{"spec", {{"size", 4}}}}), {"spec", "size"}), 4);
  ASSERT_EQ(list(widgets).size(), 1U);
  EXPECT_EQ(get_string(list(widgets)[0], {"kind"}), "Widget");
  remove(crds, "widgets." + group);
  EXPECT_TRUE(wait_gone(crds, "widgets." + group));
}

TEST_F(Access, CronJobsStatefulSetsAndDaemonSetsAreKept) {
  const json::value spec = job("x", "true").at("spec").at("template");
  create(
      resources::cron_jobs,
      {{"metadata", {{"name", "nightly"}}},
       {"spec",
        {{"schedule", "0 3 * * *"}, {"suspend", true}, {"jobTemplate", {{"spec", {{"template", spec}}}}}}}});
  json::value forever = spec;
  forever.as_object()["metadata"] = json::object{{"labels", {{"app", "x"}}}};
  forever.at("spec").as_object()["restartPolicy"] = "Always";
  create(resources::stateful_sets, {{"metadata", {{"name", "db"}}},
                                    {"spec",
                                     {{"replicas", 0},
                                      {"serviceName", "db"},
                                      {"selector", {{"matchLabels", {{"app", "x"}}}}},
                                      {"template", forever}}}});
  forever.at("spec").as_object()["nodeSelector"] = json::object{{"oddjob.dev/no-such-node", "true"}};
  create(resources::daemon_sets,
         {{"metadata", {{"name", "agent"}}},
          {"spec", {{"selector", {{"matchLabels", {{"app", "x"}}}}}, {"template", forever}}}});
  EXPECT_EQ(list(resources::cron_jobs).size(), 1U);
  EXPECT_EQ(list(resources::stateful_sets).size(), 1U);
  EXPECT_EQ(list(resources::daemon_sets).size(), 1U);
}

}  // namespace
}  // namespace oddjob::contract
