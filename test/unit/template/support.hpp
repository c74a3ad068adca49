// What the tests of templates share.
#pragma once

#include <string>
#include <string_view>

#include "core/yaml.hpp"
#include "template/template.hpp"

namespace oddjob::templates {

inline json::value yaml(std::string_view text) { return parse_yaml(text, "test").value(); }

// A good one, with one parameter of each type.
inline constexpr std::string_view kGood = R"(
apiVersion: oddjob.dev/v1alpha1
kind: JobTemplate
metadata: {name: backfill, namespace: prod, uid: u-1, generation: 3}
spec:
  description: Fills the country of payments.
  workloadRef: {kind: Deployment, name: payments}
  command: [node, scripts/backfill.js]
  args: ["--since", "${since}", "--batch=${batch}", "${region}:${note}", "--dry-run=${dry-run}", "${wait}"]
  parameters:
    - {name: since, type: date, min: "2020-01-01", max: "2030-12-31", description: First day}
    - {name: batch, type: integer, default: 100, min: 1, max: 1000}
    - {name: region, type: enum, values: [eu, us], default: eu}
    - {name: note, type: string, pattern: "[a-z ]*", maxLength: 20, default: ""}
    - {name: dry-run, type: boolean, default: "true"}
    - {name: wait, type: duration, min: 1s, max: 1h, default: 5m}
  env: [{name: REGION, value: "${region}"}]
  timeout: 30m
  retries: 1
)";

inline JobTemplate good() { return read(yaml(kGood)).value(); }

inline RunRequest asked(Values params = {}) {
  RunRequest r;
  r.workload.name_space = "prod";
  r.from_template = TemplateUse{"backfill", "", 0, ""};
  r.params = std::move(params);
  return r;
}

// A template of one string parameter `x` and this command.
inline json::value with_command(const std::vector<std::string>& argv, std::string_view type = "string") {
  auto t = yaml(R"({apiVersion: oddjob.dev/v1alpha1, kind: JobTemplate, metadata: {name: t},
                    spec: {workloadRef: {name: w}, parameters: [{name: x}]}})");
  ensure(t, {"spec"}).get_object()["command"] = json::value_from(argv);
  t.at("spec").at("parameters").at(0).get_object()["type"] = type;
  return t;
}

inline std::string text_of(const std::vector<Problem>& problems) {
  std::string out;
  for (const auto& p : problems) out += p.path + ": " + p.message + "\n";
  return out;
}

}  // namespace oddjob::templates
