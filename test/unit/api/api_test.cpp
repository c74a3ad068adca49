// What a client of the API may rely on, answer by answer.
#include "fixture.hpp"

#include "api/router.hpp"

namespace oddjob::api {
namespace {

constexpr const char* kRequest =
    R"({"namespace":"shop","workload":"deploy/payments","command":["echo","hi"]})";

TEST_F(ApiTest, WithoutIdentityThereIsNoAnswerButWhoAreYou) {
  for (const auto& route : routes()) {
    std::string path(route.pattern);
    if (const auto at = path.find("{id}"); at != std::string::npos) path.replace(at, 4, "aaaaaaaa");
    const auto r = call(std::string(route.method), path, {"", {}, {}});
    if (route.access == Access::open) {
      EXPECT_EQ(r.status, 200) << path;
      continue;
    }
    expect_problem(r, 401, "auth.missing");
    EXPECT_TRUE(r.headers.get("WWW-Authenticate").starts_with("Bearer")) << path;
    expect_problem(call(std::string(route.method), path, {"eve", {}, {}}), 401, "auth.unknown_token");
  }
}

TEST_F(ApiTest, EveryAnswerForbidsSniffingAndCaching) {
  for (const char* path : {"/healthz", "/readyz", "/metrics", "/api/v1/version", "/api/v1/openapi.json",
                           "/api/v1/whoami", "/api/v1/runs", "/nothing", "/api/v1/audit"}) {
    const auto r = get(path);
    EXPECT_EQ(r.headers.get("X-Content-Type-Options"), "nosniff") << path;
    EXPECT_EQ(r.headers.get("Cache-Control"), "no-store") << path;
  }
}

TEST_F(ApiTest, APathThatIsNotThereAndAMethodThatIsNotThere) {
  expect_problem(get("/api/v1/nothing"), 404, "api.no_such_path");
  expect_problem(get("/"), 404, "api.no_such_path");
  const auto r = call("DELETE", "/api/v1/runs", {"ann", {}, {}});
  expect_problem(r, 405, "api.method_not_allowed");
  EXPECT_EQ(r.headers.get("Allow"), "POST, GET");
}

TEST_F(ApiTest, BadBodiesAreRefusedBeforeAnythingIsAsked) {
  auto r = post("/api/v1/runs", kRequest, {{"Content-Type", "text/plain"}});
  expect_problem(r, 415, "api.content_type");
  r = post("/api/v1/runs", R"({"namespace": )");
  expect_problem(r, 400, "json.malformed");
  EXPECT_NE(get_string(body(r), {"detail"}).find_first_of("0123456789"), std::string_view::npos)
      << "the position";
  r = post("/api/v1/runs", R"({"workload":"deploy/x","comand":["a"]})");
  expect_problem(r, 400, "request.unknown_field");
  EXPECT_NE(get_string(body(r), {"detail"}).find("comand"), std::string_view::npos);
  r = post("/api/v1/runs", "\"" + std::string(1500U << 10U, 'x') + "\"");
  expect_problem(r, 413, "json.too_large");
  r = post("/api/v1/runs", std::string(3U << 20U, ' '));
  EXPECT_EQ(r.status, 413) << "over the server's own limit";
  EXPECT_EQ(r.headers.get("Content-Type"), "application/problem+json");
  r = post("/api/v1/runs?dryRun=Some", kRequest);
  expect_problem(r, 400, "api.bad_parameter");
  r = post("/api/v1/runs", kRequest, {{"Idempotency-Key", std::string(129, 'k')}});
  expect_problem(r, 400, "api.idempotency_key");
  EXPECT_TRUE(script_.requests.empty());
}

TEST_F(ApiTest, ARunIsCreatedOnceForItsKey) {
  auto r = post("/api/v1/runs", kRequest, {{"Idempotency-Key", "key 1"}, {"User-Agent", "oddjob/1.2.3"}});
  EXPECT_EQ(r.status, 201) << r.body;
  const std::string id(get_string(body(r), {"id"}));
  EXPECT_EQ(r.headers.get("Location"), "/api/v1/runs/" + id);
  EXPECT_FALSE(r.headers.has("Idempotent-Replayed"));
  // What is the API server's, or the database's, is taken from what is ours.
  const std::string timing(r.headers.get("Server-Timing"));
  double own = -1, database = -1, cluster = -1;
  ASSERT_EQ(std::sscanf(timing.c_str(), "oddjob;dur=%lf, database;dur=%lf, kubernetes;dur=%lf", &own,
                        &database, &cluster),
            3)
      << timing;
  EXPECT_EQ(cluster, 0.2);
  EXPECT_EQ(database, 0.1);
  EXPECT_EQ(script_.callers.at(0).subject.user, "ann");
  EXPECT_EQ(script_.callers.at(0).channel, "cli");
  EXPECT_TRUE(script_.callers.at(0).from.starts_with("127.0.0.1:"));
  EXPECT_EQ(script_.requests.at(0).command, (std::vector<std::string>{"echo", "hi"}));

  r = post("/api/v1/runs", kRequest, {{"Idempotency-Key", "key 1"}});
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.headers.get("Idempotent-Replayed"), "true");
  EXPECT_EQ(get_string(body(r), {"id"}), id);
  EXPECT_EQ(script_.callers.at(1).channel, "api");

