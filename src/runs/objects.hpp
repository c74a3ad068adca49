// Jobs and pods of a run as the API server shows them: the few questions that
// the machine and the follower ask of them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/json.hpp"
#include "core/words.hpp"

namespace oddjob::runs {

std::string_view uid_of(const json::value& object) noexcept;
std::string_view name_of(const json::value& object) noexcept;
std::string_view run_id_of(const json::value& object) noexcept;  // its label; empty if none
const json::object& annotations_of(const json::value& object) noexcept;
// resourceVersion as a number, 0 where it is none. Versions of one object only grow.
std::uint64_t version_of(const json::value& object) noexcept;
bool owned_by(const json::value& pod, std::string_view uid) noexcept;
bool being_deleted(const json::value& object) noexcept;
// When the deletion was asked for: deletionTimestamp less the grace period.
std::optional<Time> deletion_asked_at(const json::value& object);
// Keeps in `pod` the deletion of its earlier state `before`, if that was asked for earlier: once the
// containers have ended, the kubelet deletes the pod once more, which moves the time behind their end.
void keep_first_deletion(json::value& pod, const json::value& before);

// The condition with this type, nullptr where there is none.
const json::value* condition(const json::value& object, std::string_view type) noexcept;
bool condition_true(const json::value& object, std::string_view type) noexcept;

bool suspended(const json::value& job) noexcept;
// Was the Job's specification never changed since it was made? It is made
// suspended, so such a Job has never run.
bool never_released(const json::value& job) noexcept;
enum class JobEnd { none, complete, failed };
// By its final conditions (also FailureTarget and SuccessCriteriaMet, which say
// what the final one will be).
JobEnd job_end(const json::value& job) noexcept;

// The name of the container whose exit code counts.
std::string main_container(const Run& run, const json::value& pod);
struct ContainerView {
  enum class State { none, waiting, running, terminated };
  State state = State::none;
  std::string_view reason, message;  // of that state
  std::optional<int> exit_code;      // terminated
  std::optional<int> signal;
  std::optional<Time> started, finished;
};
ContainerView container_view(const json::value& container_status);
// The view of a container by its name, state none where the kubelet has not
// spoken yet.
ContainerView find_container(const json::value& pod, std::string_view name);
// Does the container have a log to read?
bool has_started(const ContainerView& v) noexcept;
// Do other containers than `main` still run, now that it has ended?
bool others_run(const json::value& pod, std::string_view main) noexcept;
bool pod_ended(const json::value& pod) noexcept;  // phase Succeeded or Failed

// What is kept of Jobs and pods in memory: what the questions above need.
json::value reduce_job(const json::value& job);
json::value reduce_pod(const json::value& pod);

}  // namespace oddjob::runs
