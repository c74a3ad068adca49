#include "devcluster/api/schema.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <set>

#include "core/clock.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::devcluster {

extern const std::string_view kSchemaText[];  // schema_data.cpp
extern const std::size_t kSchemaTexts;

namespace {

using Types = std::map<std::string_view, std::unique_ptr<SchemaType>>;

struct Inline {
  SchemaType* into;
  std::string_view type;
  int number;
};

void parse_field(std::string_view text, Types& types, SchemaType& into, std::vector<Inline>& inlined) {
  const auto first = text.find(' '), second = text.find(' ', first + 1);
  SchemaField f;
  std::from_chars(text.data(), text.data() + first, f.number);
  f.name = text.substr(first + 1, second - first - 1);
  auto type = text.substr(second + 1);
  f.keep_zero = type.ends_with('!');
  if (f.keep_zero) type.remove_suffix(1);
  f.list = type.starts_with('*');
  f.map = type.starts_with('{');
  if (f.list || f.map) type.remove_prefix(1);
  if (f.name == "-") return inlined.push_back({&into, type, f.number});
  if (const auto found = types.find(type); found != types.end())
    f.type = found->second.get();
  else
    f.scalar = type;
  into.fields.push_back(f);
}

Types parse_types() {
  Types types;
  std::vector<std::pair<SchemaType*, std::string_view>> bodies;
  for (std::size_t i = 0; i < kSchemaTexts; ++i) {
    std::string_view rest = kSchemaText[i];
    while (!rest.empty()) {
      // An entry ends where a line does not begin with a space.
      std::size_t end = 0;
      do end = rest.find('\n', end) + 1;
      while (end < rest.size() && rest[end] == ' ');
      const auto entry = trim(rest.substr(0, end));
      rest.remove_prefix(end);
      const auto colon = entry.find(':');
      if (colon == std::string_view::npos) continue;
      const auto name = entry.substr(0, colon);
      auto& slot = types[name] = std::make_unique<SchemaType>();
      slot->name = name;
      bodies.emplace_back(slot.get(), entry.substr(colon + 1));
    }
  }
  std::vector<Inline> inlined;
  for (auto& [type, body] : bodies) {
    while (!body.empty()) {
      const auto comma = std::min(body.find(','), body.size());
      if (const auto field = trim(body.substr(0, comma)); !field.empty())
        parse_field(field, types, *type, inlined);
      body.remove_prefix(std::min(comma + 1, body.size()));
    }
  }
  // None of these holds inlined fields itself.
  for (const auto& i : inlined)
    for (auto f : types.at(i.type)->fields) {
      f.number += i.number << 16;  // found on the wire below the inlined message
      i.into->fields.push_back(f);
    }
  return types;
}

const Types& types() {
  static const Types all = parse_types();
  return all;
}

std::unexpected<Error> bad(std::string message) {
  return fail(Errc::invalid_argument, "BadRequest", std::move(message));
}

// ---- protobuf --------------------------------------------------------------------
// https://protobuf.dev/programming-guides/encoding/

struct Wire {
  std::string_view rest;

  struct Item {
    int number = 0, kind = 0;
    std::uint64_t value = 0;
    std::string_view bytes;
  };

  bool varint(std::uint64_t& out) {
    out = 0;
    for (unsigned shift = 0; shift < 64 && !rest.empty(); shift += 7) {
      const auto c = static_cast<unsigned char>(rest.front());
      rest.remove_prefix(1);
      out |= static_cast<std::uint64_t>(c & 0x7fU) << shift;
      if ((c & 0x80U) == 0) return true;
    }
    return false;
  }