  r = post("/api/v1/runs", R"({"workload":"deploy/other","command":["x"]})", {{"Idempotency-Key", "key 1"}});
  expect_problem(r, 409, "store.idempotency_mismatch");
}

TEST_F(ApiTest, ADryRunShowsTheJobAndCreatesNothing) {
  script_.dry_run.rendered.job = json::object{{"kind", "Job"}};
  script_.dry_run.rendered.digest = "sha256:1";
  script_.dry_run.rendered.container = "app";
  script_.dry_run.rendered.warnings = {"one"};
  script_.dry_run.server_warnings = {"two"};
  script_.dry_run.denials = {"the pod would be refused"};
  const auto r = post("/api/v1/runs?dryRun=All", kRequest);
  EXPECT_EQ(r.status, 200) << r.body;
  const auto v = body(r);
  EXPECT_EQ(get_string(v, {"job", "kind"}), "Job");
  EXPECT_EQ(get_string(v, {"digest"}), "sha256:1");
  EXPECT_EQ(*find_array(v, {"warnings"}), (json::array{"one", "two"}));
  EXPECT_EQ(*find_array(v, {"denials"}), (json::array{"the pod would be refused"}));
  EXPECT_EQ(store_->list_runs({}, "", 10)->runs.size(), 0U);
}

TEST_F(ApiTest, WhatTheEngineRefusesIsAnsweredAsItSays) {
  script_.error = Error{Errc::rate_limited, "runs.busy", "Too many runs.", "Wait.", 7};
  const auto r = post("/api/v1/runs", kRequest);
  expect_problem(r, 429, "runs.busy");
  EXPECT_EQ(r.headers.get("Retry-After"), "7");
  script_.error = Error{Errc::internal, "x.y", "a secret of the inside", "", 0};
  const auto hidden = get("/api/v1/runs");
  expect_problem(hidden, 500, "x.y");
  EXPECT_EQ(hidden.body.find("secret"), std::string::npos);
}

TEST_F(ApiTest, RunsAreListedByPageAndFilter) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(new_run());
  finish(ids[0], 3);
  auto v = body(get("/api/v1/runs?limit=2"));
  ASSERT_EQ(find_array(v, {"items"})->size(), 2U);
  EXPECT_EQ(get_string(v.at("items").at(0), {"id"}), ids[4]);
  EXPECT_FALSE(v.at("items").at(0).as_object().contains("job"));
  const std::string cursor(get_string(v, {"nextCursor"}));
  ASSERT_NE(cursor, "");
  v = body(get("/api/v1/runs?limit=3&cursor=" + cursor));
  EXPECT_EQ(find_array(v, {"items"})->size(), 3U);
  EXPECT_FALSE(v.as_object().contains("nextCursor"));
  const auto count = [&](const std::string& q) {
    return find_array(body(get("/api/v1/runs?" + q)), {"items"})->size();
  };
  EXPECT_EQ(count("requester=me"), 5U);
  EXPECT_EQ(count("requester=bob"), 0U);
  EXPECT_EQ(count("state=failed"), 1U);
  EXPECT_EQ(count("state=failed&state=requested"), 5U);
  EXPECT_EQ(count("namespace=shop&workload=deployment/payments"), 5U) << "a kind by any of its names";
  EXPECT_EQ(count("namespace=other"), 0U);
}

