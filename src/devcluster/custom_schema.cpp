// openAPIV3Schema of a CustomResourceDefinition against an object.
#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "core/text.hpp"
#include "devcluster/rules.hpp"

namespace oddjob::devcluster {
namespace {

constexpr std::size_t kMaxCauses = 50;
constexpr std::size_t kMaxPatternText = 4096;  // std::regex recurses with the text's length

struct SchemaCheck {
  std::vector<Cause> causes;

  void invalid(const std::string& at, const json::value& v, std::string_view why) {
    causes.push_back({"FieldValueInvalid", at,
                      fmt::format("Invalid value: {}: {}", printable(json::serialize(v), 200), why)});
  }

  static std::string_view type_of(const json::value& v) {
    if (v.is_object()) return "object";
    if (v.is_array()) return "array";
    if (v.is_string()) return "string";
    if (v.is_bool()) return "boolean";
    if (v.is_null()) return "null";
    return v.is_double() ? "number" : "integer";
  }

  bool right_type(const json::value& schema, const json::value& v, const std::string& at) {
    const auto wanted = get_string(schema, {"type"}), have = type_of(v);
    if (get_bool(schema, {"x-kubernetes-int-or-string"})) {
      if (have == "integer" || have == "string") return true;
    } else if (wanted.empty() || wanted == have || (wanted == "number" && have == "integer")) {
      return true;
    }
    invalid(at, json::string(have),
            fmt::format("{} in body must be of type {}: \"{}\"", at,
                        wanted.empty() ? "integer or string" : wanted, have));
    return false;
  }

  void scalar(const json::value& schema, const json::value& v, const std::string& at) {
    if (const auto* options = find_array(schema, {"enum"});
        options != nullptr && std::ranges::find(*options, v) == options->end()) {
      std::vector<std::string> all;
      for (const auto& o : *options) all.push_back(json::serialize(o));
      causes.push_back(
          {"FieldValueNotSupported", at,
           fmt::format("Unsupported value: {}: supported values: {}", json::serialize(v), join(all, ", "))});
    }
    if (v.is_string()) {
      const auto text = sv(v.get_string());
      if (const auto n = get_int(schema, {"maxLength"}); n && static_cast<std::int64_t>(text.size()) > *n)
        causes.push_back(
            {"FieldValueTooLong", at, fmt::format("Too long: may not be more than {} bytes", *n)});
      if (const auto n = get_int(schema, {"minLength"}); n && static_cast<std::int64_t>(text.size()) < *n)
        invalid(at, v, fmt::format("{} in body should be at least {} chars long", at, *n));
      if (const auto pattern = get_string(schema, {"pattern"});
          !pattern.empty() && text.size() <= kMaxPatternText) {
        try {
          if (!std::regex_search(text.begin(), text.end(), std::regex(pattern.begin(), pattern.end())))
            invalid(at, v, fmt::format("{} in body should match '{}'", at, pattern));
        } catch (const std::regex_error&) {
          // RE2 syntax that std::regex does not have: not checked.
        }
      }
    } else if (v.is_number()) {
      const auto n = v.to_number<double>();
      for (const auto* side : {"minimum", "maximum"}) {
        const auto* bound = find(schema, {side});
        if (bound == nullptr || !bound->is_number()) continue;
        const bool low = std::string_view(side) == "minimum";
        const auto b = bound->to_number<double>();
        if (low ? n < b : n > b)
          invalid(
              at, v,
              fmt::format("{} in body should be {} than or equal to {}", at, low ? "greater" : "less", b));
      }
    }
  }

  void check(const json::value& schema, json::value& v, const std::string& at) {
    if (causes.size() >= kMaxCauses) return;
    if (v.is_null() && get_bool(schema, {"nullable"})) return;
    if (!right_type(schema, v, at)) return;
    if (v.is_object()) {
      auto& object = v.get_object();
      if (const auto* properties = find_object(schema, {"properties"})) {
        for (const auto& [key, sub] : *properties) {
          if (const auto* fallback = find(sub, {"default"}); fallback != nullptr && !object.contains(key))
            object[key] = *fallback;
          if (auto* value = object.if_contains(key)) {
            if (!(at.empty() && key == "metadata"))
              check(sub, *value, at.empty() ? std::string(key) : at + "." + std::string(key));
          }
        }
      }
      if (const auto* required = find_array(schema, {"required"}))
        for (const auto& key : *required)
          if (key.is_string() && !object.contains(key.get_string()))
            causes.push_back(
                {"FieldValueRequired",
                 at.empty() ? std::string(key.get_string()) : at + "." + std::string(key.get_string()),
                 "Required value"});
      if (const auto* rest = find(schema, {"additionalProperties"}); rest != nullptr && rest->is_object())
        for (auto& [key, value] : object) check(*rest, value, at + "." + std::string(key));
    } else if (v.is_array()) {
      auto& list = v.get_array();
      const auto n = static_cast<std::int64_t>(list.size());
      if (const auto most = get_int(schema, {"maxItems"}); most && n > *most)
        causes.push_back(
            {"FieldValueTooMany", at, fmt::format("Too many: {}: must have at most {} items", n, *most)});
      if (const auto least = get_int(schema, {"minItems"}); least && n < *least)
        invalid(at, n, fmt::format("{} in body should have at least {} items", at, *least));
      if (const auto* items = find(schema, {"items"}); items != nullptr && items->is_object())
        for (std::size_t i = 0; i < list.size(); ++i) check(*items, list[i], fmt::format("{}[{}]", at, i));
    } else {
      scalar(schema, v, at);
    }
  }
};

}  // namespace

std::vector<Cause> apply_custom_schema(const json::value& crd, json::value& object) {
  SchemaCheck c;
  if (const auto* versions = find_array(crd, {"spec", "versions"}))
    for (const auto& version : *versions)
      if (get_bool(version, {"storage"}))
        if (const auto* schema = find(version, {"schema", "openAPIV3Schema"})) c.check(*schema, object, "");
  return std::move(c.causes);
}

}  // namespace oddjob::devcluster
