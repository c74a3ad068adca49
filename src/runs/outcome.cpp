#include "runs/outcome.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

constexpr std::size_t kMaxText = 1024;

using State = ContainerView::State;

ContainerView main_view(const Run& run, const json::value& pod) {
  return find_container(pod, main_container(run, pod));
}

// "The command exited with 3", with what the runtime adds.
std::string exit_sentence(const ContainerView& v) {
  const int code = v.exit_code.value_or(0);
  std::string text;
  if (v.reason == "StartError" || v.reason == "ContainerCannotRun") {
    text = "The command could not be started";
  } else if (v.signal.value_or(0) != 0) {
    text = fmt::format("The command was ended by signal {}", *v.signal);
  } else if (code > 128 && code <= 128 + 64) {
    text = fmt::format("The command exited with {} (signal {})", code, code - 128);
  } else {
    text = fmt::format("The command exited with {}", code);
  }
  if (const auto more = trim(v.message); !more.empty()) text += ": " + printable(more, kMaxText);
  return text;
}

std::string memory_limit(const json::value& pod, std::string_view container) {
  if (const auto* all = find_array(pod, {"spec", "containers"})) {
    for (const auto& c : *all) {
      if (get_string(c, {"name"}) == container)
        return std::string(get_string(c, {"resources", "limits", "memory"}));
    }
  }
  return {};
}

// Was the container ended by the deletion of its pod, and not before?
bool ended_by_deletion(const json::value& pod, const ContainerView& v) {
  const auto asked = deletion_asked_at(pod);
  if (!asked) return false;
  if (!v.finished || *v.finished > *asked) return true;
  // Both are whole seconds: in the same one, only a signal speaks for the deletion.
  return *v.finished == *asked && (v.exit_code == 137 || v.exit_code == 143);
}

std::optional<Outcome> disruption(const json::value& pod, std::optional<int> exit_code) {
  const auto reason = get_string(pod, {"status", "reason"});
  if (reason == "Evicted") {
    return Outcome{
        RunState::failed, exit_code, "Evicted",
        printable("The pod was evicted: " + std::string(get_string(pod, {"status", "message"})), kMaxText)};
  }
  if (condition_true(pod, "DisruptionTarget")) {
    const auto* c = condition(pod, "DisruptionTarget");
    const auto why = get_string(*c, {"reason"}, "Disrupted");
    return Outcome{
        RunState::failed, exit_code, std::string(why),
        printable(fmt::format("The pod was disrupted ({}): {}", why, get_string(*c, {"message"})), kMaxText)};
  }
  return std::nullopt;
}

std::optional<Outcome> failed_init(const json::value& pod) {
  const auto* all = find_array(pod, {"status", "initContainerStatuses"});
  if (all == nullptr) return std::nullopt;
  for (const auto& s : *all) {
    const auto v = container_view(s);
    if (v.state != State::terminated || v.exit_code.value_or(0) == 0 || v.reason == "ContainerStatusUnknown")
      continue;
    std::string text =
        fmt::format("Init container {} failed before the command could start: exit code {} ({})",
                    printable(get_string(s, {"name"}), 64), *v.exit_code, printable(v.reason, 64));
    if (const auto more = trim(v.message); !more.empty()) text += ": " + printable(more, kMaxText);
    return Outcome{RunState::failed, std::nullopt, std::string(reasons::kInitFailed), std::move(text)};
  }
  return std::nullopt;
}

// The failing condition of a Job: Failed, or what announces it.
const json::value* failure(const json::value& job) {
  if (condition_true(job, "Failed")) return condition(job, "Failed");
  if (condition_true(job, "FailureTarget")) return condition(job, "FailureTarget");
  return nullptr;
}

std::string time_limit(const json::value& job) {
  const auto seconds = get_int(job, {"spec", "activeDeadlineSeconds"});
  if (!seconds) return "its time limit";
  return "its time limit of " + human_duration(std::chrono::seconds(*seconds));
}

// An exit code of 0 must not pass for success where the run did not succeed.
std::optional<int> no_success(std::optional<int> code) { return code == 0 ? std::nullopt : code; }

Outcome timed_out(const Run& run, const Observation& seen, const json::value* pod) {
  Outcome o{RunState::timed_out, std::nullopt, "DeadlineExceeded", {}};
  if (pod != nullptr && main_started(run, *pod)) {
    const auto v = main_view(run, *pod);
    if (v.state == State::terminated) o.exit_code = no_success(v.exit_code);
    o.message = "The command did not end within " + time_limit(seen.job_object) + " and was stopped";
  } else {
    o.message = "The command did not start within " + time_limit(seen.job_object);
    if (const auto why = last_wait(run, seen); !why.empty()) o.message += ": " + why;
  }
  return o;
}