TEST_F(ApiTest, BadParametersAreNamed) {
  const std::string id = new_run();
  for (const std::string& path : std::initializer_list<std::string>{
           "/api/v1/runs?limit=0", "/api/v1/runs?limit=501", "/api/v1/runs?limit=x",
           "/api/v1/runs?state=done", "/api/v1/runs?namespace=No_Name", "/api/v1/audit?limit=501&run=" + id,
           "/api/v1/audit?afterSeq=-1", "/api/v1/audit?order=sideways",
           "/api/v1/runs/" + id + "/log?offset=-1", "/api/v1/runs/" + id + "/log?limit=0",
           "/api/v1/runs/" + id + "/stream?offset=abc", "/api/v1/workloads?limit=100000"}) {
    const auto r = get(path);
    expect_problem(r, 400, "api.bad_parameter");
  }
  expect_problem(get("/api/v1/runs?lmit=2"), 400, "api.unknown_parameter");
  expect_problem(get("/api/v1/whoami?x=y"), 400, "api.unknown_parameter");
  expect_problem(get("/api/v1/runs?cursor=zzz"), 400, "store.bad_cursor");
  expect_problem(get("/api/v1/workloads?cursor=zzz"), 400, "api.bad_cursor");
}

TEST_F(ApiTest, ARunIsShownWithItsJobToThoseWhoMaySeeIt) {
  const std::string id = new_run();
  for (const std::string& name : {id, id.substr(12)}) {
    const auto v = body(get("/api/v1/runs/" + name));
    EXPECT_EQ(get_string(v, {"id"}), id);
    EXPECT_EQ(get_string(v, {"job", "kind"}), "Job");
    EXPECT_TRUE(v.as_object().contains("report"));
  }
  expect_problem(get("/api/v1/runs/" + id, "bob"), 404, "run.not_found");
  EXPECT_EQ(get("/api/v1/runs/" + id, "root").status, 200);
  expect_problem(get("/api/v1/runs/aaaaaaaa"), 404, "run.not_found");
  expect_problem(get("/api/v1/runs/%ff%2e%2e"), 404, "run.not_found");
}

TEST_F(ApiTest, AnApprovalNamesADigestAndADenialAReason) {
  const auto id = new_run();
  change(id, [](oddjob::Run& r) {
    r.state = RunState::pending_approval;
    r.approval.required = 2;
    r.approval.teams = {"sre"};
    r.approval.policy = {{"oddjob.dev/approval", "2"}};
    r.approval.diff = "-probe";
    Approval a;
    a.subject = "bob";
    a.digest = "sha256:d";
    r.approvals = {a};
  });
  const auto one = body(get("/api/v1/runs/" + id));
  EXPECT_EQ(get_int(one, {"approval", "required"}), 2);
  EXPECT_EQ(get_string(one, {"approval", "diff"}), "-probe");
  EXPECT_FALSE(get_bool(one, {"approval", "mayApprove"}, true)) << "hers";
  EXPECT_EQ(find_array(one, {"approval", "approvals"})->size(), 1U);
  const auto path = "/api/v1/runs/" + id;
  expect_problem(post(path + "/approve", "{}"), 400, "request.digest_missing");
  expect_problem(post(path + "/approve", R"({"digest":"x","now":"y"})"), 400, "request.unknown_field");
  expect_problem(post(path + "/approve", R"({"digest":7})"), 400, "request.malformed");
  expect_problem(post(path + "/approve", R"({"digest":"x","reason":")" + std::string(5000, 'r') + "\"}"), 400,
                 "request.reason_too_long");
  EXPECT_EQ(post(path + "/approve", R"({"digest":"sha256:d","reason":"fine"})").status, 200);
  EXPECT_EQ(script_.said, (std::pair<std::string, std::string>{"sha256:d", "fine"}));
  expect_problem(post(path + "/deny", R"({"why":"x"})"), 400, "request.unknown_field");
  EXPECT_EQ(post(path + "/deny", R"({"reason":"no"})").status, 200);
  EXPECT_EQ(script_.said.second, "no");
  EXPECT_EQ(get("/api/v1/runs?approvable=true").status, 200);
  EXPECT_TRUE(script_.approvable);
  expect_problem(get("/api/v1/runs?approvable=yes"), 400, "api.bad_parameter");
}

TEST_F(ApiTest, CancellingTakesNoBody) {
  const std::string id = new_run();
  expect_problem(post("/api/v1/runs/" + id + "/cancel", R"({"now":true})"), 400, "request.unknown_field");
  for (const char* content : {"", "{}"}) {
    const auto r = post("/api/v1/runs/" + id + "/cancel", content);
    EXPECT_EQ(r.status, 200) << r.body;
    EXPECT_TRUE(get_bool(body(r), {"cancelRequested"}));
    EXPECT_EQ(get_string(body(r), {"cancelledBy"}), "ann");
  }
}

