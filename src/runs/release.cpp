// The moment of starting: the policy's last word, the intent on record, and the one call that starts
// anything.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "core/text.hpp"
#include "runs/engine_impl.hpp"
#include "runs/manifest.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

using Kind = Action::Kind;

constexpr auto kForbiddenFor = std::chrono::seconds(5);

// What a release is bound to. A Job made anew under its name fails the test, and one whose specification was
// changed, which its generation tells. Its status may have changed: a controller notes there that the
// Job is suspended. What people approved is held to the last label, as it was compared.
struct Tested {
  std::string uid, version;
  std::int64_t generation = 1;
  friend bool operator==(const Tested&, const Tested&) = default;
};

Tested tested_of(const ActiveRun& r) {
  Tested t;
  t.uid = uid_of(r.job_object);
  t.generation = get_int(r.job_object, {"metadata", "generation"}).value_or(1);
  if (r.run.approval.required > 0) t.version = get_string(r.job_object, {"metadata", "resourceVersion"});
  return t;
}

// RFC 6902: nothing is changed unless every test holds.
json::value release_patch(const Tested& t) {
  const auto step = [](std::string_view op, std::string_view path, json::value value) {
    return json::object{{"op", op}, {"path", path}, {"value", std::move(value)}};
  };
  json::array patch{step("test", "/metadata/uid", json::value(t.uid)),
                    step("test", "/metadata/generation", t.generation)};
  if (!t.version.empty()) patch.push_back(step("test", "/metadata/resourceVersion", json::value(t.version)));
  patch.push_back(step("replace", "/spec/suspend", false));
  return patch;
}

}  // namespace

std::optional<AuditEvent> record_uid(Run& run, std::string_view uid) {
  if (!run.job_uid.empty() || is_final(run.state)) return std::nullopt;
  run.job_uid = uid;
  json::object detail{{"job", run.job_name}, {"namespace", run.workload.name_space}, {"uid", uid}};
  return audit_event("run.job_created", std::string(kSelf), run, std::move(detail));
}

bool has_job(const ActiveRun& r, std::string_view uid) {
  return r.job == Observation::Job::present && uid_of(r.job_object) == uid;
}

bool believed(ActiveRun& r, const Error& e) {
  if (e.code != "kube.forbidden") {
    r.forbidden_since.reset();
    return true;
  }
  if (!r.forbidden_since) r.forbidden_since = std::chrono::steady_clock::now();
  return std::chrono::steady_clock::now() - *r.forbidden_since >= kForbiddenFor;
}

// The policy's word at this moment. An error of kind forbidden is a no.
net::Task<Result<>> Engine::Impl::ask_again(Ptr self, RunPtr r) {
  auto reading = self->workload_reads.read(r->run.workload);
  const auto workload = co_await std::move(reading);
  if (!workload) {
    if (workload.error().code != "workload.not_found") co_return std::unexpected(workload.error());
    co_return fail(Errc::forbidden, workload.error().code, workload.error().message + " any more");
  }
  const auto& annotations = annotations_of(**workload);
  const auto policy = policy::parse_policy(annotations, to_string(r->run.workload));
  if (!policy) co_return std::unexpected(policy.error());
  if (!r->request) {
    auto request = recorded_request(r->run);
    if (!request)
      co_return fail(Errc::forbidden, "run.unreadable",
                     "the recorded request cannot be read: " + request.error().message);
    r->request = std::move(*request);
  }
  Subject recorded;
  recorded.user = r->run.requester;
  recorded.teams = r->run.requester_teams;
  recorded.how = r->run.requester_how;
  const auto subject = self->known(recorded);
  if (!subject) {
    co_return fail(Errc::forbidden, "policy.requester_gone",
                   "its requester " + printable(recorded.user, 100) + " is no longer known here");
  }
  policy::Circumstances circumstances;
  auto counting = count_active(self, r->run.workload, r->run.id, true);
  const auto others = co_await std::move(counting);
  if (!others) co_return std::unexpected(others.error());
  circumstances.active_runs = *others;
  circumstances.resolved_container = r->run.container;
  if (r->request->from_template) {
    auto rereading = same_template(self, *r->request);
    const auto terms = co_await std::move(rereading);
    if (!terms) co_return std::unexpected(terms.error());
    circumstances.terms = *terms;
  }
  const auto decision = policy::decide(*subject, *policy, *r->request, circumstances);
  if (const auto* deny = std::get_if<policy::Deny>(&decision)) {
    co_return fail(Errc::forbidden, deny->code, deny->reason);
  }
  if (r->run.approval.required > 0) {
    const auto changes =
        policy::policy_changes(r->run.approval.policy, policy::policy_annotations(annotations));
    if (!changes.empty()) {
      co_return fail(Errc::forbidden, "approval.policy_changed",
                     "the policy of " + to_string(r->run.workload) +
                         " changed after the run was asked for: " + join(changes, "; "));
    }
    if (auto enough = self->approved(r->run, *policy); !enough) co_return enough;
  }
  if (const auto* needs = std::get_if<policy::NeedsApproval>(&decision);
      needs != nullptr && needs->approvals > r->run.approval.required) {
    co_return fail(
        Errc::forbidden, "approval.now_needed",
        fmt::format("{} now needs {} approval{} (oddjob.dev/approval), and {} when the run was asked for",
                    to_string(r->run.workload), needs->approvals, needs->approvals == 1 ? "" : "s",
                    r->run.approval.required == 0 ? "none" : std::to_string(r->run.approval.required)));
  }
  co_return Result<>();
}

