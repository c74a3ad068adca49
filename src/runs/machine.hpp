// The life of a run as a pure function: look at the record, at what the cluster
// shows, and at the time; say what to do next. No I/O; tested by tables.
// docs/run-lifecycle.md draws it.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/json.hpp"
#include "core/words.hpp"

namespace oddjob::runs {

// What was seen of the cluster. Absent is not the same as unknown.
struct Observation {
  enum class Job { unknown, absent, foreign, present };  // foreign: that name, but not our run id and digest
  Job job = Job::unknown;
  json::value job_object;             // when present; else as last seen, or null
  std::vector<json::value> pods;      // of this run, oldest first; gone ones as last seen
  std::vector<json::value> events;    // of the Job and its pods, oldest first
  std::string events_problem;         // why the events could not be read, if they could not
  std::optional<Error> create_error;  // the last attempt to create, if it failed
  bool log_drained = false;           // the follower has all that there is

  std::set<std::string, std::less<>> gone_pods;      // uids of those in `pods` that are there no more
  std::set<std::string, std::less<>> followed_pods;  // uids whose log is being, or was, read
  // `pods` was read from the API server itself since the Job ended, went, or was
  // released or suspended.
  bool pods_listed = false;
  bool queued = false;           // Kueue says when its Job starts, and OddJob leaves spec.suspend alone
  bool recovered = false;        // the run is of an earlier process
  bool job_was_made = false;     // the cluster's events tell of its Job, though it is not there
  bool values_lost = false;      // env values given on the run died with the process that had them
  std::optional<Error> refusal;  // why the policy, asked at the moment of starting, says no
  std::optional<Time> job_gone_since;
  Time waiting_since{};  // start_timeout counts from here
  Duration start_timeout = std::chrono::minutes(15);
};

// One thing to do. The engine does it, then asks again.
struct Action {
  enum class Kind {
    none,         // wait for a change, or until `deadline`
    create_job,   // POST the recorded manifest (suspended)
    record_job,   // store job_uid: the Job is ours and exists
    release_job,  // patch suspend: false, bound to uid and resourceVersion; or leave that to Kueue
    mark_running,
    follow_log,     // of pod `pod_name`
    delete_job,     // cancel, or end a Job whose main container is done
    finish,         // store the final state given in `outcome`
    look,           // read the Job and its pods from the API server itself
    record_result,  // store `outcome` in the record, which stays live; see decided()
  };
  Kind kind = Kind::none;
  std::string pod_name;
  std::optional<Time> deadline;
};

struct Outcome {
  RunState state = RunState::failed;
  std::optional<int> exit_code;
  std::string reason, message;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

struct Step {
  Action action;
  std::optional<Outcome> outcome;  // with finish and record_result
  std::string progress;            // what a waiting user should see now; may be empty
};

Step next_step(const Run& run, const Observation& seen, Time now);

// The exact result of a finished Job from its pods' statuses and its own
// conditions: exit code of the main container; OOMKilled, DeadlineExceeded,
// Evicted, PodFailurePolicy told apart.
std::optional<Outcome> outcome_of(const Run& run, const Observation& seen);
// Why a pod does not start, for people: from conditions, container statuses and
// events ("Unschedulable: 0/3 nodes …", "ImagePullBackOff: …"). Empty if it does.
std::string why_waiting(const Observation& seen);
// May events say more of it? Not where a condition or a container's status has the word already:
// an API server looks through all events of a namespace to find a pod's.
bool events_may_tell(const Observation& seen);

// A result that is in the record although the run is not final: its Job must
// be deleted before the run ends (refused at the moment of starting, never
// started, sidecars that run on, an approval that was denied or never came).
// It survives a crash and is never revised.
std::optional<Outcome> decided(const Run& run);

// Of an outcome: did somebody start, change or delete the Job behind OddJob's
// back? Such an end is a record of its own, "run.tampered".
bool is_tampering(const Outcome& o) noexcept;

// "Waiting for approval by team sre (0 of 2 so far), until 2026-01-02T03:00:00Z".
std::string waiting_for_approval(const Run& run);

// Will another attempt to create the Job, with the same manifest, fail the same way?
bool final_create_error(const Error& e) noexcept;

// Reasons that are OddJob's own words; the others are Kubernetes'.
namespace reasons {
inline constexpr std::string_view kCancelled = "Cancelled";
inline constexpr std::string_view kApprovalDenied = "ApprovalDenied";
inline constexpr std::string_view kApprovalExpired = "ApprovalExpired";
inline constexpr std::string_view kPolicyChanged = "PolicyChanged";
inline constexpr std::string_view kJobTampered = "JobTampered";
inline constexpr std::string_view kCreateRefused = "CreateRefused";
inline constexpr std::string_view kJobNameTaken = "JobNameTaken";
inline constexpr std::string_view kJobChanged = "JobChanged";
inline constexpr std::string_view kJobDeleted = "JobDeleted";
inline constexpr std::string_view kJobSuspended = "JobSuspended";
inline constexpr std::string_view kPodDeleted = "PodDeleted";
inline constexpr std::string_view kPolicyDenied = "PolicyDenied";
inline constexpr std::string_view kStartTimeout = "StartTimeout";
inline constexpr std::string_view kValuesLost = "EnvValuesLost";
inline constexpr std::string_view kInitFailed = "InitContainerFailed";
inline constexpr std::string_view kResultUnknown = "ResultUnknown";
}  // namespace reasons

}  // namespace oddjob::runs
