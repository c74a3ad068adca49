// Fault points: where a test may kill the process, to prove that recovery is right.
//
// A point is passed by name at every store commit ("store.commit.before", "store.commit.after") and every
// call to the cluster ("kube.call.before", "kube.call.after"). With
// ODDJOB_CRASH_AT="<name>:<n>" in the environment, the n-th passage (1-based)
// of that name raises SIGKILL on the own process. "*" as the name counts
// passages of every point, "<name>/<detail>" only those with that detail.
// ODDJOB_FAULT_LOG=<file> appends one line a passage.
// Compiled to nothing unless the build sets ODDJOB_FAULT_POINTS (preset `dev`
// and the sanitizers; never `release`).
#pragma once

#include <string_view>

namespace oddjob {

#ifdef ODDJOB_FAULT_POINTS
void fault_point(std::string_view name, std::string_view detail = {}) noexcept;
#else
inline void fault_point(std::string_view /*name*/, std::string_view /*detail*/ = {}) noexcept {}
#endif

}  // namespace oddjob