// A pod whose main container has ended.
Outcome by_exit(const Run& run, const json::value& pod, const ContainerView& v) {
  if (v.exit_code == 0 && !being_deleted(pod)) {
    return {RunState::succeeded, 0, v.reason.empty() ? "Completed" : std::string(v.reason), {}};
  }
  if (v.reason == "ContainerStatusUnknown") {
    if (auto o = disruption(pod, std::nullopt)) return *o;
    return {RunState::lost, std::nullopt, std::string(reasons::kResultUnknown),
            "The node lost track of the container; how the command ended is not known"};
  }
  if (auto o = disruption(pod, no_success(v.exit_code))) return *o;
  if (v.reason == "OOMKilled") {
    const auto limit = memory_limit(pod, main_container(run, pod));
    return {RunState::failed, v.exit_code, "OOMKilled",
            limit.empty() ? "The command was killed because memory ran out"
                          : "The command was killed because it used more than its memory limit of " +
                                printable(limit, 64)};
  }
  if (ended_by_deletion(pod, v)) {
    return {
        RunState::failed, no_success(v.exit_code), std::string(reasons::kPodDeleted),
        fmt::format("The pod was deleted by somebody else than OddJob while the command ran (exit code {})",
                    v.exit_code.value_or(0))};
  }
  if (v.exit_code == 0) return {RunState::succeeded, 0, "Completed", {}};
  return {RunState::failed, v.exit_code, v.reason.empty() ? "Error" : std::string(v.reason),
          exit_sentence(v)};
}

// A pod that ended, or went, without its main container having said how.
Outcome without_exit(const Run& run, const Observation& seen, const json::value* pod,
                     std::string_view job_reason, std::string_view job_message) {
  if (pod != nullptr) {
    if (auto o = disruption(*pod, std::nullopt)) return *o;
    if (auto o = failed_init(*pod)) return *o;
    if (pod_ended(*pod)) {
      const auto reason = get_string(*pod, {"status", "reason"});
      const auto message = get_string(*pod, {"status", "message"});
      if (!reason.empty()) {
        return {RunState::failed, std::nullopt, printable(reason, 128),
                printable("The pod failed: " + std::string(message.empty() ? reason : message), kMaxText)};
      }
    }
    const bool started = run.state == RunState::running || main_started(run, *pod);
    return {RunState::lost, std::nullopt, std::string(reasons::kPodDeleted),
            started ? "The pod was deleted by somebody else than OddJob while the command ran; how it ended "
                      "is not known"
                    : "The pod was deleted by somebody else than OddJob before the command started"};
  }
  if (run.state == RunState::running) {
    return {RunState::lost, std::nullopt, std::string(reasons::kPodDeleted),
            "The pod is gone; how the command ended is not known"};
  }
  std::string text = "The Job failed without a pod";
  if (!job_message.empty()) text += ": " + printable(job_message, kMaxText);
  if (const auto why = last_wait(run, seen); !why.empty()) text += " (" + why + ")";
  return {RunState::failed, std::nullopt, job_reason.empty() ? "Failed" : printable(job_reason, 128),
          std::move(text)};
}

std::optional<Outcome> judge_complete(const Run& run, const Observation& seen) {
  for (auto it = seen.pods.rbegin(); it != seen.pods.rend(); ++it) {
    const auto v = main_view(run, *it);
    if (v.state == State::terminated && v.exit_code == 0) {
      return Outcome{RunState::succeeded, 0, v.reason.empty() ? "Completed" : std::string(v.reason), {}};
    }
  }
  if (!seen.pods_listed) return std::nullopt;
  // A Job is complete only when all containers of its pod exited with 0.
  return Outcome{RunState::succeeded, 0, "Completed", {}};
}

std::optional<Outcome> judge_failed(const Run& run, const Observation& seen, bool patient) {
  const auto* cond = failure(seen.job_object);
  const auto reason = get_string(*cond, {"reason"});
  const auto message = get_string(*cond, {"message"});
  const auto* pod = last_pod(seen);
  const auto v = pod != nullptr ? main_view(run, *pod) : ContainerView{};
  const bool ended = v.state == State::terminated;
  if (!ended && patient) {
    if (!seen.pods_listed) return std::nullopt;
    if (pod != nullptr && !seen.gone_pods.contains(uid_of(*pod)) && !pod_ended(*pod)) return std::nullopt;
  }
  if (reason == "DeadlineExceeded") return timed_out(run, seen, pod);
  if (pod != nullptr && get_string(*pod, {"status", "reason"}) == "DeadlineExceeded")
    return timed_out(run, seen, pod);
  if (!ended || v.reason == "ContainerStatusUnknown") {
    if (ended && main_started(run, *pod)) return by_exit(run, *pod, v);
    return without_exit(run, seen, pod, reason, message);
  }
  auto o = by_exit(run, *pod, v);
  if (reason == "PodFailurePolicy" && o.state == RunState::failed && !disruption(*pod, v.exit_code)) {
    o.reason = "PodFailurePolicy";
    if (!message.empty()) o.message = printable(message, kMaxText);
  }
  return o;
}

}  // namespace

