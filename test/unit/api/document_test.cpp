// openapi.json and the table of routes say the same.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "api/openapi_document.hpp"
#include "api/router.hpp"
#include "core/json.hpp"
#include "core/text.hpp"

namespace oddjob::api {
namespace {

json::value document() {
  auto v = parse_json(openapi_document(), "openapi.json");
  EXPECT_TRUE(v) << v.error().message;
  return v.value_or(json::value());
}

TEST(Document, TheOneCompiledInIsTheOneInTheTree) {
  std::ifstream f(ODDJOB_SOURCE_DIR "/src/api/openapi.json");
  const std::string file{std::istreambuf_iterator<char>(f), {}};
  EXPECT_EQ(file, openapi_document());
}

TEST(Document, EveryRouteIsDescribedAndEverythingDescribedIsARoute) {
  std::set<std::string> described, routed;
  const auto doc = document();
  for (const auto& [path, methods] : doc.at("paths").as_object()) {
    for (const auto& [method, operation] : methods.as_object()) {
      std::string upper(method);
      for (auto& c : upper) c = static_cast<char>(std::toupper(c));
      described.insert(upper + " " + std::string(path));
    }
  }
  for (const auto& r : routes()) routed.insert(std::string(r.method) + " " + std::string(r.pattern));
  EXPECT_EQ(described, routed);
}

TEST(Document, SaysWhichRoutesNeedIdentity) {
  const auto doc = document();
  for (const auto& r : routes()) {
    const auto& operation = doc.at("paths").at(r.pattern).at(ascii_lower(r.method));
    const bool open = operation.as_object().contains("security");
    EXPECT_EQ(open, r.access == Access::open) << r.pattern;
    if (!open) {
      EXPECT_TRUE(operation.at("responses").as_object().contains("401")) << r.pattern;
    }
  }
}

void collect_refs(const json::value& v, std::set<std::string>& refs) {
  if (v.is_object()) {
    for (const auto& [key, value] : v.get_object()) {
      if (key == "$ref") refs.emplace(value.as_string());
      collect_refs(value, refs);
    }
  } else if (v.is_array()) {
    for (const auto& e : v.get_array()) collect_refs(e, refs);
  }
}

TEST(Document, EveryReferenceLeadsSomewhereAndNothingIsUnused) {
  const auto doc = document();
  std::set<std::string> refs, parts;
  collect_refs(doc, refs);
  for (const auto& [section, entries] : doc.at("components").as_object()) {
    if (section == "securitySchemes") continue;
    for (const auto& [name, part] : entries.as_object()) {
      parts.insert("#/components/" + std::string(section) + "/" + std::string(name));
    }
  }
  for (const auto& r : refs) EXPECT_TRUE(parts.contains(r)) << r;
  parts.erase("#/components/schemas/LogEvent");  // of stream events, which OpenAPI cannot name
  parts.erase("#/components/schemas/AuditEvent");
  for (const auto& p : parts) EXPECT_TRUE(refs.contains(p)) << p;
}

TEST(Document, NamesEveryStateOfARun) {
  const auto doc = document();
  const auto& states = doc.at("components").at("schemas").at("RunState").at("enum").as_array();
  int n = 0;
  for (const auto& s : states) {
    EXPECT_TRUE(parse_run_state(sv(s.as_string()))) << s.as_string();
    ++n;
  }
  EXPECT_EQ(n, static_cast<int>(RunState::expired) + 1);
}

TEST(Router, FindsByMethodAndPath) {
  auto m = match("GET", "/api/v1/runs/abc/log");
  ASSERT_NE(m.route, nullptr);
  EXPECT_EQ(m.route->pattern, "/api/v1/runs/{id}/log");
  EXPECT_EQ(m.parameter, "abc");
  m = match("DELETE", "/api/v1/runs");
  EXPECT_EQ(m.route, nullptr);
  EXPECT_EQ(m.allowed, (std::vector<std::string_view>{"POST", "GET"}));
  for (const char* path :
       {"", "/", "/api/v1", "/api/v1/runs/", "/api/v1/runs//log", "/api/v1/runs/a/b", "/api/v1/runs/a/log/",
        "/api/v1/runs/a/log/x", "/API/v1/runs", "//api/v1/runs", "/api/v1/audit/exports"}) {
    m = match("GET", path);
    EXPECT_EQ(m.route, nullptr) << path;
    EXPECT_TRUE(m.allowed.empty()) << path;
  }
}

TEST(Router, AWordOfAPathIsNotTakenForAnId) {
  EXPECT_EQ(match("GET", "/api/v1/audit/verify").route->pattern, "/api/v1/audit/verify");
  EXPECT_EQ(match("POST", "/api/v1/runs/a/cancel").route->pattern, "/api/v1/runs/{id}/cancel");
  EXPECT_EQ(match("GET", "/api/v1/runs/a/cancel").route, nullptr);
}

}  // namespace
}  // namespace oddjob::api
