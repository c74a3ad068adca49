#include "runs/machine.hpp"

#include <fmt/format.h>
#include <algorithm>

#include "core/text.hpp"
#include "policy/approvals.hpp"
#include "runs/objects.hpp"
#include "runs/outcome.hpp"

namespace oddjob::runs {
namespace {

using Kind = Action::Kind;
using Job = Observation::Job;

// How long past its grace period a pod may take to say how it ended, and how
// long pods may outlive a Job that is gone.
constexpr auto kEndPatience = std::chrono::seconds(60);
constexpr auto kGonePatience = std::chrono::seconds(120);
// How long a Job may stand in a queue.
constexpr auto kQueuePatience = std::chrono::hours(24);
constexpr std::string_view kCancelling = "Cancelling: waiting for the command to stop";

Step act(Kind kind, std::string progress = {}) {
  Step s;
  s.action.kind = kind;
  s.progress = std::move(progress);
  return s;
}

Step wait_until(std::optional<Time> deadline, std::string progress = {}) {
  Step s;
  s.action.deadline = deadline;
  s.progress = std::move(progress);
  return s;
}

Step end(Kind kind, Outcome outcome) {
  Step s;
  s.action.kind = kind;
  s.outcome = std::move(outcome);
  return s;
}

bool log_done(const Observation& seen) { return seen.followed_pods.empty() || seen.log_drained; }

std::optional<Step> follow_first(const Run& run, const Observation& seen) {
  for (const auto& pod : seen.pods) {
    if (!seen.followed_pods.contains(uid_of(pod)) && main_started(run, pod)) {
      Step s;
      s.action.kind = Kind::follow_log;
      s.action.pod_name = std::string(name_of(pod));
      return s;
    }
  }
  return std::nullopt;
}

bool any_started(const Run& run, const Observation& seen) {
  return std::ranges::any_of(seen.pods, [&](const json::value& pod) { return main_started(run, pod); });
}

// When patience with the last pod's end runs out: nullopt while it is not asked
// to end.
std::optional<Time> end_deadline(const Observation& seen) {
  const auto* pod = last_pod(seen);
  if (pod == nullptr) return std::nullopt;
  const auto at = parse_time(get_string(*pod, {"metadata", "deletionTimestamp"}));
  if (!at) return std::nullopt;
  return *at + kEndPatience;
}

// Is there a pod that may still run or speak?
bool pods_live(const Run& run, const Observation& seen) {
  return std::ranges::any_of(seen.pods, [&](const json::value& pod) {
    if (seen.gone_pods.contains(uid_of(pod)) || pod_ended(pod)) return false;
    return find_container(pod, main_container(run, pod)).state != ContainerView::State::terminated;
  });
}

Outcome refused(const Error& why) {
  return {RunState::denied, std::nullopt, std::string(reasons::kPolicyDenied),
          "Refused at the moment of starting: " + printable(why.message, 1024)};
}

// ---- before the Job's uid is in the record ----------------------------------

// A record of an earlier process, with no Job: that process died on the way to it, or the record is
// a backup's, and the Job was made, has run and is gone. Whoever crashes is back soon, and the
// cluster has no trace of the Job then.
std::optional<Outcome> made_elsewhere(const Run& run, const Observation& seen, Time now) {
  if (!seen.recovered || seen.job != Job::absent) return std::nullopt;
  constexpr std::string_view kSoItIsNot =
      "It may have run: is the database a restored backup? So it is not made again";
  const auto lost = [&](std::string why) {
    return Outcome{RunState::lost, std::nullopt, std::string(reasons::kResultUnknown),
                   fmt::format("{}. {}", why, kSoItIsNot)};
  };
  if (seen.job_was_made)
    return lost("OddJob's record says that its Job is still to be made, but the cluster's events tell of it");
  Time asked = run.created;
  for (const auto& a : run.approvals) asked = std::max(asked, a.at);
  if (now < asked + seen.start_timeout) return std::nullopt;
  return lost(fmt::format("Its Job was to be made at {}, by an earlier OddJob process, and is not there",
                          format_time(std::chrono::floor<std::chrono::seconds>(asked))));
}

Step before_recorded(const Run& run, const Observation& seen, Time now) {
  if (auto o = decided(run)) {
    return seen.job == Job::present ? act(Kind::delete_job) : end(Kind::finish, std::move(*o));
  }
  if (run.cancel_requested) {
    if (seen.job == Job::present) return act(Kind::delete_job);
    return end(Kind::finish, cancelled_outcome(run, seen));
  }
  if (seen.job == Job::foreign) {
    return end(Kind::finish,
               {RunState::failed, std::nullopt, std::string(reasons::kJobNameTaken),
                fmt::format("The name {} is taken by a Job in namespace {} that is not this run's; "
                            "nothing was started",
                            run.job_name, run.workload.name_space)});
  }
  if (seen.job == Job::present) return act(Kind::record_job);
  if (seen.values_lost) {
    return end(Kind::finish,
               {RunState::lost, std::nullopt, std::string(reasons::kValuesLost),
                "OddJob was restarted before the Job was made, and the values of the environment "
                "variables given with the run are kept in memory only; nothing was started"});
  }
  if (auto o = made_elsewhere(run, seen, now)) return end(Kind::finish, std::move(*o));
  if (seen.queued) {
    // Kueue may start it the moment it is there: OddJob's own yes comes before.
    if (seen.refusal && !run.released) return end(Kind::finish, refused(*seen.refusal));
    if (!run.released) return act(Kind::release_job);
    if (seen.recovered) {
      return end(Kind::finish, {RunState::lost, std::nullopt, std::string(reasons::kResultUnknown),
                                "OddJob was restarted while the Job was being made, and the Job is not "
                                "there; whether it ran cannot be said, so it is not made again"});
    }
  }
  std::string progress;
  if (seen.create_error) {
    const std::string why = printable(seen.create_error->message, 1024);
    if (final_create_error(*seen.create_error)) {
      return end(Kind::finish, {RunState::failed, std::nullopt, std::string(reasons::kCreateRefused),
                                "The cluster refused the Job: " + why});
    }
    progress = "The Job could not be made yet: " + why;
  }
  // One that waits for approval has a time limit of its own.
  if (run.state != RunState::pending_approval && now >= seen.waiting_since + seen.start_timeout) {
    return end(Kind::finish, start_timeout_outcome(seen, progress));
  }
  return act(Kind::create_job, std::move(progress));
}

// ---- the Job was ours and is not there any more -----------------------------

Step job_gone(const Run& run, const Observation& seen, Time now) {
  if (!seen.pods_listed) return act(Kind::look, run.progress);
  if (auto s = follow_first(run, seen)) return *s;
  if (run.state == RunState::starting && any_started(run, seen)) return act(Kind::mark_running);
  const Time patience =
      std::max(seen.job_gone_since.value_or(now) + kGonePatience, end_deadline(seen).value_or(Time{}));
  if (now < patience && (pods_live(run, seen) || !log_done(seen))) {
    return wait_until(patience, run.cancel_requested ? std::string(kCancelling) : std::string());
  }
  if (auto o = decided(run)) return end(Kind::finish, *o);
  // A Job that ended before the cancellation reached it has its own result.
  const bool ended_before = job_end(seen.job_object) != JobEnd::none && !being_deleted(seen.job_object);
  if (run.cancel_requested && !ended_before) return end(Kind::finish, cancelled_outcome(run, seen));
  if (auto o = judge(run, seen, false)) return end(Kind::finish, std::move(*o));
  return end(Kind::finish,
             run.cancel_requested ? cancelled_outcome(run, seen) : job_deleted_outcome(run, seen));
}

// ---- the Job is there -------------------------------------------------------

// Ends the run with `o`, as soon as its log is read.
Step conclude(const Run& run, const Observation& seen, Outcome o) {
  if (!log_done(seen)) return wait_until(std::nullopt);
  if (job_end(seen.job_object) == JobEnd::none && o.state != RunState::cancelled) {
    return decided(run) ? act(Kind::delete_job) : end(Kind::record_result, std::move(o));
  }
  return end(Kind::finish, std::move(o));
}

Outcome tampered(RunState state, std::string message) {
  return {state, std::nullopt, std::string(reasons::kJobTampered), std::move(message)};
}

// Was the Job started or changed by somebody else? What is released has been
// changed once, by OddJob; a queue's controller changes it as it likes.
std::optional<Outcome> tampered_with(const Run& run, const Observation& seen) {
  if (suspended(seen.job_object) || seen.queued || job_end(seen.job_object) != JobEnd::none)
    return std::nullopt;
  if (!run.released) {
    return tampered(RunState::denied,
                    "Its Job was started by somebody else than OddJob before OddJob allowed it; "
                    "OddJob deleted it, and the command may have run until then");
  }
  const auto changes = get_int(seen.job_object, {"metadata", "generation"}).value_or(0);
  if (changes > 2) {
    return tampered(RunState::failed,
                    "Its Job was changed by somebody else than OddJob after it had started; "
                    "OddJob deleted it, which stops the command");
  }
  return std::nullopt;
}

Step suspended_job(const Run& run, const Observation& seen, Time now) {
  if (seen.queued && run.released && seen.pods.empty()) {
    const Time patience = seen.waiting_since + kQueuePatience;
    if (now >= patience) return end(Kind::record_result, start_timeout_outcome(seen, run.progress));
    return wait_until(patience, "Waiting for Kueue to admit the Job");
  }
  const Time deadline = seen.waiting_since + seen.start_timeout;
  if (never_released(seen.job_object)) {
    if (now >= deadline) return end(Kind::record_result, start_timeout_outcome(seen, run.progress));
    return act(Kind::release_job, run.progress);
  }
  // Changed by somebody, or released and suspended again: OddJob neither starts
  // what it did not make nor starts anything twice.
  if (!seen.pods_listed) return act(Kind::look, run.progress);
  if (run.state == RunState::running || !seen.pods.empty()) {
    return end(Kind::record_result,
               {RunState::lost, std::nullopt, std::string(reasons::kJobSuspended),
                "Its Job was suspended by somebody else than OddJob after it had been started, "
                "which stops the command"});
  }
  return end(Kind::record_result,
             {RunState::denied, std::nullopt, std::string(reasons::kJobChanged),
              "Its Job was changed by somebody else than OddJob before the command started; "
              "it was not started"});
}

Step with_job(const Run& run, const Observation& seen, Time now) {
  if (auto s = follow_first(run, seen)) return *s;
  if (!decided(run) && !run.cancel_requested) {
    if (auto o = tampered_with(run, seen)) return end(Kind::record_result, std::move(*o));
  }
  const bool started = any_started(run, seen);
  if (run.state == RunState::starting && started && !decided(run)) return act(Kind::mark_running);

  if (decided(run)) {
    return being_deleted(seen.job_object) ? wait_until(std::nullopt) : act(Kind::delete_job);
  }
  if (run.cancel_requested && being_deleted(seen.job_object)) {
    // What it says from here on is our own doing.
    return wait_until(std::nullopt, std::string(kCancelling));
  }
  auto outcome = outcome_of(run, seen);
  if (outcome) return conclude(run, seen, std::move(*outcome));
  if (job_end(seen.job_object) != JobEnd::none) {
    // It has ended, but its pod has not said how: the two watches are not in
    // step, or the pod is on its way out.
    if (!seen.pods_listed) return act(Kind::look, run.progress);
    if (auto deadline = end_deadline(seen)) {
      if (now < *deadline) return wait_until(deadline, run.progress);
      if (auto o = judge(run, seen, false)) return conclude(run, seen, std::move(*o));
    }
    return wait_until(std::nullopt, run.progress);
  }
  if (run.cancel_requested) return act(Kind::delete_job, std::string(kCancelling));
  if (seen.refusal && !started && suspended(seen.job_object)) {
    if (seen.refusal->code == "run.job_changed") {
      return end(Kind::record_result, tampered(RunState::denied, printable(seen.refusal->message, 1024)));
    }
    return end(Kind::record_result, refused(*seen.refusal));
  }
  if (being_deleted(seen.job_object)) return wait_until(std::nullopt, run.progress);
  if (suspended(seen.job_object)) return suspended_job(run, seen, now);

  if (run.state == RunState::running) {
    const bool ended = !pods_live(run, seen) && !seen.pods.empty();
    return wait_until(std::nullopt,
                      ended ? "The command has ended; waiting for the cluster to finish the Job" : "");
  }
  const Time deadline = seen.waiting_since + seen.start_timeout;
  if (now >= deadline) return end(Kind::record_result, start_timeout_outcome(seen, run.progress));
  return wait_until(deadline, why_waiting(seen));
}

// ---- waiting for approval -----------------------------------------------------

Step pending(const Run& run, const Observation& seen, Time now) {
  const bool over = decided(run) || run.cancel_requested;
  if (!over && now >= run.approval.expires) {
    return end(Kind::record_result,
               {RunState::expired, std::nullopt, std::string(reasons::kApprovalExpired),
                fmt::format("It was not approved in time ({} of {} approvals until {}); nothing was started",
                            run.approvals.size(), run.approval.required, format_time(run.approval.expires))});
  }
  if (!over && run.approval.deferred) return wait_until(run.approval.expires, waiting_for_approval(run));
  if (seen.job == Job::unknown) return act(Kind::look, run.progress);
  if (run.job_uid.empty()) return before_recorded(run, seen, now);
  if (seen.job != Job::present || uid_of(seen.job_object) != run.job_uid) {
    if (over) return job_gone(run, seen, now);
    return end(Kind::record_result,
               {RunState::denied, std::nullopt, std::string(reasons::kJobDeleted),
                "Its Job was deleted by somebody else than OddJob while it waited for approval; "
                "it was not started"});
  }
  // Of a Job that somebody started all the same, the log is evidence.
  if (auto s = follow_first(run, seen)) return *s;
  if (over) {
    return being_deleted(seen.job_object) ? wait_until(std::nullopt) : act(Kind::delete_job);
  }
  if (being_deleted(seen.job_object)) return wait_until(run.approval.expires, run.progress);
  if (!never_released(seen.job_object)) {
    return end(
        Kind::record_result,
        tampered(RunState::denied,
                 suspended(seen.job_object)
                     ? "Its Job was changed by somebody else than OddJob while it waited for approval; "
                       "OddJob deleted it, and nothing was started"
                     : "Its Job was started by somebody else than OddJob while it waited for approval; "
                       "OddJob deleted it, and the command may have run until then"));
  }
  return wait_until(run.approval.expires, waiting_for_approval(run));
}

}  // namespace

std::string waiting_for_approval(const Run& run) {
  return fmt::format("Waiting for approval by {} ({} of {} so far), until {}",
                     policy::who_may_approve(run.approval.teams, run.approval.users), run.approvals.size(),
                     run.approval.required,
                     format_time(std::chrono::ceil<std::chrono::seconds>(run.approval.expires)));
}

bool is_tampering(const Outcome& o) noexcept {
  return o.reason == reasons::kJobTampered || o.reason == reasons::kJobChanged ||
         (o.reason == reasons::kJobDeleted && o.state == RunState::denied);
}

bool final_create_error(const Error& e) noexcept {
  // What the transport says never tells what the cluster would say.
  if (e.code.starts_with("http.") || e.code == "kube.not_json") return false;
  switch (e.kind) {
    case Errc::invalid_argument:
    case Errc::forbidden:
    case Errc::not_found:
    case Errc::failed_precondition:
    case Errc::too_large:
    case Errc::unsupported:
      return true;
    default:
      return false;
  }
}

std::optional<Outcome> decided(const Run& run) {
  if (is_final(run.state) || run.result_reason.empty()) return std::nullopt;
  Outcome o{RunState::failed, run.exit_code, run.result_reason, run.message};
  const auto is = [&](std::string_view reason) { return run.result_reason == reason; };
  if (is(reasons::kApprovalExpired)) {
    o.state = RunState::expired;
  } else if (is(reasons::kPolicyDenied) || is(reasons::kPolicyChanged) || is(reasons::kJobChanged) ||
             is(reasons::kApprovalDenied) || is(reasons::kJobDeleted) ||
             (is(reasons::kJobTampered) && !run.released)) {
    o.state = RunState::denied;
  } else if (run.result_reason == reasons::kJobSuspended || run.result_reason == reasons::kResultUnknown) {
    o.state = RunState::lost;
  } else if (run.exit_code == 0) {
    o.state = RunState::succeeded;
  }
  return o;
}

Step next_step(const Run& run, const Observation& seen, Time now) {
  if (is_final(run.state)) return {};
  if (run.state == RunState::pending_approval) return pending(run, seen, now);
  if (seen.job == Job::unknown) return act(Kind::look, run.progress);
  if (run.job_uid.empty()) return before_recorded(run, seen, now);
  if (seen.job == Job::present && uid_of(seen.job_object) == run.job_uid) return with_job(run, seen, now);
  return job_gone(run, seen, now);
}

}  // namespace oddjob::runs
