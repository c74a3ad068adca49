// Job templates: a run that was written down and reviewed, with parameters
// (docs/templates.md). Pure.
//
// Everything the CRD's schema and CEL rules demand is checked here too, so that
// nothing depends on what an API server let through.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "core/policy.hpp"
#include "core/words.hpp"

namespace oddjob::templates {

inline constexpr std::string_view kGroup = "oddjob.dev", kVersion = "v1alpha1", kPlural = "jobtemplates";
inline constexpr std::string_view kApiVersion = "oddjob.dev/v1alpha1", kKind = "JobTemplate";

// The same numbers stand in deploy/crds/oddjob.dev_jobtemplates.yaml.
inline constexpr std::size_t kMaxCommand = 32, kMaxArgs = 64, kMaxElement = 2048;
inline constexpr std::size_t kMaxParameters = 32, kMaxEnumValues = 64, kMaxEnumValue = 253;
inline constexpr std::size_t kMaxEnv = 32, kMaxEnvValue = 2048, kMaxWho = 64, kMaxWhoLength = 253;
inline constexpr std::size_t kMaxDescription = 1024, kMaxPattern = 256, kMaxValue = 2048;

enum class ParameterType { string, integer, boolean, enumeration, duration, date };
std::string_view to_string(ParameterType t) noexcept;  // "enum" for the fourth

struct Parameter {
  std::string name;
  ParameterType type = ParameterType::string;
  std::string description;
  std::optional<std::string> fallback;                 // `default`; without one a value is required
  std::optional<std::string> min, max;                 // integer, duration, date; as written
  std::optional<std::int64_t> min_length, max_length;  // string; in characters
  std::optional<std::string> pattern;                  // string; RE2, matched against the whole value
  std::vector<std::string> values;                     // enum
};

struct JobTemplate {
  std::string name_space, name, uid;
  std::int64_t generation = 0;
  std::string description;
  WorkloadRef workload;           // of the template's own namespace
  std::vector<std::string> argv;  // command and then args, as written, with ${…}
  std::vector<EnvVar> env;        // values as written, with ${…}
  std::vector<Parameter> parameters;
  std::optional<std::string> container, cpu, memory, service_account;
  std::optional<Duration> timeout;
  int retries = 0;
  std::optional<SidecarMode> sidecars;
  std::optional<InitMode> init_containers;
  TemplateTerms terms;
  // "sha256:…" over all of the spec but descriptions. The same for the file in
  // git and for the object in the cluster, whatever the order of keys.
  std::string digest;
  [[nodiscard]] const Parameter* parameter(std::string_view wanted) const noexcept;
};

// What is wrong, and where: a path such as "spec.parameters[2].pattern" and a
// sentence. Warnings keep nobody from running it.
struct Problem {
  std::string path, message;
  bool warning = false;
  friend bool operator==(const Problem&, const Problem&) = default;
};
bool has_errors(const std::vector<Problem>& problems) noexcept;
// "spec.command: …" of the errors, the first few of them; for one line.
std::string summary(const std::vector<Problem>& problems);

struct Parsed {
  JobTemplate value;  // as far as it could be read; complete where there are no errors
  std::vector<Problem> problems;
};
// Reads the custom resource and says everything that is wrong with it: unknown
// fields and types, what the schema demands, and what makes no sense. `status`
// and what else is in `metadata` are not looked at. The namespace may be missing
// (a file); it is then `fallback_namespace`.
Parsed parse(const json::value& object, std::string_view fallback_namespace = "default");
// The template, or one error "template.invalid" (failed_precondition) that sums up the problems.
Result<JobTemplate> read(const json::value& object);

using Values = std::map<std::string, std::string, std::less<>>;

// Problems of the values for this template's parameters, by "params.NAME":
// unknown names, missing and unreadable ones.
std::vector<Problem> check(const JobTemplate& t, const Values& values);
// The value of one parameter; nullopt: it is good. Else what would be.
std::optional<std::string> check_value(const Parameter& p, std::string_view value);

// The request that a template makes of `asked` (a request that names it; its
// params, reason and break_glass are kept). Each element of argv stays one
// element: values are put in as they are, and nothing reads them again. A value
// that would be taken for an option (a string that begins with `-` at the start
// of an element, unless a `--` stands before) is refused.
// Error "template.bad_params" (invalid_argument), naming each parameter.
Result<RunRequest> fill(const JobTemplate& t, const RunRequest& asked);

// Does it fit its workload now?
struct Resolution {
  bool ready = false;
  // CamelCase, for a condition: "Resolved", "Invalid", "PolicyRefuses" (the
  // annotations can't be read, or there are none), "NobodyMayRun",
  // "CommandNotAllowed", "EnvNotAllowed", "TimeoutTooLong", "CpuTooLarge",
  // "MemoryTooLarge", "ServiceAccountNotAllowed", "ContainerNotFound", "NotRenderable".
  std::string reason;
  std::string message;
};
Resolution resolve(const JobTemplate& t, const json::value& workload);
// A service account that is the workload's own needs nobody's permission: it is
// then taken off the request.
void drop_own_account(RunRequest& request, const json::value& workload);

// For the API and `oddjob template show`: all of it, with the digest.
json::object to_json(const JobTemplate& t);
json::array problems_json(const std::vector<Problem>& problems);

}  // namespace oddjob::templates
