#include "server/retention.hpp"

#include <spdlog/spdlog.h>

#include "net/workers.hpp"

namespace oddjob::server {
namespace {

constexpr std::string_view kLease = "retention";
constexpr int kLogsAtOnce = 50, kChunksAtOnce = 64;  // in one transaction
constexpr Duration kStopPatience = std::chrono::seconds(5);

}  // namespace

struct Retention::Impl {
  using Ptr = std::shared_ptr<Impl>;
  Impl(net::Loop& l, store::Store& s, net::BlockingPool& d, RetentionOptions o)
      : loop(l), store(s), db(d), options(std::move(o)) {}

  static net::Task<> serve(Ptr self);
  static net::Task<Result<>> round(Ptr self);

  net::Loop& loop;
  store::Store& store;
  net::BlockingPool& db;
  RetentionOptions options;
  State state;
  net::Workers workers;
};

Retention::Retention(net::Loop& loop, store::Store& store, net::BlockingPool& db, RetentionOptions options)
    : impl_(std::make_shared<Impl>(loop, store, db, std::move(options))) {}
Retention::~Retention() { impl_->workers.tell_to_end(); }

void Retention::start() { impl_->workers.start(impl_->loop, "retention", Impl::serve(impl_)); }
void Retention::set(const store::LogRetention& rule) {
  impl_->options.rule = rule;
  impl_->workers.poke();
}
net::Task<> Retention::stop() { co_await impl_->workers.stop(kStopPatience); }
Retention::State Retention::state() const { return impl_->state; }

net::Task<> Retention::Impl::serve(Ptr self) {
  while (!self->workers.stopping()) {
    const auto seen = self->workers.ticket();
    auto turn = round(self);
    const auto done = co_await std::move(turn);
    if (self->workers.stopping()) break;
    if (!done && !self->state.failing)
      spdlog::warn("logs that are not to be kept any more are not dropped: {}", done.error().message);
    self->state.failing = !done;
    co_await self->workers.wait_beyond(seen, self->options.every);
  }
  self->workers.ended();
}

net::Task<Result<>> Retention::Impl::round(Ptr self) {
  const auto mine = [self]() -> Result<bool> {
    if (self->options.replica.empty()) return true;
    return self->store.take_lease(kLease, self->options.replica, self->options.every * 3);
  };
  const auto before = self->state;
  for (bool more = true; more && !self->workers.stopping();) {
    const auto ours = co_await self->db.offload(mine);
    if (!ours) co_return std::unexpected(ours.error());
    if (!*ours) {
      self->state.kept_bytes.reset();
      co_return Result<>();
    }
    const auto rule = self->options.rule;
    auto drop = [self, rule] { return self->store.drop_logs(rule, kLogsAtOnce); };
    const auto dropped = co_await self->db.offload(drop);
    if (!dropped) co_return std::unexpected(dropped.error());
    self->state.by_age += static_cast<std::uint64_t>(dropped->by_age);
    self->state.by_size += static_cast<std::uint64_t>(dropped->by_size);
    self->state.kept_bytes = dropped->kept_bytes;
    if (dropped->by_age + dropped->by_size > 0 && self->options.on_record) self->options.on_record();
    more = dropped->more;
  }
  const auto& now = self->state;
  if (now.by_age > before.by_age || now.by_size > before.by_size)
    spdlog::info("dropped the logs of {} runs by retention.logMaxAge and {} by retention.logMaxBytes",
                 now.by_age - before.by_age, now.by_size - before.by_size);
  // Also what an earlier process did not get to.
  for (bool more = true; more && !self->workers.stopping();) {
    auto purge = [self] { return self->store.purge_logs(kChunksAtOnce); };
    const auto purged = co_await self->db.offload(purge);
    if (!purged) co_return std::unexpected(purged.error());
    more = *purged;
  }
  co_return Result<>();
}

}  // namespace oddjob::server
