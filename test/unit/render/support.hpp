// Shared by the tests of rendering.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "core/yaml.hpp"
#include "render/render.hpp"

namespace oddjob::render::test {

inline json::value yaml(std::string_view text) {
  auto parsed = parse_yaml(text, "test");
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message) << "\n" << text;
  return parsed ? *parsed : json::value();
}

std::string read_file(const std::filesystem::path& path);
// The workload of a manifest: its first document.
inline json::value workload_in(const std::filesystem::path& path) {
  auto parsed = parse_yaml_documents(read_file(path), path.filename().string());
  EXPECT_TRUE(parsed && !parsed->empty()) << path;
  return parsed && !parsed->empty() ? parsed->front() : json::value();
}
// The manifests of examples/workloads, by file name.
std::vector<std::filesystem::path> example_files();
json::value example(std::string_view file_name);

// A Deployment "api" in namespace "shop", labels app=api, one container "app";
// `pod` is YAML merged over the pod's spec, `metadata` over the template's metadata.
json::value deployment(std::string_view pod = "{}", std::string_view metadata = "{}");

// Everything render takes, with a request that is fine.
struct Asked {
  json::value workload = deployment();
  RunRequest request;
  Policy policy;
  ClusterFacts facts;
  Identity identity{"aaaabbbbccccddddeee7", "ann", "ticket 42"};
  Asked();
  explicit Asked(json::value w) : Asked() { workload = std::move(w); }

  [[nodiscard]] Result<Rendered> run() const { return render(workload, request, policy, facts, identity); }
  // Fails the test if it can't be rendered.
  [[nodiscard]] Rendered must() const;
  [[nodiscard]] std::string code() const;  // of the error, or "ok"
};

// By dotted path with indices: "spec.template.spec.containers.0.image"; null if absent.
json::value at(const json::value& v, std::string_view path);
inline json::value pod_of(const Rendered& r) { return at(r.job, "spec.template.spec"); }
inline json::value main_of(const Rendered& r) {
  const json::value containers = at(r.job, "spec.template.spec.containers");
  for (const json::value& c : containers.as_array()) {
    if (get_string(c, {"name"}) == r.container) return c;
  }
  return nullptr;
}
const Change* change_at(const Rendered& r, std::string_view path);
// For EXPECT_PRED2(has, text, "words").
inline bool has(std::string_view text, std::string_view words) {
  return text.find(words) != std::string_view::npos;
}
bool warns(const Rendered& r, std::string_view words);

inline constexpr std::string_view kDigestA =
    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
inline constexpr std::string_view kDigestB =
    "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

}  // namespace oddjob::render::test
