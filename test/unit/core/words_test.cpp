// The words of the design: workloads, requests, runs, ids.
#include "core/words.hpp"

#include <gtest/gtest.h>

#include <set>

#include "core/digest.hpp"

namespace oddjob {
namespace {

using namespace std::chrono_literals;

TEST(ParseWorkload, TakesEveryNameThatKubectlTakes) {
  for (const auto& [text, kind] : std::vector<std::pair<std::string_view, WorkloadKind>>{
           {"x", WorkloadKind::deployment},
           {"deploy/x", WorkloadKind::deployment},
           {"deployment/x", WorkloadKind::deployment},
           {"Deployments/x", WorkloadKind::deployment},
           {"deployments.apps/x", WorkloadKind::deployment},
           {"deployment.v1.apps/x", WorkloadKind::deployment},
           {"sts/x", WorkloadKind::stateful_set},
           {"statefulset/x", WorkloadKind::stateful_set},
           {"ds/x", WorkloadKind::daemon_set},
           {"daemonsets.apps/x", WorkloadKind::daemon_set},
           {"cj/x", WorkloadKind::cron_job},
           {"cronjob/x", WorkloadKind::cron_job},
           {"cronjobs.batch/x", WorkloadKind::cron_job}}) {
    const auto w = parse_workload(text, "prod");
    ASSERT_TRUE(w) << text;
    EXPECT_EQ(w->kind, kind) << text;
    EXPECT_EQ(w->name, "x");
    EXPECT_EQ(w->name_space, "prod");
  }
}

TEST(ParseWorkload, RefusesOtherKindsAndNamesThatCannotBe) {
  for (const auto text :
       {"pod/x", "job/x", "rs/x", "deploy.batch/x", "cronjob.apps/x", "/x", "deploy.apps.v1/x"})
    EXPECT_EQ(parse_workload(text, "n").error().code, "workload.unknown_kind") << text;
  for (const auto text :
       {"", "deploy/", "deploy/X", "deploy/a b", "deploy/a/b", "deploy/-a", "deploy/../x"}) {
    const auto w = parse_workload(text, "n");
    ASSERT_FALSE(w);
    EXPECT_EQ(w.error().code, "workload.malformed") << text;
    EXPECT_NE(w.error().message.find(text), std::string::npos);
  }
}

TEST(ParseWorkload, ReadsWhatItsTextSays) {
  for (const auto kind : {WorkloadKind::deployment, WorkloadKind::stateful_set, WorkloadKind::daemon_set,
                          WorkloadKind::cron_job}) {
    const WorkloadRef w{kind, "n", "a.b-c"};
    EXPECT_EQ(parse_workload(to_string(w), "n").value(), w);
    EXPECT_EQ(workload_kind_from_kind_name(kind_name(kind)), kind);
    EXPECT_FALSE(resource_name(kind).empty());
    EXPECT_FALSE(api_version(kind).empty());
  }
  EXPECT_EQ(workload_kind_from_kind_name("Pod"), std::nullopt);
}

RunRequest request() {
  RunRequest r;
  r.workload = {WorkloadKind::deployment, "prod", "payments"};
  r.command = {"node", "a b.js", ""};
  return r;
}

RunRequest full_request() {
  auto r = request();
  r.container = "app";
  r.env = {{"A", "secret", false}, {"B", "2", true}};
  r.cpu = "500m";
  r.memory = "1Gi";
  r.timeout = 90min;
  r.retries = 3;
  r.reason = "ticket 42";
  r.sidecars = SidecarMode::native;
  r.init_containers = InitMode::skip;
  r.image_tag_as_written = r.interactive = r.break_glass = true;
  return r;
}

TEST(Request, GoesThroughJsonUnchanged) {
  for (const auto& r : {request(), full_request()}) EXPECT_EQ(run_request_from_json(to_json(r)).value(), r);
}

TEST(Request, IsRecordedWithoutTheValuesOfItsEnvironment) {
  const auto recorded = to_recordable_json(full_request());
  EXPECT_EQ(json::serialize(recorded).find("secret"), std::string::npos);
  const auto& env = recorded.at("env").as_array();
  EXPECT_EQ(sv(env[0].at("sha256").as_string()), sha256_hex("secret"));
  EXPECT_EQ(env[1].at("value"), "2");
}

struct BadRequest {
  std::string_view code;
  std::function<void(RunRequest&)> spoil;
};

TEST(Request, IsCheckedFieldByField) {
  const std::vector<BadRequest> table = {
      {"request.command_empty", [](auto& r) { r.command.clear(); }},
      {"request.command_empty",
       [](auto& r) {
         r.command = {"", "x"};
       }},
      {"request.command_nul",
       [](auto& r) {
         r.command = {"a", std::string("b\0c", 3)};
       }},
      {"request.command_not_utf8", [](auto& r) { r.command = {"a\xff"}; }},
      {"request.command_too_large",
       [](auto& r) {
         r.command = {"a", std::string(kMaxCommandBytes - 2, 'x')};
       }},
      {"request.namespace", [](auto& r) { r.workload.name_space = "A"; }},
      {"workload.malformed", [](auto& r) { r.workload.name = "-"; }},
      {"request.container", [](auto& r) { r.container = "a/b"; }},
      {"request.env_name",
       [](auto& r) {
         r.env = {{"1A", "", false}};
       }},
      {"request.env_name",
       [](auto& r) {
         r.env = {{"A=B", "", false}};
       }},
      {"request.env_twice",
       [](auto& r) {
         r.env = {{"A", "1", false}, {"A", "2", false}};
       }},
      {"request.env_value",
       [](auto& r) {
         r.env = {{"A", std::string("\0", 1), false}};
       }},
      {"request.env_too_many", [](auto& r) { r.env.resize(kMaxEnvVars + 1); }},
      {"request.env_too_large",
       [](auto& r) {
         r.env = {{"A", std::string(200'000, 'x'), false}};
       }},
      {"quantity.malformed", [](auto& r) { r.cpu = "much"; }},
      {"quantity.malformed", [](auto& r) { r.memory = "0"; }},
      {"request.timeout", [](auto& r) { r.timeout = 999ms; }},
      {"request.timeout", [](auto& r) { r.timeout = 24h * 366; }},
      {"request.retries", [](auto& r) { r.retries = 11; }},
      {"request.retries", [](auto& r) { r.retries = -1; }},
      {"request.reason", [](auto& r) { r.reason = std::string(kMaxReasonBytes + 1, 'x'); }},
      {"request.reason", [](auto& r) { r.reason = "\xff"; }},
  };
  EXPECT_TRUE(validate(request()));
  EXPECT_TRUE(validate(full_request()));
  for (const auto& bad : table) {
    auto r = request();
    bad.spoil(r);
    const auto checked = validate(r);
    ASSERT_FALSE(checked) << bad.code;
    EXPECT_EQ(checked.error().code, bad.code);
    EXPECT_FALSE(checked.error().message.empty());
  }
}

TEST(Request, ACommandOfExactlyTheLimitPasses) {
  auto r = request();
  r.command = {"a", std::string(kMaxCommandBytes - 3, 'x')};
  EXPECT_TRUE(validate(r));
}

TEST(Request, FromJsonNamesTheFieldThatIsWrong) {
  struct Row {
    std::string_view body, code, word;
  };
  for (const auto& [body, code, word] : std::vector<Row>{
           {R"([])", "request.wrong_type", "object"},
           {R"({"workload":"deploy/x","command":["a"],"comand":1})", "request.unknown_field", "comand"},
           {R"({"workload":"deploy/x","command":"a"})", "request.wrong_type", "command"},
           {R"({"workload":"deploy/x","command":[1]})", "request.wrong_type", "command"},
           {R"({"workload":"deploy/x","command":["a"],"retries":"3"})", "request.wrong_type", "retries"},
           {R"({"workload":"deploy/x","command":["a"],"retries":11})", "request.wrong_type", "retries"},
           {R"({"workload":"deploy/x","command":["a"],"breakGlass":"yes"})", "request.wrong_type",
            "breakGlass"},
           {R"({"workload":"deploy/x","command":["a"],"sidecars":"maybe"})", "request.wrong_type",
            "sidecars"},
           {R"({"workload":"deploy/x","command":["a"],"initContainers":"no"})", "request.wrong_type",
            "initContainers"},
           {R"({"workload":"deploy/x","command":["a"],"env":{"A":"1"}})", "request.wrong_type", "env"},
           {R"({"workload":"deploy/x","command":["a"],"env":[{"name":"A"}]})", "request.wrong_type", "env"},
           {R"({"workload":"deploy/x","command":["a"],"env":[{"name":"A","value":"","x":1}]})",
            "request.unknown_field", "env.x"},
           {R"({"workload":"deploy/x","command":["a"],"timeout":"soon"})", "duration.malformed", "timeout"},
           {R"({"workload":"deploy/x","command":["a"],"timeout":5})", "request.wrong_type", "timeout"},
           {R"({"command":["a"]})", "workload.malformed", "workload"},
           {R"({"workload":"pod/x","command":["a"]})", "workload.unknown_kind", "pod/x"},
           {R"({"workload":"deploy/x","command":[]})", "request.command_empty", "command"},
           {R"({"workload":"deploy/x","namespace":null,"command":["a"]})", "request.wrong_type", "namespace"},
       }) {
    const auto r = run_request_from_json(parse_json(body, "body").value());
    ASSERT_FALSE(r) << body;
    EXPECT_EQ(r.error().code, code) << body;
    EXPECT_NE(r.error().message.find(word), std::string::npos) << r.error().message;
  }
}

TEST(Request, AMisspeltFieldGetsAHint) {
  const auto r = run_request_from_json(
      parse_json(R"({"workload":"deploy/x","command":["a"],"inDepth":1,"memry":"1"})", "b").value());
  ASSERT_FALSE(r);
  const auto near = run_request_from_json(parse_json(R"({"memry":"1"})", "b").value());
  EXPECT_NE(near.error().hint.find("memory"), std::string::npos);
}

TEST(States, GoThroughTheirNames) {
  for (const auto s : {RunState::requested, RunState::pending_approval, RunState::starting, RunState::running,
                       RunState::succeeded, RunState::failed, RunState::timed_out, RunState::cancelled,
                       RunState::lost, RunState::denied, RunState::expired}) {
    EXPECT_EQ(parse_run_state(to_string(s)), s);
    EXPECT_EQ(is_final(s), s != RunState::requested && s != RunState::pending_approval &&
                               s != RunState::starting && s != RunState::running);
  }
  EXPECT_EQ(to_string(RunState::timed_out), "timed_out");
  EXPECT_EQ(parse_run_state("gone"), std::nullopt);
}

TEST(RunJson, LeavesOutWhatIsNotThereAndShowsTheRest) {
  oddjob::Run r;
  r.id = "aaaaaaaaaaaaaaaaaaaa";
  r.workload = {WorkloadKind::cron_job, "prod", "nightly"};
  r.command = {"a", "b"};
  r.requester = "ann";
  const auto bare = to_json(r, false);
  for (const auto* absent : {"exitCode", "startedAt", "finishedAt", "progress", "message", "job", "report",
                             "jobUid", "cancelledBy"})
    EXPECT_FALSE(bare.contains(absent)) << absent;
  EXPECT_EQ(bare.at("workload"), "cronjob/nightly");
  EXPECT_EQ(bare.at("createdAt"), "1970-01-01T00:00:00Z");
  r.exit_code = 0;
  r.started = Time(1s);
  r.job = json::object{{"kind", "Job"}};
  const auto all = to_json(r, true);
  EXPECT_EQ(all.at("exitCode"), 0);
  EXPECT_EQ(all.at("startedAt"), "1970-01-01T00:00:01Z");
  EXPECT_EQ(all.at("job").at("kind"), "Job");
}

TEST(RunIds, SortByTimeAndAreNeverTheSame) {
  std::set<std::string> seen;
  std::string before;
  for (int i = 0; i < 2000; ++i) {
    const auto id = new_run_id(Time(std::chrono::seconds(1'764'000'000)) + std::chrono::milliseconds(i * 7));
    ASSERT_TRUE(is_run_id(id)) << id;
    ASSERT_LT(before, id);
    ASSERT_TRUE(seen.insert(short_run_id(id)).second);
    before = id;
  }
  EXPECT_EQ(short_run_id("abcdefghij"), "cdefghij");
  EXPECT_EQ(short_run_id("abc"), "abc");
  for (const auto bad :
       {"", "short", "aaaaaaaaaaaaaaaaaaa1", "AAAAAAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaaaaaaaa"})
    EXPECT_FALSE(is_run_id(bad)) << bad;
}

TEST(Uuids, AreRandomOnesOfVersion4) {
  const auto u = new_uuid();
  ASSERT_EQ(u.size(), 36U);
  EXPECT_EQ(u[14], '4');
  EXPECT_NE(std::string("89ab").find(u[19]), std::string::npos);
  EXPECT_NE(u, new_uuid());
}

}  // namespace
}  // namespace oddjob
