// Where on a command line somebody presses Tab, and what can stand there.
#include "cli/complete.hpp"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/command.hpp"
#include "cli/complete_files.hpp"

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

TEST_F(Completion, TheValueBehindAnEqualsSign) {
  const auto place = locate(app, {"run", "--sidecars=na"});
  EXPECT_EQ(place.option, "--sidecars");
  EXPECT_EQ(place.head, "--sidecars=");
  EXPECT_EQ(place.word, "na");
}

TEST_F(Completion, BehindTheDashesEverythingIsTheCommands) {
  const auto place =
      locate(app, {"run", "-n", "shop", "deploy/a", "-c", "web", "--", "node", "--", "-n", "scr"});
  EXPECT_TRUE(place.in_command);
  EXPECT_EQ(place.arguments, std::vector<std::string>{"deploy/a"});
  EXPECT_EQ(place.container, "web");
  EXPECT_EQ(place.command_words, (std::vector<std::string>{"node", "--", "-n"}));
  EXPECT_EQ(place.word, "scr");
  EXPECT_EQ(place.flags.name_space, "shop");
  EXPECT_TRUE(fixed_candidates(place, {}).empty());
  EXPECT_EQ(files_question(place, "shop"),
            "/api/v1/"
            "files?namespace=shop&workload=deploy%2Fa&container=web&word=node&word=--&word=-n&prefix=scr&"
            "limit=500");
  EXPECT_FALSE(files_question(locate(app, {"run", "deploy/a", "scr"}), "shop")) << "not behind --";
  EXPECT_FALSE(files_question(locate(app, {"run", "--", "scr"}), "shop")) << "of no workload";
  EXPECT_FALSE(files_question(locate(app, {"run", "pod/x", "--", "scr"}), "shop"))
      << "of no kind that there is";
}

TEST(FilesAnswer, OnlyWhatIsReadyAndFitForATerminal) {
  const auto answer = [](const char* text) { return files_answer(parse_json(text, "answer").value()); };
  EXPECT_EQ(
      answer(
          R"({"state":"ready","items":[{"text":"a/"},{"text":"b c"},{"text":"bad\u001b[31m"},{"text":""}]})"),
      (std::vector<std::string>{"a/", "b c"}));
  EXPECT_TRUE(answer(R"({"state":"indexing","items":[{"text":"a"}]})").empty());
  EXPECT_TRUE(answer(R"({"code":"policy.not_allowed"})").empty());
}

TEST(Unquoted, AsTheShellsLineHasIt) {
  const std::pair<std::string, std::string> rows[] = {{"", ""},
                                                      {"plain", "plain"},
                                                      {R"(my\ file)", "my file"},
                                                      {"\"my fi", "my fi"},
                                                      {"'my fi", "my fi"},
                                                      {"a'b c'd", "ab cd"},
                                                      {"$HOME/x", "$HOME/x"},
                                                      {R"(trailing\)", "trailing\\"}};
  for (const auto& [typed, meant] : rows) EXPECT_EQ(unquoted(typed), meant) << typed;
}

TEST_F(Completion, ArgumentsOfCommands) {
  EXPECT_EQ(at({"completion", ""}), (std::vector<std::string>{"bash", "zsh", "fish"}));
  EXPECT_EQ(at({"context", "use", ""}), (std::vector<std::string>{"prod", "test"}));
  EXPECT_EQ(at({"audit", "verify", ""}), (std::vector<std::string>{std::string(kFiles)}));
  EXPECT_TRUE(has(at({"audit", ""}), "verify"));
}

}  // namespace
}  // namespace oddjob::cli
