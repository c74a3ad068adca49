// Every record of a run's story, in words.
#include "cli/audit_words.hpp"

#include <gtest/gtest.h>

namespace oddjob::cli {
namespace {

TEST(AuditWords, ReadAsASentenceAfterTheActor) {
  struct Row {
    const char *event, *words;
  };
  for (
      const auto& row : std::vector<Row>{
          {R"({"type":"run.requested","actor":"ann","detail":{"command":["sh","-c","echo hi"],"workload":"deploy/pay",
               "namespace":"shop","reason":"ticket 42","identifiedBy":"static_token","channel":"cli","from":"192.0.2.1",
               "digest":"sha256:0123456789abcdef0123",
               "approval":{"required":2,"approvers":"team sre","expiresAt":"2026-01-02T03:00:00Z"}}})",
           "asked to run `sh -c 'echo hi'` as deploy/pay in namespace shop runs, because: ticket 42; "
           "identified by a "
           "static token over cli from 192.0.2.1; it needs 2 approvals by team sre, until "
           "2026-01-02T03:00:00Z; the "
           "Job to be made has digest sha256:0123456789ab…"},
          {R"({"type":"run.approved","actor":"bob","detail":{"digest":"sha256:0123456789abcdef","approvals":2,"required":2,
               "complete":true,"reason":"fine","identifiedBy":"oidc","channel":"web"}})",
           "approved the Job with digest sha256:0123456789ab… (2 of 2 approvals, so it may start), because: "
           "fine; "
           "identified by OpenID Connect over web"},
          {R"({"type":"run.denied","actor":"bob","detail":{"reason":"no","channel":"cli"}})",
           "denied it: no; identified over cli"},
          {R"({"type":"run.denied","actor":"oddjob","detail":{"message":"The policy changed"}})",
           "did not start it: The policy changed"},
          {R"({"type":"run.tampered","actor":"oddjob","detail":{"job":"oj-pay","message":"It was started by somebody"}})",
           "FOUND TAMPERING with Job oj-pay: It was started by somebody"},
          {R"({"type":"run.starting","actor":"oddjob","detail":{"digest":"sha256:0123456789abcdef","approvedBy":["bob","carl"]}})",
           "asked the policy again, which allows it, and starts the Job with digest sha256:0123456789ab…; "
           "approved by "
           "bob, carl"},
          {R"({"type":"run.finished","actor":"oddjob","detail":{"state":"timed_out","exitCode":137,"reason":"DeadlineExceeded",
               "logBytes":5,"logComplete":true}})",
           "recorded its end: timed out, exit code 137 (DeadlineExceeded); log of 5 bytes, complete"},
          {R"({"type":"something.new","actor":"x","detail":{"a":1}})", R"(something.new {"a":1})"},
          {R"({"type":"run.finished"})", "recorded its end: ; log of 0 bytes, NOT complete"},
      }) {
    auto words = audit_words(json::parse(row.event));
    EXPECT_EQ(words, row.words);
  }
}

TEST(AuditWords, WhatBrokeTheGlassIsSaidLoudly) {
  const auto words = audit_words(json::parse(R"({"type":"run.requested","detail":{"breakGlass":true}})"));
  EXPECT_NE(words.find("BROKE THE GLASS"), std::string::npos);
}

}  // namespace
}  // namespace oddjob::cli
