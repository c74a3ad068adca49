// One coroutine a run: look, ask the machine, do what it says, wait.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/text.hpp"
#include "runs/engine_impl.hpp"
#include "runs/manifest.hpp"
#include "runs/objects.hpp"
#include "runs/outcome.hpp"

namespace oddjob::runs {
namespace {

using Steady = std::chrono::steady_clock;
using Kind = Action::Kind;

// How long a text must stand before it is stored, and how long between two.
constexpr auto kProgressStands = std::chrono::milliseconds(250);
constexpr auto kProgressPause = std::chrono::seconds(1);
// Without a healthy watch, the API server is asked so often.
constexpr auto kLookInterval = std::chrono::seconds(10);
constexpr auto kIdleWait = std::chrono::minutes(5);
// However many runs wait, events are not asked for more often: each time, an API server
// looks through all that its namespace has.
constexpr auto kEventsApart = std::chrono::milliseconds(200);

Duration left(Steady::time_point until) {
  return std::max(Duration(1), std::chrono::ceil<Duration>(until - Steady::now()));
}

// When to ask for events next: they only matter while a pod does not start.
std::optional<Steady::time_point> events_due(const ActiveRun& r, const Observation& seen) {
  if (r.run.state != RunState::starting || r.run.job_uid.empty() || r.polling_events ||
      r.run.cancel_requested || !events_may_tell(seen)) {
    return std::nullopt;
  }
  constexpr std::array kPauses = {400, 1000, 2000, 3000, 5000};
  const auto pause =
      kPauses[std::min<std::size_t>(static_cast<std::size_t>(r.event_polls), kPauses.size() - 1)];
  return std::max(r.events_at, r.looked) + std::chrono::milliseconds(pause);
}

// When it may ask, among all that wait: once it is due, it takes the next free place.
Steady::time_point events_turn(ActiveRun& r, Steady::time_point due, Steady::time_point& next_free) {
  const auto now = Steady::now();
  if (now < due) return due;
  if (!r.events_turn) {
    r.events_turn = std::max(now, next_free);
    next_free = *r.events_turn + kEventsApart;
  }
  return *r.events_turn;
}

// Node clocks count in seconds and may be off: never before `low`, never after `high`.
Time between(std::optional<Time> t, Time low, Time high) {
  return std::clamp(t.value_or(high), low, std::max(low, high));
}

}  // namespace

void Engine::Impl::show_progress(const RunPtr& r, std::string text) {
  if (r->progress == text) return;
  r->progress = std::move(text);
  r->progress_since = Steady::now();
  r->changed->notify_all();
}

net::Task<> Engine::Impl::back_off(Ptr self, RunPtr r, std::string why) {
  if (!why.empty()) self->show_progress(r, std::move(why));
  r->backoff = std::clamp(r->backoff * 2, self->options.retry_min, self->options.retry_max);
  const auto seen = r->wake.ticket();
  const bool cancelled = r->run.cancel_requested;
  const auto until = Steady::now() + r->backoff;
  auto ticket = seen;
  // Woken by much; only a cancellation and the engine's end cut the pause short.
  while (!self->stopping && !r->lost && r->run.cancel_requested == cancelled && Steady::now() < until) {
    co_await r->wake.wait_beyond(ticket, left(until));
    ticket = r->wake.ticket();
  }
}

net::Task<> Engine::Impl::supervise(Ptr self, RunPtr r) {
  while (!self->stopping && !r->lost) {
    auto loading = r->log->load();
    const auto loaded = co_await std::move(loading);
    if (loaded) break;
    co_await back_off(self, r, "Waiting for the database: " + loaded.error().message);
  }
  while (!self->stopping && !r->lost && !is_final(r->run.state)) {
    const auto seen = r->wake.ticket();
    const auto observation = self->observe(*r);
    Step step = next_step(r->run, observation, self->wait_now());
    if (step.action.kind != Kind::none) {
      auto doing = perform(self, r, std::move(step));
      co_await std::move(doing);
      continue;
    }
    r->backoff = Duration{};
    self->show_progress(r, step.progress);
    Steady::time_point until = Steady::now() + kIdleWait;
    if (step.action.deadline) {
      const auto rest =
          std::max(Duration(1), std::chrono::ceil<Duration>(*step.action.deadline - self->wait_now()));
      until = std::min(until, Steady::now() + rest);
    }
    if (r->run.progress != r->progress) {
      const auto due = std::max(r->progress_since + kProgressStands, r->progress_stored + kProgressPause);
      if (Steady::now() >= due) {
        r->progress_stored = Steady::now();
        if (!self->shared()) {
          // Nobody else shows it, and after a restart it is seen again: no reason for a commit of its own.
          r->run.progress = r->progress;
          continue;
        }
        const std::string text = r->progress;
        Change store_it = [text](Run& run) -> std::optional<std::vector<AuditEvent>> {
          if (is_final(run.state) || run.progress == text) return std::nullopt;
          run.progress = text;
          return std::vector<AuditEvent>{};
        };
        // For people only: no reason to hold up the run when it fails.
        auto changing = change(self, r, std::move(store_it), true);
        const auto done = co_await std::move(changing);
        if (!done) spdlog::debug("run {}: progress: {}", r->run.id, done.error().message);
        continue;
      }
      until = std::min(until, due);
    }
    if (const auto due = events_due(*r, observation)) {
      const auto next = events_turn(*r, *due, self->next_events_turn);
      if (Steady::now() >= next) {
        r->polling_events = true;
        r->events_turn.reset();
        self->loop.spawn("runs.events", poll_events(self, r));
      } else {
        until = std::min(until, next);
      }
    }
    if (!self->watch_problems.empty()) {
      const auto due = r->looked + kLookInterval;
      if (Steady::now() >= due) {
        auto looking = look(self, r);
        (void)co_await std::move(looking);
        continue;
      }
      until = std::min(until, due);
    }
    co_await r->wake.wait_beyond(seen, left(until));
  }
  auto stopping_log = r->log->stop();
  co_await std::move(stopping_log);
  if (is_final(r->run.state)) self->retire(r);
  --self->supervising;
  self->idle.notify_all();
}

net::Task<> Engine::Impl::perform(Ptr self, RunPtr r, Step step) {
  if (!step.progress.empty() && step.action.kind != Kind::look) self->show_progress(r, step.progress);
  const bool touches = step.action.kind == Kind::create_job || step.action.kind == Kind::release_job ||
                       step.action.kind == Kind::delete_job;
  if (touches && !self->holds_lease()) {
    co_await back_off(self, r,
                      "Waiting for the database: whether this server still owns the run is not known");
    co_return;
  }
  switch (step.action.kind) {
    case Kind::none:
      break;
    case Kind::look: {
      auto looking = look(self, r);
      const auto looked = co_await std::move(looking);
      if (looked) {
        r->backoff = Duration{};
      } else {
        co_await back_off(self, r, "Waiting for the API server: " + looked.error().message);
      }
      break;
    }
    case Kind::create_job: {
      auto creating = create_job(self, r);
      co_await std::move(creating);
      break;
    }
    case Kind::record_job: {
      const std::string uid(uid_of(r->job_object));
      // Where it may start at once, uid and intent are one record.
      if (self->next_once_recorded(*r) == Kind::release_job && self->holds_lease()) {
        auto releasing = release_job(self, r);
        co_await std::move(releasing);
        if (!r->run.job_uid.empty() || !has_job(*r, uid)) break;
      }
      Change record = [uid](Run& run) {
        auto event = record_uid(run, uid);
        return event ? std::optional(std::vector{std::move(*event)}) : std::nullopt;
      };
      auto recording = persist(self, r, std::move(record));
      co_await std::move(recording);
      break;
    }
    case Kind::release_job: {
      auto releasing = release_job(self, r);
      co_await std::move(releasing);
      break;
    }
    case Kind::mark_running: {
      Change mark = [self, r](Run& run) -> std::optional<std::vector<AuditEvent>> {
        if (run.state != RunState::starting) return std::nullopt;
        json::object detail{{"job", run.job_name}, {"uid", run.job_uid}};
        std::optional<Time> at;
        for (const auto& [uid, pod] : r->pods) {
          const auto v = find_container(pod, main_container(run, pod));
          if (!has_started(v) || (at && v.started >= at)) continue;
          at = v.started;
          detail["pod"] = name_of(pod);
          detail["node"] = get_string(pod, {"spec", "nodeName"});
        }
        run.state = RunState::running;
        run.started = between(at, run.created, self->now());
        run.progress.clear();
        detail["startedAt"] = format_time(*run.started);
        return std::vector{audit_event("run.started", std::string(kSelf), run, std::move(detail))};
      };
      self->show_progress(r, {});
      auto marking = persist(self, r, std::move(mark));
      co_await std::move(marking);
      break;
    }
    case Kind::follow_log:
      for (const auto& [uid, pod] : r->pods) {
        if (name_of(pod) != step.action.pod_name || !r->followed_pods.insert(uid).second) continue;
        r->log->follow(step.action.pod_name, uid, main_container(r->run, pod));
      }
      break;
    case Kind::delete_job: {
      auto deleting = delete_job(self, r);
      co_await std::move(deleting);
      break;
    }
    case Kind::record_result: {
      const Outcome o = *step.outcome;
      Change record = [o](Run& run) -> std::optional<std::vector<AuditEvent>> {
        if (is_final(run.state) || !run.result_reason.empty()) return std::nullopt;
        run.result_reason = o.reason;
        run.message = o.message;
        run.exit_code = o.exit_code;
        json::object detail{{"state", to_string(o.state)}, {"reason", o.reason}, {"message", o.message}};
        if (o.exit_code) detail["exitCode"] = *o.exit_code;
        const std::string type = is_tampering(o)                ? "run.tampered"
                                 : o.state == RunState::expired ? "run.expired"
                                 : o.state == RunState::denied  ? "run.denied"
                                                                : "run.ending";
        if (is_tampering(o)) {
          detail["job"] = run.job_name;
          detail["uid"] = run.job_uid;
        }
        return std::vector{audit_event(type, std::string(kSelf), run, std::move(detail))};
      };
      auto recording = persist(self, r, std::move(record));
      co_await std::move(recording);
      break;
    }
    case Kind::finish: {
      auto finishing = finish(self, r, std::move(*step.outcome));
      co_await std::move(finishing);
      break;
    }
  }
}

net::Task<> Engine::Impl::create_job(Ptr self, RunPtr r) {
  json::value manifest = r->run.job;
  put_values(manifest, r->run.container, r->secrets);
  const std::string ns = r->run.workload.name_space;
  kube::WriteOptions options;
  options.traceparent = r->traceparent;
  auto creating = self->client.create(kube::resources::jobs, ns, std::move(manifest), std::move(options));
  const auto made = co_await std::move(creating);
  if (made && is_ours(r->run, *made)) {
    r->create_error.reset();
    self->saw_job(r, *made);
    co_return;
  }
  if (made || made.error().kind == Errc::already_exists) {
    // An earlier attempt may have made it, or it is somebody else's: a look tells.
    r->job = Observation::Job::unknown;
    co_return;
  }
  if (final_create_error(made.error()) && believed(*r, made.error())) {
    r->create_error = made.error();
    co_return;
  }
  spdlog::warn("run {}: making Job {}: {}", r->run.id, r->run.job_name, made.error().message);
  co_await back_off(self, r, "The Job could not be made yet: " + made.error().message);
  r->job = Observation::Job::unknown;  // it may have been made all the same
}

net::Task<> Engine::Impl::delete_job(Ptr self, RunPtr r) {
  kube::DeleteOptions options;
  options.propagation = kube::Propagation::background;
  options.uid = std::string(uid_of(r->job_object));
  const std::string ns = r->run.workload.name_space;
  const std::string name = r->run.job_name;
  auto removing = self->client.remove(kube::resources::jobs, ns, name, std::move(options));
  const auto removed = co_await std::move(removing);
  if (r->job == Observation::Job::present) r->job = Observation::Job::unknown;  // a look tells
  if (removed || removed.error().kind == Errc::conflict) co_return;
  co_await back_off(self, r, "The Job could not be deleted yet: " + removed.error().message);
}

net::Task<> Engine::Impl::finish(Ptr self, RunPtr r, Outcome outcome) {
  const auto* log = r->log.get();
  const bool ran = outcome.reason != "StartError" && outcome.reason != "ContainerCannotRun";
  Change end = [self, r, outcome, log, ran](Run& run) -> std::optional<std::vector<AuditEvent>> {
    if (is_final(run.state)) return std::nullopt;
    run.state = outcome.state;
    run.exit_code = outcome.exit_code;
    run.result_reason = outcome.reason;
    run.message = outcome.message;
    run.progress.clear();
    std::optional<Time> at;
    bool all_read = true;
    for (const auto& [uid, pod] : r->pods) {
      const auto v = find_container(pod, main_container(run, pod));
      if (v.finished && (!at || *v.finished > *at)) at = v.finished;
      if (has_started(v) && !r->followed_pods.contains(uid)) all_read = false;
    }
    // A run that ran, of which no pod was ever seen: its log is gone too.
    if (run.state == RunState::lost && run.started && r->followed_pods.empty()) all_read = false;
    run.finished = between(at, run.started.value_or(run.created), self->now());
    run.log_bytes = log->length();
    run.log_complete = all_read && (log->complete() || !ran) && (r->followed_pods.empty() || log->drained());
    if (!run.log_complete) {
      const std::string why = log->complete() ? "its log could not be read" : log->problem();
      run.message += (run.message.empty() ? "" : ". ") + std::string("The log is incomplete: ") + why;
    }
    json::object detail{{"state", to_string(run.state)},
                        {"reason", run.result_reason},
                        {"logBytes", run.log_bytes},
                        {"logComplete", run.log_complete}};
    if (run.exit_code) detail["exitCode"] = *run.exit_code;
    if (!run.message.empty()) detail["message"] = printable(run.message, 2048);
    if (run.started) detail["startedAt"] = format_time(*run.started);
    detail["finishedAt"] = format_time(*run.finished);
    return std::vector{audit_event("run.finished", std::string(kSelf), run, std::move(detail))};
  };
  self->show_progress(r, {});
  auto ending = persist(self, r, std::move(end));
  const bool stored = co_await std::move(ending);
  if (stored) {
    ++self->stats.finished;
    self->stats.log_bytes += static_cast<std::uint64_t>(r->run.log_bytes);
    spdlog::info("run {} {}: {}{}", r->run.id, to_string(r->run.state), r->run.result_reason,
                 r->run.exit_code ? fmt::format(" (exit {})", *r->run.exit_code) : std::string());
  }
}

}  // namespace oddjob::runs
