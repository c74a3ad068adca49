// Runs made from templates: read when asked for, again at the start, and their status.
#include <gtest/gtest.h>

#include "core/yaml.hpp"
#include "engine_fixture.hpp"

namespace oddjob::runs::testing {
namespace {

class TemplatesTest : public EngineTest {
 protected:
  TemplatesTest() { cluster.has_templates = true; }

  // As an author applies it: the generation grows.
  void put_template(std::string_view extra = "{}", std::string_view uid = "t-1") {
    auto t = parse_yaml(R"({apiVersion: oddjob.dev/v1alpha1, kind: JobTemplate,
      metadata: {name: backfill, namespace: shop}, spec: {workloadRef: {name: pay},
        command: [echo, "${since}", "--batch=${batch}"],
        parameters: [{name: since, type: date}, {name: batch, type: integer, default: 100, max: 1000}]}})",
                        "t")
                 .value();
    const auto more = parse_yaml(extra, "extra").value();
    for (const auto& [key, value] : more.get_object()) t.at("spec").get_object()[key] = value;
    ensure(t, {"metadata", "uid"}) = uid;
    ensure(t, {"metadata", "generation"}) = ++generation_;
    cluster.put("jobtemplates", std::move(t));
  }
  static RunRequest from_template(std::map<std::string, std::string, std::less<>> params = {
                                      {"since", "2026-01-01"}}) {
    RunRequest r;
    r.workload.name_space = "shop";
    r.from_template = TemplateUse{"backfill", "", 0, ""};
    r.params = std::move(params);
    return r;
  }
  json::value requested(const std::string& type = "run.requested") {
    store::AuditFilter f;
    f.type = type;
    const auto events = store_->list_audit(f, 10).value();
    return events.empty() ? json::value() : json::value(events.back().detail);
  }
  json::value condition() {
    const auto* t = cluster.object("jobtemplates/shop/backfill");
    const auto* all = t == nullptr ? nullptr : find_array(*t, {"status", "conditions"});
    return all == nullptr ? json::value(json::object{}) : all->front();
  }
  std::string reason() { return std::string(get_string(condition(), {"reason"})); }

 private:
  int generation_ = 0;
};

TEST_F(TemplatesTest, ARunIsFilledInAndRemembersWhichTemplateItWas) {
  put_template("{retries: 2, timeout: 5m, env: [{name: SINCE, value: '${since}'}]}");
  start();
  const auto made = submit(from_template());
  ASSERT_TRUE(made) << made.error().message;
  const auto run = finished(made->run.id);
  EXPECT_EQ(run.state, RunState::succeeded);
  EXPECT_EQ(run.command, (std::vector<std::string>{"echo", "2026-01-01", "--batch=100"}));
  EXPECT_EQ(to_string(run.workload), "deploy/pay");
  EXPECT_EQ(run.job.at("spec").at("backoffLimit"), 2);
  EXPECT_EQ(run.job.at("spec").at("activeDeadlineSeconds"), 300);
  const json::value recorded = run.request;
  EXPECT_EQ(get_string(recorded, {"template", "name"}), "backfill");
  EXPECT_EQ(get_string(recorded, {"template", "uid"}), "t-1");
  EXPECT_EQ(get_int(recorded, {"template", "generation"}), 1);
  EXPECT_EQ(get_string(recorded, {"params", "batch"}), "100");
  const auto detail = requested();
  EXPECT_EQ(get_string(detail, {"template", "uid"}), "t-1");
  EXPECT_TRUE(get_string(detail, {"template", "digest"}).starts_with("sha256:"));
  EXPECT_EQ(get_string(detail, {"params", "since"}), "2026-01-01");
  EXPECT_EQ(get_string(detail, {"workload"}), "deploy/pay");
  const json::value shown = to_json(run, false);
  EXPECT_EQ(get_string(shown, {"template", "name"}), "backfill");
  const auto annotation = get_string(run.job, {"metadata", "annotations", "oddjob.dev/template"});
  EXPECT_TRUE(annotation.starts_with("backfill@sha256:")) << annotation;
}

TEST_F(TemplatesTest, WhoMayNotRunItLearnsThatAndNothingOfItsParameters) {
  put_template("{allowedUsers: [ann, eve]}");
  start();
  for (const auto& [user, code] :
       {std::pair("eve", "policy.not_allowed"), std::pair("bob", "policy.not_allowed")}) {
    const auto r = run(engine->submit(caller(user), from_template({{"batch", "many"}}), ""));
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, code);
    EXPECT_EQ(r.error().message.find("batch"), std::string::npos);
  }
  put_template("{allowedUsers: [eve]}");
  const auto r = submit(from_template({{"batch", "many"}}));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "policy.template_not_allowed");
}

