// How a run ended, judged from what was seen. Pure; see machine.hpp for
// outcome_of, which is judge() with patience.
#pragma once

#include "runs/machine.hpp"

namespace oddjob::runs {

// `patient`: a pod that is being ended may still say how it ended, so wait for
// it. Without: judge by what there is.
std::optional<Outcome> judge(const Run& run, const Observation& seen, bool patient);

Outcome cancelled_outcome(const Run& run, const Observation& seen);
// The Job is gone, nobody at OddJob asked for it, and nothing says how it ended.
Outcome job_deleted_outcome(const Run& run, const Observation& seen);
Outcome start_timeout_outcome(const Observation& seen, std::string_view progress);

// The newest pod, also when it is gone; nullptr when none was seen.
const json::value* last_pod(const Observation& seen) noexcept;
bool main_started(const Run& run, const json::value& pod);
// Why it did not start, as last seen, also when the pod is gone meanwhile.
std::string last_wait(const Run& run, const Observation& seen);

}  // namespace oddjob::runs
