// Where on a command line somebody presses Tab. Pure.
#pragma once

#include <string>
#include <vector>

#include "cli/config.hpp"

namespace CLI {
class App;
}

namespace oddjob::cli {

// Stands for "names of files": the shell completes those itself.
inline constexpr std::string_view kFiles = ":files";

struct Place {
  const CLI::App* command = nullptr;   // the innermost that was named
  int positionals = 0;                 // of its arguments, before the word in hand
  std::string option;                  // whose value is wanted: its long name, such as "--output"; else empty
  std::string word;                    // as far as it was typed
  std::string head;                    // what stands before it in one word: "--output="
  std::vector<std::string> arguments;  // the positional ones before it: the workload, …
  std::string container;               // of --container
  bool in_command = false;             // behind `--`: the word is of the command to run
  std::vector<std::string> command_words;  // of that command, before the word
  GlobalFlags flags;                       // that were given before
};
// `words`: all after the program's name; the last is the one in hand, perhaps empty.
Place locate(const CLI::App& app, const std::vector<std::string>& words);

// What can stand there without asking any server: commands, flags, fixed values,
// contexts. `contexts` are the names of those configured. Not filtered by the word.
std::vector<std::string> fixed_candidates(const Place& place, const std::vector<std::string>& contexts);

// The last line of an answer to kubectl, a bit set of cobra's: 2 no space behind
// it (a folder, `name=`), 4 no names of files, 32 in the order given.
// https://pkg.go.dev/github.com/spf13/cobra#ShellCompDirective
int kubectl_directive(const std::vector<std::string>& candidates, bool files);

// What can stand at --param of a template, from the server's description of it:
// "since=", and once a name is there, the values that it can have: "region=eu".
std::vector<std::string> param_candidates(const Place& place, const json::value& described);

}  // namespace oddjob::cli
