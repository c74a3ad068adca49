// What a run's end means for the exit code and the last line. Pure.
#pragma once

#include <string>

#include "core/json.hpp"

namespace oddjob::cli {

// The command's own exit code where the run has one; 125 where it is OddJob's
// or the cluster's doing (refused, lost, never started, timed out without an end).
int exit_code_of(const json::value& run);
// "run abc12345 failed: exit code 3 (Error), after 4s".
std::string final_line(const json::value& run);
// "starting: ImagePullBackOff: …" for the status line.
std::string progress_line(const json::value& run);

}  // namespace oddjob::cli
