// Does a template fit its workload?
#include <gtest/gtest.h>

#include "support.hpp"

namespace oddjob::templates {
namespace {

json::value workload(std::string_view annotations) {
  auto v = yaml(R"({apiVersion: apps/v1, kind: Deployment, metadata: {name: payments, namespace: prod},
    spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}},
      spec: {serviceAccountName: payments, containers: [{name: app, image: i}, {name: proxy, image: p}]}}}})");
  ensure(v, {"metadata", "annotations"}) = yaml(annotations);
  return v;
}

TEST(Resolve, SaysWhatIsInTheWay) {
  struct Row {
    std::string annotations, spec;  // added to the template's spec
    std::string reason;
  };
  const std::string open =
      "oddjob.dev/allowed-teams: payments, oddjob.dev/allow-env: '*', oddjob.dev/container: app";
  for (const auto& row : std::vector<Row>{
           {"{" + open + "}", "{}", "Resolved"},
           {"{}", "{}", "PolicyRefuses"},
           {"{oddjob.dev/allowed-teams: a, oddjob.dev/nonsense: b}", "{}", "PolicyRefuses"},
           {"{oddjob.dev/allowed-teams: payments, oddjob.dev/container: app}", "{}", "EnvNotAllowed"},
           {"{" + open + ", oddjob.dev/templates-only: 'true'}", "{}", "Resolved"},
           {"{" + open + ", oddjob.dev/require-reason: 'true'}", "{}", "Resolved"},
           {"{" + open + ", oddjob.dev/max-timeout: 10m}", "{}", "TimeoutTooLong"},
           {"{" + open + ", oddjob.dev/max-cpu: '1'}", "{resources: {cpu: 2}}", "CpuTooLarge"},
           {"{" + open + ", oddjob.dev/max-memory: 1Gi}", "{resources: {memory: 2Gi}}", "MemoryTooLarge"},
           {"{" + open + "}", "{serviceAccountName: batch}", "ServiceAccountNotAllowed"},
           {"{" + open + "}", "{serviceAccountName: payments}", "Resolved"},
           {"{" + open + ", oddjob.dev/allow-service-accounts: batch}", "{serviceAccountName: batch}",
            "Resolved"},
           {"{" + open + "}", "{container: nope}", "ContainerNotFound"},
           {"{oddjob.dev/allowed-users: ann, oddjob.dev/allow-env: '*'}",
            "{allowedUsers: [bob], container: app}", "NobodyMayRun"},
           {"{oddjob.dev/allowed-users: ann, oddjob.dev/allow-env: '*'}",
            "{allowedTeams: [a], container: app}", "Resolved"},
           {"{" + open + ", oddjob.dev/allowed-commands: '[[\"rake\"]]'}", "{}", "CommandNotAllowed"},
           {"{" + open + ", oddjob.dev/allowed-commands: '[[\"node\",\"**\"]]'}", "{}", "Resolved"},
           {"{" + open +
                ", oddjob.dev/allowed-commands: "
                "'[[\"node\",\"*\",\"--since\",\"*\",\"*\",\"*\",\"*\",\"*\"]]'}",
            "{}", "Resolved"},
       }) {
    auto t = yaml(kGood);
    const auto extra = yaml(row.spec);
    for (const auto& [key, value] : extra.get_object()) t.at("spec").get_object()[key] = value;
    const auto r = resolve(read(t).value(), workload(row.annotations));
    EXPECT_EQ(r.reason, row.reason) << row.annotations << row.spec << r.message;
    EXPECT_EQ(r.ready, row.reason == "Resolved");
    EXPECT_FALSE(r.message.empty());
  }
}

TEST(Resolve, TellsHowManyApprovalsARunWillNeed) {
  const auto say = [](std::string_view annotations) {
    return resolve(good(), workload(annotations)).message;
  };
  const std::string open =
      "oddjob.dev/allowed-teams: payments, oddjob.dev/allow-env: '*', oddjob.dev/container: app";
  EXPECT_EQ(say("{" + open + "}").find("approval"), std::string::npos);
  EXPECT_NE(say("{" + open + ", oddjob.dev/approval: '2'}").find("2 approvals"), std::string::npos);
  EXPECT_EQ(
      say("{" + open + ", oddjob.dev/approval: '2', oddjob.dev/templates: pre-approved}").find("approval"),
      std::string::npos);
}

}  // namespace
}  // namespace oddjob::templates
