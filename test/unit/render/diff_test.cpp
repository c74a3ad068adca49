// The listing for `--diff`.
#include "support.hpp"

namespace oddjob::render::test {
namespace {

TEST(Diff, ShowsWhatGoesAndWhatComesWithTheReasonBeside) {
  Asked s(example("01-plain.yaml"));
  s.request.command = {"node", "backfill.js"};
  s.request.env = {{"LOG_LEVEL", "debug"}};
  const std::string d = diff_text(s.workload, s.must(), false);
  EXPECT_PRED2(has, d, "--- pod template of the workload\n+++ oj-payments-ddddeee7\n");
  EXPECT_PRED2(has, d, "-         app: payments  # No Service,");
  EXPECT_PRED2(has, d, "-         args:  # Arguments");
  EXPECT_PRED2(has, d, "+   completions: 1  # A run runs once.");
  EXPECT_PRED2(has, d, "          - name: LOG_LEVEL\n");
  EXPECT_PRED2(has, d, "value: debug");
  EXPECT_FALSE(has(d, "DATABASE_URL")) << d;
  EXPECT_FALSE(has(d, "\x1b"));
}

TEST(Diff, HasColoursOnlyWhenAsked) {
  const Asked s;
  const std::string d = diff_text(s.workload, s.must(), true);
  EXPECT_PRED2(has, d, "\x1b[31m-");
  EXPECT_PRED2(has, d, "\x1b[32m+");
}

TEST(Diff, KeepsControlCharactersOfAManifestOffTheTerminal) {
  Asked s(deployment("{}", "labels: {}"));
  s.request.command = {"echo", "\x1b]0;owned\x07"};
  EXPECT_FALSE(has(diff_text(s.workload, s.must(), false), "\x1b"));
}

TEST(Diff, OfACronJobStartsFromItsPodTemplate) {
  const Asked s(example("08-cronjob.yaml"));
  const std::string d = diff_text(s.workload, s.must(), false);
  EXPECT_PRED2(has, d, "restartPolicy: OnFailure  # A run runs once");
  EXPECT_FALSE(has(d, "jobTemplate"));
}

TEST(Diff, NamesWarningsAtTheEnd) {
  const Asked s(example("07-statefulset.yaml"));
  EXPECT_PRED2(has, diff_text(s.workload, s.must(), false), "# warning: volumes \"data\" and \"wal\"");
}

TEST(Report, HasChangesThenWarnings) {
  const json::array report = report_json(Asked(example("07-statefulset.yaml")).must());
  EXPECT_TRUE(report.front().as_object().contains("path"));
  EXPECT_TRUE(report.front().as_object().contains("reason"));
  EXPECT_TRUE(report.back().as_object().contains("warning"));
}

}  // namespace
}  // namespace oddjob::render::test
