#include "devcluster/storage.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace oddjob::devcluster {
namespace {

std::string object_key(std::string_view ns, std::string_view name) { return fmt::format("{}/{}", ns, name); }

// "deployments.apps" or "pods", as error messages name a resource.
std::string qualified(const ResourceKey& r) {
  const auto slash = r.find('/');
  const auto group = r.substr(0, slash), plural = r.substr(slash + 1);
  return group.empty() ? plural : plural + "." + group;
}

}  // namespace

struct Storage::Impl {
  using Object = std::shared_ptr<const json::value>;
  std::map<ResourceKey, std::map<std::string, Object, std::less<>>> objects;
  std::deque<WatchEvent> history;
  std::size_t limit = 0;
  std::int64_t revision = 0, dropped = 0;  // the newest revision that the history no longer has
  net::Notifier changed;
  std::vector<std::function<void(const WatchEvent&)>> listeners;

  // Puts the object's new state where it belongs, then tells everybody.
  Object commit(WatchEvent::Type type, const ResourceKey& r, std::string key, json::value object,
                Object before) {
    ++revision;
    ensure(object, {"metadata", "resourceVersion"}) = std::to_string(revision);
    auto shared = std::make_shared<const json::value>(std::move(object));
    auto& all = objects[r];
    if (type == WatchEvent::Type::deleted)
      all.erase(key);
    else
      all.insert_or_assign(std::move(key), shared);
    history.push_back({type, r, revision, shared, std::move(before)});
    if (history.size() > limit) {
      dropped = history.front().revision;
      history.pop_front();
    }
    for (const auto& fn : listeners) fn(history.back());
    changed.notify_all();
    return shared;
  }
};

Storage::Storage(std::size_t history, std::int64_t first) : impl_(std::make_unique<Impl>()) {
  impl_->limit = std::max<std::size_t>(history, 1);
  impl_->revision = first;
  impl_->dropped = first - 1;
}
Storage::~Storage() = default;

Result<json::value> Storage::create(const ResourceKey& r, std::string_view ns, std::string_view name,
                                    json::value object) {
  auto& all = impl_->objects[r];
  auto key = object_key(ns, name);
  if (all.contains(key))
    return fail(Errc::already_exists, "AlreadyExists",
                fmt::format("{} \"{}\" already exists", qualified(r), name));
  return *impl_->commit(WatchEvent::Type::added, r, std::move(key), std::move(object), nullptr);
}

Result<json::value> Storage::update(const ResourceKey& r, std::string_view ns, std::string_view name,
                                    json::value object) {
  auto& all = impl_->objects[r];
  const auto found = all.find(object_key(ns, name));
  if (found == all.end())
    return fail(Errc::not_found, "NotFound", fmt::format("{} \"{}\" not found", qualified(r), name));
  const auto wanted = get_string(object, {"metadata", "resourceVersion"});
  if (!wanted.empty() && wanted != get_string(*found->second, {"metadata", "resourceVersion"}))
    return fail(
        Errc::conflict, "Conflict",
        fmt::format(
            "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your "
            "changes to the latest version and try again",
            qualified(r), name));
  // A write that changes nothing makes no event, as with etcd.
  ensure(object, {"metadata", "resourceVersion"}) =
      get_string(*found->second, {"metadata", "resourceVersion"});
  if (object == *found->second) return *found->second;
  return *impl_->commit(WatchEvent::Type::modified, r, found->first, std::move(object), found->second);
}

Result<json::value> Storage::erase(const ResourceKey& r, std::string_view ns, std::string_view name) {
  auto& all = impl_->objects[r];
  const auto found = all.find(object_key(ns, name));
  if (found == all.end())
    return fail(Errc::not_found, "NotFound", fmt::format("{} \"{}\" not found", qualified(r), name));
  const auto before = found->second;
  return *impl_->commit(WatchEvent::Type::deleted, r, found->first, *before, before);
}

std::shared_ptr<const json::value> Storage::get(const ResourceKey& r, std::string_view ns,
                                                std::string_view name) const {
  const auto resource = impl_->objects.find(r);
  if (resource == impl_->objects.end()) return nullptr;
  const auto found = resource->second.find(object_key(ns, name));
  return found == resource->second.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const json::value>> Storage::list(const ResourceKey& r,
                                                              std::string_view ns) const {
  std::vector<std::shared_ptr<const json::value>> out;
  const auto resource = impl_->objects.find(r);
  if (resource == impl_->objects.end()) return out;
  const auto& all = resource->second;
  if (ns.empty()) {
    out.reserve(all.size());
    for (const auto& [key, object] : all) out.push_back(object);
    return out;
  }
  const std::string prefix = std::string(ns) + "/";
  for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix); ++it)
    out.push_back(it->second);
  return out;
}

std::int64_t Storage::revision() const noexcept { return impl_->revision; }
std::int64_t Storage::oldest_revision() const noexcept { return impl_->dropped; }

Result<std::vector<WatchEvent>> Storage::events_since(const ResourceKey& r, std::int64_t since) const {
  if (since < impl_->dropped)
    return fail(Errc::gone, "Expired",
                fmt::format("too old resource version: {} ({})", since, impl_->dropped));
  std::vector<WatchEvent> out;
  const auto first = std::ranges::upper_bound(impl_->history, since, {}, &WatchEvent::revision);
  for (auto it = first; it != impl_->history.end(); ++it)
    if (it->resource == r) out.push_back(*it);
  return out;
}

net::Notifier& Storage::changed() noexcept { return impl_->changed; }
void Storage::on_event(std::function<void(const WatchEvent&)> fn) {
  impl_->listeners.push_back(std::move(fn));
}

}  // namespace oddjob::devcluster
