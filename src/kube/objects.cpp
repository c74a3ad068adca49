#include "kube/objects.hpp"

#include "kube/paths.hpp"

namespace oddjob::kube {

void complete_object(json::value& v, const Resource& r, bool metadata_only) {
  if (!v.is_object()) return;
  json::object& o = v.get_object();
  if (metadata_only) {
    json::object slim(o.storage());
    slim["apiVersion"] = api_version_of(r);
    slim["kind"] = r.kind;
    if (auto* m = o.if_contains("metadata")) slim["metadata"] = std::move(*m);
    o = std::move(slim);
    return;
  }
  const auto missing = [&o](std::string_view key) {
    const auto* x = o.if_contains(key);
    return x == nullptr || !x->is_string() || x->get_string().empty();
  };
  if (missing("apiVersion")) o["apiVersion"] = api_version_of(r);
  if (missing("kind")) o["kind"] = r.kind;
}

std::string object_key(std::string_view ns, std::string_view name) {
  std::string key(ns);
  if (!key.empty()) key += '/';
  key += name;
  return key;
}

std::string object_key(const json::value& v) {
  return object_key(get_string(v, {"metadata", "namespace"}), get_string(v, {"metadata", "name"}));
}

}  // namespace oddjob::kube
