// Kinds of values in the configuration. Each knows how it is read from the file
// and from an environment variable, and what a JSON schema says of it, so that
// `check-config` and the schema cannot disagree on a key. Pure.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob::server::config {

// Told of each problem and where it is below the key: "", "[1].url".
using Report = std::function<void(const std::string& below, Error)>;

template <class Owner>
struct Value {
  // Changes the owner only if nothing was reported.
  std::function<void(Owner&, const json::value&, const Report&)> set;
  std::function<bool(const Owner&, const Owner&)> same;
  std::function<void(Owner&, const Owner&)> take;  // the second's value into the first
  // The value as the file would have it; null where it is not one value.
  std::function<json::value(const Owner&)> get;
  json::object schema;
  // From an environment variable to what the file would have; empty: in the file only.
  std::function<Result<json::value>(std::string_view)> from_text;
};

// "expected <what>, got <value>": config.bad_value.
std::unexpected<Error> bad(std::string_view expected, const json::value& got);

using Words = std::vector<std::string>;
Result<std::string> as_text(const json::value& v);
Result<std::int64_t> as_number(const json::value& v, std::int64_t low, std::int64_t high);
Result<bool> as_bool(const json::value& v);
Result<Duration> as_duration(const json::value& v);
Result<Duration> as_duration_or_zero(const json::value& v);  // also "0s"
Result<Words> as_words(const json::value& v);
Result<std::vector<Words>> as_sets(const json::value& v);
Result<std::map<std::string, std::string>> as_text_map(const json::value& v);

Result<json::value> text_from_text(std::string_view text);
Result<json::value> number_from_text(std::string_view text);
Result<json::value> bool_from_text(std::string_view text);
Result<json::value> words_from_text(std::string_view text);  // "a, b"
Result<json::value> sets_from_text(std::string_view text);   // "ann,a.smith;bob,robert"

json::value to_json(const std::string& text);
json::value to_json(bool yes);
json::value to_json(std::int64_t number);
json::value to_json(Duration d);
json::value to_json(const Words& words);
json::value to_json(const std::vector<Words>& sets);
json::value to_json(const std::map<std::string, std::string>& map);

json::object text_schema();
json::object one_of_schema(const Words& words);
json::object number_schema(std::int64_t low, std::int64_t high);
json::object bool_schema();
json::object duration_schema();
json::object duration_or_zero_schema();
json::object words_schema();
json::object sets_schema();
json::object text_map_schema();

// A value that `read` makes of JSON, in one field.
template <class Owner, class T, class Read>
Value<Owner> value(T Owner::*field, json::object schema, Read read,
                   std::function<Result<json::value>(std::string_view)> from_text = {}) {
  Value<Owner> out;
  out.set = [field, read = std::move(read)](Owner& o, const json::value& v, const Report& report) {
    auto got = read(v);
    if (got) {
      o.*field = static_cast<T>(std::move(*got));
    } else {
      report("", std::move(got).error());
    }
  };
  out.same = [field](const Owner& a, const Owner& b) { return a.*field == b.*field; };
  out.take = [field](Owner& to, const Owner& from) { to.*field = from.*field; };
  out.get = [field](const Owner& o) -> json::value {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      return to_json(static_cast<std::int64_t>(o.*field));
    } else {
      return to_json(o.*field);
    }
  };
  out.schema = std::move(schema);
  out.from_text = std::move(from_text);
  return out;
}

template <class Owner>
Value<Owner> text(std::string Owner::*field) {
  return value(field, text_schema(), as_text, text_from_text);
}

// Text that `check` takes; `schema` says the same to other readers (often a pattern).
template <class Owner>
Value<Owner> checked_text(std::string Owner::*field, std::function<Result<>(std::string_view)> check,
                          json::object schema) {
  return value(
      field, std::move(schema),
      [check = std::move(check)](const json::value& v) -> Result<std::string> {
        OJ_TRY(auto text, as_text(v));
        OJ_CHECK(check(text));
        return text;
      },
      text_from_text);
}

template <class Owner>
Value<Owner> one_of(std::string Owner::*field, Words words) {
  auto schema = one_of_schema(words);
  return value(
      field, std::move(schema),
      [words = std::move(words)](const json::value& v) -> Result<std::string> {
        if (v.is_string())
          for (const auto& w : words)
            if (sv(v.get_string()) == w) return w;
        std::string all;
        for (const auto& w : words) all += (all.empty() ? "" : ", ") + w;
        return bad("one of " + all, v);
      },
      text_from_text);
}

template <class Owner, class Int>
Value<Owner> number(Int Owner::*field, std::int64_t low, std::int64_t high) {
  return value(
      field, number_schema(low, high), [=](const json::value& v) { return as_number(v, low, high); },
      number_from_text);
}