  Result<Item> next() {
    Item item;
    std::uint64_t key = 0;
    bool ok = varint(key);
    item.kind = static_cast<int>(key & 7U);
    item.number = static_cast<int>(key >> 3U);
    if (item.kind == 0) {
      ok = ok && varint(item.value);
    } else if (item.kind == 1 || item.kind == 2 || item.kind == 5) {
      std::uint64_t size = item.kind == 1 ? 8 : 4;
      if (item.kind == 2) ok = ok && varint(size);
      ok = ok && size <= rest.size();
      if (ok) {
        item.bytes = rest.substr(0, size);
        rest.remove_prefix(size);
      }
    } else {
      ok = false;
    }
    if (!ok) return bad("the protobuf body is malformed");
    return item;
  }
};

Result<json::value> decode(std::string_view bytes, const SchemaType& type, int depth, int inlined = 0);

// By number; of a repeated field the last.
Result<std::map<int, Wire::Item>> small_message(std::string_view bytes) {
  std::map<int, Wire::Item> out;
  Wire wire{bytes};
  while (!wire.rest.empty()) {
    OJ_TRY(const auto item, wire.next());
    out[item.number] = item;
  }
  return out;
}

Result<json::value> scalar(const Wire::Item& item, std::string_view type) {
  const auto integer = static_cast<std::int64_t>(item.value);
  if (type == "s") {
    if (!valid_utf8(item.bytes)) return bad("the protobuf body holds a string that is not UTF-8");
    return json::value(json::string(item.bytes));
  }
  if (type == "i" || type == "l") return json::value(integer);
  if (type == "b") return json::value(integer != 0);
  if (type == "y") return json::value(json::string(base64_encode(item.bytes)));
  OJ_TRY(auto parts, small_message(item.bytes));
  if (type == "q") return json::value(json::string(parts[1].bytes));
  if (type == "is") {
    if (parts[1].value == 0)
      return json::value(static_cast<std::int64_t>(static_cast<std::int32_t>(parts[2].value)));
    return json::value(json::string(parts[3].bytes));
  }
  if (type == "time" || type == "utime") {
    if (parts.empty()) return json::value(nullptr);
    const Time t{std::chrono::seconds(static_cast<std::int64_t>(parts[1].value)) +
                 std::chrono::microseconds(parts[2].value / 1000)};
    return json::value(json::string(
        type == "utime" ? format_time_micro(t) : format_time(std::chrono::floor<std::chrono::seconds>(t))));
  }
  if (type == "raw") {
    if (parts[1].bytes.empty()) return json::value(nullptr);
    OJ_TRY(auto value, parse_json(parts[1].bytes, "a raw field of the protobuf body"));
    return value;
  }
  return bad(fmt::format("the dev cluster does not read protobuf fields of type {}", type));
}

bool zero(const json::value& v) {
  return v.is_null() || v == false || v == 0 || (v.is_string() && v.get_string().empty()) ||
         (v.is_object() && v.get_object().empty());
}

Result<json::value> value_of(const Wire::Item& item, const SchemaField& f, int depth) {
  if (f.type != nullptr) return decode(item.bytes, *f.type, depth + 1);
  if (f.scalar == "ss") {
    json::array list;
    Wire wire{item.bytes};
    while (!wire.rest.empty()) {
      OJ_TRY(const auto one, wire.next());
      list.emplace_back(json::string(one.bytes));
    }
    return json::value(std::move(list));
  }
  return scalar(item, f.scalar);
}

Result<json::value> decode(std::string_view bytes, const SchemaType& type, int depth, int inlined) {
  if (depth > 32) return bad("the protobuf body is nested too deeply");
  json::object out;
  Wire wire{bytes};
  while (!wire.rest.empty()) {
    OJ_TRY(const auto item, wire.next());
    const int number = item.number + (inlined << 16);
    const auto f = std::ranges::find(type.fields, number, &SchemaField::number);
    if (f == type.fields.end()) {
      const bool below = inlined == 0 && std::ranges::any_of(type.fields, [&](const auto& x) {
                           return x.number >> 16 == item.number;
                         });
      if (below) {
        OJ_TRY(auto part, decode(item.bytes, type, depth + 1, item.number));
        for (auto& [key, value] : part.get_object()) out[key] = std::move(value);
        continue;
      }
      return bad(fmt::format("the dev cluster does not know field {} of {} in a protobuf body", item.number,
                             type.name));
    }
    if (f->map) {
      OJ_TRY(auto entry, small_message(item.bytes));
      OJ_TRY(auto value, value_of(entry[2], *f, depth));
      auto& map = out[f->name];
      if (!map.is_object()) map.emplace_object();
      map.get_object()[entry[1].bytes] = std::move(value);
      continue;
    }
    OJ_TRY(auto value, value_of(item, *f, depth));
    if (f->list) {
      auto& list = out[f->name];
      if (!list.is_array()) list.emplace_array();
      list.get_array().push_back(std::move(value));
    } else if (f->keep_zero || !zero(value)) {
      out[f->name] = std::move(value);
    }
  }
  return json::value(std::move(out));
}

// ---- unknown and ill-typed fields ---------------------------------------------------

struct Pruner {
  std::vector<std::string> unknown;

