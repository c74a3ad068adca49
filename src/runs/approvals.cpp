// A second person's yes or no.
//
// An approval is a commit: the row, its audit record and, with the last one
// needed, the run's new state in one transaction. Starting is the supervisor's
// part (release_job), which asks everything again.
#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "runs/engine_impl.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

bool waits(const Run& run) {
  return run.state == RunState::pending_approval && !run.cancel_requested && run.result_reason.empty();
}

Error not_pending(const Run& run) {
  std::string what = std::string(to_string(run.state));
  std::ranges::replace(what, '_', ' ');
  if (run.state == RunState::pending_approval)
    what = run.cancel_requested ? "being cancelled" : "being ended";
  return {Errc::conflict,
          "approval.not_pending",
          fmt::format("run {} does not wait for approval: it is {}", short_run_id(run.id), what),
          {},
          0};
}

// The approvers as they were when the run was asked for.
Policy asked_under(const Run& run) {
  Policy p;
  p.approvers_given = true;
  p.approver_teams = run.approval.teams;
  p.approver_users = run.approval.users;
  return p;
}

json::object identified(const Caller& caller) {
  return {{"identifiedBy", to_string(caller.subject.how)},
          {"teams", json::array(caller.subject.teams.begin(), caller.subject.teams.end())},
          {"channel", caller.channel},
          {"from", caller.from}};
}

}  // namespace

std::optional<Subject> Engine::Impl::known(const Subject& recorded) const {
  return options.known ? options.known(recorded) : std::optional(recorded);
}

Result<> Engine::Impl::approved(const Run& run, const Policy& now) const {
  const auto t = policy::tally(run, now, options.aliases, [this](const Approval& a) {
    Subject s;
    s.user = a.subject;
    s.teams = a.teams;
    s.how = a.how;
    return known(s);
  });
  const auto needed = static_cast<std::size_t>(run.approval.required);
  if (t.counted.size() >= needed) return {};
  std::vector<std::string> why;
  for (const auto& v : t.not_counted) why.push_back(printable(v.subject, 100) + " " + v.why);
  return fail(Errc::forbidden, "approval.not_enough",
              fmt::format("it has {} of {} approvals that count{}{}", t.counted.size(), needed,
                          why.empty() ? "" : ": ", join(why, "; ")));
}

bool Engine::Impl::may_approve(const Subject& s, const Run& run) const {
  if (!waits(run) || now() >= run.approval.expires) return false;
  if (std::ranges::any_of(run.approvals, [&](const Approval& a) { return a.subject == s.user; }))
    return false;
  const auto policy = policy_of(run.workload);
  return policy && !policy::why_not_approve(s, run, *policy, options.aliases);
}

net::Task<Result<Policy>> Engine::Impl::policy_now(Ptr self, const Run& run) {
  const json::object then = run.approval.policy;
  const WorkloadRef ref = run.workload;
  auto reading = self->workload_reads.read(ref);
  const auto workload = co_await std::move(reading);
  if (!workload) co_return std::unexpected(workload.error());
  const auto& annotations = annotations_of(**workload);
  const auto changes = policy::policy_changes(then, policy::policy_annotations(annotations));
  if (!changes.empty()) {
    co_return fail(Errc::failed_precondition, "approval.policy_changed",
                   fmt::format("the policy of {} changed after the run was asked for: {}", to_string(ref),
                               join(changes, "; ")),
                   "ask for a new run, under the policy as it is now");
  }
  co_return policy::parse_policy(annotations, to_string(ref));
}

net::Task<Result<Run>> Engine::Impl::pending_run(Ptr self, Caller caller, std::string id) {
  OJ_CO_CHECK(self->started && !self->stopping
                  ? Result<>()
                  : fail(Errc::unavailable, "runs.not_ready", "the server is not ready, or is stopping",
                         "try again in a moment"));
  auto loading = load(self, id);
  auto run = co_await std::move(loading);
  if (!run) co_return run;
  if (!self->may_see(caller.subject, *run)) {
    co_return fail(Errc::not_found, "run.not_found",
                   "there is no run " + printable(id, 64) + " that you may see");
  }
  co_return run;
}