const json::value* last_pod(const Observation& seen) noexcept {
  return seen.pods.empty() ? nullptr : &seen.pods.back();
}

bool main_started(const Run& run, const json::value& pod) { return has_started(main_view(run, pod)); }

std::string last_wait(const Run& run, const Observation& seen) {
  Observation then = seen;
  then.job = Observation::Job::present;
  then.gone_pods.clear();
  // A pod that is being ended says ContainerStatusUnknown of what never ran.
  if (!then.pods.empty() && being_deleted(then.pods.back()) && !run.progress.empty()) return run.progress;
  auto text = why_waiting(then);
  return text.empty() ? run.progress : text;
}

std::optional<Outcome> judge(const Run& run, const Observation& seen, bool patient) {
  using Job = Observation::Job;
  if (run.job_uid.empty() || seen.job == Job::unknown) return std::nullopt;
  const bool ours = seen.job_object.is_object() && uid_of(seen.job_object) == run.job_uid;
  switch (ours ? job_end(seen.job_object) : JobEnd::none) {
    case JobEnd::complete:
      return judge_complete(run, seen);
    case JobEnd::failed:
      return judge_failed(run, seen, patient);
    case JobEnd::none:
      break;
  }
  const auto* pod = last_pod(seen);
  if (pod == nullptr) return std::nullopt;
  const auto name = main_container(run, *pod);
  const auto v = find_container(*pod, name);
  if (v.state != State::terminated) return std::nullopt;
  if (seen.job == Job::present) {
    // Sidecars that were kept run on: the main container decides, by itself.
    if (!others_run(*pod, name) || being_deleted(*pod) || v.reason == "ContainerStatusUnknown")
      return std::nullopt;
    return by_exit(run, *pod, v);
  }
  // The Job went before it could say how it ended. What ended by itself before
  // that is still known.
  if (ended_by_deletion(*pod, v) || v.reason == "ContainerStatusUnknown") return std::nullopt;
  return by_exit(run, *pod, v);
}

std::optional<Outcome> outcome_of(const Run& run, const Observation& seen) { return judge(run, seen, true); }

Outcome cancelled_outcome(const Run& run, const Observation& seen) {
  Outcome o{RunState::cancelled, std::nullopt, std::string(reasons::kCancelled), {}};
  const std::string by =
      run.cancelled_by.empty() ? "Cancelled" : "Cancelled by " + printable(run.cancelled_by, 256);
  const auto* pod = last_pod(seen);
  const bool started = run.state == RunState::running || (pod != nullptr && main_started(run, *pod));
  if (!started) {
    o.message = by + " before the command started";
    return o;
  }
  if (pod != nullptr) {
    const auto v = main_view(run, *pod);
    if (v.state == State::terminated && v.reason != "ContainerStatusUnknown")
      o.exit_code = no_success(v.exit_code);
  }
  o.message = by + " while the command ran";
  return o;
}

Outcome job_deleted_outcome(const Run& run, const Observation& seen) {
  const auto* pod = last_pod(seen);
  const bool started = run.state == RunState::running || (pod != nullptr && main_started(run, *pod));
  std::string text = started ? "Its Job was deleted by somebody else than OddJob while the command ran"
                             : "Its Job was deleted by somebody else than OddJob before the command started";
  if (pod != nullptr) {
    const auto v = main_view(run, *pod);
    if (v.state == State::terminated && v.exit_code && v.reason != "ContainerStatusUnknown") {
      text += fmt::format("; it was stopped with exit code {}", *v.exit_code);
    }
  }
  return {RunState::lost, std::nullopt, std::string(reasons::kJobDeleted), std::move(text)};
}

Outcome start_timeout_outcome(const Observation& seen, std::string_view progress) {
  std::string text = "The command did not start within " + human_duration(seen.start_timeout);
  auto why = why_waiting(seen);
  if (why.empty()) why = std::string(progress);
  if (!why.empty()) text += ": " + why;
  return {RunState::failed, std::nullopt, std::string(reasons::kStartTimeout), std::move(text)};
}

}  // namespace oddjob::runs
