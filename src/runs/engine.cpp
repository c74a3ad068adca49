// Beginning, recovery and end; and the public face over the Impl.
#include "runs/engine.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>

#include "core/names.hpp"
#include "core/text.hpp"
#include "runs/engine_impl.hpp"
#include "runs/manifest.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

constexpr auto kFactsKeep = std::chrono::seconds(2);
constexpr auto kFirstLists = std::chrono::seconds(15);
constexpr auto kSyncSlice = std::chrono::milliseconds(250);
constexpr auto kStopPatience = std::chrono::seconds(10);
constexpr std::uint64_t kEnded = std::numeric_limits<std::uint64_t>::max();

// Of a workload that opts in: its name, and what it allows.
std::optional<json::value> keep_opted_in(json::value object) {
  const auto* annotations = find_object(object, {"metadata", "annotations"});
  if (annotations == nullptr || !policy::opted_in(*annotations)) return std::nullopt;
  json::object kept;
  for (const auto& [key, value] : *annotations) {
    if (std::string_view(key.data(), key.size()).starts_with(names::kPrefix)) kept[key] = value;
  }
  json::object meta{{"name", name_of(object)},
                    {"namespace", get_string(object, {"metadata", "namespace"})},
                    {"uid", uid_of(object)},
                    {"generation", get_int(object, {"metadata", "generation"}).value_or(0)},
                    {"resourceVersion", get_string(object, {"metadata", "resourceVersion"})},
                    {"annotations", std::move(kept)}};
  return json::object{{"metadata", std::move(meta)}};
}

}  // namespace

Engine::Impl::Impl(net::Loop& l, kube::Client& c, store::Store& s, net::BlockingPool& d, EngineOptions o)
    : loop(l),
      client(c),
      store(s),
      db(d),
      options(std::move(o)),
      clock(options.clock != nullptr ? options.clock : &system_clock()),
      began(clock->now()),
      began_steady(clock->steady()),
      facts(c, kFactsKeep),
      workload_reads(c) {
  template_watch = std::make_shared<TemplateWatch>(client, *clock, options.namespaces);
  replica = options.replica;
  if (shared()) lease_db = std::make_unique<net::BlockingPool>();
}

void Engine::Impl::watch() {
  std::vector<std::string> namespaces = options.namespaces;
  if (namespaces.empty()) namespaces.emplace_back();
  for (const auto& ns : namespaces) {
    const std::string where = ns.empty() ? "" : " of namespace " + ns;
    const auto state_of = [this](std::string what) {
      return [this, what = std::move(what)](bool healthy, const Error* why) {
        if (healthy) {
          watch_problems.erase(what);
        } else {
          const Error problem =
              why != nullptr ? *why : Error{Errc::unavailable, "runs.not_synced", "no answer", {}};
          // Once each: the watch is opened again and again.
          const auto known = watch_problems.find(what);
          if (known == watch_problems.end() || known->second.message != problem.message)
            spdlog::warn("watching {}: {}", what, problem.message);
          watch_problems.insert_or_assign(what, problem);
        }
      };
    };
    kube::ReflectorOptions managed;
    managed.list.name_space = ns;
    managed.list.label_selector = std::string(names::kManagedSelector);
    managed.reduce = [](json::value v) { return std::optional(reduce_job(v)); };
    jobs.push_back(std::make_unique<kube::Reflector>(
        client, kube::resources::jobs, managed,
        [this](kube::WatchEventType type, const json::value& v) { on_job(type, v); },
        state_of("Jobs" + where)));
    managed.reduce = [](json::value v) { return std::optional(reduce_pod(v)); };
    pods.push_back(std::make_unique<kube::Reflector>(
        client, kube::resources::pods, managed,
        [this](kube::WatchEventType type, const json::value& v) { on_pod(type, v); },
        state_of("Pods" + where)));
    for (const auto kind : {WorkloadKind::deployment, WorkloadKind::stateful_set, WorkloadKind::daemon_set,
                            WorkloadKind::cron_job}) {
      kube::ReflectorOptions metadata;
      metadata.list.name_space = ns;
      metadata.list.metadata_only = true;
      metadata.reduce = keep_opted_in;
      const std::string what(kind_name(kind));
      workload_caches.emplace_back(
          kind, std::make_unique<kube::Reflector>(
                    client, kube::workload_resource(what), std::move(metadata),
                    [watch = std::weak_ptr(template_watch), kind](kube::WatchEventType type,
                                                                  const json::value& object) {
                      const auto self = watch.lock();
                      if (!self) return;
                      const WorkloadRef ref{kind, std::string(get_string(object, {"metadata", "namespace"})),
                                            std::string(name_of(object))};
                      self->workload_changed(ref, type == kube::WatchEventType::deleted ? nullptr : &object);
                    },
                    [this, kind, ns, what, where](bool healthy, const Error* why) {
                      if (healthy) {
                        workload_problems.erase({ns, kind});
                      } else if (why != nullptr) {
                        spdlog::warn("watching {}s{}: {}", what, where, why->message);
                        workload_problems.insert_or_assign({ns, kind}, *why);
                      }
                    }));
    }
  }
  for (auto& r : jobs) r->start();
  for (auto& r : pods) r->start();
  for (auto& [kind, r] : workload_caches) r->start();
  template_watch->start(loop);
}

