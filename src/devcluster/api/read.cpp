// list, watch, log.
#include <fmt/format.h>

#include <charconv>
#include <map>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "devcluster/api/exchange.hpp"
#include "devcluster/api/selectors.hpp"
#include "devcluster/api/table.hpp"

namespace oddjob::devcluster {
namespace {

constexpr Duration kBookmarkEvery = std::chrono::seconds(10);
constexpr std::int64_t kDefaultWatchSeconds = 1800;
constexpr std::size_t kWatchChunk = 256U << 10U;  // written as soon as so much is there

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

std::string group_version(const ResourceInfo& r) {
  return r.group.empty() ? r.version : r.group + "/" + r.version;
}

std::string key_of(const json::value& o) {
  return fmt::format("{}/{}", get_string(o, {"metadata", "namespace"}), get_string(o, {"metadata", "name"}));
}

std::unexpected<Error> bad_request(std::string message) {
  return fail(Errc::invalid_argument, "BadRequest", std::move(message));
}

// A version that this cluster has not reached: another cluster's, most likely.
std::optional<Error> from_the_future(std::string_view asked, std::int64_t current) {
  const auto n = number(asked);
  if (!n || *n <= current) return std::nullopt;
  return Error{
      Errc::deadline_exceeded, "Timeout",
      fmt::format("Too large resource version: {}, current: {}", *n, current),
      R"({"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}],"retryAfterSeconds":1})",
      1};
}

// Where a list goes on: the revision it began at and the last key that was given.
struct Continue {
  std::int64_t revision = 0;
  std::string after;
};

Result<Continue> parse_continue(std::string_view token) {
  const auto decoded = base64_decode(token);
  const auto at = decoded ? decoded->find('|') : std::string::npos;
  if (at == std::string::npos) return bad_request("continue key is not valid");
  const auto revision = number(std::string_view(*decoded).substr(0, at));
  if (!revision) return bad_request("continue key is not valid");
  return Continue{*revision, decoded->substr(at + 1)};
}

// What the list was before these events: they are undone, latest first.
std::vector<std::shared_ptr<const json::value>> undo(std::vector<std::shared_ptr<const json::value>> items,
                                                     const std::vector<WatchEvent>& events,
                                                     std::string_view name_space) {
  if (events.empty()) return items;
  std::map<std::string, std::shared_ptr<const json::value>> by_key;
  for (auto& item : items) by_key[key_of(*item)] = std::move(item);
  for (auto e = events.rbegin(); e != events.rend(); ++e) {
    if (!name_space.empty() && get_string(*e->object, {"metadata", "namespace"}) != name_space) continue;
    if (e->type == WatchEvent::Type::added)
      by_key.erase(key_of(*e->object));
    else
      by_key[key_of(*e->object)] = e->before;
  }
  std::vector<std::shared_ptr<const json::value>> out;
  for (auto& [key, item] : by_key) out.push_back(std::move(item));
  return out;
}

}  // namespace

