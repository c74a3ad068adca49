// What a real API server's admission does to a new pod: the token of its service
// account, and the defaults and bounds of the namespace's LimitRanges.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "core/digest.hpp"
#include "core/quantity.hpp"
#include "core/text.hpp"
#include "devcluster/rules.hpp"

namespace oddjob::devcluster {
namespace {

constexpr std::string_view kTokenFolder = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr int kTokenSeconds = 3607;

json::array* list_at(json::value& v, KeyPath path) {
  auto* at = find(v, path);
  return at == nullptr ? nullptr : at->if_array();
}

std::vector<json::value*> containers_of(json::value& pod) {
  std::vector<json::value*> out;
  for (const auto* key : {"initContainers", "containers"})
    if (auto* list = list_at(pod, {"spec", key}))
      for (auto& c : *list)
        if (c.is_object()) out.push_back(&c);
  return out;
}

// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
void mount_token(const Storage& storage, std::string_view ns, json::value& pod) {
  const auto account =
      storage.get("/serviceaccounts", ns, get_string(pod, {"spec", "serviceAccountName"}, "default"));
  const auto* own = find(pod, {"spec", "automountServiceAccountToken"});
  const auto* general = account ? find(*account, {"automountServiceAccountToken"}) : nullptr;
  const auto* says = own != nullptr && own->is_bool() ? own : general;
  if (says != nullptr && says->is_bool() && !says->get_bool()) return;
  const std::string name = "kube-api-access-" + hex_encode(random_bytes(3)).substr(0, 5);
  bool used = false;
  for (auto* c : containers_of(pod)) {
    auto& mounts = ensure(*c, {"volumeMounts"});
    if (!mounts.is_array()) mounts.emplace_array();
    const bool has = std::ranges::any_of(
        mounts.get_array(), [](const auto& m) { return get_string(m, {"mountPath"}) == kTokenFolder; });
    if (has) continue;
    mounts.get_array().push_back(
        json::object{{"name", name}, {"readOnly", true}, {"mountPath", kTokenFolder}});
    used = true;
  }
  if (!used) return;
  json::array items{json::object{{"key", "ca.crt"}, {"path", "ca.crt"}}};
  json::array fields{json::object{{"path", "namespace"},
                                  {"fieldRef", {{"apiVersion", "v1"}, {"fieldPath", "metadata.namespace"}}}}};
  json::array sources{
      json::object{{"serviceAccountToken", {{"expirationSeconds", kTokenSeconds}, {"path", "token"}}}},
      json::object{{"configMap", {{"name", "kube-root-ca.crt"}, {"items", std::move(items)}}}},
      json::object{{"downwardAPI", {{"items", std::move(fields)}}}}};
  auto& volumes = ensure(pod, {"spec", "volumes"});
  if (!volumes.is_array()) volumes.emplace_array();
  volumes.get_array().push_back(
      json::object{{"name", name}, {"projected", {{"sources", std::move(sources)}, {"defaultMode", 420}}}});
}

void prioritize(json::value& pod) {
  auto& priority = ensure(pod, {"spec", "priority"});
  if (priority.is_null()) priority = 0;
  auto& policy = ensure(pod, {"spec", "preemptionPolicy"});
  if (policy.is_null()) policy = "PreemptLowerPriority";
}

// What DefaultTolerationSeconds adds where the pod does not speak of it.
void tolerate_node_problems(json::value& pod) {
  auto& list = ensure(pod, {"spec", "tolerations"});
  if (!list.is_array()) list.emplace_array();
  for (const auto* key : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    const bool has = std::ranges::any_of(list.get_array(), [key](const auto& t) {
      const auto effect = get_string(t, {"effect"});
      return (get_string(t, {"key"}).empty() || get_string(t, {"key"}) == key) &&
             (effect.empty() || effect == "NoExecute");
    });
    if (!has)
      list.get_array().push_back(json::object{
          {"key", key}, {"operator", "Exists"}, {"effect", "NoExecute"}, {"tolerationSeconds", 300}});
  }
}

// The limits of this type ("Container", "Pod") of all the namespace's LimitRanges.
std::vector<json::value> limits_of(const Storage& storage, std::string_view ns, std::string_view type) {
  std::vector<json::value> out;
  for (const auto& range : storage.list("/limitranges", ns))
    if (const auto* list = find_array(*range, {"spec", "limits"}))
      for (const auto& item : *list)
        if (get_string(item, {"type"}) == type) out.push_back(item);
  return out;
}

std::string text_of(const json::value& v) {
  return v.is_string() ? std::string(sv(v.get_string())) : json::serialize(v);
}

std::optional<Quantity::Int> amount(const json::value* v) {
  if (v == nullptr || v->is_null()) return std::nullopt;
  const auto q = parse_quantity(text_of(*v));
  return q ? std::optional(q->milli) : std::nullopt;
}

struct Demand {
  std::optional<Quantity::Int> request, limit;
  std::string request_text, limit_text;
};

void hold_to(const json::value& item, std::string_view kind,
             const std::function<Demand(std::string_view)>& demand, std::vector<std::string>& broken) {
  for (const bool least : {true, false}) {
    const auto* bounds = find_object(item, {least ? "min" : "max"});
    if (bounds == nullptr) continue;
    for (const auto& [key, bound] : *bounds) {
      const std::string resource(key);
      const auto enforced = amount(&bound);
      if (!enforced) continue;
      const auto d = demand(resource);
      const auto head = fmt::format("{} {} usage per {} is {}", least ? "minimum" : "maximum", resource, kind,
                                    text_of(bound));
      const auto beyond = [&](Quantity::Int v) { return least ? v < *enforced : v > *enforced; };
      if (least && !d.request)
        broken.push_back(head + ".  No request is specified");
      else if (!least && !d.limit)
        broken.push_back(head + ".  No limit is specified");
      else if (d.limit && beyond(*d.limit))
        broken.push_back(fmt::format("{}, but limit is {}", head, d.limit_text));
      else if (d.request && beyond(*d.request))
        broken.push_back(fmt::format("{}, but request is {}", head, d.request_text));
    }
  }
}

Demand demand_of(const json::value& container, std::string_view resource) {
  Demand d;
  const auto* request = find(container, {"resources", "requests", resource});
  const auto* limit = find(container, {"resources", "limits", resource});
  d.request = amount(request);
  d.limit = amount(limit);
  if (request != nullptr) d.request_text = text_of(*request);
  if (limit != nullptr) d.limit_text = text_of(*limit);
  return d;
}

}  // namespace

void admit_pod(const Storage& storage, std::string_view ns, json::value& pod) {
  if (find_object(pod, {"spec"}) == nullptr) return;
  mount_token(storage, ns, pod);
  prioritize(pod);
  tolerate_node_problems(pod);
  for (const auto& item : limits_of(storage, ns, "Container"))
    for (auto* c : containers_of(pod))
      for (const auto& [from, to] : {std::pair{"default", "limits"}, std::pair{"defaultRequest", "requests"}})
        if (const auto* values = find_object(item, {from}))
          for (const auto& [key, value] : *values) {
            auto& at = ensure(*c, {"resources", to, std::string_view(key)});
            if (at.is_null()) at = value;
          }
}

Result<> check_limits(const Storage& storage, std::string_view ns, const json::value& pod) {
  std::vector<std::string> broken;
  std::vector<const json::value*> containers;
  for (const auto* key : {"containers", "initContainers"})
    if (const auto* list = find_array(pod, {"spec", key}))
      for (const auto& c : *list) containers.push_back(&c);
  for (const auto& item : limits_of(storage, ns, "Container"))
    for (const auto* c : containers)
      hold_to(
          item, "Container", [c](std::string_view resource) { return demand_of(*c, resource); }, broken);
  for (const auto& item : limits_of(storage, ns, "Pod")) {
    // Init containers run before the others: what counts is the sum of those.
    const auto sum = [&pod](std::string_view resource) {
      Demand total;
      if (const auto* list = find_array(pod, {"spec", "containers"}))
        for (const auto& c : *list) {
          const auto one = demand_of(c, resource);
          if (one.request) total.request = total.request.value_or(0) + *one.request;
          if (one.limit) total.limit = total.limit.value_or(0) + *one.limit;
        }
      if (total.request) total.request_text = format_quantity(*total.request);
      if (total.limit) total.limit_text = format_quantity(*total.limit);
      return total;
    };
    hold_to(item, "Pod", sum, broken);
  }
  if (broken.empty()) return {};
  return fail(Errc::forbidden, "Forbidden",
              fmt::format("pods \"{}\" is forbidden: {}", get_string(pod, {"metadata", "name"}),
                          broken.size() == 1 ? broken.front() : "[" + join(broken, ", ") + "]"));
}

}  // namespace oddjob::devcluster
