#include "kube/watch.hpp"

#include <spdlog/spdlog.h>

#include "kube/backoff.hpp"
#include "kube/objects.hpp"
#include "kube/status.hpp"
#include "net/sse.hpp"

namespace oddjob::kube {
namespace {

constexpr std::size_t kMaxEvent = 16U << 20U;
// An object of a few kilobytes is some hundred values. Those of most events fit in here.
constexpr std::size_t kEventMemory = 64U << 10U;
// A stream that ends sooner than this and brought nothing is a failure, or an
// API server that ends every watch at once would be asked without pause.
constexpr auto kShortWatch = std::chrono::seconds(1);

using Steady = std::chrono::steady_clock;

}  // namespace

struct Reflector::Impl : std::enable_shared_from_this<Reflector::Impl> {
  using Ptr = std::shared_ptr<Impl>;
  Impl(Client& c, Resource r, ReflectorOptions o, OnEvent e, OnState s)
      : client(&c),
        resource(std::move(r)),
        options(std::move(o)),
        on_event(std::move(e)),
        on_state(std::move(s)) {}

  // One start(); a coroutine whose run was stopped touches nothing more.
  struct Run {
    bool stopped = false;
    std::shared_ptr<net::HttpStream> stream;
    net::Notifier wake;
  };
  using RunPtr = std::shared_ptr<Run>;

  static net::Task<> main(Ptr self, RunPtr run);
  static net::Task<Result<>> list(Ptr self, RunPtr run);
  // How one stream ended: `relist`, or go on from the last version.
  enum class After { resume, relist };
  struct StreamEnd {
    After after = After::resume;
    std::optional<Error> error;
    bool fruitful = false;  // it brought something, or lived for a while
  };
  static net::Task<StreamEnd> watch(Ptr self, RunPtr run);
  // False: the stream cannot go on (`end` says why).
  bool handle_line(const RunPtr& run, std::string_view line, StreamEnd& end);
  // What to keep of an object, in memory of its own.
  std::optional<json::value> keep(json::value object) const;
  void apply(WatchEventType type, std::string key, std::optional<json::value> kept);
  void replace(const RunPtr& run, std::map<std::string, json::value, std::less<>> fresh);
  void report(bool healthy, const Error* why);
  static net::Task<> pause(Ptr self, RunPtr run, Duration d);

