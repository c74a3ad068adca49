// How the record of a run changes: in one place, by its version.
#include <spdlog/spdlog.h>

#include "runs/engine_impl.hpp"

namespace oddjob::runs {

AuditEvent audit_event(std::string type, std::string actor, const Run& run, json::object detail) {
  AuditEvent e;
  e.type = std::move(type);
  e.actor = std::move(actor);
  e.run_id = run.id;
  e.detail = std::move(detail);
  return e;
}

net::Task<Result<>> Engine::Impl::change(Ptr self, RunPtr r, Change change, bool as_owner) {
  for (int tries = 0;; ++tries) {
    // Manifest and report do not change; without the manifest the store leaves its own alone.
    json::value job = std::exchange(r->run.job, nullptr);
    json::array report = std::exchange(r->run.report, {});
    Run next = r->run;
    r->run.job = std::move(job);
    r->run.report = std::move(report);
    auto events = change(next);
    if (!events) co_return Result<>();
    const std::string owner = as_owner ? r->owner : std::string();
    auto write = [self, &next, &events, &owner] { return self->store.update_run(next, *events, owner); };
    auto stored = co_await self->db.offload_together(write);
    if (stored) {
      if (stored->version > r->run.version) {
        stored->job = std::move(r->run.job);
        stored->report = std::move(r->run.report);
        r->run = std::move(*stored);
      }
      r->changed->notify_all();
      r->wake.notify_all();
      if (self->options.on_record && !events->empty()) self->options.on_record();
      co_return Result<>();
    }
    if (stored.error().code == "store.not_owner") self->lose(r);
    if (stored.error().code != "store.conflict" || tries >= 20)
      co_return std::unexpected(std::move(stored).error());
    // Somebody was faster: a cancellation against the end, most of all.
    auto read = [self, &r] { return self->store.get_run(r->run.id); };
    auto fresh = co_await self->db.offload(read);
    if (!fresh) co_return std::unexpected(std::move(fresh).error());
    if (fresh->version > r->run.version) r->run = std::move(*fresh);
  }
}

net::Task<bool> Engine::Impl::persist(Ptr self, RunPtr r, Change change_) {
  Duration backoff = self->options.retry_min;
  while (true) {
    auto changing = change(self, r, change_, true);
    const auto done = co_await std::move(changing);
    if (done) co_return true;
    if (self->stopping || r->lost) co_return false;
    spdlog::warn("run {}: {}", r->run.id, done.error().message);
    self->show_progress(r, "Waiting for the database: " + done.error().message);
    // Not interruptible by cancellation: that would need the database too.
    co_await net::sleep_for(backoff);
    backoff = std::min(backoff * 2, self->options.retry_max);
  }
}

}  // namespace oddjob::runs