TEST_F(ApiTest, TheLogIsReadFromAnyOffsetAndSaysWhenItIsComplete) {
  const std::string id = new_run();
  const std::string path = "/api/v1/runs/" + id + "/log";
  auto r = get(path);
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body, "");
  EXPECT_EQ(r.headers.get("Oddjob-Log-Complete"), "false");
  append_log(id, std::string("one\0\xff two\n", 10));
  r = get(path + "?offset=2&limit=4");
  EXPECT_EQ(r.body, std::string("e\0\xff ", 4));
  EXPECT_EQ(r.headers.get("Oddjob-Log-Offset"), "6");
  EXPECT_TRUE(r.headers.get("Content-Type").starts_with("text/plain"));
  finish(id);
  r = get(path + "?limit=4");
  EXPECT_EQ(r.headers.get("Oddjob-Log-Complete"), "false") << "there is more to read";
  r = get(path + "?offset=4");
  EXPECT_EQ(r.headers.get("Oddjob-Log-Complete"), "true");
  r = get(path + "?offset=10");
  EXPECT_EQ(r.headers.get("Oddjob-Log-Complete"), "true");
  expect_problem(get(path, "bob"), 404, "run.not_found");
}

TEST_F(ApiTest, WorkloadsComeByPageInOrder) {
  for (const char* name : {"deploy/b", "deploy/a", "sts/c"}) {
    runs::WorkloadInfo w;
    w.ref = parse_workload(name, "shop").value();
    w.may_run = true;
    w.team_summary = "teams: payments";
    script_.workloads.push_back(w);
  }
  script_.workloads[1].problem = "bad annotation";
  auto v = body(get("/api/v1/workloads?limit=2"));
  ASSERT_EQ(find_array(v, {"items"})->size(), 2U);
  EXPECT_EQ(get_string(v.at("items").at(0), {"workload"}), "deploy/a");
  EXPECT_EQ(get_string(v.at("items").at(0), {"problem"}), "bad annotation");
  v = body(get("/api/v1/workloads?cursor=" + std::string(get_string(v, {"nextCursor"}))));
  ASSERT_EQ(find_array(v, {"items"})->size(), 1U);
  EXPECT_EQ(get_string(v.at("items").at(0), {"workload"}), "sts/c");
  EXPECT_FALSE(v.as_object().contains("nextCursor"));
  EXPECT_FALSE(v.as_object().contains("warnings")) << "the list is whole";
  script_.warnings = {"CronJobs may be missing"};
  v = body(get("/api/v1/workloads"));
  EXPECT_EQ(v.at("warnings"), json::value(json::array{"CronJobs may be missing"}))
      << "and says where it is not";
}

TEST_F(ApiTest, TemplatesAreListedAndShownWithTheirProblems) {
  const auto made = [](std::string ns, std::string name) {
    runs::TemplateInfo t;
    t.value.name_space = std::move(ns);
    t.value.name = std::move(name);
    t.value.workload = {WorkloadKind::deployment, t.value.name_space, "payments"};
    t.value.argv = {"node", "${since}"};
    t.value.digest = "sha256:x";
    t.value.parameters.push_back(
        {"since", templates::ParameterType::date, "First day", {}, "2020-01-01", {}, {}, {}, {}, {}});
    t.resolution = {false, "Invalid", "spec.args[0]: no"};
    t.problem = "spec.args[0]: no";
    t.problems = {{"spec.args[0]", "no", false}, {"spec.parameters[0]", "unused", true}};
    t.approvals = 2;
    return t;
  };
  script_.templates = {made("prod", "b"), made("prod", "a"), made("dev", "z")};
  auto v = body(get("/api/v1/templates?limit=2"));
  ASSERT_EQ(find_array(v, {"items"})->size(), 2U);
  EXPECT_EQ(get_string(v.at("items").at(0), {"name"}), "z");
  EXPECT_EQ(get_string(v.at("items").at(1), {"name"}), "a");
  EXPECT_EQ(v.at("items").at(1).at("parameters").at(0).at("required"), true);
  v = body(get("/api/v1/templates?cursor=" + std::string(get_string(v, {"nextCursor"}))));
  ASSERT_EQ(find_array(v, {"items"})->size(), 1U);
  v = body(get("/api/v1/templates/prod/b"));
  EXPECT_EQ(get_string(v, {"readyReason"}), "Invalid");
  EXPECT_EQ(find_array(v, {"problems"})->size(), 2U);
  EXPECT_EQ(get_int(v, {"approvalsNeeded"}), 2);
  expect_problem(get("/api/v1/templates/prod/nope"), 404, "template.not_found");
  expect_problem(get("/api/v1/templates/prod/%2e%2e"), 404, "template.not_found");
  expect_problem(get("/api/v1/templates/prod"), 404, "api.no_such_path");
  script_.error =
      Error{Errc::failed_precondition, "template.not_installed", "no templates here", "install", 0};
  expect_problem(get("/api/v1/templates"), 422, "template.not_installed");
}

