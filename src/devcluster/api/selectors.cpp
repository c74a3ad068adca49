#include "devcluster/api/selectors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/text.hpp"

namespace oddjob::devcluster {
namespace {

// Splits at commas outside parentheses.
std::vector<std::string> terms(std::string_view text) {
  std::vector<std::string> out;
  int depth = 0;
  std::string current;
  for (const char c : text) {
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (c == ',' && depth == 0) {
      out.push_back(std::move(current));
      current.clear();
    } else {
      current += c;
    }
  }
  if (!trim(current).empty()) out.push_back(std::move(current));
  return out;
}

std::string value_text(const json::value* v) {
  if (v == nullptr || v->is_null()) return {};
  return v->is_string() ? std::string(sv(v->get_string())) : json::serialize(*v);
}

// A field selector's path against an object.
std::string field_value(const json::value& object, std::string_view path) {
  const json::value* at = &object;
  for (const auto& step : split(path, '.')) {
    at = find(*at, {step});
    if (at == nullptr) break;
  }
  if (path == "source") return value_text(find(object, {"source", "component"}));
  if (at == nullptr && path == "spec.hostNetwork") return "false";
  if (at == nullptr && path == "status.replicas") return "0";
  if (at == nullptr && path == "status.successful")
    return std::to_string(get_int(object, {"status", "succeeded"}).value_or(0));
  if (at == nullptr && path == "spec.unschedulable") return "false";
  return value_text(at);
}

// By which fields, beside name and namespace, objects of a kind are selected.
bool selectable(const ResourceInfo& r, std::string_view field) {
  if (field == "metadata.name" || (r.namespaced && field == "metadata.namespace")) return true;
  static const std::map<std::string_view, std::set<std::string_view>> table = {
      {"Pod",
       {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"}},
      {"Event",
       {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type"}},
      {"Secret", {"type"}},
      {"Namespace", {"status.phase"}},
      {"Node", {"spec.unschedulable"}},
      {"Job", {"status.successful"}},
      {"ReplicaSet", {"status.replicas"}},
      {"ReplicationController", {"status.replicas"}},
      {"Service", {"spec.clusterIP", "spec.type"}},
  };
  const auto found = table.find(r.kind);
  return found != table.end() && found->second.contains(field);
}

}  // namespace

Result<Selector> Selector::parse(std::string_view labels, std::string_view fields,
                                 const ResourceInfo* resource) {
  Selector out;
  const auto bad = [](std::string_view what) {
    return fail(Errc::invalid_argument, "BadRequest",
                fmt::format("unable to parse requirement: {}", printable(what, 200)));
  };
  for (const auto& raw : terms(labels)) {
    const std::string term(trim(raw));
    Requirement r;
    const auto list = [&](std::size_t open) {
      const auto close = term.rfind(')');
      if (close == std::string::npos || close < open) return false;
      for (const auto& v : split(std::string_view(term).substr(open + 1, close - open - 1), ','))
        r.values.emplace_back(trim(v));
      return true;
    };
    if (const auto ne = term.find("!="); ne != std::string::npos) {
      r = {std::string(trim(term.substr(0, ne))), Op::not_in, {std::string(trim(term.substr(ne + 2)))}};
    } else if (const auto eq = term.find('='); eq != std::string::npos) {
      const auto from = term.find_first_not_of('=', eq);
      r = {std::string(trim(term.substr(0, eq))),
           Op::in,
           {from == std::string::npos ? "" : std::string(trim(term.substr(from)))}};
    } else if (const auto notin = term.find(" notin "); notin != std::string::npos) {
      r.key = std::string(trim(term.substr(0, notin)));
      r.op = Op::not_in;
      if (!list(term.find('(', notin))) return bad(term);
    } else if (const auto in = term.find(" in "); in != std::string::npos) {
      r.key = std::string(trim(term.substr(0, in)));
      r.op = Op::in;
      if (!list(term.find('(', in))) return bad(term);
    } else if (term.starts_with('!')) {
      r = {std::string(trim(term.substr(1))), Op::absent, {}};
    } else {
      r = {term, Op::exists, {}};
    }
    if (!is_qualified_name(r.key)) return bad(term);
    out.labels_.push_back(std::move(r));
  }
  for (const auto& raw : terms(fields)) {
    const std::string term(trim(raw));
    const auto ne = term.find("!=");
    const auto eq = term.find('=');
    if (eq == std::string::npos) return bad(term);
    const auto field = term.substr(0, std::min(ne, eq));
    if (resource != nullptr && !selectable(*resource, field))
      return fail(Errc::invalid_argument, "BadRequest",
                  fmt::format("field label not supported: {}", printable(field, 100)));
    if (ne != std::string::npos)
      out.fields_.push_back({term.substr(0, ne), Op::not_in, {term.substr(ne + 2)}});
    else
      out.fields_.push_back({term.substr(0, eq),
                             Op::in,
                             {term.substr(term.find_first_not_of('=', eq) == std::string::npos
                                              ? term.size()
                                              : term.find_first_not_of('=', eq))}});
  }
  return out;
}

bool Selector::matches(const json::value& object) const {
  if (!labels_.empty()) {
    const auto* labels = find_object(object, {"metadata", "labels"});
    for (const auto& r : labels_) {
      const json::value* at = labels == nullptr ? nullptr : labels->if_contains(r.key);
      const bool listed = at != nullptr && std::ranges::find(r.values, value_text(at)) != r.values.end();
      if (r.op == Op::exists && at == nullptr) return false;
      if (r.op == Op::absent && at != nullptr) return false;
      if (r.op == Op::in && !listed) return false;
      if (r.op == Op::not_in && listed) return false;
    }
  }
  return std::ranges::all_of(fields_, [&](const Requirement& r) {
    return (field_value(object, r.key) == r.values.front()) == (r.op == Op::in);
  });
}

bool label_selector_matches(const json::value& selector, const json::object* labels) {
  const auto value = [&](std::string_view key) -> const json::value* {
    return labels == nullptr ? nullptr : labels->if_contains(key);
  };
  if (const auto* wanted = find_object(selector, {"matchLabels"})) {
    for (const auto& [key, v] : *wanted) {
      const auto* have = value(key);
      if (have == nullptr || *have != v) return false;
    }
  }
  if (const auto* expressions = find_array(selector, {"matchExpressions"})) {
    for (const auto& e : *expressions) {
      const auto* have = value(get_string(e, {"key"}));
      const auto op = get_string(e, {"operator"});
      const auto* values = find_array(e, {"values"});
      const bool listed =
          have != nullptr && values != nullptr && std::ranges::find(*values, *have) != values->end();
      if (op == "In" && !listed) return false;
      if (op == "NotIn" && listed) return false;
      if (op == "Exists" && have == nullptr) return false;
      if (op == "DoesNotExist" && have != nullptr) return false;
    }
  }
  return true;
}

}  // namespace oddjob::devcluster
