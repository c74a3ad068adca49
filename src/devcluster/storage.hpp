// The dev cluster's objects: what etcd and the API server's generic storage are
// to a real cluster. In memory, one loop thread, one global resourceVersion.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "net/async.hpp"

namespace oddjob::devcluster {

// "group/plural", e.g. "/pods", "apps/deployments", "oddjob.dev/jobtemplates".
using ResourceKey = std::string;

struct WatchEvent {
  enum class Type { added, modified, deleted };
  Type type = Type::added;
  ResourceKey resource;
  std::int64_t revision = 0;
  // Immutable and shared between watchers; `before` is the previous state of a
  // modified object (selectors need both).
  std::shared_ptr<const json::value> object, before;
};

// Errors are Kubernetes Status in kind: not_found, already_exists, conflict
// (wrong resourceVersion or uid precondition), gone (watch from a revision that
// the history no longer has).
class Storage {
 public:
  // `history`: events kept for watches. `first`: the revision it begins at; a
  // cluster that begins above what its predecessor reached makes old ones "gone".
  explicit Storage(std::size_t history = 20000, std::int64_t first = 1);
  ~Storage();

  // metadata.resourceVersion is set by all writes; uid, creationTimestamp,
  // generation are the caller's (registry's) business.
  Result<json::value> create(const ResourceKey& r, std::string_view ns, std::string_view name,
                             json::value object);
  // Fails with conflict if object.metadata.resourceVersion is non-empty and not the stored one.
  Result<json::value> update(const ResourceKey& r, std::string_view ns, std::string_view name,
                             json::value object);
  Result<json::value> erase(const ResourceKey& r, std::string_view ns, std::string_view name);
  [[nodiscard]] std::shared_ptr<const json::value> get(const ResourceKey& r, std::string_view ns,
                                                       std::string_view name) const;
  // Sorted by namespace, name. ns empty: all.
  [[nodiscard]] std::vector<std::shared_ptr<const json::value>> list(const ResourceKey& r,
                                                                     std::string_view ns) const;
  [[nodiscard]] std::int64_t revision() const noexcept;
  [[nodiscard]] std::int64_t oldest_revision() const noexcept;

  // Events after `since`, in order, from history; gone if it is too old.
  Result<std::vector<WatchEvent>> events_since(const ResourceKey& r, std::int64_t since) const;
  // Moves at every write; wait on it, then call events_since.
  net::Notifier& changed() noexcept;
  // Called synchronously after each write; for controllers' queues. Must not write.
  void on_event(std::function<void(const WatchEvent&)> fn);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::devcluster
