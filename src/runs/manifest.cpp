#include "runs/manifest.hpp"

#include <algorithm>

#include "core/digest.hpp"
#include "core/names.hpp"
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
  return run_request_from_json(v);
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
