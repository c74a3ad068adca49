// The `oddjob` program, apart from main(), so that tests can call it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace oddjob::cli {

// `name` is argv[0]. As `kubectl-oddjob` the program is kubectl's plugin and goes
// by way of the kubeconfig's API server; as `kubectl_complete-oddjob` it answers
// kubectl's question for completions. `arguments` are without it. The exit code: that of the command
// that was run, 0, or 125 (kOwnFailure) for every failure of OddJob's own,
// wrong usage included.
int program(std::string_view name, std::vector<std::string> arguments);

}  // namespace oddjob::cli