net::Task<> ApiServer::list(Exchange& x) {
  const auto& r = *x.target.resource;
  const auto selector =
      Selector::parse(x.request.query.get("labelSelector"), x.request.query.get("fieldSelector"), &r);
  if (!selector) {
    co_await x.answer(selector.error());
    co_return;
  }
  const auto limit = number(x.request.query.get("limit")).value_or(0);
  const std::string token(x.request.query.get("continue"));
  auto& storage = registry_.storage();
  if (const auto future = from_the_future(x.request.query.get("resourceVersion"), storage.revision())) {
    co_await x.answer(*future);
    co_return;
  }
  Continue from{storage.revision(), {}};
  std::vector<WatchEvent> since;
  if (!token.empty()) {
    auto parsed = parse_continue(token);
    if (!parsed) {
      co_await x.answer(parsed.error());
      co_return;
    }
    from = std::move(*parsed);
    // Pages must be one snapshot. No old states are kept, but the history of
    // changes is, and goes backwards as well.
    auto events = storage.events_since(r.key(), from.revision);
    if (!events) {
      const Error expired{Errc::gone,
                          "Expired",
                          "The provided continue parameter is too old to display a consistent list result. "
                          "You must start a new list without the continue parameter.",
                          {},
                          0};
      co_await x.answer(expired);
      co_return;
    }
    since = std::move(*events);
  }
  std::vector<std::shared_ptr<const json::value>> items;
  std::string last, next;
  std::int64_t remaining = 0;
  const std::string name_space = r.namespaced ? x.target.name_space : "";
  for (auto& item : undo(storage.list(r.key(), name_space), since, name_space)) {
    if (!from.after.empty() && key_of(*item) <= from.after) continue;
    if (!selector->everything() && !selector->matches(*item)) continue;
    if (limit > 0 && static_cast<std::int64_t>(items.size()) == limit) {
      if (next.empty()) next = base64url_encode(fmt::format("{}|{}", from.revision, last));
      ++remaining;
      continue;
    }
    last = key_of(*item);
    items.push_back(std::move(item));
  }
  const auto revision = std::to_string(from.revision);
  json::object metadata{{"resourceVersion", revision}};
  if (!next.empty()) {
    metadata["continue"] = next;
    if (selector->everything()) metadata["remainingItemCount"] = remaining;
  }
  if (x.form() == Exchange::Form::table) {
    const auto crd = crd_of(registry_, r);
    json::value table =
        table_of(r, crd.get(), items, x.request.query.get("includeObject"), revision, system_clock().now());
    ensure(table, {"metadata"}) = std::move(metadata);
    co_await x.answer(200, table);
    co_return;
  }
  // Put together as text: a copy of each object would double the memory of a long list.
  const bool partial = x.form() == Exchange::Form::metadata;
  std::string body = fmt::format(R"({{"kind":"{}","apiVersion":"{}","metadata":{},"items":[)",
                                 partial ? "PartialObjectMetadataList" : r.kind + "List",
                                 partial ? "meta.k8s.io/v1" : group_version(r), json::serialize(metadata));
  bool first = true;
  for (const auto& item : items) {
    if (!first) body += ',';
    first = false;
    body += partial ? json::serialize(metadata_of(*item)) : json::serialize(*item);
  }
  body += "]}\n";
  net::ServerResponse response;
  response.headers.add("Content-Type", "application/json");
  response.body = std::move(body);
  co_await x.out.send(std::move(response));
}

net::Task<> ApiServer::watch(Exchange& x) {
  const auto& r = *x.target.resource;
  auto fields = std::string(x.request.query.get("fieldSelector"));
  if (!x.target.name.empty())
    fields += (fields.empty() ? "" : ",") + std::string("metadata.name=") + x.target.name;
  const auto selector = Selector::parse(x.request.query.get("labelSelector"), fields, &r);
  if (!selector) {
    co_await x.answer(selector.error());
    co_return;
  }
  auto& storage = registry_.storage();
  const std::string name_space = r.namespaced ? x.target.name_space : "";
  const auto asked = x.request.query.get("resourceVersion");
  const bool bookmarks = x.request.query.flag("allowWatchBookmarks");
  const auto seconds = number(x.request.query.get("timeoutSeconds")).value_or(kDefaultWatchSeconds);
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::seconds(std::clamp<std::int64_t>(seconds, 1, 86400));
  const auto crd = crd_of(registry_, r);
  bool header = true;

  const auto shown = [&](std::string_view type, const json::value& object) {
    json::value body;
    if (type != "BOOKMARK" && x.form() == Exchange::Form::table) {
      body = table_of(r, crd.get(), {std::make_shared<const json::value>(object)},
                      x.request.query.get("includeObject"),
                      get_string(object, {"metadata", "resourceVersion"}), system_clock().now(), header);
      header = false;
    } else if (x.form() == Exchange::Form::metadata) {
      body = metadata_of(object);
    } else {
      body = object;
    }
    return json::serialize(json::object{{"type", type}, {"object", std::move(body)}}) + "\n";
  };
  std::int64_t revision = storage.revision();
  std::vector<std::shared_ptr<const json::value>> initial;
  bool from_start = false;
  if (const auto future = from_the_future(asked, revision)) {
    co_await x.answer(*future);
    co_return;
  }
  if (asked.empty() || asked == "0") {
    initial = storage.list(r.key(), name_space);
    from_start = true;
  } else if (const auto n = number(asked)) {
    revision = *n;
  } else {
    const Error bad{Errc::invalid_argument,
                    "BadRequest",
                    fmt::format("invalid resource version \"{}\"", printable(asked, 40)),
                    {},
                    0};
    co_await x.answer(bad);
    co_return;
  }
  net::Headers headers;
  headers.add("Content-Type", "application/json");
  if (auto begun = co_await x.out.begin(200, std::move(headers)); !begun) co_return;
  auto gone = x.out.gone();
  // A closed connection wakes the wait below.
  net::Notifier& changed = storage.changed();
  const auto wake = gone.on_cancel([&changed] { changed.notify_all(); });
  std::string pending;
  const auto bookmark = [&](json::object metadata) {
    metadata["resourceVersion"] = std::to_string(revision);
    const json::value mark =
        json::object{{"kind", r.kind}, {"apiVersion", group_version(r)}, {"metadata", std::move(metadata)}};
    pending += shown("BOOKMARK", mark);
  };
  bool broken = false;
  for (const auto& item : initial) {
    if (selector->matches(*item)) pending += shown("ADDED", *item);
    if (pending.size() < kWatchChunk) continue;
    const auto written = co_await x.out.write(pending);
    pending.clear();
    broken = !written;
    if (broken) break;
  }
  initial.clear();
  if (from_start && bookmarks && x.request.query.flag("sendInitialEvents")) {
    json::object metadata{{"annotations", {{"k8s.io/initial-events-end", "true"}}}};
    bookmark(std::move(metadata));
  }
  auto next_bookmark = std::chrono::steady_clock::now() + kBookmarkEvery;
  // A CRD that is removed ends the watches of its objects.
  while (!broken && !gone.cancelled() && registry_.find(x.target.group, x.target.plural) == &r) {
    const auto ticket = changed.ticket();
    const auto events = storage.events_since(r.key(), revision);
    if (!events) {
      pending +=
          json::serialize(json::object{{"type", "ERROR"}, {"object", status_of(events.error())}}) + "\n";
      (void)co_await x.out.write(pending);
      break;
    }
    for (const auto& e : *events) {
      revision = e.revision;
      if (!name_space.empty() && get_string(*e.object, {"metadata", "namespace"}) != name_space) continue;
      const bool now = e.type != WatchEvent::Type::deleted && selector->matches(*e.object);
      const bool before = e.type != WatchEvent::Type::added && e.before && selector->matches(*e.before);
      if (now)
        pending += shown(before ? "MODIFIED" : "ADDED", *e.object);
      else if (before)
        pending += shown("DELETED", *e.object);
      if (pending.size() >= kWatchChunk) break;  // the rest after it is written
    }
    const auto now = std::chrono::steady_clock::now();
    if (events->empty()) revision = std::max(revision, storage.revision());
    if (bookmarks && (now >= next_bookmark || now >= end)) {
      json::object metadata{{"creationTimestamp", nullptr}};
      bookmark(std::move(metadata));
      next_bookmark = now + kBookmarkEvery;
    }
    if (!pending.empty()) {
      if (auto written = co_await x.out.write(pending); !written) break;
      pending.clear();
      if (now >= end) break;  // a last bookmark is sent once
      continue;               // more may have come while it was written
    }
    if (now >= end) break;
    const auto until = bookmarks ? std::min(end, next_bookmark) : end;
    co_await changed.wait_beyond(ticket, std::max(std::chrono::ceil<Duration>(until - now), Duration(1)));
  }
  gone.remove(wake);
}

