#include "core/json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace oddjob {
namespace {

void canonical(const json::value& v, std::string& out) {
  switch (v.kind()) {
    case json::kind::object: {
      std::vector<const json::key_value_pair*> members;
      members.reserve(v.get_object().size());
      for (const auto& member : v.get_object()) members.push_back(&member);
      std::ranges::sort(members, {}, [](const auto* m) { return std::string_view(m->key()); });
      out += '{';
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (i > 0) out += ',';
        out += json::serialize(json::string_view(members[i]->key()));
        out += ':';
        canonical(members[i]->value(), out);
      }
      out += '}';
      break;
    }
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const auto& item : v.get_array()) {
        if (!first) out += ',';
        first = false;
        canonical(item, out);
      }
      out += ']';
      break;
    }
    case json::kind::double_: {
      const double d = v.get_double();
      // Equal as JSON means equal here: 1.0 and 1 are the same number.
      if (std::nearbyint(d) == d && std::fabs(d) < 9007199254740992.0) {
        out += fmt::format("{}", static_cast<std::int64_t>(d));
      } else {
        out += fmt::format("{}", d);
      }
      break;
    }
    default:
      out += json::serialize(v);
  }
}

void pretty(const json::value& v, std::size_t indent, std::string& out) {
  const auto newline = [&](std::size_t depth) {
    out += '\n';
    out.append(depth * 2, ' ');
  };
  if (v.is_object() && !v.get_object().empty()) {
    out += '{';
    bool first = true;
    for (const auto& member : v.get_object()) {
      if (!first) out += ',';
      first = false;
      newline(indent + 1);
      out += json::serialize(json::string_view(member.key()));
      out += ": ";
      pretty(member.value(), indent + 1, out);
    }
    newline(indent);
    out += '}';
  } else if (v.is_array() && !v.get_array().empty()) {
    out += '[';
    bool first = true;
    for (const auto& item : v.get_array()) {
      if (!first) out += ',';
      first = false;
      newline(indent + 1);
      pretty(item, indent + 1, out);
    }
    newline(indent);
    out += ']';
  } else {
    out += json::serialize(v);
  }
}

}  // namespace

Result<json::value> parse_json(std::string_view text, std::string_view what, std::size_t max_bytes,
                               json::storage_ptr memory) {
  if (text.size() > max_bytes)
    return fail(Errc::too_large, "json.too_large",
                fmt::format("{} is larger than {} bytes", what, max_bytes));
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  alignas(json::value) unsigned char open_values[4096];  // room for what is not whole yet
  json::stream_parser parser({}, options, open_values);
  parser.reset(std::move(memory));
  json::error_code error;
  const std::size_t read = parser.write_some(text.data(), text.size(), error);
  if (!error) {
    // write_some stops after the document; only white space may follow.
    if (text.substr(read).find_first_not_of(" \t\r\n") != std::string_view::npos)
      return fail(Errc::invalid_argument, "json.malformed",
                  fmt::format("{}: more text after the JSON document, at byte {}", what, read));
    parser.finish(error);
  }
  if (error)
    return fail(Errc::invalid_argument, "json.malformed",
                fmt::format("{}: not JSON at byte {}: {}", what, read, error.message()));
  return parser.release();
}

std::string canonical_json(const json::value& v) {
  std::string out;
  canonical(v, out);
  return out;
}

std::string pretty_json(const json::value& v) {
  std::string out;
  pretty(v, 0, out);
  out += '\n';
  return out;
}

const json::value* find(const json::value& v, KeyPath path) noexcept {
  const json::value* at = &v;
  for (const auto& key : path) {
    const auto* object = at->if_object();
    if (object == nullptr) return nullptr;
    at = object->if_contains(key);
    if (at == nullptr) return nullptr;
  }
  return at;
}

json::value* find(json::value& v, KeyPath path) noexcept {
  return const_cast<json::value*>(find(std::as_const(v), path));
}

const json::object* find_object(const json::value& v, KeyPath path) noexcept {
  const auto* at = find(v, path);
  return at == nullptr ? nullptr : at->if_object();
}

const json::array* find_array(const json::value& v, KeyPath path) noexcept {
  const auto* at = find(v, path);
  return at == nullptr ? nullptr : at->if_array();
}

std::string_view get_string(const json::value& v, KeyPath path, std::string_view fallback) noexcept {
  const auto* at = find(v, path);
  return at != nullptr && at->is_string() ? sv(at->get_string()) : fallback;
}

std::optional<std::int64_t> get_int(const json::value& v, KeyPath path) noexcept {
  const auto* at = find(v, path);
  if (at == nullptr) return std::nullopt;
  if (at->is_int64()) return at->get_int64();
  // A size that a program put in; the parser makes int64 of all that fit.
  if (at->is_uint64() && at->get_uint64() <= INT64_MAX) return static_cast<std::int64_t>(at->get_uint64());
  return std::nullopt;
}

bool get_bool(const json::value& v, KeyPath path, bool fallback) noexcept {
  const auto* at = find(v, path);
  return at != nullptr && at->is_bool() ? at->get_bool() : fallback;
}

json::value& ensure(json::value& v, KeyPath path) {
  json::value* at = &v;
  for (const auto& key : path) {
    if (!at->is_object()) at->emplace_object();
    at = &at->get_object()[key];
  }
  return *at;
}

bool erase(json::value& v, KeyPath path) {
  if (path.size() == 0) return false;
  json::value* at = &v;
  for (const auto* key = path.begin(); key + 1 != path.end(); ++key) {
    auto* object = at->if_object();
    at = object == nullptr ? nullptr : object->if_contains(*key);
    if (at == nullptr) return false;
  }
  auto* object = at->if_object();
  return object != nullptr && object->erase(*(path.end() - 1)) > 0;
}

}  // namespace oddjob