TEST_F(ApiTest, ARunOfATemplateIsAskedForByNameAndParameters) {
  const auto r =
      post("/api/v1/runs", R"({"template":"backfill","params":{"since":"2026-01-01","batch":5,"dry":true}})");
  EXPECT_EQ(r.status, 201) << r.body;
  const auto& asked = script_.requests.back();
  EXPECT_EQ(asked.from_template->name, "backfill");
  EXPECT_EQ(asked.params.at("batch"), "5");
  EXPECT_EQ(asked.params.at("dry"), "true");
  expect_problem(post("/api/v1/runs", R"({"template":"a","workload":"deploy/x"})"), 400,
                 "request.template_fixed");
  expect_problem(post("/api/v1/runs", R"({"template":"a","command":["x"]})"), 400, "request.template_fixed");
  expect_problem(post("/api/v1/runs", R"({"template":"a","timeout":"5m"})"), 400, "request.template_fixed");
  expect_problem(post("/api/v1/runs", R"({"template":"A b"})"), 400, "request.template");
  expect_problem(post("/api/v1/runs", R"({"template":"a","params":{"x":1.5}})"), 400, "request.wrong_type");
  expect_problem(post("/api/v1/runs", R"({"template":"a","params":[]})"), 400, "request.wrong_type");
  expect_problem(post("/api/v1/runs", R"({"template":{"name":"a","digest":"d"}})"), 400,
                 "request.wrong_type");
  expect_problem(post("/api/v1/runs", R"({"workload":"deploy/x","command":["a"],"params":{"a":"b"}})"), 400,
                 "request.params_without_template");
}

TEST_F(ApiTest, TheAuditIsForAuditorsAndOthersSeeThatOfTheirRuns) {
  const std::string id = new_run();
  new_run();
  expect_problem(get("/api/v1/audit"), 403, "api.audit_forbidden");
  expect_problem(get("/api/v1/audit/export"), 403, "api.audit_forbidden");
  expect_problem(get("/api/v1/audit/verify"), 403, "api.audit_forbidden");
  expect_problem(get("/api/v1/audit?run=" + id, "bob"), 404, "run.not_found");
  EXPECT_EQ(find_array(body(get("/api/v1/audit?run=" + id)), {"items"})->size(), 1U);
  EXPECT_EQ(find_array(body(get("/api/v1/audit?run=" + id.substr(12))), {"items"})->size(), 1U);
  for (const char* user : {"aud", "root"}) {
    EXPECT_EQ(find_array(body(get("/api/v1/audit", user)), {"items"})->size(), 2U) << user;
    EXPECT_EQ(find_array(body(get("/api/v1/audit?run=" + id.substr(12), user)), {"items"})->size(), 1U);
    EXPECT_EQ(find_array(body(get("/api/v1/audit?run=aaaaaaaaaaaaaaaaaaaa", user)), {"items"})->size(), 0U);
  }
  auto v = body(get("/api/v1/audit?limit=1", "aud"));
  EXPECT_EQ(get_int(v, {"nextAfterSeq"}), 1);
  v = body(get("/api/v1/audit?limit=1&order=newest&beforeSeq=3", "aud"));
  EXPECT_EQ(get_int(v, {"nextBeforeSeq"}), 2);
  v = body(get("/api/v1/audit?limit=1&afterSeq=1", "aud"));
  EXPECT_EQ(get_int(v.at("items").at(0), {"seq"}), 2);
  EXPECT_FALSE(v.as_object().contains("nextAfterSeq"));
}