net::Task<> ApiServer::log(Exchange& x) {
  const auto& q = x.request.query;
  LogRequest wanted;
  wanted.container = std::string(q.get("container"));
  wanted.follow = q.flag("follow");
  wanted.timestamps = q.flag("timestamps");
  wanted.previous = q.flag("previous");
  wanted.tail_lines = number(q.get("tailLines"));
  wanted.limit_bytes = number(q.get("limitBytes"));
  wanted.since_seconds = number(q.get("sinceSeconds"));
  wanted.since_time = std::string(q.get("sinceTime"));
  const auto pod = registry_.storage().get("/pods", x.target.name_space, x.target.name);
  if (!pod || node_ == nullptr) {
    const Error missing{
        Errc::not_found, "NotFound", fmt::format("pods \"{}\" not found", x.target.name), {}, 0};
    co_await x.answer(missing);
    co_return;
  }
  net::ResponseWriter& out = x.out;
  // Not a coroutine itself: it only makes one, and `out` outlives it.
  const std::function<net::Task<Result<>>(std::string_view)> write =
      [&out](std::string_view bytes) -> net::Task<Result<>> {
    struct Step {
      static net::Task<Result<>> put(net::ResponseWriter& to, std::string data) {
        if (!to.begun()) {
          net::Headers headers;
          headers.add("Content-Type", "text/plain");
          OJ_CO_CHECK(co_await to.begin(200, std::move(headers)));
        }
        co_return co_await to.write(data);
      }
    };
    return Step::put(out, std::string(bytes));
  };
  const std::string ns = x.target.name_space, name = x.target.name;
  auto done = co_await node_->logs(ns, name, std::move(wanted), write);
  if (!done && !out.begun()) {
    co_await x.answer(done.error());
  } else if (!done) {
    out.abort();
  } else if (!out.begun()) {
    net::ServerResponse empty;
    empty.headers.add("Content-Type", "text/plain");
    co_await out.send(std::move(empty));
  }
}

}  // namespace oddjob::devcluster
