// The life of a run as a pure function: look at the record, at what the cluster
// shows, and at the time; say what to do next. No I/O; tested by tables.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/json.hpp"
#include "core/words.hpp"

namespace oddjob::runs {

// What was seen of the cluster. Absent is not the same as unknown.
struct Observation {
  enum class Job { unknown, absent, foreign, present };   // foreign: that name, but not our run id and digest
  Job job = Job::unknown;
  json::value job_object;                    // when present
  std::vector<json::value> pods;             // of this run, oldest first
  std::vector<json::value> events;           // of the Job and its pods, oldest first
  std::optional<Error> create_error;         // the last attempt to create, if it failed
  bool log_drained = false;                  // the follower has all that there is
};

// One thing to do. The engine does it, then asks again.
struct Action {
  enum class Kind {
    none,          // wait for a change, or until `deadline`
    create_job,    // POST the recorded manifest (suspended)
    record_job,    // store job_uid: the Job is ours and exists
    release_job,   // patch suspend: false, bound to uid and resourceVersion
    mark_running,
    follow_log,    // of pod `pod_name`
    delete_job,    // cancel, or end a Job whose main container is done
    finish,        // store the final state given in `outcome`
  };
  Kind kind = Kind::none;
  std::string pod_name;
  std::optional<Time> deadline;
};

struct Outcome {
  RunState state = RunState::failed;
  std::optional<int> exit_code;
  std::string reason, message;
};

struct Step {
  Action action;
  std::optional<Outcome> outcome;   // with finish
  std::string progress;             // what a waiting user should see now; may be empty
};

Step next_step(const Run& run, const Observation& seen, Time now);

// The exact result of a finished Job from its pods' statuses and its own
// conditions: exit code of the main container; OOMKilled, DeadlineExceeded,
// Evicted, PodFailurePolicy told apart.
std::optional<Outcome> outcome_of(const Run& run, const Observation& seen);
// Why a pod does not start, for people: from conditions, container statuses and
// events ("Unschedulable: 0/3 nodes …", "ImagePullBackOff: …"). Empty if it does.
std::string why_waiting(const Observation& seen);

}  // namespace oddjob::runs
