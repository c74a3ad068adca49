// Flags of `run` and `render` to a request.
#include "cli/request_flags.hpp"

#include <gtest/gtest.h>

namespace oddjob::cli {
namespace {

Invocation invocation(std::vector<std::string> command = {"true"}) {
  Invocation i;
  i.command = std::move(command);
  i.environment = {{"HOME", "/home/ann"}};
  return i;
}

RequestFlags flags(std::string workload = "deploy/payments") {
  RequestFlags f;
  f.workload = std::move(workload);
  return f;
}

TEST(RequestFlags, WhatIsGivenArrivesAndTheRestIsLeftToThePolicy) {
  auto f = flags("sts/db");
  f.container = "main";
  f.timeout = "90m";
  f.env = {"A=1=2", "EMPTY=", "HOME"};
  f.sidecars = "native";
  const auto r = make_request(f, invocation({"node", "x.js", "--flag"}), "payments");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(to_string(r->workload), "sts/db");
  EXPECT_EQ(r->workload.name_space, "payments");
  EXPECT_EQ(r->command, (std::vector<std::string>{"node", "x.js", "--flag"}));
  EXPECT_EQ(r->container, "main");
  EXPECT_EQ(r->timeout, std::chrono::minutes(90));
  EXPECT_EQ(r->sidecars, SidecarMode::native);
  EXPECT_EQ(r->init_containers, std::nullopt);
  EXPECT_EQ(r->cpu, std::nullopt);
  ASSERT_EQ(r->env.size(), 3U);
  EXPECT_EQ(r->env[0].value, "1=2");
  EXPECT_EQ(r->env[1].value, "");
  EXPECT_EQ(r->env[2].value, "/home/ann") << "a name alone passes our own on";
}

struct Bad {
  const char* name;
  RequestFlags flags;
  std::vector<std::string> command;
  const char* code;
  std::vector<std::string> words;
};
class BadFlags : public ::testing::TestWithParam<Bad> {};

TEST_P(BadFlags, AreNamed) {
  const auto r = make_request(GetParam().flags, invocation(GetParam().command), "default");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, GetParam().code);
  const auto text = r.error().message + " " + r.error().hint;
  for (const auto& word : GetParam().words)
    EXPECT_NE(text.find(word), std::string::npos) << word << " in " << text;
}

RequestFlags with(const std::function<void(RequestFlags&)>& change) {
  auto f = flags();
  change(f);
  return f;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadFlags,
    ::testing::Values(
        Bad{"no_workload", flags(""), {"true"}, "cli.no_workload", {"oddjob workloads"}},
        Bad{"no_command", flags(), {}, "cli.no_command", {"--", "deploy/payments"}},
        Bad{"empty_word", flags(), {""}, "request.command_empty", {"empty"}},
        Bad{"kind", flags("pod/x"), {"true"}, "workload.unknown_kind", {"pod"}},
        Bad{"timeout",
            with([](auto& f) { f.timeout = "5"; }),
            {"true"},
            "duration.malformed",
            {"--timeout", "5"}},
        Bad{"unset",
            with([](auto& f) { f.env = {"NOT_SET"}; }),
            {"true"},
            "cli.env",
            {"NOT_SET", "NAME=VALUE"}},
        Bad{"env_name", with([](auto& f) { f.env = {"1A=x"}; }), {"true"}, "request.env_name", {"1A"}},
        Bad{"env_twice",
            with([](auto& f) {
              f.env = {"A=1", "A=2"};
            }),
            {"true"},
            "request.env_twice",
            {"A"}},
        Bad{"cpu", with([](auto& f) { f.cpu = "lots"; }), {"true"}, "quantity.malformed", {"cpu", "lots"}}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

}  // namespace
}  // namespace oddjob::cli