// What somebody was refused is as telling as what was allowed.
net::Task<Error> Engine::Impl::refuse_approval(Ptr self, Caller caller, Run run, std::string what,
                                               Error why) {
  if (!why.code.starts_with("approval.")) co_return why;
  json::object detail = identified(caller);
  detail["what"] = what;
  detail["code"] = why.code;
  detail["message"] = printable(why.message, 2048);
  detail["workload"] = to_string(run.workload);
  const auto event = audit_event("run.approval_refused", caller.subject.user, run, std::move(detail));
  auto write = [self, &event] { return self->store.append_audit(event); };
  const auto written = co_await self->db.offload_together(write);
  if (!written)
    why.message += " (and this refusal could not be written to the audit: " + written.error().message + ")";
  co_return why;
}

net::Task<Result<Run>> Engine::Impl::approve(Ptr self, Caller caller, std::string id, std::string digest,
                                             std::string reason) {
  auto finding = pending_run(self, caller, std::move(id));
  auto run = co_await std::move(finding);
  if (!run) co_return run;
  std::optional<Error> why;
  std::optional<Policy> policy;
  const bool again = std::ranges::any_of(run->approvals, [&](const Approval& a) {
    return a.subject == caller.subject.user && a.digest == digest;
  });
  if (again) co_return run;
  if (!waits(*run)) {
    why = not_pending(*run);
  } else if (digest != run->digest) {
    why = Error{Errc::conflict, "approval.digest_mismatch",
                "the digest is not that of this run's Job, so this is not what would start",
                "look at the run again, and approve what you see then", 0};
  } else if (self->now() >= run->approval.expires) {
    why = Error{Errc::conflict, "approval.expired",
                fmt::format("the time to approve run {} ended at {}", short_run_id(run->id),
                            format_time(run->approval.expires)),
                "ask for a new run", 0};
  } else {
    auto asking = policy_now(self, *run);
    auto now = co_await std::move(asking);
    if (now) {
      policy = std::move(*now);
      why = policy::why_not_approve(caller.subject, *run, *policy, self->options.aliases);
    } else {
      why = std::move(now).error();
    }
  }
  auto r = self->find(run->id);
  if (!r) {
    // Of another process, or not taken up yet: only the record changes here.
    r = std::make_shared<ActiveRun>();
    r->run = *run;
    r->progress = r->run.progress;
  }
  if (why && why->code == "approval.policy_changed") {
    Change end = [&](Run& x) -> std::optional<std::vector<AuditEvent>> {
      if (!waits(x)) return std::nullopt;
      x.result_reason = reasons::kPolicyChanged;
      x.message = why->message;
      json::object detail{{"state", "denied"}, {"reason", x.result_reason}, {"message", x.message}};
      return std::vector{audit_event("run.denied", "oddjob", x, std::move(detail))};
    };
    auto ending = change(self, r, std::move(end));
    const auto ended = co_await std::move(ending);
    if (!ended) co_return std::unexpected(ended.error());
  }
  if (why) {
    auto refusing = refuse_approval(self, std::move(caller), std::move(*run), "approve", std::move(*why));
    auto error = co_await std::move(refusing);
    co_return std::unexpected(std::move(error));
  }
  // Against whoever was faster: another approver, a cancellation, the clock.
  std::optional<Error> late;
  Change say_yes = [&](Run& x) -> std::optional<std::vector<AuditEvent>> {
    late.reset();
    if (std::ranges::any_of(x.approvals, [&](const Approval& a) { return a.subject == caller.subject.user; }))
      return std::nullopt;
    if (!waits(x)) {
      late = not_pending(x);
      return std::nullopt;
    }
    late = policy::why_not_approve(caller.subject, x, *policy, self->options.aliases);
    if (late) return std::nullopt;
    Approval a;
    a.subject = caller.subject.user;
    a.teams = caller.subject.teams;
    a.how = caller.subject.how;
    a.channel = caller.channel;
    a.from = caller.from;
    a.digest = digest;
    a.reason = reason;
    a.at = self->now();
    x.approvals.push_back(std::move(a));
    const bool complete = self->approved(x, *policy).has_value();
    if (complete) {
      x.state = RunState::starting;
      x.progress.clear();
      r->waiting_since = self->wait_now();
    }
    json::object detail = identified(caller);
    detail["digest"] = digest;
    if (!reason.empty()) detail["reason"] = reason;
    detail["approvals"] = static_cast<std::int64_t>(x.approvals.size());
    detail["required"] = x.approval.required;
    detail["complete"] = complete;
    return std::vector{audit_event("run.approved", caller.subject.user, x, std::move(detail))};
  };
  auto changing = change(self, r, std::move(say_yes));
  const auto done = co_await std::move(changing);
  if (!done) co_return std::unexpected(done.error());
  if (late) {
    auto refusing = refuse_approval(self, std::move(caller), r->run, "approve", std::move(*late));
    auto error = co_await std::move(refusing);
    co_return std::unexpected(std::move(error));
  }
  r->wake.notify_all();
  co_return self->view(*r);
}