  static std::unexpected<Error> mismatch(const json::value& v, std::string_view owner,
                                         const std::string& path, std::string_view type) {
    const auto kind = v.is_string()   ? "string"
                      : v.is_bool()   ? "bool"
                      : v.is_object() ? "object"
                      : v.is_array()  ? "array"
                                      : "number";
    return bad(fmt::format("json: cannot unmarshal {} into Go struct field {}.{} of type {}", kind, owner,
                           path, type));
  }

  Result<> one(const SchemaField& f, json::value& v, std::string_view owner, const std::string& path) {
    if (v.is_null()) return {};
    if (f.type != nullptr) return object(*f.type, v, path);
    const auto t = f.scalar;
    const bool integer = v.is_int64() || v.is_uint64();
    if ((t == "s" || t == "time" || t == "utime" || t == "y") && !v.is_string())
      return mismatch(v, owner, path, t == "s" ? "string" : t == "y" ? "[]uint8" : "v1.Time");
    if (t == "time" || t == "utime") {
      if (const auto at = parse_time(sv(v.get_string())); !at)
        return bad(fmt::format("parsing time \"{}\" of {}: {}", printable(v.get_string(), 60), path,
                               at.error().message));
    }
    if (t == "y" && !base64_decode(sv(v.get_string())))
      return bad(fmt::format("illegal base64 data in {}", path));
    if ((t == "i" || t == "l") && !integer) return mismatch(v, owner, path, t == "i" ? "int32" : "int64");
    if (t == "b" && !v.is_bool()) return mismatch(v, owner, path, "bool");
    if (t == "is" && !integer && !v.is_string()) return mismatch(v, owner, path, "intstr.IntOrString");
    if (t == "q" && !v.is_number() && !v.is_string()) return mismatch(v, owner, path, "resource.Quantity");
    if (t == "ss" && !v.is_array()) return mismatch(v, owner, path, "[]string");
    return {};
  }

