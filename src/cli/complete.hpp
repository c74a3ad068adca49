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
  const CLI::App* command = nullptr;  // the innermost that was named
  int positionals = 0;                // of its arguments, before the word in hand
  std::string option;                 // whose value is wanted: its long name, such as "--output"; else empty
  std::string word;                   // as far as it was typed
  GlobalFlags flags;                  // that were given before
};
// `words`: all after the program's name; the last is the one in hand, perhaps empty.
Place locate(const CLI::App& app, const std::vector<std::string>& words);

// What can stand there without asking any server: commands, flags, fixed values,
// contexts. `contexts` are the names of those configured. Not filtered by the word.
std::vector<std::string> fixed_candidates(const Place& place, const std::vector<std::string>& contexts);

}  // namespace oddjob::cli
