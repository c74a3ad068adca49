// The `oddjob` program, apart from main(), so that tests can call it.
#pragma once

#include <string>
#include <vector>

namespace oddjob::cli {

// `arguments` without the program's name. The exit code: that of the command
// that was run, 0, or 125 (kOwnFailure) for every failure of OddJob's own,
// wrong usage included.
int program(std::vector<std::string> arguments);

}  // namespace oddjob::cli
