// List-and-watch: a cache of objects that follows the server.
//
// Lists by pages, then watches with bookmarks from that resource version;
// resumes after a cut stream; relists after 410; backs off with jitter on
// failure. Level-based: the handler says "this object changed", and readers
// look at the cache.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "kube/client.hpp"

namespace oddjob::kube {

enum class WatchEventType { added, modified, deleted };

struct ReflectorOptions {
  ListOptions list;  // namespace, selectors, metadata_only
  Duration min_backoff = std::chrono::milliseconds(200);
  Duration max_backoff = std::chrono::seconds(30);
  std::chrono::seconds watch_timeout{290};  // asks the server to end the stream then
  Duration idle_timeout = std::chrono::seconds(330);
  // Returns what to keep of an object (nullopt: nothing); lets a caller hold
  // only what it needs. Default: everything. The object's memory is used again
  // after the call: what is returned is copied out of it, and what else is to
  // outlive the call must be copied too (json::value(part, json::storage_ptr())).
  std::function<std::optional<json::value>(json::value)> reduce;
};

// Loop thread only. Callbacks run on the loop, never re-entrantly; they may stop
// or destroy the Reflector, and none comes after that.
//
// OnEvent tells differences of what is kept (see `reduce`): after a relist only
// what changed meanwhile, and `deleted`, with the last state known, for what
// vanished. The cache is up to date before each call.
// OnState tells `false` with the reason at every failure, and `true` once when
// it works (again). A stream that is merely cut and resumed is no failure.
//
// The Client must outlive it, or at least its last stop().
class Reflector {
 public:
  using OnEvent = std::function<void(WatchEventType, const json::value& object)>;
  using OnState = std::function<void(bool healthy, const Error* why)>;

  Reflector(Client& client, Resource resource, ReflectorOptions options, OnEvent on_event = {},
            OnState on_state = {});
  ~Reflector();  // stops
  void start();
  void stop();
  [[nodiscard]] bool synced() const noexcept;  // the first list is complete
  net::Task<bool> wait_synced(Duration timeout);
  // By "namespace/name" (or "name"); nullptr when not there. Valid until the
  // next suspension of the calling coroutine.
  [[nodiscard]] const json::value* get(std::string_view ns, std::string_view name) const;
  [[nodiscard]] const std::map<std::string, json::value, std::less<>>& items() const noexcept;
  [[nodiscard]] std::string resource_version() const;
  // How often it had to list from scratch, and how often a stream was resumed.
  struct Stats {
    std::uint64_t lists = 0, watches = 0, events = 0, errors = 0;
  };
  [[nodiscard]] Stats stats() const noexcept;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::kube
