// Where on a command line somebody presses Tab, and what can stand there.
#include "cli/complete.hpp"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/command.hpp"

namespace oddjob::cli {
namespace {

class Completion : public ::testing::Test {
 protected:
  Completion() {
    app.add_option("-n,--namespace", flags.name_space);
    app.add_option("--context", flags.context);
    app.add_option("-o,--output", output);
    app.add_flag("-q,--quiet", quiet);
    for (const auto add : {add_run, add_logs, add_ls, add_audit, add_context, add_completion})
      add(app, invocation);
  }
  [[nodiscard]] std::vector<std::string> at(const std::vector<std::string>& words) const {
    return fixed_candidates(locate(app, words), {"prod", "test"});
  }
  static bool has(const std::vector<std::string>& list, std::string_view wanted) {
    return std::ranges::find(list, wanted) != list.end();
  }
  Invocation invocation;
  CLI::App app{"", "oddjob"};
  GlobalFlags flags;
  std::string output;
  bool quiet = false;
};

TEST_F(Completion, CommandsFirst) {
  const auto list = at({""});
  for (const auto* name : {"run", "logs", "ls", "audit", "context", "completion"})
    EXPECT_TRUE(has(list, name)) << name;
  EXPECT_FALSE(has(list, "__complete")) << "what people don't type";
}

TEST_F(Completion, FlagsOfTheCommandAndOfAll) {
  const auto list = at({"run", "deploy/x", "--"});
  for (const auto* flag : {"--detach", "--timeout", "--namespace", "--"})
    EXPECT_TRUE(has(list, flag)) << flag;
  EXPECT_FALSE(has(list, "--follow"));
}

TEST_F(Completion, ValuesOfFlags) {
  EXPECT_EQ(at({"ls", "-o", ""}), (std::vector<std::string>{"json", "yaml", "name", "wide"}));
  EXPECT_EQ(at({"run", "--sidecars", ""}), (std::vector<std::string>{"drop", "native", "keep"}));
  EXPECT_EQ(at({"run", "--sidecars", "=", "d"}), (std::vector<std::string>{"drop", "native", "keep"}))
      << "as bash takes --sidecars=d apart";
  EXPECT_EQ(at({"--context", ""}), (std::vector<std::string>{"prod", "test"}));
  EXPECT_TRUE(at({"run", "--reason", ""}).empty()) << "only the user knows";
}

TEST_F(Completion, AFlagWithoutValueTakesNone) {
  const auto place = locate(app, {"-q", "run", ""});
  EXPECT_EQ(place.command->get_name(), "run");
  EXPECT_EQ(place.option, "");
  EXPECT_EQ(place.positionals, 0);
}

TEST_F(Completion, FlagsThatWereGivenDecideWhomToAsk) {
  const auto place = locate(app, {"-n", "payments", "run", "--context=prod", "deploy/a", "x"});
  EXPECT_EQ(place.flags.name_space, "payments");
  EXPECT_EQ(place.flags.context, "prod");
  EXPECT_EQ(place.positionals, 1);
  EXPECT_EQ(place.word, "x");
}

TEST_F(Completion, ArgumentsOfCommands) {
  EXPECT_EQ(at({"completion", ""}), (std::vector<std::string>{"bash", "zsh", "fish"}));
  EXPECT_EQ(at({"context", "use", ""}), (std::vector<std::string>{"prod", "test"}));
  EXPECT_EQ(at({"audit", "verify", ""}), (std::vector<std::string>{std::string(kFiles)}));
  EXPECT_TRUE(has(at({"audit", ""}), "verify"));
}

}  // namespace
}  // namespace oddjob::cli
