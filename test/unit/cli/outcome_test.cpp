// What a run's end means for the exit code and the last line.
#include "cli/outcome.hpp"

#include <gtest/gtest.h>

namespace oddjob::cli {
namespace {

struct Row {
  const char* name;
  const char* run;
  int code;
  std::string line;
};
class Outcomes : public ::testing::TestWithParam<Row> {};

TEST_P(Outcomes, GiveAnExitCodeAndALastLine) {
  const auto run = json::parse(GetParam().run);
  EXPECT_EQ(exit_code_of(run), GetParam().code);
  EXPECT_EQ(final_line(run), GetParam().line);
}

INSTANTIATE_TEST_SUITE_P(
    Table, Outcomes,
    ::testing::Values(
        Row{"succeeded",
            R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"succeeded","exitCode":0,"resultReason":"Completed",
                "startedAt":"2026-01-01T00:00:00Z","finishedAt":"2026-01-01T00:01:35Z"})",
            0, "run bbbbbbbb succeeded: exit code 0 after 95s"},
        Row{"failed",
            R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"failed","exitCode":3,"resultReason":"Error","message":"x"})",
            3, "run bbbbbbbb failed: exit code 3"},
        Row{"oom",
            R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"failed","exitCode":137,"resultReason":"OOMKilled",
                "message":"It used more than its memory limit"})",
            137, "run bbbbbbbb failed: exit code 137, OOMKilled\n  It used more than its memory limit"},
        Row{"never_started",
            R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"failed","resultReason":"CreateRefused","message":"quota"})",
            125, "run bbbbbbbb failed: CreateRefused\n  quota"},
        Row{"timed_out_with_a_zero", R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"timed_out","exitCode":0})", 125,
            "run bbbbbbbb timed out: exit code 0"},
        Row{"lost", R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"lost","resultReason":"JobDeleted"})", 125,
            "run bbbbbbbb lost: JobDeleted"},
        Row{"out_of_range", R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"failed","exitCode":70000})", 125,
            "run bbbbbbbb failed: exit code 70000"},
        Row{"clock_ran_backwards",
            R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"cancelled","startedAt":"2026-01-01T00:00:09Z",
                "finishedAt":"2026-01-01T00:00:00Z"})",
            125, "run bbbbbbbb cancelled after 0s"},
        Row{"control_characters",
            "{\"id\":\"aaaaaaaaaaaabbbbbbbb\",\"state\":\"lost\",\"message\":\"a\\u001b[31mb\"}", 125,
            "run bbbbbbbb lost\n  a\\x1b[31mb"}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(ProgressLine, SaysWhatItWaitsFor) {
  EXPECT_EQ(progress_line(json::parse(R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"pending_approval"})")),
            "run bbbbbbbb: pending approval");
  EXPECT_EQ(
      progress_line(json::parse(
          R"({"id":"aaaaaaaaaaaabbbbbbbb","state":"starting","progress":"ImagePullBackOff: no such image"})")),
      "run bbbbbbbb: starting: ImagePullBackOff: no such image");
}

}  // namespace
}  // namespace oddjob::cli
