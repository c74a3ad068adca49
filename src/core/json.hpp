// JSON values, access by path, and the canonical form that digests are made of.
//
// Values are Boost.JSON's: order of keys and 64-bit integers are kept, so that
// objects of the cluster pass through untouched where we do not change them.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace oddjob {

namespace json = boost::json;

inline constexpr std::size_t kMaxJsonDepth = 64;

// Parses exactly one JSON document (UTF-8). `what` names the input in errors
// ("body of GET /api/v1/pods"). Errors: "json.malformed" (with byte offset),
// "json.too_large" when text.size() > max_bytes. The value lies in `memory`, and must not outlive it.
Result<json::value> parse_json(std::string_view text, std::string_view what,
                               std::size_t max_bytes = 64U << 20U, json::storage_ptr memory = {});

// RFC 8785-like canonical form: keys sorted bytewise, no white space, integers
// as integers, doubles in shortest round-trip form. Two values that are equal
// as JSON have the same canonical text. Locale-independent.
std::string canonical_json(const json::value& v);

// Indented by two spaces, keys in their own order; for people. Ends in newline.
std::string pretty_json(const json::value& v);

// Access by a path of keys; nullptr where a step is missing or not an object.
using KeyPath = std::initializer_list<std::string_view>;
const json::value* find(const json::value& v, KeyPath path) noexcept;
json::value* find(json::value& v, KeyPath path) noexcept;
const json::object* find_object(const json::value& v, KeyPath path) noexcept;
const json::array* find_array(const json::value& v, KeyPath path) noexcept;
// The string there, or `fallback` when it is missing or no string. The view
// lives as long as `v`.
std::string_view get_string(const json::value& v, KeyPath path, std::string_view fallback = {}) noexcept;
std::optional<std::int64_t> get_int(const json::value& v, KeyPath path) noexcept;
bool get_bool(const json::value& v, KeyPath path, bool fallback = false) noexcept;

// The value at `path`, objects made on the way (a non-object step is replaced).
json::value& ensure(json::value& v, KeyPath path);
// Removes the key at `path`; true if something was removed.
bool erase(json::value& v, KeyPath path);

inline std::string_view sv(const json::string& s) noexcept { return {s.data(), s.size()}; }

}  // namespace oddjob