  Result<> object(const SchemaType& type, json::value& v, const std::string& path) {
    if (!v.is_object()) return mismatch(v, type.name, path, "v1." + std::string(type.name));
    std::vector<std::string> gone;
    for (auto& [key, value] : v.get_object()) {
      const auto here = path.empty() ? std::string(key) : path + "." + std::string(key);
      const auto* f = type.find(key);
      if (f == nullptr) {
        if ((key == "apiVersion" || key == "kind") && (type.is_object() || path.empty())) continue;
        unknown.push_back(here);
        gone.emplace_back(key);
        continue;
      }
      if (value.is_null()) continue;
      if (f->list) {
        if (!value.is_array())
          return mismatch(value, type.name, here,
                          fmt::format("[]{}", f->type != nullptr ? f->type->name : "string"));
        std::size_t i = 0;
        for (auto& item : value.get_array())
          OJ_CHECK(one(*f, item, type.name, fmt::format("{}[{}]", here, i++)));
      } else if (f->map) {
        if (!value.is_object()) return mismatch(value, type.name, here, "map[string]string");
        for (auto& [name, item] : value.get_object())
          OJ_CHECK(one(*f, item, type.name, here + "." + std::string(name)));
      } else {
        OJ_CHECK(one(*f, value, type.name, here));
      }
    }
    for (const auto& key : gone) v.get_object().erase(key);
    return {};
  }
};

json::object openapi_of(const SchemaField& f) {
  if (f.type != nullptr) return {{"$ref", fmt::format("#/components/schemas/{}", f.type->name)}};
  const auto t = f.scalar;
  if (t == "i" || t == "l") return {{"type", "integer"}, {"format", t == "i" ? "int32" : "int64"}};
  if (t == "b") return {{"type", "boolean"}};
  if (t == "d") return {{"type", "number"}, {"format", "double"}};
  if (t == "y") return {{"type", "string"}, {"format", "byte"}};
  if (t == "time" || t == "utime") return {{"type", "string"}, {"format", "date-time"}};
  if (t == "is") return {{"type", "string"}, {"format", "int-or-string"}};
  if (t == "ss") return {{"type", "array"}, {"items", {{"type", "string"}}}};
  if (t == "raw") return {{"type", "object"}};
  return {{"type", "string"}};
}

}  // namespace

const SchemaField* SchemaType::find(std::string_view field) const noexcept {
  const auto found = std::ranges::find(fields, field, &SchemaField::name);
  return found == fields.end() ? nullptr : &*found;
}

const SchemaType* find_schema(std::string_view name) {
  const auto found = types().find(name);
  return found == types().end() ? nullptr : found->second.get();
}

Result<json::value> from_protobuf(std::string_view body) {
  constexpr std::string_view kMagic("k8s\0", 4);
  if (!body.starts_with(kMagic)) return bad("the protobuf body does not begin with Kubernetes' magic number");
  OJ_TRY(auto envelope, small_message(body.substr(4)));  // runtime.Unknown
  OJ_TRY(auto meta, small_message(envelope[1].bytes));
  const std::string version(meta[1].bytes), kind(meta[2].bytes);
  const auto* type = find_schema(kind);
  if (type == nullptr || !envelope[3].bytes.empty())
    return fail(Errc::invalid_argument, "UnsupportedMediaType",
                fmt::format("the dev cluster does not read {} of {} as protobuf: send JSON",
                            printable(kind, 80), printable(version, 80)));
  OJ_TRY(auto object, decode(envelope[2].bytes, *type, 0));
  json::object out{{"apiVersion", version}, {"kind", kind}};
  for (auto& [key, value] : object.get_object()) out[key] = std::move(value);
  return json::value(std::move(out));
}

Result<std::vector<std::string>> prune(const SchemaType& type, json::value& object) {
  Pruner p;
  OJ_CHECK(p.object(type, object, ""));
  return std::move(p.unknown);
}

json::object openapi_schemas(std::span<const SchemaType* const> roots) {
  std::vector<const SchemaType*> todo(roots.begin(), roots.end());
  std::set<const SchemaType*> seen;
  json::object out;
  while (!todo.empty()) {
    const auto* type = todo.back();
    todo.pop_back();
    if (!seen.insert(type).second) continue;
    json::object properties;
    if (type->is_object())
      properties = {{"apiVersion", {{"type", "string"}}}, {"kind", {{"type", "string"}}}};
    for (const auto& f : type->fields) {
      json::object one = openapi_of(f);
      if (f.list) one = {{"type", "array"}, {"items", std::move(one)}};
      if (f.map) one = {{"type", "object"}, {"additionalProperties", std::move(one)}};
      properties[f.name] = std::move(one);
      if (f.type != nullptr) todo.push_back(f.type);
    }
    out[type->name] = {{"type", "object"}, {"properties", std::move(properties)}};
  }
  return out;
}

}  // namespace oddjob::devcluster