TEST_F(TemplatesTest, ABadParameterIsRefusedAndTheRefusalIsOnRecord) {
  put_template();
  start();
  const auto r = submit(from_template({{"since", "soon"}, {"nope", "x"}}));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "template.bad_params");
  const auto detail = requested("run.refused");
  EXPECT_EQ(get_string(detail, {"template"}), "backfill");
  EXPECT_EQ(get_string(detail, {"params", "since"}), "soon");
  EXPECT_TRUE(cluster.keys("jobs").empty());
}

TEST_F(TemplatesTest, WhatIsNotThereOrNotValidIsSaidSo) {
  start();
  EXPECT_EQ(submit(from_template()).error().code, "template.not_found");
  put_template("{command: [sh, -c, 'echo ${since}']}");
  const auto invalid = submit(from_template());
  ASSERT_FALSE(invalid);
  EXPECT_EQ(invalid.error().code, "template.invalid");
  EXPECT_NE(invalid.error().message.find("spec.command[2]"), std::string::npos) << invalid.error().message;
  put_template("{workloadRef: {name: nowhere}}");
  EXPECT_EQ(submit(from_template()).error().code, "workload.not_found");
  put_template("{serviceAccountName: root}");
  EXPECT_EQ(submit(from_template()).error().code, "policy.service_account_not_allowed");
}

TEST_F(TemplatesTest, WithoutTheCustomResourceEverythingElseWorks) {
  cluster.has_templates = false;
  start();
  const auto refused = submit(from_template());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "template.not_installed");
  EXPECT_TRUE(until([&] {
    const auto list = run(engine->templates(caller("ann"), ""));
    return !list && list.error().code == "template.not_installed";
  }));
  const auto made = submit();
  ASSERT_TRUE(made);
  EXPECT_EQ(finished(made->run.id).state, RunState::succeeded);
}

TEST_F(TemplatesTest, ATemplateThatChangesBeforeTheStartStopsTheRun) {
  struct Row {
    std::string what;
    std::function<void()> change;
    std::string message;
  };
  for (const auto& row :
       std::vector<Row>{{"changed", [&] { put_template("{command: [echo, '${since}']}"); }, "was changed"},
                        {"changed and back", [&] { put_template(); }, "was changed"},
                        {"made again", [&] { put_template("{}", "t-2"); }, "made again"},
                        {"deleted", [&] { cluster.remove("jobtemplates/shop/backfill"); }, "was deleted"}}) {
    put_template();
    start();
    bool once = false;
    cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
      if (call == "POST jobs" && !std::exchange(once, true)) row.change();
      return Fault{};
    };
    const auto made = submit(from_template());
    ASSERT_TRUE(made) << row.what << made.error().message;
    const auto run = finished(made->run.id);
    cluster.fault = nullptr;
    EXPECT_EQ(run.state, RunState::denied) << row.what;
    EXPECT_NE(run.message.find(row.message), std::string::npos) << row.what << ": " << run.message;
    EXPECT_EQ(cluster.pods_made, 0) << row.what;
    end();
    fresh();
  }
}

TEST_F(TemplatesTest, AfterACrashTheRunGoesOnAsItWasAskedFor) {
  put_template("{env: [{name: SINCE, value: '${since}'}]}");
  start();
  bool hung = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    Fault f;
    if (call == "POST jobs" && !std::exchange(hung, true)) f.kind = Fault::Kind::hang_before;
    return f;
  };
  const auto made = submit(from_template());
  ASSERT_TRUE(made);
  ASSERT_TRUE(until([&] { return hung; }));
  crash();
  begin();
  start();
  const auto run = finished(made->run.id);
  EXPECT_EQ(run.state, RunState::succeeded) << run.message;
  EXPECT_EQ(cluster.pods_made, 1);
}

TEST_F(TemplatesTest, TheSameKeyIsTheSameRunWhateverBecameOfTheTemplate) {
  put_template();
  start();
  const auto first = submit(from_template(), "key");
  ASSERT_TRUE(first);
  finished(first->run.id);
  put_template("{command: [echo, other, '${since}']}");
  const auto again = submit(from_template(), "key");
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->run.id, first->run.id);
  const auto other = submit(from_template({{"since", "2026-01-02"}}), "key");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, "store.idempotency_mismatch");
}

