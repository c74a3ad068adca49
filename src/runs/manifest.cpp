#include "runs/manifest.hpp"

#include <algorithm>

#include "core/digest.hpp"
#include "core/names.hpp"
#include "core/quantity.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

const json::value* container_of(const json::value& job, std::string_view name) {
  const auto* all = find_array(job, {"spec", "template", "spec", "containers"});
  if (all == nullptr) return nullptr;
  for (const auto& c : *all) {
    if (get_string(c, {"name"}) == name) return &c;
  }
  return nullptr;
}

// Calls `fn` with each env entry of the container whose name is a secret's.
template <class F>
void each_secret(json::value& job, std::string_view container, const std::vector<EnvVar>& secrets, F fn) {
  auto* found = const_cast<json::value*>(container_of(job, container));
  auto* env = found == nullptr ? nullptr : find(*found, {"env"});
  if (env == nullptr || !env->is_array()) return;
  for (auto& entry : env->get_array()) {
    if (!entry.is_object()) continue;
    const auto name = get_string(entry, {"name"});
    // The last one wins, as it does in a pod.
    const auto it = std::ranges::find_if(secrets.rbegin(), secrets.rend(),
                                         [&](const EnvVar& e) { return e.name == name; });
    if (it != secrets.rend()) fn(entry.get_object(), *it);
  }
}

bool same(const json::value* a, const json::value* b) {
  const bool no_a = a == nullptr || (a->is_array() && a->get_array().empty());
  const bool no_b = b == nullptr || (b->is_array() && b->get_array().empty());
  if (no_a || no_b) return no_a == no_b;
  return canonical_json(*a) == canonical_json(*b);
}

}  // namespace

std::vector<EnvVar> secret_env(const RunRequest& request) {
  std::vector<EnvVar> out;
  std::ranges::copy_if(request.env, std::back_inserter(out), [](const EnvVar& e) { return !e.plain; });
  return out;
}

bool had_secret_env(const json::object& recorded) {
  const auto* env = recorded.if_contains("env");
  if (env == nullptr || !env->is_array()) return false;
  return std::ranges::any_of(env->get_array(),
                             [](const json::value& e) { return find(e, {"sha256"}) != nullptr; });
}

void take_values(json::value& job, std::string_view container, const std::vector<EnvVar>& secrets) {
  each_secret(job, container, secrets, [](json::object& entry, const EnvVar&) { entry.erase("value"); });
}

void put_values(json::value& job, std::string_view container, const std::vector<EnvVar>& secrets) {
  each_secret(job, container, secrets, [](json::object& entry, const EnvVar& e) {
    if (!entry.contains("valueFrom")) entry["value"] = e.value;
  });
}

Result<RunRequest> recorded_request(const Run& run) {
  json::value v = run.request;
  if (auto* env = find(v, {"env"}); env != nullptr && env->is_array()) {
    for (auto& e : env->get_array()) {
      if (!e.is_object() || !e.get_object().contains("sha256")) continue;
      e.get_object().erase("sha256");
      e.get_object()["value"] = "";
    }
  }
  return recorded_request_from_json(v);
}

namespace {

constexpr std::size_t kMaxDifferences = 10;

bool empty(const json::value& v) {
  switch (v.kind()) {
    case json::kind::null:
      return true;
    case json::kind::bool_:
      return !v.get_bool();
    case json::kind::int64:
      return v.get_int64() == 0;
    case json::kind::string:
      return v.get_string().empty();
    case json::kind::array:
      return v.get_array().empty();
    case json::kind::object:
      return std::ranges::all_of(v.get_object(), [](const auto& e) { return empty(e.value()); });
    default:
      return false;
  }
}

// The API server writes quantities in their canonical form.
bool same_quantity(std::string_view path, const json::value& a, const json::value& b) {
  const bool may_be = path.find(".resources.") != std::string_view::npos || path.ends_with(".sizeLimit") ||
                      path.ends_with(".divisor");
  if (!may_be) return false;
  const auto text = [](const json::value& v) {
    return v.is_string() ? std::string(sv(v.get_string())) : json::serialize(v);
  };
  const auto x = parse_quantity(text(a)), y = parse_quantity(text(b));
  return x && y && *x == *y;
}

void compare(const json::value& want, const json::value* have, const std::string& path,
             std::vector<std::string>& out) {
  if (out.size() >= kMaxDifferences) return;
  if (have == nullptr) {
    if (!empty(want)) out.push_back(path);
    return;
  }
  if (want.is_object() && have->is_object()) {
    for (const auto& [key, value] : want.get_object()) {
      compare(value, have->get_object().if_contains(key), path + "." + std::string(key), out);
    }
    return;
  }
  if (want.is_array() && have->is_array()) {
    const auto &a = want.get_array(), &b = have->get_array();
    if (a.size() != b.size()) {
      out.push_back(path);
      return;
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
      compare(a[i], &b[i], path + "[" + std::to_string(i) + "]", out);
    }
    return;
  }
  if (want != *have && !same_quantity(path, want, *have)) out.push_back(path);
}

}  // namespace

std::vector<std::string> differences_of(const json::value& recorded, const json::value& live) {
  std::vector<std::string> out;
  const auto part = [&](KeyPath where, const std::string& path) {
    const auto* want = find(recorded, where);
    if (want == nullptr) return;
    json::value mine = *want;
    erase(mine, {"suspend"});
    compare(mine, find(live, where), path, out);
  };
  part({"metadata", "labels"}, "metadata.labels");
  part({"metadata", "annotations"}, "metadata.annotations");
  part({"spec"}, "spec");
  return out;
}

bool is_ours(const Run& run, const json::value& live) {
  if (!run.job_uid.empty() && uid_of(live) != run.job_uid) return false;
  if (run_id_of(live) != run.id) return false;
  if (get_string(live, {"metadata", "annotations", names::kDigestAnnotation}) != run.digest) return false;
  const auto* wanted = container_of(run.job, run.container);
  if (wanted == nullptr) return true;  // a record without its manifest
  const auto* has = container_of(live, run.container);
  if (has == nullptr) return false;
  return same(find(*wanted, {"command"}), find(*has, {"command"})) &&
         same(find(*wanted, {"args"}), find(*has, {"args"}));
}

}  // namespace oddjob::runs
