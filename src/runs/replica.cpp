// Several servers on one database: who owns which run.
//
// A server holds a lease on its own name, renewed every third of its time. Its
// runs carry that name. Who finds a run whose owner has no lease claims it, and
// takes it up as after a crash. The name is the fence: a server that was
// believed dead writes nothing of a run that is no longer its own, since every
// write as owner asks for the name in the same transaction; and calls nothing in
// the cluster, since it asks its own clock first (holds_lease). It goes on under
// a new name.
//
// What others do is looked up several times a second: their runs for whoever
// watches them here, and what was asked of ours by way of another server.
#include <spdlog/spdlog.h>

#include "runs/engine_impl.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

using Steady = std::chrono::steady_clock;

constexpr auto kLook = std::chrono::milliseconds(200);
constexpr auto kLookInTrouble = std::chrono::seconds(1);
// So many at once, that those which a server leaves behind spread over the others.
constexpr int kClaims = 20;
constexpr std::string_view kSweeper = "sweeper";
constexpr auto kLeavePatience = std::chrono::seconds(5);

}  // namespace

bool Engine::Impl::holds_lease() const { return !shared() || Steady::now() < lease_until; }

net::Task<Result<>> Engine::Impl::join_others(Ptr self) {
  const auto asked = Steady::now();
  auto take = [self] {
    return self->store.take_lease(store::replica_lease(self->replica), self->replica, self->options.lease);
  };
  const auto taken = co_await self->lease_db->offload(take);
  if (!taken) co_return std::unexpected(Error(taken.error()).with_context("joining the other replicas"));
  if (self->started || self->stopping) co_return Result<>();
  self->lease_until = asked + self->options.lease * 9 / 10;
  self->started = true;
  self->watch();
  self->leasing = 2;
  self->loop.spawn("runs.lease", keep_lease(self));
  self->loop.spawn("runs.others", follow_others(self));
  spdlog::info("replica {} takes part", self->replica);
  co_return Result<>();
}

net::Task<> Engine::Impl::keep_lease(Ptr self) {
  while (!self->stopping) {
    const auto seen = self->stop_leasing.ticket();
    co_await self->stop_leasing.wait_beyond(seen, self->options.lease / 3);
    if (self->stopping) break;
    const auto asked = Steady::now();
    auto renew = [self] {
      const std::string name = store::replica_lease(self->replica);
      return self->store.renew_lease(name, self->replica, self->options.lease);
    };
    const auto renewed = co_await self->lease_db->offload(renew);
    if (self->stopping) break;
    if (!renewed) {
      spdlog::warn("the lease of replica {} could not be renewed: {}", self->replica,
                   renewed.error().message);
      continue;
    }
    if (*renewed) {
      self->lease_until = asked + self->options.lease * 9 / 10;
    } else {
      spdlog::warn("replica {} was believed dead, and its {} runs were given to others", self->replica,
                   self->active.size());
      self->sweeper = false;
      self->lease_until = {};
      const auto runs = self->active;
      for (const auto& [id, r] : runs) self->lose(r);
      self->replica = self->options.replica + "-" + std::to_string(++self->lives);
      const auto again = Steady::now();
      auto take = [self] {
        return self->store.take_lease(store::replica_lease(self->replica), self->replica,
                                      self->options.lease);
      };
      const auto taken = co_await self->lease_db->offload(take);
      if (taken && *taken) self->lease_until = again + self->options.lease * 9 / 10;
    }
    auto sweep = [self] { return self->store.take_lease(kSweeper, self->replica, self->options.lease); };
    const auto chosen = co_await self->lease_db->offload(sweep);
    const bool before = self->sweeper;
    self->sweeper = chosen && *chosen;
    if (self->sweeper && !before && !self->stopping) self->sweep_all();
  }
  --self->leasing;
  self->idle.notify_all();
}

// What was seen while nobody looked after it.
void Engine::Impl::sweep_all() {
  swept.clear();
  std::vector<json::value> all;
  for (const auto& reflector : jobs)
    for (const auto& [key, job] : reflector->items()) all.push_back(job);
  for (const auto& job : all) on_job(kube::WatchEventType::added, job);
}

void Engine::Impl::lose(const RunPtr& r) {
  if (r->lost) return;
  r->lost = true;
  spdlog::info("run {} is another replica's now", r->run.id);
  if (find(r->run.id) == r) active.erase(r->run.id);
  if (!is_final(r->run.state)) elsewhere[r->run.id].changed = r->changed;
  r->secrets.clear();
  r->wake.notify_all();
  r->changed->notify_all();
}