TEST_F(ApiTest, AnExportIsTheWholeChainAndRecordsItself) {
  oddjob::Run run = store_->get_run(new_run()).value();
  AuditEvent many;
  many.type = "many";
  many.actor = "oddjob";
  ASSERT_TRUE(store_->update_run(run, std::vector<AuditEvent>(450, many)));
  const auto r = get("/api/v1/audit/export", "aud");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.headers.get("Content-Type"), "application/x-ndjson");
  std::int64_t seq = 0;
  std::string_view rest = r.body;
  json::value last;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    ASSERT_NE(end, std::string_view::npos);
    last = parse_json(rest.substr(0, end), "line").value();
    ASSERT_EQ(get_int(last, {"seq"}), ++seq);
    rest.remove_prefix(end + 1);
  }
  EXPECT_EQ(seq, 452);
  EXPECT_EQ(get_string(last, {"type"}), "audit.exported");
  EXPECT_EQ(get_string(last, {"actor"}), "aud");
  const auto v = body(get("/api/v1/audit/verify", "aud"));
  EXPECT_TRUE(get_bool(v, {"ok"}));
  EXPECT_EQ(get_int(v, {"events"}), 452);
  EXPECT_EQ(get_string(v, {"head"}), get_string(last, {"hash"}));
}

TEST_F(ApiTest, SaysWhoIsCallingAndWhichVersionAnswers) {
  const auto me = body(get("/api/v1/whoami", "root"));
  const json::object expected{{"user", "root"},
                              {"teams", json::array{"team-root"}},
                              {"method", "static_token"},
                              {"admin", true},
                              {"auditor", false}};
  EXPECT_EQ(me, json::value(expected));
  const auto v = body(get("/api/v1/version", ""));
  EXPECT_EQ(get_string(v, {"version"}), "1.2.3");
  EXPECT_EQ(get_string(v, {"commit"}), "abcdef");
  EXPECT_EQ(get_string(v, {"apiVersion"}), "v1");
  EXPECT_EQ(get_string(body(get("/api/v1/openapi.json", "")), {"openapi"}), "3.1.0");
}

TEST_F(ApiTest, IsReadyWhenTheEngineIsAndTheStoreTakesWrites) {
  EXPECT_EQ(get("/healthz", "").status, 200);
  EXPECT_EQ(get("/readyz", "").status, 200);
  script_.ready = false;
  script_.reason = "the cluster does not answer";
  const auto r = get("/readyz", "");
  expect_problem(r, 503, "server.not_ready");
  EXPECT_NE(r.body.find("the cluster does not answer"), std::string::npos);
  EXPECT_TRUE(r.headers.has("Retry-After"));
  EXPECT_EQ(get("/healthz", "").status, 200) << "alive all the same";
}

TEST_F(ApiTest, MetricsCountByPatternNotByPath) {
  new_run();
  get("/api/v1/runs/aaaaaaaa");
  get("/nobody/knows");
  call("BREW", "/nobody/knows", {"", {}, {}});
  const auto r = get("/metrics", "");
  EXPECT_EQ(r.status, 200);
  for (const char* line :
       {"oddjob_http_requests_total{code=\"201\",method=\"POST\",route=\"/api/v1/runs\"} 1",
        "oddjob_http_requests_total{code=\"404\",method=\"GET\",route=\"/api/v1/runs/{id}\"} 1",
        "oddjob_http_requests_total{code=\"404\",method=\"other\",route=\"none\"} 2",
        "oddjob_http_request_duration_seconds_count{route=\"/api/v1/runs\"} 1", "oddjob_runs_active 3",
        "oddjob_runs_submitted_total 10", "oddjob_runs_refused_total 4", "oddjob_runs_finished_total 7",
        "oddjob_log_bytes_total 4096", "oddjob_engine_ready 1",
        "oddjob_build_info{commit=\"abcdef\",version=\"1.2.3\"} 1"}) {
    EXPECT_NE(r.body.find(line), std::string::npos) << line << "\n" << r.body;
  }
  EXPECT_EQ(r.body.find("knows"), std::string::npos);
}

TEST_F(ApiTest, WithoutAnIndexOfImagesThereAreNoFiles) {
  expect_problem(get("/api/v1/files?workload=deploy/payments"), 501, "files.off");
  expect_problem(get("/api/v1/images"), 501, "files.off");
  expect_problem(get("/api/v1/files?workload=deploy/payments&mode=sing"), 400, "api.bad_parameter");
  expect_problem(get("/api/v1/files"), 400, "api.bad_parameter");
  expect_problem(get("/api/v1/files?workload=deploy/payments&wait=61"), 400, "api.bad_parameter");
  expect_problem(get("/api/v1/files?workload=deploy/payments", ""), 401, "auth.missing");
}

}  // namespace
}  // namespace oddjob::api
