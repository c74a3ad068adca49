// Fields of a manifest, one by one, and what is wrong with each. Internal to this room.
//
// What cannot be used is a problem with its path, and is read as if it were absent: one
// pass finds all that is wrong.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.hpp"
#include "core/text.hpp"
#include "template/text.hpp"

namespace oddjob::templates {

class Reader {
 public:
  static constexpr std::size_t kMaxProblems = 100;
  std::vector<Problem> problems;  // at most so many

  void bad(std::string path, std::string message) {
    if (problems.size() < kMaxProblems) problems.push_back({std::move(path), std::move(message), false});
  }
  void warn(std::string path, std::string message) {
    if (problems.size() < kMaxProblems) problems.push_back({std::move(path), std::move(message), true});
  }

  const json::object* object(const json::value* v, const std::string& path,
                             std::span<const std::string_view> known) {
    if (v == nullptr || v->is_null()) return nullptr;
    if (!v->is_object()) {
      bad(path, "must be an object");
      return nullptr;
    }
    for (const auto& [key, value] : v->get_object()) {
      const std::string_view name = key;
      if (std::ranges::find(known, name) != known.end()) continue;
      const auto near = closest(name, known);
      bad(path + "." + printable(name, 100),
          near.empty() ? "there is no such field"
                       : fmt::format("there is no such field; did you mean '{}'?", near));
    }
    return &v->get_object();
  }

  // Present and not null.
  static const json::value* get(const json::object& o, std::string_view key) {
    const auto* v = o.if_contains(key);
    return v == nullptr || v->is_null() ? nullptr : v;
  }

  std::optional<std::string> text(const json::object& o, std::string_view key, const std::string& parent,
                                  std::size_t most) {
    const auto* v = get(o, key);
    const auto path = fmt::format("{}.{}", parent, key);
    if (v == nullptr) return std::nullopt;
    return text(*v, path, most);
  }
  std::optional<std::string> text(const json::value& v, const std::string& path, std::size_t most) {
    if (!v.is_string()) {
      bad(path, v.is_number() || v.is_bool()
                    ? fmt::format("must be a string: write \"{}\" in quotes", json::serialize(v))
                    : std::string("must be a string"));
      return std::nullopt;
    }
    std::string out(sv(v.get_string()));
    if (characters(out) > most) {
      bad(path, fmt::format("is longer than {} characters", most));
      return std::nullopt;
    }
    if (out.find('\0') != std::string::npos || !valid_utf8(out)) {
      bad(path, "must be text without NUL characters");
      return std::nullopt;
    }
    return out;
  }

  // A whole number or a string, as text.
  std::optional<std::string> scalar(const json::object& o, std::string_view key, const std::string& parent) {
    const auto* v = get(o, key);
    if (v != nullptr && v->is_int64()) return std::to_string(v->get_int64());
    return text(o, key, parent, kMaxValue);
  }

  std::optional<std::int64_t> whole(const json::object& o, std::string_view key, const std::string& parent,
                                    std::int64_t low, std::int64_t high) {
    const auto* v = get(o, key);
    if (v == nullptr) return std::nullopt;
    if (!v->is_int64() || v->get_int64() < low || v->get_int64() > high) {
      bad(fmt::format("{}.{}", parent, key), fmt::format("must be a whole number from {} to {}", low, high));
      return std::nullopt;
    }
    return v->get_int64();
  }

  const json::array* array(const json::object& o, std::string_view key, const std::string& parent,
                           std::size_t most) {
    const auto* v = get(o, key);
    if (v == nullptr) return nullptr;
    const auto path = fmt::format("{}.{}", parent, key);
    if (!v->is_array()) {
      bad(path, "must be a list");
      return nullptr;
    }
    if (v->get_array().size() > most) {
      bad(path, fmt::format("has {} elements; at most {} are allowed", v->get_array().size(), most));
      return nullptr;
    }
    return &v->get_array();
  }

  std::vector<std::string> texts(const json::object& o, std::string_view key, const std::string& parent,
                                 std::size_t most, std::size_t length) {
    std::vector<std::string> out;
    const auto* list = array(o, key, parent, most);
    if (list == nullptr) return out;
    for (std::size_t i = 0; i < list->size(); ++i)
      if (auto t = text((*list)[i], fmt::format("{}.{}[{}]", parent, key, i), length))
        out.push_back(std::move(*t));
    return out;
  }
};

}  // namespace oddjob::templates
