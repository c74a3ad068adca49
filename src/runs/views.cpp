// What callers may see of runs and workloads, and cancelling.
#include <algorithm>

#include "core/text.hpp"
#include "runs/engine_impl.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

// Pages of the store that one list may read to fill a page of what is visible.
constexpr int kMaxReads = 40;
constexpr int kMaxPage = 500;

}  // namespace

Run Engine::Impl::view(const ActiveRun& r) const {
  Run run = r.run;
  if (is_final(run.state)) return run;
  run.progress = r.progress;
  if (r.log) run.log_bytes = std::max(run.log_bytes, r.log->length());
  return run;
}

std::optional<Policy> Engine::Impl::policy_of(const WorkloadRef& w) const {
  for (const auto& [kind, cache] : workload_caches) {
    if (kind != w.kind) continue;
    const auto* object = cache->get(w.name_space, w.name);
    if (object == nullptr) continue;
    const auto* annotations = find_object(*object, {"metadata", "annotations"});
    if (annotations == nullptr) continue;
    auto policy = policy::parse_policy(*annotations, to_string(w));
    if (policy) return std::move(*policy);
    return std::nullopt;
  }
  return std::nullopt;
}

bool Engine::Impl::may_run_on(const Subject& s, const WorkloadRef& w) const {
  const auto policy = policy_of(w);
  return policy && policy::may_run(s, *policy);
}

bool Engine::Impl::may_see(const Subject& s, const Run& run) const {
  if (s.admin || s.auditor || s.user == run.requester) return true;
  const auto policy = policy_of(run.workload);
  return policy && (policy::may_run(s, *policy) || policy::is_approver(s, *policy));
}

net::Task<Result<Run>> Engine::Impl::load(Ptr self, std::string id) {
  if (const auto r = self->find(id)) co_return self->view(*r);
  auto read = [self, &id] { return self->store.get_run(id); };
  auto run = co_await self->db.offload(read);
  if (!run) {
    if (run.error().kind == Errc::not_found) {
      co_return fail(Errc::not_found, "run.not_found",
                     "there is no run " + printable(id, 64) + " that you may see");
    }
    co_return run;
  }
  if (const auto r = self->find(run->id)) co_return self->view(*r);
  co_return run;
}

net::Task<Result<Run>> Engine::Impl::cancel(Ptr self, Caller caller, std::string id) {
  auto loading = load(self, id);
  auto run = co_await std::move(loading);
  if (!run) co_return run;
  const auto& s = caller.subject;
  if (!self->may_see(s, *run)) {
    co_return fail(Errc::not_found, "run.not_found",
                   "there is no run " + printable(id, 64) + " that you may see");
  }
  if (!s.admin && s.user != run->requester && !self->may_run_on(s, run->workload)) {
    co_return fail(Errc::forbidden, "run.not_allowed",
                   printable(s.user, 256) +
                       " may not cancel this run: only its requester, those who may run on " +
                       to_string(run->workload) + ", and admins may");
  }
  if (is_final(run->state)) co_return run;
  Change ask = [caller](Run& r) -> std::optional<std::vector<AuditEvent>> {
    if (is_final(r.state) || r.cancel_requested) return std::nullopt;
    r.cancel_requested = true;
    r.cancelled_by = caller.subject.user;
    json::object detail{{"state", to_string(r.state)}, {"channel", caller.channel}, {"from", caller.from}};
    return std::vector{audit_event("run.cancel_requested", caller.subject.user, r, std::move(detail))};
  };
  auto r = self->find(run->id);
  if (!r) {
    // Of another process, or not taken up yet: only the record changes here.
    r = std::make_shared<ActiveRun>();
    r->run = std::move(*run);
    r->progress = r->run.progress;
  }
  auto changing = change(self, r, std::move(ask));
  const auto done = co_await std::move(changing);
  if (!done) co_return std::unexpected(done.error());
  r->wake.notify_all();
  co_return self->view(*r);
}