// The Job as the API server has it now, field by field against what was
// approved. "run.job_changed" (forbidden) names what differs.
net::Task<Result<>> Engine::Impl::look_closely(Ptr self, RunPtr r) {
  const std::string ns = r->run.workload.name_space;
  auto getting = self->client.get(kube::resources::jobs, ns, r->run.job_name);
  const auto job = co_await std::move(getting);
  if (!job) co_return std::unexpected(job.error());
  if (uid_of(*job) != r->run.job_uid) {
    r->job = Observation::Job::unknown;  // a look tells; the machine ends the run
    co_return fail(Errc::conflict, "run.job_replaced", "its Job was replaced by another of the same name");
  }
  const auto differences = differences_of(r->run.job, *job);
  if (!differences.empty()) {
    co_return fail(
        Errc::forbidden, "run.job_changed",
        "The Job in the cluster is not the one that was approved; it was not started. It differs in " +
            join(differences, ", "));
  }
  self->saw_job(r, *job);
  co_return Result<>();
}

// What the machine will say when the uid of the Job that is there is on record; of a Job that people
// approve, it is there before they look.
Action::Kind Engine::Impl::next_once_recorded(ActiveRun& r) const {
  if (r.run.approval.required > 0) return Kind::record_job;
  r.run.job_uid = uid_of(r.job_object);
  const auto kind = next_step(r.run, observe(r), wait_now()).action.kind;
  r.run.job_uid.clear();
  return kind;
}

net::Task<> Engine::Impl::release_job(Ptr self, RunPtr r) {
  const std::string uid(uid_of(r->job_object));
  const bool queued = self->observe(*r).queued;
  auto asking = ask_again(self, r);
  auto allowed = co_await std::move(asking);
  if (allowed && r->run.approval.required > 0 && !queued) {
    auto looking = look_closely(self, r);
    allowed = co_await std::move(looking);
  }
  // Its uid is recorded first, and the machine comes back to this.
  if (!allowed && r->run.job_uid.empty()) co_return;
  if (!allowed && allowed.error().kind == Errc::forbidden && !allowed.error().code.starts_with("kube.")) {
    r->refusal = allowed.error();
    co_return;
  }
  if (!allowed) {
    co_await back_off(self, r, "Waiting to start: " + allowed.error().message);
    co_return;
  }
  if (!has_job(*r, uid)) co_return;
  // The intent is on record before the call; a cancellation that is there first wins.
  bool go = false;
  Change intend = [&go, &uid](Run& run) -> std::optional<std::vector<AuditEvent>> {
    std::vector<AuditEvent> events;
    if (auto made = record_uid(run, uid)) events.push_back(std::move(*made));
    go = run.state == RunState::starting && !run.cancel_requested && run.result_reason.empty() &&
         run.job_uid == uid;
    if (!go || run.released) return events.empty() ? std::nullopt : std::optional(std::move(events));
    run.released = true;
    run.progress.clear();
    json::object detail{{"job", run.job_name}, {"uid", run.job_uid}, {"digest", run.digest}};
    if (run.approval.required > 0) {
      json::array by;
      for (const auto& a : run.approvals) by.emplace_back(a.subject);
      detail["approvedBy"] = std::move(by);
    }
    events.push_back(audit_event("run.starting", std::string(kSelf), run, std::move(detail)));
    return events;
  };
  auto intending = persist(self, r, std::move(intend));
  const bool recorded = co_await std::move(intending);
  if (!recorded || !go) co_return;
  if (r->run.cancel_requested || self->stopping || r->lost || queued) co_return;
  // Another Job of that name may have come meanwhile: the machine tells what becomes of the run.
  if (!has_job(*r, uid)) co_return;
  // After the last wait before the call: a process that stood still goes no further.
  if (!self->holds_lease()) co_return;
  const Tested tested = tested_of(*r);
  json::value patch = release_patch(tested);
  const std::string ns = r->run.workload.name_space;
  const std::string name = r->run.job_name;
  kube::WriteOptions options;
  options.traceparent = r->traceparent;
  auto patching = self->client.patch(kube::resources::jobs, ns, name, kube::PatchType::json_patch,
                                     std::move(patch), std::move(options));
  const auto patched = co_await std::move(patching);
  if (patched) {
    r->backoff = Duration{};
    r->waiting_since = self->wait_now();
    self->saw_job(r, *patched);
    co_return;
  }
  const Error& e = patched.error();
  r->job = Observation::Job::unknown;
  bool changed = e.kind == Errc::conflict || e.kind == Errc::not_found;
  if (e.code == "kube.invalid") {
    // An API server does not say that it was a test that failed: what is there now does.
    auto looking = look(self, r);
    const auto looked = co_await std::move(looking);
    changed = !looked || r->job != Observation::Job::present || tested_of(*r) != tested;
  }
  if (changed) {
    co_await back_off(self, r, {});
    co_return;
  }
  if (final_create_error(e) && believed(*r, e)) {
    r->refusal = Error{Errc::forbidden, e.code, "the cluster does not let the Job start: " + e.message, {}};
    co_return;
  }
  co_await back_off(self, r, "Waiting to start: " + e.message);
}

}  // namespace oddjob::runs
