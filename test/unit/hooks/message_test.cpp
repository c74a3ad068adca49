// What a webhook is told, and how it is signed.
#include "hooks/message.hpp"

#include <gtest/gtest.h>

#include "core/digest.hpp"

namespace oddjob::hooks {
namespace {

AuditEvent event(std::string type, json::object detail = {}) {
  AuditEvent e;
  e.seq = 7;
  e.time = *parse_time("2026-01-02T03:04:05Z");
  e.type = std::move(type);
  e.actor = "bob";
  e.run_id = "aaaaaaaaaabbbbbbbbbb";
  e.detail = std::move(detail);
  e.hash = std::string(64, 'c');
  return e;
}
Run some_run() {
  Run r;
  r.id = "aaaaaaaaaabbbbbbbbbb";
  r.workload = {WorkloadKind::deployment, "shop", "pay"};
  r.requester = "ann";
  r.command = {"rake", "x"};
  r.reason = "ticket 42";
  r.image = "pay@sha256:1";
  r.job_name = "oj-pay-bbbbbbbb";
  r.digest = "sha256:d";
  r.request = {
      {"env", json::array{json::object{{"name", "PASSWORD"}, {"value", "hunter2"}, {"plain", true}}}}};
  r.job = json::object{{"spec", "hunter2"}};
  r.approval.required = 1;
  r.approval.teams = {"sre"};
  return r;
}

TEST(EventType, IsToldOfTheseAndNothingElse) {
  struct Row {
    AuditEvent e;
    std::string_view type;
  };
  auto no_run = event("run.started");
  no_run.run_id.clear();
  for (const auto& row : std::vector<Row>{{event("run.requested"), "run.requested"},
                                          {event("run.requested", {{"breakGlass", false}}), "run.requested"},
                                          {event("run.requested", {{"breakGlass", true}}), "run.break_glass"},
                                          {event("run.approved"), "run.approved"},
                                          {event("run.denied"), "run.denied"},
                                          {event("run.expired"), "run.expired"},
                                          {event("run.started"), "run.started"},
                                          {event("run.tampered"), "run.tampered"},
                                          {event("run.finished"), "run.finished"},
                                          {event("run.job_created"), ""},
                                          {event("run.refused"), ""},
                                          {event("hook.abandoned"), ""},
                                          {no_run, ""}})
    EXPECT_EQ(event_type(row.e), row.type) << row.e.type;
}

TEST(Body, SaysWhoWhatAndWhyAndNoSecret) {
  const auto e = event("run.approved", {{"reason", "checked"},
                                        {"approvals", 1},
                                        {"required", 1},
                                        {"from", "192.0.2.1"},
                                        {"env", json::array{"hunter2"}},
                                        {"idempotencyKeySha256", "x"}});
  const auto body = body_of(e, some_run());
  const auto v = json::parse(body);
  EXPECT_EQ(v.at("type"), "run.approved");
  EXPECT_EQ(v.at("actor"), "bob");
  EXPECT_EQ(v.at("seq"), 7);
  EXPECT_EQ(v.at("run").at("command"), (json::array{"rake", "x"}));
  EXPECT_EQ(v.at("run").at("workload"), "deploy/pay");
  EXPECT_EQ(v.at("run").at("approval").at("approverTeams"), json::array{"sre"});
  EXPECT_EQ(v.at("detail").at("reason"), "checked");
  for (const auto* absent : {"hunter2", "192.0.2.1", "idempotency", "env"})
    EXPECT_EQ(body.find(absent), std::string::npos) << absent;
  EXPECT_EQ(body_of(e, some_run()), body) << "a repeat is the same";
  EXPECT_EQ(message_id(e), "evt_" + std::string(32, 'c'));
}

// The example of the Standard Webhooks specification.
TEST(Signature, IsThatOfStandardWebhooks) {
  const auto secrets = parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "secret").value();
  EXPECT_EQ(signature(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(Signature, OneForEachSecretSoThatTheyCanBeChanged) {
  const auto two = signature({"sixteen bytes or", "more than sixteen"}, "id", 1, "{}");
  EXPECT_EQ(two, signature({"sixteen bytes or"}, "id", 1, "{}") + " " +
                     signature({"more than sixteen"}, "id", 1, "{}"));
  EXPECT_NE(signature({"sixteen bytes or"}, "id", 1, "{}"), signature({"sixteen bytes or"}, "id", 2, "{}"));
  EXPECT_NE(signature({"sixteen bytes or"}, "id", 1, "{}"), signature({"sixteen bytes or"}, "di", 1, "{}"));
}

TEST(Secrets, AreReadOneALine) {
  EXPECT_EQ(
      parse_secrets("  sixteen bytes ok \n\nwhsec_" + base64_encode("another secret of ours") + "\n", "f")
          .value(),
      (std::vector<std::string>{"sixteen bytes ok", "another secret of ours"}));
  for (const auto* bad : {"", "\n \n", "tiny one", "whsec_!!!", "whsec_c2hvcnQ="}) {
    const auto read = parse_secrets(bad, "hook.secret");
    ASSERT_FALSE(read) << bad;
    EXPECT_EQ(read.error().code, "hooks.bad_secret");
    EXPECT_NE(read.error().message.find("hook.secret"), std::string::npos);
    if (*bad > ' ') {
      EXPECT_EQ(read.error().message.find(bad), std::string::npos) << "no secret in an error";
    }
  }
}

}  // namespace
}  // namespace oddjob::hooks