net::Task<Result<store::RunPage>> Engine::Impl::list(Ptr self, Subject subject, store::RunFilter filter,
                                                     std::string cursor, int limit, bool approvable) {
  limit = std::clamp(limit, 1, kMaxPage);
  const bool all = !approvable && (subject.admin || subject.auditor || filter.requester == subject.user);
  if (approvable) filter.states = {RunState::pending_approval};
  store::RunPage page;
  page.next_cursor = std::move(cursor);
  std::map<std::string, bool, std::less<>> runs_there;  // the answer of a workload holds for the whole list
  const auto visible = [&](const Run& run) {
    if (approvable) return self->may_approve(subject, run);
    if (all || run.requester == subject.user) return true;
    const auto [it, fresh] = runs_there.try_emplace(workload_key(run.workload), false);
    if (fresh) it->second = self->may_see(subject, run);
    return it->second;
  };
  for (int reads = 0; reads < (all ? 1 : kMaxReads); ++reads) {
    const int want = limit - static_cast<int>(page.runs.size());
    auto read = [self, &filter, &page, want] {
      return self->store.list_runs(filter, page.next_cursor, want);
    };
    auto more = co_await self->db.offload(read);
    if (!more) co_return more;
    for (auto& run : more->runs) {
      if (!visible(run)) continue;
      if (const auto r = self->find(run.id)) {
        const Run now = self->view(*r);
        run.progress = now.progress;
        run.log_bytes = now.log_bytes;
      }
      page.runs.push_back(std::move(run));
    }
    page.next_cursor = std::move(more->next_cursor);
    if (page.next_cursor.empty() || static_cast<int>(page.runs.size()) >= limit) break;
  }
  co_return page;
}

std::vector<std::string> Engine::Impl::workload_warnings(std::string_view name_space) const {
  std::vector<std::string> out;
  for (const auto& [where, why] : workload_problems) {
    const auto& [ns, kind] = where;
    if (!ns.empty() && !name_space.empty() && ns != name_space) continue;
    out.push_back(fmt::format("{}s{}{} may be missing or out of date: {}", kind_name(kind),
                              ns.empty() ? "" : " of namespace ", ns, printable(why.message, 500)));
  }
  return out;
}

Result<std::vector<WorkloadInfo>> Engine::Impl::workloads(const Subject& subject,
                                                          const std::string& name_space) const {
  const bool any = std::ranges::any_of(workload_caches, [](const auto& c) { return c.second->synced(); });
  if (!any) {
    return fail(Errc::unavailable, "runs.not_ready", "the workloads of the cluster have not been listed yet",
                "try again in a moment");
  }
  std::vector<WorkloadInfo> out;
  for (const auto& [kind, cache] : workload_caches) {
    for (const auto& [key, object] : cache->items()) {
      WorkloadInfo info;
      info.ref = {kind, std::string(get_string(object, {"metadata", "namespace"})),
                  std::string(name_of(object))};
      info.version = get_string(object, {"metadata", "resourceVersion"});
      if (!name_space.empty() && info.ref.name_space != name_space) continue;
      const auto* annotations = find_object(object, {"metadata", "annotations"});
      if (annotations == nullptr) continue;
      const auto policy = policy::parse_policy(*annotations, to_string(info.ref));
      if (!policy) {
        info.problem = policy.error().message;
      } else {
        info.may_run = policy::may_run(subject, *policy);
        info.needs_approval = policy->approvals > 0;
        std::vector<std::string> who;
        if (!policy->allowed_teams.empty()) who.push_back("teams: " + join(policy->allowed_teams, ", "));
        if (!policy->allowed_users.empty()) who.push_back("users: " + join(policy->allowed_users, ", "));
        info.team_summary = join(who, "; ");
        if (!info.may_run) info.problem = printable(subject.user, 256) + " is not among those allowed";
      }
      out.push_back(std::move(info));
    }
  }
  std::ranges::sort(out, {}, [](const WorkloadInfo& w) {
    return std::tuple(w.ref.name_space, std::string(kind_short(w.ref.kind)), w.ref.name);
  });
  return out;
}

}  // namespace oddjob::runs