std::shared_ptr<net::Notifier> Engine::Impl::changes_of(std::string_view run_id) const {
  if (const auto r = find(run_id)) return r->changed;
  const auto other = elsewhere.find(run_id);
  return other == elsewhere.end() ? nullptr : other->second.changed;
}

net::Task<> Engine::Impl::follow_others(Ptr self) {
  bool told = false;
  while (!self->stopping) {
    auto look = [self] { return self->store.live_runs(); };
    auto live = co_await self->lease_db->offload(look);
    if (self->stopping) break;
    if (!live) {
      if (!std::exchange(told, true)) spdlog::warn("other replicas are not seen: {}", live.error().message);
      co_await net::sleep_for(kLookInTrouble);
      continue;
    }
    told = false;
    bool claimed = false;
    const bool free = std::ranges::any_of(*live, [](const store::LiveRun& l) { return l.free; });
    auto taking = take_in(self, std::move(*live));
    co_await std::move(taking);
    if (free && self->holds_lease() && !self->stopping) {
      auto claim = [self] { return self->store.claim_runs(self->replica, kClaims); };
      const auto got = co_await self->lease_db->offload(claim);
      claimed = got && *got > 0;
      if (claimed) spdlog::info("{} runs that nobody owned are taken up", *got);
    }
    if (claimed) continue;
    const auto seen = self->stop_leasing.ticket();
    co_await self->stop_leasing.wait_beyond(seen, kLook);
  }
  --self->leasing;
  self->idle.notify_all();
}

// One picture of all live runs against what is known here.
net::Task<> Engine::Impl::take_in(Ptr self, std::vector<store::LiveRun> live) {
  std::set<std::string, std::less<>> others;
  for (const auto& l : live) {
    const auto r = self->find(l.id);
    if (l.owner == self->replica) {
      // Ours: claimed, recorded by a commit whose answer was lost, or changed by way of another server.
      if (r ? l.version <= r->run.version : self->recording.contains(l.id)) continue;
      auto read = [self, &l] { return self->store.get_run(l.id); };
      auto run = co_await self->db.offload(read);
      if (self->stopping) co_return;
      if (!run || is_final(run->state)) continue;
      const auto now = self->find(l.id);
      if (!now) {
        if (l.owner == self->replica && !self->recording.contains(l.id)) self->add(std::move(*run));
      } else if (run->version > now->run.version) {
        now->run = std::move(*run);
        now->wake.notify_all();
        now->changed->notify_all();
      }
      continue;
    }
    if (r) self->lose(r);
    others.insert(l.id);
    auto& known = self->elsewhere[l.id];
    if (!known.changed) known.changed = std::make_shared<net::Notifier>();
    if (known.version == l.version && known.log_bytes == l.log_bytes) continue;
    known.version = l.version;
    known.log_bytes = l.log_bytes;
    known.changed->notify_all();
  }
  std::vector<std::shared_ptr<net::Notifier>> ended;
  std::erase_if(self->elsewhere, [&](const auto& entry) {
    if (others.contains(entry.first)) return false;
    ended.push_back(entry.second.changed);
    return true;
  });
  for (const auto& changed : ended) changed->notify_all();
}

net::Task<Result<int>> Engine::Impl::count_active(Ptr self, WorkloadRef w, std::string but_run,
                                                  bool recorded) {
  if (!self->shared()) co_return self->active_on(w, but_run);
  auto count = [self, &w] { return self->store.count_active(w); };
  const auto n = co_await self->db.offload(count);
  if (!n) co_return n;
  co_return *n - (recorded ? 1 : 0);
}

// At once, so that the others need not wait for the lease's end.
net::Task<> Engine::Impl::leave(Ptr self) {
  self->stop_leasing.notify_all();
  const auto until = Steady::now() + kLeavePatience;
  while (self->leasing > 0 && Steady::now() < until) {
    const auto seen = self->idle.ticket();
    if (self->leasing == 0) break;
    co_await self->idle.wait_beyond(seen, std::chrono::milliseconds(200));
  }
  self->lease_until = {};
  auto give_back = [self] { return self->store.leave(self->replica); };
  const auto left = co_await self->lease_db->offload(give_back);
  if (!left)
    spdlog::warn("the runs of replica {} are taken over once its lease has ended: {}", self->replica,
                 left.error().message);
}

}  // namespace oddjob::runs
