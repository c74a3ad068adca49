#include "audit/exporter.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "net/workers.hpp"

namespace oddjob::audit {
namespace {

using Steady = std::chrono::steady_clock;
constexpr int kPage = 200;
constexpr Duration kStopPatience = std::chrono::seconds(5);

// Webhooks keep their places under their own names, which have no colon.
std::string place_key(const Sink& sink) { return "audit:" + sink.name(); }

}  // namespace

Result<std::string> signed_checkpoint(store::Store& store, const CheckpointSigner& signer,
                                      std::optional<std::int64_t> seq, Time now) {
  store::AuditFilter one;
  one.newest_first = !seq;
  one.after_seq = seq ? *seq - 1 : 0;
  OJ_TRY(const auto events, store.list_audit(one, 1));
  if (seq && (events.empty() || events.front().seq != *seq))
    return fail(Errc::not_found, "store.not_found", fmt::format("there is no audit record {}", *seq));
  Checkpoint c;
  c.records = events.empty() ? 0 : events.front().seq;
  c.hash = events.empty() ? std::string(kAuditGenesis) : events.front().hash;
  c.time = now;
  return signer.sign(c);
}

struct Exporter::Impl {
  using Ptr = std::shared_ptr<Impl>;
  struct Target {
    explicit Target(std::unique_ptr<Sink> s) : sink(std::move(s)) { state.name = sink->name(); }
    std::unique_ptr<Sink> sink;
    net::BlockingPool thread;
    State state;
    bool placed = false;
    std::int64_t checked = -1;
    Steady::time_point checkpoint_due = Steady::now();
  };

  Impl(net::Loop& l, store::Store& s, net::BlockingPool& d, ExporterOptions o)
      : loop(l),
        store(s),
        db(d),
        options(std::move(o)),
        clock(o.clock != nullptr ? o.clock : &system_clock()) {}

  static net::Task<> serve(Ptr self, std::shared_ptr<Target> t);
  static net::Task<Result<bool>> round(Ptr self, std::shared_ptr<Target> t);
  static net::Task<Result<bool>> may_write(Ptr self, std::shared_ptr<Target> t);
  static net::Task<Result<>> find_place(Ptr self, std::shared_ptr<Target> t);
  static net::Task<Result<>> checkpoint(Ptr self, std::shared_ptr<Target> t);