RunPtr Engine::Impl::find(std::string_view run_id) const {
  const auto it = active.find(run_id);
  return it == active.end() ? nullptr : it->second;
}

void Engine::Impl::add(Run run) {
  auto r = std::make_shared<ActiveRun>();
  r->values_lost = had_secret_env(run.request);
  r->recovered = true;
  r->waiting_since = wait_now();
  r->progress = run.progress;
  r->owner = replica;
  if (const auto other = elsewhere.find(run.id); other != elsewhere.end()) {
    r->changed = other->second.changed;  // its readers wait by it
    elsewhere.erase(other);
  }
  r->run = std::move(run);
  adopt(std::move(r));
}

RunPtr Engine::Impl::adopt(RunPtr r) {
  LogFollowerOptions log;
  log.run_id = r->run.id;
  log.name_space = r->run.workload.name_space;
  log.max_bytes = options.max_log_bytes;
  log.owner = r->owner;
  std::weak_ptr<ActiveRun> weak = r;
  const auto state_of = [weak](const std::string& uid) {
    const auto run = weak.lock();
    if (!run || run->gone_pods.contains(uid)) return PodState::gone;
    const auto it = run->pods.find(uid);
    if (it == run->pods.end()) return PodState::running;
    const auto v = find_container(it->second, main_container(run->run, it->second));
    return v.state == ContainerView::State::terminated || pod_ended(it->second) ? PodState::ended
                                                                                : PodState::running;
  };
  const auto on_change = [weak] {
    if (const auto run = weak.lock()) {
      run->changed->notify_all();
      if (run->log->drained()) run->wake.notify_all();
    }
  };
  r->log = std::make_shared<LogFollower>(client, store, db, std::move(log), state_of, on_change);
  active[r->run.id] = r;
  ++supervising;
  loop.spawn("runs.supervise", supervise(shared_from_this(), r));
  return r;
}

void Engine::Impl::retire(const RunPtr& r) {
  if (find(r->run.id) == r) active.erase(r->run.id);
  r->secrets.clear();
  r->changed->notify_all();
}

net::Task<Result<>> Engine::Impl::start(Ptr self) {
  if (self->shared() && !self->started) {
    auto joining = join_others(self);
    OJ_CO_CHECK(co_await std::move(joining));
  } else if (!self->started) {
    auto read = [self] { return self->store.unfinished_runs(); };
    auto unfinished = co_await self->db.offload(read);
    if (!unfinished)
      co_return std::unexpected(std::move(unfinished).error().with_context("reading unfinished runs"));
    for (auto& run : *unfinished) {
      // Under which key it was asked for: a client that saw the crash asks again.
      store::AuditFilter filter;
      filter.run_id = run.id;
      filter.type = "run.requested";
      auto ask = [self, filter] { return self->store.list_audit(filter, 1); };
      const auto events = co_await self->db.offload(ask);
      if (!events || events->empty()) continue;
      const json::value detail = events->front().detail;
      const auto key = get_string(detail, {"idempotencyKeySha256"});
      if (!key.empty()) self->remember_key(run.requester, key, get_string(detail, {"requestDigest"}), run.id);
    }
    if (self->started || self->stopping) co_return Result<>();
    self->started = true;
    self->watch();
    if (!unfinished->empty()) spdlog::info("{} unfinished runs are taken up again", unfinished->size());
    for (auto& run : *unfinished) self->add(std::move(run));
  }
  const auto until = std::chrono::steady_clock::now() + kFirstLists;
  std::vector<kube::Reflector*> all;
  for (const auto& r : self->jobs) all.push_back(r.get());
  for (const auto& r : self->pods) all.push_back(r.get());
  for (const auto& [kind, r] : self->workload_caches) all.push_back(r.get());
  // A first list that was refused will not be in soon: that is said at once.
  const auto done = [&] {
    return self->stopping || !self->watch_problems.empty() || std::chrono::steady_clock::now() >= until ||
           std::ranges::all_of(all, [](const kube::Reflector* r) { return r->synced(); });
  };
  while (!done()) {
    const auto pending = std::ranges::find_if(all, [](const kube::Reflector* r) { return !r->synced(); });
    co_await (*pending)->wait_synced(kSyncSlice);
  }
  if (self->stopping) co_return fail(Errc::cancelled, "runs.stopping", "the server is stopping");
  for (const auto& [what, why] : self->watch_problems)
    co_return std::unexpected(why.with_context("watching " + what));
  const auto synced = [](const auto& r) { return r->synced(); };
  if (!std::ranges::all_of(self->jobs, synced) || !std::ranges::all_of(self->pods, synced)) {
    co_return fail(Errc::unavailable, "runs.not_synced",
                   "the API server has not answered the first lists of Jobs and Pods yet");
  }
  co_return Result<>();
}

