#include "hooks/deliverer.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "hooks/message.hpp"
#include "net/workers.hpp"

namespace oddjob::hooks {
namespace {

using Steady = std::chrono::steady_clock;
constexpr int kPage = 20;
constexpr std::size_t kMaxAnswer = 64U << 10U;
constexpr Duration kStopPatience = std::chrono::seconds(5);

// Full jitter: many hooks that failed together do not come back together.
Duration jittered(Duration most) {
  const auto noise = random_bytes(2);
  const auto part = static_cast<unsigned char>(noise[0]) * 256U + static_cast<unsigned char>(noise[1]);
  return std::max(Duration(1), most / 2 + most / 2 * part / 65536);
}

Duration retry_after(const net::HttpResponse& answer, Duration most) {
  const auto text = answer.headers.get("Retry-After");
  int seconds = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (ec != std::errc() || end != text.data() + text.size() || seconds < 0) return Duration::zero();
  return std::min<Duration>(std::chrono::seconds(std::min(seconds, 24 * 3600)), most);
}

}  // namespace

Result<> check_url(std::string_view url) {
  constexpr std::string_view kPlain = "http://";
  const auto bad = [&](std::string_view what) {
    return fail(Errc::invalid_argument, "hooks.bad_url", fmt::format("'{}' {}", printable(url, 200), what),
                "write https://host/path");
  };
  if (url.size() > 2048 || url.find_first_of(" \t\r\n@") != std::string_view::npos)
    return bad("is not a URL that can be told, or has credentials in it");
  if (url.starts_with("https://") && url.size() > 8) return {};
  if (!url.starts_with(kPlain)) return bad("is not an https URL");
  const auto host = url.substr(kPlain.size(), url.substr(kPlain.size()).find_first_of(":/"));
  const bool here =
      host == "127.0.0.1" || host == "localhost" || url.substr(kPlain.size()).starts_with("[::1]");
  return here ? Result<>() : bad("is plain http, which is only for this machine itself");
}

struct Deliverer::Impl {
  using Ptr = std::shared_ptr<Impl>;
  struct Target {
    Hook hook;
    std::unique_ptr<net::HttpClient> http;
    std::optional<std::int64_t> place;
    int failures = 0;          // of the event that it is at
    Duration asked_to_wait{};  // by its last answer
  };

  Impl(net::Loop& l, store::Store& s, net::BlockingPool& d, DelivererOptions o)
      : loop(l), store(s), db(d), options(o), clock(o.clock != nullptr ? o.clock : &system_clock()) {}

  static net::Task<> serve(Ptr self, std::shared_ptr<Target> t);
  static net::Task<Result<bool>> round(Ptr self, std::shared_ptr<Target> t);
  static net::Task<Result<>> tell(Ptr self, std::shared_ptr<Target> t, AuditEvent e);
  static net::Task<Result<>> post(Ptr self, std::shared_ptr<Target> t, std::string id, std::string body,
                                  std::string traceparent);
  static net::Task<bool> may_tell(Ptr self, std::shared_ptr<Target> t);
  [[nodiscard]] static bool wanted(const Hook& hook, std::string_view type) {
    return !type.empty() &&
           (hook.events.empty() || std::ranges::find(hook.events, type) != hook.events.end());
  }