net::Task<Result<Run>> Engine::Impl::deny(Ptr self, Caller caller, std::string id, std::string reason) {
  auto finding = pending_run(self, caller, std::move(id));
  auto run = co_await std::move(finding);
  if (!run) co_return run;
  std::optional<Error> why;
  if (trim(reason).empty()) {
    co_return fail(Errc::invalid_argument, "approval.reason_required", "a denial needs a reason",
                   "the requester reads it, and so does the audit");
  }
  if (!waits(*run)) {
    why = not_pending(*run);
  } else {
    // By the policy that the run was asked for under, or the present one:
    // a no only makes things safer.
    const auto now = self->policy_of(run->workload);
    if (!policy::is_approver(caller.subject, asked_under(*run)) &&
        !(now && policy::is_approver(caller.subject, *now))) {
      why = Error{Errc::forbidden, "approval.not_approver",
                  fmt::format("{} is not among those who may approve or deny runs of {}",
                              printable(caller.subject.user, 100), to_string(run->workload)),
                  "its requester can cancel it", 0};
    }
  }
  if (!why && policy::same_person(caller.subject.user, run->requester, self->options.aliases)) {
    why = Error{
        Errc::forbidden, "approval.own_run",
        fmt::format("{} asked for this run, and nobody decides on their own", printable(run->requester, 100)),
        "cancel it instead", 0};
  }
  std::optional<Error> late;
  auto r = self->find(run->id);
  if (!r) {
    r = std::make_shared<ActiveRun>();
    r->run = *run;
    r->progress = r->run.progress;
  }
  if (!why) {
    Change say_no = [&](Run& x) -> std::optional<std::vector<AuditEvent>> {
      late.reset();
      if (!waits(x)) {
        late = not_pending(x);
        return std::nullopt;
      }
      x.result_reason = reasons::kApprovalDenied;
      x.message =
          fmt::format("Denied by {}: {}", printable(caller.subject.user, 256), printable(reason, 1024));
      json::object detail = identified(caller);
      detail["state"] = "denied";
      detail["reason"] = reason;
      detail["message"] = x.message;
      return std::vector{audit_event("run.denied", caller.subject.user, x, std::move(detail))};
    };
    auto changing = change(self, r, std::move(say_no));
    const auto done = co_await std::move(changing);
    if (!done) co_return std::unexpected(done.error());
    why = std::move(late);
  }
  if (why) {
    auto refusing = refuse_approval(self, std::move(caller), r->run, "deny", std::move(*why));
    auto error = co_await std::move(refusing);
    co_return std::unexpected(std::move(error));
  }
  r->wake.notify_all();
  co_return self->view(*r);
}

}  // namespace oddjob::runs