  net::Loop& loop;
  store::Store& store;
  net::BlockingPool& db;
  ExporterOptions options;
  const Clock* clock;
  std::vector<std::shared_ptr<Target>> targets;
  net::Workers workers;
};

Exporter::Exporter(net::Loop& loop, store::Store& store, net::BlockingPool& db,
                   std::vector<std::unique_ptr<Sink>> sinks, ExporterOptions options)
    : impl_(std::make_shared<Impl>(loop, store, db, std::move(options))) {
  for (auto& sink : sinks) impl_->targets.push_back(std::make_shared<Impl::Target>(std::move(sink)));
}
Exporter::~Exporter() { impl_->workers.tell_to_end(); }

void Exporter::start() {
  for (const auto& t : impl_->targets) impl_->workers.start(impl_->loop, "audit.copy", Impl::serve(impl_, t));
}
void Exporter::poke() { impl_->workers.poke(); }

net::Task<> Exporter::stop() { co_await impl_->workers.stop(kStopPatience); }

std::vector<Exporter::State> Exporter::states() const {
  std::vector<State> out;
  for (const auto& t : impl_->targets) out.push_back(t->state);
  return out;
}

net::Task<> Exporter::Impl::serve(Ptr self, std::shared_ptr<Target> t) {
  Duration backoff{};
  while (!self->workers.stopping()) {
    const auto seen = self->workers.ticket();
    auto turn = round(self, t);
    const auto went_on = co_await std::move(turn);
    if (self->workers.stopping()) break;
    if (went_on) {
      if (t->state.failing) spdlog::info("the audit's copy ({}) goes on", t->state.name);
      t->state.failing = false;
      backoff = {};
      if (!*went_on) co_await self->workers.wait_beyond(seen, self->options.poll);
      continue;
    }
    ++t->state.failures;
    t->state.failing = true;
    spdlog::warn("the audit's copy ({}) stands at record {}: {}", t->state.name, t->state.place,
                 went_on.error().message);
    backoff = std::clamp(backoff * 2, self->options.retry_min, self->options.retry_max);
    co_await self->workers.pause(backoff);
  }
  self->workers.ended();
}

// What the copy holds is where it goes on; one that does not tell goes on where the database says.
net::Task<Result<>> Exporter::Impl::find_place(Ptr self, std::shared_ptr<Target> t) {
  auto ask = [t] { return t->sink->last(); };
  const auto last = co_await t->thread.offload(ask);
  if (!last) co_return std::unexpected(last.error());
  auto compare = [self, t, &last]() -> Result<std::int64_t> {
    OJ_TRY(const auto kept, self->store.hook_cursor(place_key(*t->sink)));
    if (!*last) return kept.value_or(0);
    store::AuditFilter at;
    at.after_seq = (*last)->seq - 1;
    OJ_TRY(const auto events, self->store.list_audit(at, 1));
    if (events.empty() || events.front().seq != (*last)->seq || events.front().hash != (*last)->hash)
      return fail(
          Errc::failed_precondition, "audit.copy_differs",
          fmt::format("its record {} is not the database's: one of the two was altered, or is an older state",
                      (*last)->seq),
          "compare them (oddjob audit verify), then move the copy away");
    return (*last)->seq;
  };
  const auto place = co_await self->db.offload(compare);
  if (!place) co_return std::unexpected(place.error());
  t->state.place = *place;
  t->placed = true;
  co_return Result<>();
}

// Is this server the one that writes this copy? If not, it says how far the others are.
net::Task<Result<bool>> Exporter::Impl::may_write(Ptr self, std::shared_ptr<Target> t) {
  if (self->options.replica.empty() || !t->sink->shared()) co_return true;
  auto take = [self, t] {
    return self->store.take_lease(place_key(*t->sink), self->options.replica, self->options.lease);
  };
  const auto taken = co_await self->db.offload(take);
  if (!taken || *taken) co_return taken;
  t->placed = false;
  auto ask = [self, t] { return self->store.hook_cursor(place_key(*t->sink)); };
  const auto place = co_await self->db.offload(ask);
  if (!place) co_return std::unexpected(place.error());
  t->state.place = place->value_or(0);
  co_return false;
}

// One page of the audit. False: there was nothing new, or another server writes it.
net::Task<Result<bool>> Exporter::Impl::round(Ptr self, std::shared_ptr<Target> t) {
  auto asking = may_write(self, t);
  const auto mine = co_await std::move(asking);
  if (!mine || !*mine) co_return mine;
  if (!t->placed) {
    auto finding = find_place(self, t);
    const auto found = co_await std::move(finding);
    if (!found) co_return std::unexpected(found.error());
  }
  store::AuditFilter filter;
  filter.after_seq = t->state.place;
  auto read = [self, &filter] { return self->store.list_audit(filter, kPage); };
  const auto events = co_await self->db.offload(read);
  if (!events) co_return std::unexpected(events.error());
  if (events->empty()) {
    auto signing = checkpoint(self, t);
    const auto made = co_await std::move(signing);
    if (!made) co_return std::unexpected(made.error());
    co_return false;
  }
  auto hand_on = [t, &events] { return t->sink->take(*events); };
  const auto taken = co_await t->thread.offload(hand_on);
  if (!taken) co_return std::unexpected(taken.error());
  t->state.place = events->back().seq;
  auto keep = [self, t] { return self->store.set_hook_cursor(place_key(*t->sink), t->state.place); };
  const auto kept = co_await self->db.offload_together(keep);
  if (!kept) co_return std::unexpected(kept.error());
  co_return true;
}

net::Task<Result<>> Exporter::Impl::checkpoint(Ptr self, std::shared_ptr<Target> t) {
  if (self->options.signer == nullptr || t->state.place == 0 || t->checked == t->state.place ||
      Steady::now() < t->checkpoint_due)
    co_return Result<>();
  auto sign = [self, t] {
    return signed_checkpoint(self->store, *self->options.signer, t->state.place, self->clock->now());
  };
  const auto note = co_await self->db.offload(sign);
  if (!note) co_return std::unexpected(note.error());
  auto hand_on = [t, &note] { return t->sink->take_checkpoint(*note); };
  const auto taken = co_await t->thread.offload(hand_on);
  if (!taken) co_return std::unexpected(taken.error());
  t->checked = t->state.place;
  t->checkpoint_due = Steady::now() + self->options.checkpoint_every;
  co_return Result<>();
}

}  // namespace oddjob::audit