TEST_F(TemplatesTest, PreApprovedOrNotIsTheWorkloadsToSay) {
  cluster.put_deployment({{"oddjob.dev/allowed-users", "ann"}, {"oddjob.dev/approval", "required"}});
  put_template();
  start();
  const auto waits = submit(from_template());
  ASSERT_TRUE(waits) << waits.error().message;
  EXPECT_EQ(waits->run.state, RunState::pending_approval);
  EXPECT_EQ(waits->run.approval.required, 1);
  cluster.put_deployment({{"oddjob.dev/allowed-users", "ann"},
                          {"oddjob.dev/approval", "required"},
                          {"oddjob.dev/templates", "pre-approved"}});
  const auto made = submit(from_template());
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(finished(made->run.id).state, RunState::succeeded);
}

TEST_F(TemplatesTest, TheStatusFollowsTemplateAndWorkload) {
  put_template();
  start();
  ASSERT_TRUE(until([&] { return reason() == "Resolved"; })) << reason();
  EXPECT_EQ(get_string(condition(), {"status"}), "True");
  EXPECT_EQ(get_int(condition(), {"observedGeneration"}), 1);
  put_template("{command: ['${since}']}");
  ASSERT_TRUE(until([&] { return reason() == "Invalid"; })) << reason();
  EXPECT_EQ(get_string(condition(), {"status"}), "False");
  put_template("{container: other}");
  ASSERT_TRUE(until([&] { return reason() == "ContainerNotFound"; })) << reason();
  put_template();
  ASSERT_TRUE(until([&] { return reason() == "Resolved"; })) << reason();
  cluster.put_deployment(
      {{"oddjob.dev/allowed-users", "ann"}, {"oddjob.dev/allowed-commands", R"([["rake"]])"}});
  ASSERT_TRUE(until([&] { return reason() == "CommandNotAllowed"; })) << reason();
  cluster.remove("deployments/shop/pay");
  ASSERT_TRUE(until([&] { return reason() == "WorkloadNotFound"; })) << reason();
  // The list is of what the watch has told, a moment after the cluster has it.
  ASSERT_TRUE(until([&] {
    const auto list = run(engine->templates(caller("ann"), "shop"));
    return list && list->size() == 1 && (*list)[0].resolution.reason == "WorkloadNotFound" &&
           !(*list)[0].may_run;
  }));
}

TEST_F(TemplatesTest, AStatusThatIsTrueIsNotWrittenAgain) {
  put_template();
  start();
  ASSERT_TRUE(until([&] { return reason() == "Resolved"; }));
  const auto version =
      get_string(*cluster.object("jobtemplates/shop/backfill"), {"metadata", "resourceVersion"});
  const std::string before(version);
  end();
  begin();
  start();  // reads everything again
  ASSERT_TRUE(until([&] { return run(engine->templates(caller("ann"), "")).has_value(); }));
  const auto made = submit(from_template());
  ASSERT_TRUE(made);
  finished(made->run.id);
  EXPECT_EQ(get_string(*cluster.object("jobtemplates/shop/backfill"), {"metadata", "resourceVersion"}),
            before);
}

TEST_F(TemplatesTest, AServerThatMayNotWriteTheStatusRunsTemplatesAllTheSame) {
  cluster.fault = [](const net::ServerRequest&, const std::string& call) {
    Fault f;
    if (call == "PATCH jobtemplates/status") f = {Fault::Kind::answer, 403, "Forbidden", "no"};
    return f;
  };
  put_template();
  start();
  const auto made = submit(from_template());
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(finished(made->run.id).state, RunState::succeeded);
  const auto shown = run(engine->get_template(caller("ann"), "shop", "backfill"));
  ASSERT_TRUE(shown);
  EXPECT_TRUE(shown->resolution.ready);
  EXPECT_TRUE(shown->may_run);
  EXPECT_FALSE(run(engine->get_template(caller("bob"), "shop", "backfill"))->may_run);
  EXPECT_EQ(run(engine->get_template(caller("ann"), "shop", "nope")).error().code, "template.not_found");
}

TEST_F(TemplatesTest, ADryRunShowsTheFilledJob) {
  put_template();
  start();
  const auto r = run(engine->dry_run(caller("ann"), from_template()));
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->rendered.job.at("spec").at("template").at("spec").at("containers").at(0).at("command"),
            json::value({"echo", "2026-01-01", "--batch=100"}));
  EXPECT_TRUE(cluster.keys("jobs").empty());
}

}  // namespace
}  // namespace oddjob::runs::testing
