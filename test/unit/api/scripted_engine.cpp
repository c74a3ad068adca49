#include "scripted_engine.hpp"

#include "core/digest.hpp"

namespace oddjob::runs {

struct Engine::Impl {
  api::EngineScript& script = *api::EngineScript::current();
};

namespace {
bool sees(const Subject& s, const Run& r) { return s.admin || s.auditor || s.user == r.requester; }
}  // namespace

Engine::Engine(net::Loop&, kube::Client&, store::Store&, net::BlockingPool&, EngineOptions)
    : impl_(std::make_shared<Impl>()) {}
Engine::~Engine() = default;
bool Engine::ready() const noexcept { return impl_->script.ready; }
std::string Engine::not_ready_reason() const { return impl_->script.reason; }
Engine::Stats Engine::stats() const noexcept { return {3, 10, 4, 7, 4096}; }

net::Task<Result<SubmitResult>> Engine::submit(const Caller& caller, RunRequest request, std::string key) {
  auto& s = impl_->script;
  s.callers.push_back(caller);
  s.requests.push_back(request);
  if (s.error) co_return fail(*s.error);
  Run r;
  // Ids sort by the millisecond: no two runs of a test share one.
  s.last = std::max(system_clock().now(), s.last + std::chrono::milliseconds(1));
  r.created = s.last;
  r.id = new_run_id(r.created);
  r.workload = request.workload;
  r.requester = caller.subject.user;
  r.command = request.command;
  r.request = to_recordable_json(request);
  r.job = json::object{{"kind", "Job"}};
  AuditEvent e;
  e.type = "run.requested";
  e.actor = caller.subject.user;
  const auto digest = json_digest(r.request);
  OJ_CO_TRY(auto created, s.store->create_run(std::move(r), key, digest, std::move(e)));
  co_return SubmitResult{std::move(created.run), created.replayed,
                         Waited{std::chrono::microseconds(200), std::chrono::microseconds(100)}};
}

net::Task<Result<DryRunResult>> Engine::dry_run(const Caller& caller, RunRequest request) {
  auto& s = impl_->script;
  s.callers.push_back(caller);
  s.requests.push_back(std::move(request));
  if (s.error) co_return fail(*s.error);
  co_return s.dry_run;
}

net::Task<Result<Run>> Engine::cancel(const Caller& caller, std::string run_id) {
  impl_->script.callers.push_back(caller);
  OJ_CO_TRY(auto run, co_await get(caller, std::move(run_id)));
  if (is_final(run.state)) co_return run;
  run.cancel_requested = true;
  run.cancelled_by = caller.subject.user;
  co_return impl_->script.store->update_run(run, {});
}

net::Task<Result<Run>> Engine::approve(const Caller& caller, std::string run_id, std::string digest,
                                       std::string reason) {
  impl_->script.callers.push_back(caller);
  impl_->script.said = {digest, reason};
  OJ_CO_TRY(auto run, co_await get(caller, std::move(run_id)));
  co_return run;
}
net::Task<Result<Run>> Engine::deny(const Caller& caller, std::string run_id, std::string reason) {
  impl_->script.callers.push_back(caller);
  impl_->script.said = {"", reason};
  OJ_CO_TRY(auto run, co_await get(caller, std::move(run_id)));
  co_return run;
}
bool Engine::may_approve(const Caller& caller, const Run& run) const {
  return caller.subject.user != run.requester;
}

net::Task<Result<Run>> Engine::get(const Caller& caller, std::string run_id) {
  auto& s = impl_->script;
  if (s.error) co_return fail(*s.error);
  auto run = s.store->get_run(run_id);
  const bool hidden = run ? !sees(caller.subject, *run) : run.error().kind == Errc::not_found;
  if (hidden) co_return fail(Errc::not_found, "run.not_found", "there is no run " + run_id);
  co_return run;
}

net::Task<Result<store::RunPage>> Engine::list(const Caller&, store::RunFilter filter, std::string cursor,
                                               int limit, bool approvable) {
  impl_->script.approvable = approvable;
  if (impl_->script.error) co_return fail(*impl_->script.error);
  co_return impl_->script.store->list_runs(filter, cursor, limit);
}

net::Task<Result<std::vector<WorkloadInfo>>> Engine::workloads(const Caller&, std::string) {
  if (impl_->script.error) co_return fail(*impl_->script.error);
  co_return impl_->script.workloads;
}

std::vector<std::string> Engine::workload_warnings(std::string_view) const { return impl_->script.warnings; }

net::Task<Result<std::vector<TemplateInfo>>> Engine::templates(const Caller&, std::string) {
  if (impl_->script.error) co_return fail(*impl_->script.error);
  co_return impl_->script.templates;
}

net::Task<Result<TemplateInfo>> Engine::get_template(const Caller&, std::string name_space,
                                                     std::string name) {
  if (impl_->script.error) co_return fail(*impl_->script.error);
  for (const auto& t : impl_->script.templates)
    if (t.value.name_space == name_space && t.value.name == name) co_return t;
  co_return fail(Errc::not_found, "template.not_found", "there is no template " + name);
}

std::uint64_t Engine::change_ticket(std::string_view) { return impl_->script.changed.ticket(); }
net::Task<bool> Engine::wait_changed(std::string_view, std::uint64_t seen, Duration timeout) {
  co_return co_await impl_->script.changed.wait_beyond(seen, timeout);
}
net::Task<Result<std::string>> Engine::read_log(std::string run_id, std::int64_t offset,
                                                std::size_t max_bytes) {
  co_return impl_->script.store->read_log(run_id, offset, max_bytes);
}
net::Task<Result<std::optional<store::DroppedLog>>> Engine::dropped_log(std::string run_id) {
  co_return impl_->script.store->dropped_log(run_id);
}

}  // namespace oddjob::runs