net::Task<> Engine::Impl::stop(Ptr self) {
  self->stopping = true;
  self->workload_reads.stop();
  for (auto& r : self->jobs) r->stop();
  for (auto& r : self->pods) r->stop();
  for (auto& [kind, r] : self->workload_caches) r->stop();
  self->template_watch->stop();
  for (auto& [id, r] : self->active) r->wake.notify_all();
  const auto until = std::chrono::steady_clock::now() + kStopPatience;
  while (self->supervising > 0 && std::chrono::steady_clock::now() < until) {
    const auto seen = self->idle.ticket();
    if (self->supervising == 0) break;
    co_await self->idle.wait_beyond(seen, std::chrono::milliseconds(200));
  }
  if (self->shared()) {
    auto leaving = leave(self);
    co_await std::move(leaving);
  }
  for (auto& [id, r] : self->active) r->changed->notify_all();
}

// ---- the public face ----------------------------------------------------------

Engine::Engine(net::Loop& loop, kube::Client& client, store::Store& store, net::BlockingPool& db,
               EngineOptions options)
    : impl_(std::make_shared<Impl>(loop, client, store, db, std::move(options))) {}

Engine::~Engine() {
  impl_->stopping = true;
  impl_->workload_reads.stop();
  for (auto& r : impl_->jobs) r->stop();
  for (auto& r : impl_->pods) r->stop();
  for (auto& [kind, r] : impl_->workload_caches) r->stop();
  impl_->template_watch->stop();
  impl_->stop_leasing.notify_all();
  for (auto& [id, r] : impl_->active) r->wake.notify_all();
}

net::Task<Result<>> Engine::start() { return Impl::start(impl_); }
net::Task<> Engine::stop() { return Impl::stop(impl_); }

bool Engine::ready() const noexcept {
  const auto synced = [](const auto& list) {
    return std::ranges::all_of(list, [](const auto& r) { return r->synced(); });
  };
  return impl_->started && !impl_->stopping && impl_->watch_problems.empty() && synced(impl_->jobs) &&
         synced(impl_->pods);
}

std::string Engine::not_ready_reason() const {
  if (ready()) return {};
  if (impl_->stopping) return "the server is stopping";
  if (!impl_->started) return "unfinished runs have not been read from the database yet";
  for (const auto& [what, why] : impl_->watch_problems) return "watching " + what + ": " + why.message;
  return "the first lists of Jobs and Pods are not complete yet";
}

net::Task<Result<SubmitResult>> Engine::submit(const Caller& caller, RunRequest request, std::string key) {
  return Impl::submit(impl_, caller, std::move(request), std::move(key));
}
net::Task<Result<DryRunResult>> Engine::dry_run(const Caller& caller, RunRequest request) {
  return Impl::dry_run(impl_, caller, std::move(request));
}
net::Task<Result<Run>> Engine::cancel(const Caller& caller, std::string run_id) {
  return Impl::cancel(impl_, caller, std::move(run_id));
}

