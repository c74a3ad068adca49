// The in-process API of the dev cluster: validation, defaulting, generated
// fields, finalizers, garbage collection, over Storage. HTTP handlers and
// controllers both call it, so that both see the same rules.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "devcluster/storage.hpp"

namespace oddjob::devcluster {

struct ResourceInfo {
  std::string group, version, plural, singular, kind;
  bool namespaced = true;
  std::vector<std::string> short_names, categories;
  std::vector<std::string> verbs;
  bool has_status = false, has_scale = false, custom = false;
  [[nodiscard]] ResourceKey key() const { return group + "/" + plural; }
};

struct WriteContext {
  bool dry_run = false;
  std::string subresource;  // "", "status", "scale"
  std::string field_manager = "dev-cluster";
  std::string user = "system:dev-cluster";
};

struct DeleteRequest {
  std::string propagation = "Background", uid, resource_version;
  std::optional<int> grace_seconds;
  bool dry_run = false;
};

// Errors carry what a Kubernetes Status needs: `code` is the Status reason, `hint`
// (where it is not empty) the JSON text of its `details`. Reasons:
// "AlreadyExists", "Invalid", "NotFound", "Conflict", "Forbidden", "BadRequest", …
class Registry {
 public:
  explicit Registry(Storage& storage);
  ~Registry();
  [[nodiscard]] const ResourceInfo* find(std::string_view group, std::string_view plural) const;
  [[nodiscard]] const ResourceInfo* find_kind(std::string_view group, std::string_view kind) const;
  [[nodiscard]] std::vector<const ResourceInfo*> all() const;

  Result<json::value> create(const ResourceInfo& r, std::string_view ns, json::value object,
                             const WriteContext& c = {});
  Result<json::value> update(const ResourceInfo& r, std::string_view ns, std::string_view name,
                             json::value object, const WriteContext& c = {});
  // The object as it was, or as it is now when finalizers or pod termination keep it.
  Result<json::value> remove(const ResourceInfo& r, std::string_view ns, std::string_view name,
                             const DeleteRequest& d = {});
  // Read, change, write with retry on conflict: `fn` edits the object; returning
  // false leaves it alone.
  Result<json::value> modify(const ResourceInfo& r, std::string_view ns, std::string_view name,
                             const std::function<bool(json::value&)>& fn, const WriteContext& c = {});
  // An Event object (core/v1), aggregated by count like a recorder does.
  void record_event(const json::value& about, std::string_view type, std::string_view reason,
                    std::string_view message, std::string_view component);
  Storage& storage() noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::devcluster
