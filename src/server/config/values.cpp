#include "server/config/values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/text.hpp"

namespace oddjob::server::config {
namespace {

constexpr std::string_view kSets = "a list of lists of at least two names";

// Without look-ahead, which Go's regular expressions (Helm's) lack; one part is not zero.
constexpr std::string_view kDurationPattern =
    R"(^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))*([0-9]*[1-9][0-9]*(\.[0-9]+)?|[0-9]+\.[0-9]*[1-9][0-9]*)(ms|s|m|h|d)([0-9]+(\.[0-9]+)?(ms|s|m|h|d))*$)";

constexpr std::string_view kZero = "0s";

json::object typed(std::string_view type) { return {{"type", type}}; }

}  // namespace

std::unexpected<Error> bad(std::string_view expected, const json::value& got) {
  return fail(Errc::invalid_argument, "config.bad_value",
              fmt::format("expected {}, got {}", expected, printable(json::serialize(got), 100)));
}

Result<std::string> as_text(const json::value& v) {
  if (!v.is_string()) return bad("text", v);
  return std::string(sv(v.get_string()));
}

Result<std::int64_t> as_number(const json::value& v, std::int64_t low, std::int64_t high) {
  if (!v.is_int64()) return bad("a whole number", v);
  if (v.get_int64() < low || v.get_int64() > high)
    return bad(fmt::format("a number from {} to {}", low, high), v);
  return v.get_int64();
}

Result<bool> as_bool(const json::value& v) {
  if (!v.is_bool()) return bad("true or false", v);
  return v.get_bool();
}

Result<Duration> as_duration(const json::value& v) {
  if (!v.is_string()) return bad("a duration such as 30s", v);
  return parse_duration(sv(v.get_string()));
}

Result<Duration> as_duration_or_zero(const json::value& v) {
  if (v.is_string() && sv(v.get_string()) == kZero) return Duration{};
  return as_duration(v);
}

Result<Words> as_words(const json::value& v) {
  Words out;
  if (!v.is_array()) return bad("a list of texts", v);
  for (const auto& item : v.get_array()) {
    if (!item.is_string()) return bad("a list of texts", v);
    out.emplace_back(sv(item.get_string()));
  }
  return out;
}

Result<std::vector<Words>> as_sets(const json::value& v) {
  if (!v.is_array()) return bad(kSets, v);
  std::vector<Words> out;
  for (const auto& set : v.get_array()) {
    if (!set.is_array() || set.get_array().size() < 2) return bad(kSets, v);
    Words names;
    for (const auto& name : set.get_array()) {
      if (!name.is_string() || trim(sv(name.get_string())).empty()) return bad(kSets, v);
      names.emplace_back(trim(sv(name.get_string())));
    }
    out.push_back(std::move(names));
  }
  return out;
}

Result<std::map<std::string, std::string>> as_text_map(const json::value& v) {
  if (!v.is_object()) return bad("a mapping of texts", v);
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : v.get_object()) {
    if (!value.is_string()) return bad(fmt::format("text at '{}'", printable(key, 100)), value);
    out.emplace(key, sv(value.get_string()));
  }
  return out;
}

Result<json::value> text_from_text(std::string_view text) { return json::value(json::string(text)); }

Result<json::value> number_from_text(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc{} || end != text.data() + text.size())
    return bad("a whole number", json::value(json::string(text)));
  return json::value(n);
}

Result<json::value> bool_from_text(std::string_view text) {
  if (text != "true" && text != "false") return bad("true or false", json::value(json::string(text)));
  return json::value(text == "true");
}

Result<json::value> words_from_text(std::string_view text) {
  json::array out;
  for (const auto& part : split(text, ','))
    if (!trim(part).empty()) out.emplace_back(json::string(trim(part)));
  return json::value(std::move(out));
}

Result<json::value> sets_from_text(std::string_view text) {
  json::array out;
  for (const auto& set : split(text, ';')) {
    if (trim(set).empty()) continue;
    json::array names;
    for (const auto& name : split(set, ',')) names.emplace_back(json::string(trim(name)));
    out.emplace_back(std::move(names));
  }
  return json::value(std::move(out));
}

json::value to_json(const std::string& text) { return json::value(json::string(text)); }
json::value to_json(bool yes) { return json::value(yes); }
json::value to_json(std::int64_t number) { return json::value(number); }
json::value to_json(Duration d) { return json::value(json::string(format_duration(d))); }

json::value to_json(const Words& words) {
  json::array out;
  for (const auto& w : words) out.emplace_back(json::string(w));
  return json::value(std::move(out));
}

json::value to_json(const std::vector<Words>& sets) {
  json::array out;
  for (const auto& s : sets) out.push_back(to_json(s));
  return json::value(std::move(out));
}

json::value to_json(const std::map<std::string, std::string>& map) {
  json::object out;
  for (const auto& [key, value] : map) out[key] = value;
  return json::value(std::move(out));
}

json::object text_schema() { return typed("string"); }
json::object bool_schema() { return typed("boolean"); }

json::object one_of_schema(const Words& words) {
  json::object out;
  out["enum"] = to_json(words);
  return out;
}

json::object number_schema(std::int64_t low, std::int64_t high) {
  auto out = typed("integer");
  out["minimum"] = low;
  out["maximum"] = high;
  return out;
}

json::object duration_schema() {
  auto out = typed("string");
  out["pattern"] = kDurationPattern;
  return out;
}

json::object duration_or_zero_schema() {
  json::object zero;
  zero["const"] = kZero;
  json::object out;
  out["anyOf"] = json::array{duration_schema(), std::move(zero)};
  return out;
}

json::object words_schema() {
  auto out = typed("array");
  out["items"] = typed("string");
  return out;
}

json::object sets_schema() {
  auto name = typed("string");
  name["pattern"] = "[^ \\t\\r\\n]";
  auto set = typed("array");
  set["items"] = std::move(name);
  set["minItems"] = 2;
  auto out = typed("array");
  out["items"] = std::move(set);
  return out;
}

json::object text_map_schema() {
  auto out = typed("object");
  out["additionalProperties"] = typed("string");
  return out;
}

Error unknown_field(std::string_view name, const Words& known) {
  const std::vector<std::string_view> views(known.begin(), known.end());
  const auto near = closest(name, views);
  return {Errc::invalid_argument, "config.unknown_key",
          fmt::format("unknown key '{}', expected one of {}", printable(name, 100), join(known, ", ")),
          near.empty() ? std::string{} : fmt::format("did you mean '{}'?", near), 0};
}

std::string field_path(std::size_t index, std::string_view name) {
  return name.empty() ? fmt::format("[{}]", index) : fmt::format("[{}].{}", index, name);
}

}  // namespace oddjob::server::config