net::Task<Result<Run>> Engine::get(const Caller& caller, std::string run_id) {
  return [](Impl::Ptr self, Subject subject, std::string id) -> net::Task<Result<Run>> {
    auto loading = Impl::load(self, id);
    auto run = co_await std::move(loading);
    if (run && !self->may_see(subject, *run)) {
      co_return fail(Errc::not_found, "run.not_found",
                     "there is no run " + printable(id, 64) + " that you may see");
    }
    co_return run;
  }(impl_, caller.subject, std::move(run_id));
}

net::Task<Result<store::RunPage>> Engine::list(const Caller& caller, store::RunFilter filter,
                                               std::string cursor, int limit, bool approvable) {
  return Impl::list(impl_, caller.subject, std::move(filter), std::move(cursor), limit, approvable);
}

net::Task<Result<Run>> Engine::approve(const Caller& caller, std::string run_id, std::string digest,
                                       std::string reason) {
  return Impl::approve(impl_, caller, std::move(run_id), std::move(digest), std::move(reason));
}
net::Task<Result<Run>> Engine::deny(const Caller& caller, std::string run_id, std::string reason) {
  return Impl::deny(impl_, caller, std::move(run_id), std::move(reason));
}
bool Engine::may_approve(const Caller& caller, const Run& run) const {
  return impl_->may_approve(caller.subject, run);
}

net::Task<Result<std::vector<WorkloadInfo>>> Engine::workloads(const Caller& caller, std::string name_space) {
  return [](Impl::Ptr self, Subject subject, std::string ns) -> net::Task<Result<std::vector<WorkloadInfo>>> {
    co_return self->workloads(subject, ns);
  }(impl_, caller.subject, std::move(name_space));
}

std::vector<std::string> Engine::workload_warnings(std::string_view name_space) const {
  return impl_->workload_warnings(name_space);
}

net::Task<Result<std::vector<TemplateInfo>>> Engine::templates(const Caller& caller, std::string name_space) {
  return [](Impl::Ptr self, Subject subject, std::string ns) -> net::Task<Result<std::vector<TemplateInfo>>> {
    co_return self->list_templates(subject, ns);
  }(impl_, caller.subject, std::move(name_space));
}

net::Task<Result<TemplateInfo>> Engine::get_template(const Caller& caller, std::string name_space,
                                                     std::string name) {
  return Impl::get_template(impl_, caller.subject, std::move(name_space), std::move(name));
}

std::uint64_t Engine::change_ticket(std::string_view run_id) {
  const auto changed = impl_->changes_of(run_id);
  return changed ? changed->ticket() : kEnded;
}

net::Task<bool> Engine::wait_changed(std::string_view run_id, std::uint64_t seen, Duration timeout) {
  return [](Impl::Ptr self, std::string id, std::uint64_t ticket, Duration limit) -> net::Task<bool> {
    const auto changed = self->changes_of(id);
    if (!changed) {
      if (ticket != kEnded) co_return true;
      co_await net::sleep_for(limit);
      co_return false;
    }
    if (ticket == kEnded) co_return true;
    co_return co_await changed->wait_beyond(ticket, limit);
  }(impl_, std::string(run_id), seen, timeout);
}

net::Task<Result<std::string>> Engine::read_log(std::string run_id, std::int64_t offset,
                                                std::size_t max_bytes) {
  return [](Impl::Ptr self, std::string id, std::int64_t from,
            std::size_t max) -> net::Task<Result<std::string>> {
    const auto r = self->find(id);
    if (r) {
      auto reading = r->log->read(from, max);
      co_return co_await std::move(reading);
    }
    auto read = [self, &id, from, max] { return self->store.read_log(id, from, max); };
    co_return co_await self->db.offload(read);
  }(impl_, std::move(run_id), offset, max_bytes);
}

net::Task<Result<std::optional<store::DroppedLog>>> Engine::dropped_log(std::string run_id) {
  return [](Impl::Ptr self, std::string id) -> net::Task<Result<std::optional<store::DroppedLog>>> {
    auto read = [self, &id] { return self->store.dropped_log(id); };
    co_return co_await self->db.offload(read);
  }(impl_, std::move(run_id));
}

void Engine::set_limits(EngineLimits limits) {
  static_cast<EngineLimits&>(impl_->options) = std::move(limits);
}

Engine::Stats Engine::stats() const noexcept {
  Stats s = impl_->stats;
  s.active = impl_->active.size();
  return s;
}

}  // namespace oddjob::runs