  Client* client;
  Resource resource;
  ReflectorOptions options;
  OnEvent on_event;
  OnState on_state;
  std::map<std::string, json::value, std::less<>> items;
  std::string version;
  bool synced = false;
  bool healthy = false;
  Stats stats;
  net::Notifier synced_changed;
  RunPtr current;
};

Reflector::Reflector(Client& client, Resource resource, ReflectorOptions options, OnEvent on_event,
                     OnState on_state)
    : impl_(std::make_shared<Impl>(client, std::move(resource), std::move(options), std::move(on_event),
                                   std::move(on_state))) {}
Reflector::~Reflector() { stop(); }

void Reflector::start() {
  if (impl_->current) return;
  impl_->current = std::make_shared<Impl::Run>();
  impl_->client->loop().spawn("kube.reflector." + impl_->resource.plural, Impl::main(impl_, impl_->current));
}

void Reflector::stop() {
  if (!impl_->current) return;
  const auto run = std::move(impl_->current);
  impl_->current.reset();
  run->stopped = true;
  if (run->stream) run->stream->cancel();
  run->wake.notify_all();
  impl_->synced_changed.notify_all();
}

bool Reflector::synced() const noexcept { return impl_->synced; }

net::Task<bool> Reflector::wait_synced(Duration timeout) {
  // A coroutine of its own state: the Reflector may go while it waits.
  return [](std::shared_ptr<Impl> self, Duration limit) -> net::Task<bool> {
    const auto deadline = Steady::now() + limit;
    while (!self->synced) {
      const std::uint64_t seen = self->synced_changed.ticket();
      const auto left = std::chrono::duration_cast<Duration>(deadline - Steady::now());
      if (left.count() <= 0) break;
      const bool moved = co_await self->synced_changed.wait_beyond(seen, left);
      if (!moved || !self->current) break;
    }
    co_return self->synced;
  }(impl_, timeout);
}

const json::value* Reflector::get(std::string_view ns, std::string_view name) const {
  const auto it = impl_->items.find(object_key(ns, name));
  return it == impl_->items.end() ? nullptr : &it->second;
}
const std::map<std::string, json::value, std::less<>>& Reflector::items() const noexcept {
  return impl_->items;
}
std::string Reflector::resource_version() const { return impl_->version; }
Reflector::Stats Reflector::stats() const noexcept { return impl_->stats; }

net::Task<> Reflector::Impl::pause(Ptr self, RunPtr run, Duration d) {
  if (run->stopped) co_return;
  const std::uint64_t seen = run->wake.ticket();
  co_await run->wake.wait_beyond(seen, d);
  (void)self;
}

// Level, not edge: told when health changes, and at each failure, whose reason may be new.
void Reflector::Impl::report(bool now_healthy, const Error* why) {
  if (!now_healthy) ++stats.errors;
  const bool tell = !now_healthy || !healthy;
  healthy = now_healthy;
  if (tell && on_state) on_state(now_healthy, why);
}

net::Task<> Reflector::Impl::main(Ptr self, RunPtr run) {
  Backoff backoff(self->options.min_backoff, self->options.max_backoff);
  bool need_list = true;
  bool relisted_for_nothing = false;  // twice 410 in a row without an event between
  while (!run->stopped) {
    if (need_list) {
      auto listing = list(self, run);
      const Result<> listed = co_await std::move(listing);
      if (run->stopped) co_return;
      if (!listed) {
        const Duration asked = std::chrono::seconds(std::min(listed.error().retry_after_seconds, 60));
        const Duration wait = std::max(backoff.next(), asked);
        self->report(false, &listed.error());
        auto sleeping = pause(self, run, wait);
        co_await std::move(sleeping);
        continue;
      }
      need_list = false;
      self->report(true, nullptr);
      if (run->stopped) co_return;
    }
    auto watching = watch(self, run);
    const StreamEnd end = co_await std::move(watching);
    if (run->stopped) co_return;
    if (end.fruitful) backoff.reset();
    if (end.after == After::relist) {
      need_list = true;
      ++self->stats.errors;
      if (relisted_for_nothing && !end.fruitful) {
        auto sleeping = pause(self, run, backoff.next());
        co_await std::move(sleeping);
      }
      relisted_for_nothing = true;
      continue;
    }
    if (end.fruitful) relisted_for_nothing = false;
    if (!end.error && end.fruitful) continue;             // the server ended it in time: go on at once
    if (end.error && end.fruitful) ++self->stats.errors;  // cut, as long streams are; resuming shows the rest
    if (end.error && !end.fruitful) self->report(false, &*end.error);
    if (run->stopped) co_return;
    Duration wait = backoff.next();
    if (end.error)
      wait = std::max(wait, Duration(std::chrono::seconds(std::min(end.error->retry_after_seconds, 60))));
    auto sleeping = pause(self, run, wait);
    co_await std::move(sleeping);
  }
}

net::Task<Result<>> Reflector::Impl::list(Ptr self, RunPtr run) {
  ++self->stats.lists;
  std::map<std::string, json::value, std::less<>> fresh;
  // Reduced page by page: what is not kept is never held all at once.
  Client::OnPage on_page = [&fresh, raw = self.get()](std::vector<json::value> page, bool restart) {
    if (restart) fresh.clear();
    for (json::value& v : page) {
      std::string key = object_key(v);
      if (auto kept = raw->keep(std::move(v))) fresh.insert_or_assign(std::move(key), std::move(*kept));
    }
  };
  auto listing = self->client->list_pages(self->resource, self->options.list, on_page);
  Result<std::string> version = co_await std::move(listing);
  if (run->stopped) co_return Result<>();
  if (!version) co_return fail(std::move(version).error());
  self->version = std::move(*version);
  self->replace(run, std::move(fresh));
  if (run->stopped) co_return Result<>();
  self->synced = true;
  self->synced_changed.notify_all();
  co_return Result<>();
}

void Reflector::Impl::replace(const RunPtr& run, std::map<std::string, json::value, std::less<>> fresh) {
  std::map<std::string, json::value, std::less<>> old = std::move(items);
  items = std::move(fresh);
  if (!on_event) return;
  // Callbacks may look at the cache, which is whole already. They may also stop
  // us; nothing more is told then.
  std::vector<std::pair<WatchEventType, const json::value*>> events;
  for (const auto& [key, v] : old)
    if (!items.contains(key)) events.emplace_back(WatchEventType::deleted, &v);
  for (const auto& [key, v] : items) {
    const auto before = old.find(key);
    if (before == old.end()) {
      events.emplace_back(WatchEventType::added, &v);
    } else if (get_string(before->second, {"metadata", "uid"}) != get_string(v, {"metadata", "uid"})) {
      // Deleted and made anew under the same name while we did not look.
      events.emplace_back(WatchEventType::deleted, &before->second);
      events.emplace_back(WatchEventType::added, &v);
    } else if (before->second != v) {
      events.emplace_back(WatchEventType::modified, &v);
    }
  }
  for (const auto& [type, v] : events) {
    if (run->stopped) return;
    ++stats.events;
    on_event(type, *v);
  }
}

net::Task<Reflector::Impl::StreamEnd> Reflector::Impl::watch(Ptr self, RunPtr run) {
  StreamEnd end;
  ++self->stats.watches;
  const auto began = Steady::now();
  // A little less than asked for, so that watches opened together do not end together.
  const auto spread = static_cast<std::int64_t>(0.1 * random_unit() *
                                                static_cast<double>(self->options.watch_timeout.count()));
  auto opening = self->client->open_watch(self->resource, self->options.list, self->version,
                                          self->options.watch_timeout - std::chrono::seconds(spread),
                                          self->options.idle_timeout);
  Result<net::HttpStream> opened = co_await std::move(opening);
  if (run->stopped) co_return end;
  if (!opened) {
    if (opened.error().code == "kube.expired") end.after = After::relist;
    end.error = std::move(opened).error();
    co_return end;
  }
  self->report(true, nullptr);
  if (run->stopped) co_return end;
  run->stream = std::make_shared<net::HttpStream>(std::move(*opened));
  const auto stream = run->stream;  // a stop() during read() must not take it away
  net::LineReader lines(kMaxEvent);
  bool go_on = true;
  while (go_on) {
    auto reading = stream->read();
    Result<std::string> piece = co_await std::move(reading);
    if (run->stopped) break;
    if (!piece) {
      end.error = std::move(piece).error();
      break;
    }
    if (piece->empty()) {
      // A line without its end is an event cut in two: it is lost, and comes
      // again when the watch resumes before it.
      break;
    }
    Result<std::vector<std::string>> got = lines.feed(*piece);
    if (!got) {
      end.error = std::move(got).error().with_context("watch of " + self->resource.plural);
      end.after = After::relist;
      break;
    }
    for (const std::string& line : *got) {
      if (go_on) go_on = self->handle_line(run, line, end);
      if (run->stopped) break;
    }
    if (run->stopped) break;
    co_await net::yield_now();
    if (run->stopped) break;
  }
  if (Steady::now() - began >= kShortWatch) end.fruitful = true;
  run->stream.reset();
  co_return end;
}

bool Reflector::Impl::handle_line(const RunPtr& run, std::string_view line, StreamEnd& end) {
  if (line.empty() || line == "\r") return true;
  const std::string what = "watch of " + resource.plural;
  // Where little of an object is kept, the rest is neither built nor destroyed value by value.
  alignas(std::max_align_t) unsigned char room[kEventMemory];
  json::monotonic_resource memory(room, sizeof room);
  auto event = parse_json(line, what, kMaxEvent, options.reduce ? &memory : json::storage_ptr());
  json::value* object = event ? find(*event, {"object"}) : nullptr;
  if (object == nullptr || !object->is_object()) {
    end.error = Error{
        Errc::unavailable, "kube.not_json", what + ": the server sent a line that is not a watch event", {}};
    return false;
  }
  const std::string type(get_string(*event, {"type"}));
  if (type == "ERROR") {
    end.error = error_from_status(what, 200, *object);
    if (end.error->code == "kube.expired") end.after = After::relist;
    return false;
  }
  const std::string version_now(get_string(*object, {"metadata", "resourceVersion"}));
  if (type == "ADDED" || type == "MODIFIED" || type == "DELETED") {
    end.fruitful = true;
    complete_object(*object, resource, options.list.metadata_only);
    // The version first: a callback that asks must not see one behind the cache.
    if (!version_now.empty()) version = version_now;
    std::string key = object_key(*object);
    apply(type == "ADDED"      ? WatchEventType::added
          : type == "MODIFIED" ? WatchEventType::modified
                               : WatchEventType::deleted,
          std::move(key), keep(std::move(*object)));
    return !run->stopped;
  }
  if (type == "BOOKMARK") {
    end.fruitful = true;
    if (!version_now.empty()) version = version_now;
  }
  return true;  // types of a future API are skipped
}

std::optional<json::value> Reflector::Impl::keep(json::value object) const {
  std::optional<json::value> kept =
      options.reduce ? options.reduce(std::move(object)) : std::optional(std::move(object));
  if (!kept) return std::nullopt;
  // All that is in a value lies in one memory. Where that is not the common one, this is a copy, else a move.
  return json::value(std::move(*kept), json::storage_ptr());
}

void Reflector::Impl::apply(WatchEventType type, std::string key, std::optional<json::value> kept) {
  const auto it = items.find(key);
  if (type == WatchEventType::deleted || !kept) {
    if (it == items.end()) return;  // never kept, so nobody heard of it
    const json::value last = kept ? std::move(*kept) : std::move(it->second);
    items.erase(it);
    ++stats.events;
    if (on_event) on_event(WatchEventType::deleted, last);
    return;
  }
  // What counts is whether we had it: a resumed watch may repeat an ADDED, and
  // an object may only now be one that is kept.
  const WatchEventType told = it == items.end() ? WatchEventType::added : WatchEventType::modified;
  const json::value& stored = items.insert_or_assign(std::move(key), std::move(*kept)).first->second;
  ++stats.events;
  if (on_event) on_event(told, stored);
}

}  // namespace oddjob::kube
