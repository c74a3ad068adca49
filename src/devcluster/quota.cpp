// ResourceQuota, as far as creating objects goes.
// https://kubernetes.io/docs/concepts/policy/resource-quotas/
#include <fmt/format.h>

#include <map>

#include "core/quantity.hpp"
#include "core/text.hpp"
#include "devcluster/rules.hpp"

namespace oddjob::devcluster {
namespace {

using Amounts = std::map<std::string, Quantity::Int, std::less<>>;  // in thousandths

Quantity::Int milli_of(const json::value& v) {
  const auto q = parse_quantity(v.is_string() ? std::string(sv(v.get_string())) : json::serialize(v));
  return q ? q->milli : 0;
}

// What one object takes of each resource that a quota can name.
Amounts taken_by(const ResourceInfo& r, const json::value& o) {
  Amounts out;
  out["count/" + (r.group.empty() ? r.plural : r.plural + "." + r.group)] = 1000;
  if (r.group.empty()) out[r.plural] = 1000;
  if (r.kind != "Pod") return out;
  const auto phase = get_string(o, {"status", "phase"});
  if (phase == "Succeeded" || phase == "Failed") return {{"count/pods", 1000}};
  const auto* containers = find_array(o, {"spec", "containers"});
  if (containers == nullptr) return out;
  for (const auto& c : *containers)
    for (const auto* side : {"requests", "limits"})
      if (const auto* map = find_object(c, {"resources", side}))
        for (const auto& [name, amount] : *map) {
          out[fmt::format("{}.{}", side, std::string_view(name))] += milli_of(amount);
          if (std::string_view(side) == "requests") out[std::string(name)] += milli_of(amount);
        }
  return out;
}

}  // namespace

std::string format_quantity(Quantity::Int milli) {
  auto n = static_cast<std::int64_t>(milli);
  if (n % 1000 != 0) return fmt::format("{}m", n);
  n /= 1000;
  std::string_view suffix;
  for (const auto* next : {"Ki", "Mi", "Gi", "Ti"}) {
    if (n < 1024 || n % 1024 != 0) break;
    n /= 1024;
    suffix = next;
  }
  return fmt::format("{}{}", n, suffix);
}

json::value quota_status(const Storage& storage, const std::vector<const ResourceInfo*>& resources,
                         const json::value& quota) {
  const auto* hard = find_object(quota, {"spec", "hard"});
  if (hard == nullptr) return json::object{};
  Amounts taken;
  for (const auto* r : resources)
    if (r->namespaced && !r->custom)
      for (const auto& o : storage.list(r->key(), get_string(quota, {"metadata", "namespace"})))
        for (const auto& [what, amount] : taken_by(*r, *o)) taken[what] += amount;
  json::object used;
  for (const auto& [key, limit] : *hard) used[key] = format_quantity(taken[std::string(key)]);
  return json::object{{"hard", *hard}, {"used", std::move(used)}};
}

Result<> check_quota(const Storage& storage, const ResourceInfo& r, std::string_view ns,
                     const json::value& object) {
  for (const auto& quota : storage.list("/resourcequotas", ns)) {
    const auto* hard = find_object(*quota, {"spec", "hard"});
    if (hard == nullptr || find(*quota, {"spec", "scopes"}) != nullptr ||
        find(*quota, {"spec", "scopeSelector"}) != nullptr)
      continue;
    const auto wanted = taken_by(r, object);
    const auto name = get_string(*quota, {"metadata", "name"});
    const auto refuse = [&](const std::string& why) {
      return fail(Errc::forbidden, "Forbidden",
                  fmt::format("{}{}{} \"{}\" is forbidden: {}", r.plural, r.group.empty() ? "" : ".", r.group,
                              get_string(object, {"metadata", "name"}), why));
    };
    Amounts used;
    bool counted = false;
    std::vector<std::string> missing, asked, had, limits;
    for (const auto& [key, limit] : *hard) {
      const std::string resource(key);
      const auto at = wanted.find(resource);
      if (at == wanted.end()) {
        const bool computed = resource == "cpu" || resource == "memory" ||
                              resource.starts_with("requests.") || resource.starts_with("limits.");
        if (r.kind == "Pod" && computed && !resource.ends_with("storage")) missing.push_back(resource);
        continue;
      }
      if (!counted) {
        for (const auto& other : storage.list(r.key(), ns))
          for (const auto& [what, amount] : taken_by(r, *other)) used[what] += amount;
        counted = true;
      }
      if (used[resource] + at->second <= milli_of(limit)) continue;
      asked.push_back(fmt::format("{}={}", resource, format_quantity(at->second)));
      had.push_back(fmt::format("{}={}", resource, format_quantity(used[resource])));
      limits.push_back(fmt::format("{}={}", resource, format_quantity(milli_of(limit))));
    }
    if (!missing.empty())
      return refuse(fmt::format("failed quota: {}: must specify {}", name, join(missing, ",")));
    if (!asked.empty())
      return refuse(fmt::format("exceeded quota: {}, requested: {}, used: {}, limited: {}", name,
                                join(asked, ","), join(had, ","), join(limits, ",")));
  }
  return {};
}

}  // namespace oddjob::devcluster