  net::Loop& loop;
  store::Store& store;
  net::BlockingPool& db;
  DelivererOptions options;
  const Clock* clock;
  std::vector<std::shared_ptr<Target>> targets;
  net::Workers workers;
  Stats stats;
};

Deliverer::Deliverer(net::Loop& loop, store::Store& store, net::BlockingPool& db, std::vector<Hook> hooks,
                     DelivererOptions options)
    : impl_(std::make_shared<Impl>(loop, store, db, options)) {
  for (auto& hook : hooks) {
    net::HttpClientOptions http;
    http.tls.ca_pem = hook.ca_pem;
    http.proxy = hook.url.starts_with("https://") ? "env" : "";
    http.max_connections = 2;
    auto target = std::make_shared<Impl::Target>();
    target->http = std::make_unique<net::HttpClient>(loop, std::move(http));
    target->hook = std::move(hook);
    impl_->targets.push_back(std::move(target));
  }
}
Deliverer::~Deliverer() {
  for (auto& t : impl_->targets) t->http.reset();
  impl_->workers.tell_to_end();
}

void Deliverer::start() {
  for (const auto& t : impl_->targets)
    impl_->workers.start(impl_->loop, "hooks.serve", Impl::serve(impl_, t));
}
void Deliverer::poke() { impl_->workers.poke(); }
Deliverer::Stats Deliverer::stats() const noexcept { return impl_->stats; }

net::Task<> Deliverer::stop() { co_await impl_->workers.stop(kStopPatience); }

net::Task<> Deliverer::Impl::serve(Ptr self, std::shared_ptr<Target> t) {
  Duration backoff{};
  while (!self->workers.stopping()) {
    const auto seen = self->workers.ticket();
    auto turn = round(self, t);
    const auto went_on = co_await std::move(turn);
    if (self->workers.stopping()) break;
    if (!went_on) {
      // The database: nothing was told, and nothing is lost.
      spdlog::warn("webhook {}: {}", t->hook.name, went_on.error().message);
      backoff = std::clamp(backoff * 2, self->options.retry_min, self->options.retry_max);
      co_await self->workers.pause(backoff);
      continue;
    }
    backoff = {};
    if (!*went_on) co_await self->workers.wait_beyond(seen, self->options.poll);
  }
  self->workers.ended();
}

// Is this server the one that tells this hook? Asked again before each attempt.
net::Task<bool> Deliverer::Impl::may_tell(Ptr self, std::shared_ptr<Target> t) {
  if (self->options.replica.empty()) co_return true;
  const std::string name = "hook/" + t->hook.name;
  const auto time = std::max<Duration>(self->options.lease, t->hook.timeout + std::chrono::seconds(5));
  auto take = [self, &name, time] { return self->store.take_lease(name, self->options.replica, time); };
  const auto taken = co_await self->db.offload(take);
  const bool mine = taken && *taken;
  if (!mine) t->place.reset();  // another server moves it on
  co_return mine;
}

// One page of the audit. False: there was nothing new, or another server tells it.
net::Task<Result<bool>> Deliverer::Impl::round(Ptr self, std::shared_ptr<Target> t) {
  const std::string name = t->hook.name;
  auto asking = may_tell(self, t);
  if (!co_await std::move(asking)) co_return false;
  if (!t->place) {
    auto find_place = [self, &name]() -> Result<std::int64_t> {
      OJ_TRY(const auto known, self->store.hook_cursor(name));
      if (known) return *known;
      OJ_TRY(const auto end, self->store.audit_end());
      OJ_CHECK(self->store.set_hook_cursor(name, end));
      return end;
    };
    const auto place = co_await self->db.offload(find_place);
    if (!place) co_return std::unexpected(place.error());
    t->place = *place;
  }
  store::AuditFilter filter;
  filter.after_seq = *t->place;
  auto read = [self, &filter] { return self->store.list_audit(filter, kPage); };
  auto events = co_await self->db.offload(read);
  if (!events) co_return std::unexpected(std::move(events).error());
  if (events->empty()) co_return false;
  std::int64_t passed = *t->place;
  for (auto& e : *events) {
    const auto seq = e.seq;
    if (wanted(t->hook, event_type(e))) {
      auto telling = tell(self, t, std::move(e));
      const auto told = co_await std::move(telling);
      if (!told) co_return std::unexpected(told.error());
      if (!t->place) co_return false;  // another server tells it from here on
      if (self->workers.stopping() && t->failures > 0) break;
      auto keep = [self, &name, seq] { return self->store.set_hook_cursor(name, seq); };
      const auto kept = co_await self->db.offload_together(keep);
      if (!kept) co_return std::unexpected(kept.error());
      t->place = seq;
    }
    passed = seq;
    if (self->workers.stopping()) break;
  }
  if (passed > *t->place) {
    auto keep = [self, &name, passed] { return self->store.set_hook_cursor(name, passed); };
    const auto kept = co_await self->db.offload_together(keep);
    if (!kept) co_return std::unexpected(kept.error());
    t->place = passed;
  }
  co_return true;
}

// Until it was taken, or given up, or the server stops (then failures > 0).
net::Task<Result<>> Deliverer::Impl::tell(Ptr self, std::shared_ptr<Target> t, AuditEvent e) {
  t->failures = 0;
  const std::string run_id = e.run_id;
  auto read = [self, &run_id] { return self->store.get_run(run_id); };
  const auto run = co_await self->db.offload(read);
  if (!run && run.error().kind == Errc::not_found) co_return Result<>();
  if (!run) co_return std::unexpected(run.error());
  const std::string id = message_id(e), body = body_of(e, *run);
  Duration wait = self->options.retry_min;
  while (true) {
    auto asking = may_tell(self, t);
    if (!co_await std::move(asking)) co_return Result<>();
    t->asked_to_wait = {};
    auto posting = post(self, t, id, body, std::string(get_string(e.detail, {"traceparent"})));
    const auto taken = co_await std::move(posting);
    if (taken) {
      t->failures = 0;
      ++self->stats.delivered;
      co_return Result<>();
    }
    ++t->failures;
    ++self->stats.failed;
    if (self->workers.stopping()) co_return Result<>();
    const auto age = std::chrono::duration_cast<Duration>(self->clock->now() - e.time);
    if (age >= self->options.give_up) {
      AuditEvent note;
      note.type = "hook.abandoned";
      note.actor = "oddjob";
      note.run_id = run_id;
      note.detail = {{"hook", t->hook.name},
                     {"seq", e.seq},
                     {"type", e.type},
                     {"message", printable(taken.error().message, 1024)}};
      spdlog::error("webhook {}: record {} was not taken for {} and is given up: {}", t->hook.name, e.seq,
                    human_duration(age), taken.error().message);
      auto write = [self, &note] { return self->store.append_audit(note); };
      const auto written = co_await self->db.offload_together(write);
      if (!written) co_return std::unexpected(written.error());
      ++self->stats.abandoned;
      t->failures = 0;
      co_return Result<>();
    }
    spdlog::warn("webhook {}: record {} (attempt {}): {}", t->hook.name, e.seq, t->failures,
                 taken.error().message);
    co_await self->workers.pause(std::max(jittered(wait), t->asked_to_wait));
    if (self->workers.stopping()) co_return Result<>();
    wait = std::min(wait * 2, self->options.retry_max);
  }
}

net::Task<Result<>> Deliverer::Impl::post(Ptr self, std::shared_ptr<Target> t, std::string id,
                                          std::string body, std::string traceparent) {
  if (!t->http) co_return fail(Errc::cancelled, "hooks.stopping", "the server is stopping");
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(self->clock->now().time_since_epoch()).count();
  net::HttpRequest request;
  request.method = "POST";
  request.url = t->hook.url;
  request.headers.set("Content-Type", "application/json");
  // Recorded by the server itself, well-formed.
  if (!traceparent.empty()) request.headers.set("traceparent", std::move(traceparent));
  request.headers.set("Webhook-Id", id);
  request.headers.set("Webhook-Timestamp", std::to_string(now));
  request.headers.set("Webhook-Signature", signature(t->hook.secrets, id, now, body));
  request.body = std::move(body);
  request.timeout = t->hook.timeout;
  request.max_body = kMaxAnswer;
  auto asking = t->http->fetch(std::move(request));
  const auto answer = co_await std::move(asking);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status >= 200 && answer->status < 300) co_return Result<>();
  t->asked_to_wait = retry_after(*answer, self->options.retry_max);
  co_return fail(Errc::unavailable, "hooks.not_taken",
                 fmt::format("the receiver answered {}", answer->status));
}

}  // namespace oddjob::hooks
