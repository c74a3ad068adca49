// Holds answers to openapi.json: the parts of JSON Schema that it uses.
#pragma once

#include <gtest/gtest.h>

#include <regex>
#include <string>

#include "api/openapi_document.hpp"
#include "api/router.hpp"
#include "core/json.hpp"
#include "core/text.hpp"
#include "net/http_client.hpp"

namespace oddjob::api {

inline const json::value& the_document() {
  static const json::value doc = parse_json(openapi_document(), "openapi.json").value();
  return doc;
}

inline const json::value& resolve(const json::value& v) {
  const auto ref = get_string(v, {"$ref"});
  if (ref.empty()) return v;
  const json::value* at = &the_document();
  for (const auto& step : split(ref.substr(2), '/')) at = &at->at(step);
  return *at;
}

// Empty, or what does not fit and where.
inline std::string misfit(const json::value& unresolved, const json::value& v, const std::string& at = "$") {
  const json::object& s = resolve(unresolved).as_object();
  const auto has = [&](const char* key) { return s.contains(key); };
  if (has("oneOf")) {
    int fits = 0;
    std::string why;
    for (const auto& one : s.at("oneOf").as_array()) {
      const auto m = misfit(one, v, at);
      fits += m.empty() ? 1 : 0;
      why += " | " + m;
    }
    return fits == 1 ? "" : at + " fits " + std::to_string(fits) + " of its alternatives:" + why;
  }
  if (has("const") && s.at("const") != v) return at + " is not " + json::serialize(s.at("const"));
  if (has("enum")) {
    const auto& all = s.at("enum").as_array();
    if (std::find(all.begin(), all.end(), v) == all.end())
      return at + " is " + json::serialize(v) + ", not in its enum";
  }
  if (has("type")) {
    const auto type = sv(s.at("type").as_string());
    const bool ok = (type == "string" && v.is_string()) ||
                    (type == "integer" && (v.is_int64() || v.is_uint64())) ||
                    (type == "boolean" && v.is_bool()) || (type == "object" && v.is_object()) ||
                    (type == "array" && v.is_array()) || (type == "null" && v.is_null());
    if (!ok) return at + " is no " + std::string(type) + ": " + json::serialize(v);
  }
  if (has("pattern") &&
      !std::regex_search(std::string(v.as_string()), std::regex(std::string(s.at("pattern").as_string())))) {
    return at + " does not match " + std::string(s.at("pattern").as_string());
  }
  if (has("minimum") && v.to_number<std::int64_t>() < s.at("minimum").as_int64()) return at + " is too small";
  if (v.is_array() && has("items")) {
    for (std::size_t i = 0; i < v.get_array().size(); ++i) {
      if (auto m = misfit(s.at("items"), v.at(i), at + "[" + std::to_string(i) + "]"); !m.empty()) return m;
    }
  }
  if (v.is_object() && has("properties")) {
    const auto& properties = s.at("properties").as_object();
    for (const auto& [key, value] : v.get_object()) {
      const auto* p = properties.if_contains(key);
      if (p == nullptr) {
        if (has("additionalProperties")) return at + " has the undescribed field " + std::string(key);
        continue;
      }
      if (auto m = misfit(*p, value, at + "." + std::string(key)); !m.empty()) return m;
    }
    for (const auto& key : s.at("required").as_array()) {
      if (!v.get_object().contains(sv(key.as_string()))) return at + " lacks " + std::string(key.as_string());
    }
  }
  return {};
}

// The answer of a described route is one that the document describes.
inline void expect_described(std::string_view method, std::string_view target, const net::HttpResponse& r) {
  const auto m = match(method, target.substr(0, target.find('?')));
  if (m.route == nullptr) return;
  SCOPED_TRACE(std::string(method) + " " + std::string(target) + " -> " + std::to_string(r.status));
  const auto& operation = the_document().at("paths").at(m.route->pattern).at(ascii_lower(method));
  const auto& responses = operation.at("responses").as_object();
  const auto* response = responses.if_contains(std::to_string(r.status));
  ASSERT_NE(response, nullptr) << "a status that is not described: " << r.body;
  const auto* content = find_object(resolve(*response), {"content"});
  ASSERT_NE(content, nullptr);
  const auto type = r.headers.get("Content-Type");
  const auto* media = content->if_contains(trim(type.substr(0, type.find(';'))));
  ASSERT_NE(media, nullptr) << "a type that is not described: " << type;
  if (type.find("json") == std::string_view::npos || type.find("ndjson") != std::string_view::npos) return;
  const auto body = parse_json(r.body, "answer");
  ASSERT_TRUE(body) << r.body;
  EXPECT_EQ(misfit(media->at("schema"), *body), "") << r.body;
}

}  // namespace oddjob::api