template <class Owner>
Value<Owner> boolean(bool Owner::*field) {
  return value(field, bool_schema(), as_bool, bool_from_text);
}

template <class Owner>
Value<Owner> duration(Duration Owner::*field) {
  return value(field, duration_schema(), as_duration, text_from_text);
}

template <class Owner>
Value<Owner> duration_or_zero(Duration Owner::*field) {
  return value(field, duration_or_zero_schema(), as_duration_or_zero, text_from_text);
}

// From `low` to `high`, which `schema` cannot say.
template <class Owner>
Value<Owner> bounded_duration(Duration Owner::*field, Duration low, Duration high) {
  return value(
      field, duration_schema(),
      [=](const json::value& v) -> Result<Duration> {
        OJ_TRY(const auto d, as_duration(v));
        if (d < low || d > high)
          return bad("from " + format_duration(low) + " to " + format_duration(high), v);
        return d;
      },
      text_from_text);
}

template <class Owner>
Value<Owner> words(Words Owner::*field) {
  return value(field, words_schema(), as_words, words_from_text);
}

// A list of lists of names that are one person.
template <class Owner>
Value<Owner> sets(std::vector<Words> Owner::*field) {
  return value(field, sets_schema(), as_sets, sets_from_text);
}

// A mapping from text to text; in the file only.
template <class Owner>
Value<Owner> text_map(std::map<std::string, std::string> Owner::*field) {
  return value(field, text_map_schema(), as_text_map);
}

// A key of the objects in a list. `missing`, if not empty, is what is said when
// the key is not there: it is required then.
template <class T>
struct Field {
  std::string_view name, meaning;
  Value<T> value;
  std::string_view missing = "";
};

Error unknown_field(std::string_view name, const Words& known);
std::string field_path(std::size_t index, std::string_view name);

// A list of at most `most` objects (T has operator==), each with these fields;
// `identity` is the text that no two of them share. In the file only.
template <class Owner, class T>
Value<Owner> objects(std::vector<T> Owner::*list, std::string_view what, std::size_t most,
                     std::string T::*identity, std::vector<Field<T>> fields) {
  json::object properties, item;
  json::array required;
  for (const auto& f : fields) {
    auto schema = f.value.schema;
    schema["description"] = f.meaning;
    properties[f.name] = std::move(schema);
    if (!f.missing.empty()) required.emplace_back(f.name);
  }
  item["type"] = "object";
  item["additionalProperties"] = false;
  item["required"] = std::move(required);
  item["properties"] = std::move(properties);
  Value<Owner> out;
  out.schema["type"] = "array";
  out.schema["maxItems"] = most;
  out.schema["items"] = std::move(item);
  out.same = [list](const Owner& a, const Owner& b) { return a.*list == b.*list; };
  out.take = [list](Owner& to, const Owner& from) { to.*list = from.*list; };
  out.get = [](const Owner&) { return json::value(nullptr); };
  out.set = [=, fields = std::move(fields), name = std::string(what)](Owner& o, const json::value& v,
                                                                      const Report& report) {
    if (!v.is_array()) return report("", bad("a list of " + name, v).error());
    if (v.get_array().size() > most)
      return report("", bad("at most " + std::to_string(most) + " " + name, v).error());
    std::vector<T> made;
    bool right = true;
    const auto complain = [&](const std::string& below, Error e) {
      right = false;
      report(below, std::move(e));
    };
    Words known;
    for (const auto& f : fields) known.emplace_back(f.name);
    for (std::size_t i = 0; i < v.get_array().size(); ++i) {
      const auto& element = v.get_array()[i];
      if (!element.is_object()) {
        complain(field_path(i, ""), bad("a mapping of keys", element).error());
        continue;
      }
      T one;
      for (const auto& [key, inner] : element.get_object()) {
        const auto path = field_path(i, key);
        const Field<T>* field = nullptr;
        for (const auto& f : fields)
          if (f.name == std::string_view(key)) field = &f;
        if (field == nullptr) {
          complain(path, unknown_field(key, known));
        } else {
          field->value.set(one, inner,
                           [&](const std::string& below, Error e) { complain(path + below, std::move(e)); });
        }
      }
      for (const auto& f : fields)
        if (!f.missing.empty() && !element.get_object().contains(f.name))
          complain(field_path(i, ""), bad(f.missing, element).error());
      for (const auto& other : made)
        if (other.*identity == one.*identity && !(one.*identity).empty())
          complain(field_path(i, ""), bad(name + " that differ in their names", element).error());
      made.push_back(std::move(one));
    }
    if (right) o.*list = std::move(made);
  };
  return out;
}

}  // namespace oddjob::server::config
