#include "render/selector.hpp"

#include <algorithm>

namespace oddjob::render {
namespace {

bool pairs_match(const json::object& wanted, const json::object& labels) noexcept {
  return std::ranges::all_of(wanted, [&](const auto& pair) {
    const json::value* have = labels.if_contains(pair.key());
    return have != nullptr && have->is_string() && *have == pair.value();
  });
}

bool is_among(const json::value* value, const json::array* values) noexcept {
  return value != nullptr && values != nullptr && std::ranges::find(*values, *value) != values->end();
}

bool expression_matches(const json::value& expression, const json::object& labels) noexcept {
  const std::string_view key = get_string(expression, {"key"});
  const std::string_view op = get_string(expression, {"operator"});
  const json::array* values = find_array(expression, {"values"});
  const json::value* have = labels.if_contains(key);
  if (op == "In") return is_among(have, values);
  if (op == "NotIn") return !is_among(have, values);
  if (op == "Exists") return have != nullptr;
  if (op == "DoesNotExist") return have == nullptr;
  return false;
}

}  // namespace

bool selector_matches(const json::value* selector, const json::object& labels) noexcept {
  if (selector == nullptr || !selector->is_object()) return false;
  const json::object* pairs = find_object(*selector, {"matchLabels"});
  if (pairs != nullptr && !pairs_match(*pairs, labels)) return false;
  const json::array* expressions = find_array(*selector, {"matchExpressions"});
  return expressions == nullptr || std::ranges::all_of(*expressions, [&](const json::value& e) {
           return expression_matches(e, labels);
         });
}

bool service_selector_matches(const json::value* selector, const json::object& labels) noexcept {
  if (selector == nullptr || !selector->is_object() || selector->as_object().empty()) return false;
  return pairs_match(selector->as_object(), labels);
}

}  // namespace oddjob::render
