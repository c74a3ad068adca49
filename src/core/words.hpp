// The words of the design as types: workload, subject, run and what it is asked
// for. Plain values, no behaviour beyond naming and parsing themselves.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob {

// ---- workload -------------------------------------------------------------

enum class WorkloadKind { deployment, stateful_set, daemon_set, cron_job };

struct WorkloadRef {
  WorkloadKind kind = WorkloadKind::deployment;
  std::string name_space;
  std::string name;
  friend bool operator==(const WorkloadRef&, const WorkloadRef&) = default;
};

// "Deployment"; "deploy" (as kubectl abbreviates); "apps/v1"; "deployments".
std::string_view kind_name(WorkloadKind k) noexcept;
std::string_view kind_short(WorkloadKind k) noexcept;
std::string_view api_version(WorkloadKind k) noexcept;
std::string_view resource_name(WorkloadKind k) noexcept;
std::optional<WorkloadKind> workload_kind_from_kind_name(std::string_view kind) noexcept;

// "deploy/payments", "deployment/x", "deployments.apps/x", "sts/db", "ds/agent",
// "cronjob/nightly", "cj/nightly". A bare name means a Deployment. Errors:
// "workload.malformed", "workload.unknown_kind", each naming the text.
Result<WorkloadRef> parse_workload(std::string_view text, std::string_view name_space);
// "deploy/payments".
std::string to_string(const WorkloadRef& w);

// ---- subject --------------------------------------------------------------

enum class AuthMethod { static_token, token_review, front_proxy, oidc, internal };

// An authenticated caller. `user` is never empty.
struct Subject {
  std::string user;
  std::vector<std::string> teams;
  AuthMethod how = AuthMethod::static_token;
  bool admin = false;    // may read everybody's runs and the whole audit
  bool auditor = false;  // may read the whole audit
  friend bool operator==(const Subject&, const Subject&) = default;
};
std::string_view to_string(AuthMethod m) noexcept;
std::optional<AuthMethod> parse_auth_method(std::string_view s) noexcept;

// ---- request --------------------------------------------------------------

inline constexpr std::size_t kMaxCommandBytes = 128U << 10U;
inline constexpr std::size_t kMaxReasonBytes = 4096;
inline constexpr std::size_t kMaxEnvVars = 256;
inline constexpr std::size_t kMaxParams = 64, kMaxParamBytes = 4096;

enum class SidecarMode { drop, native, keep };
enum class InitMode { run, skip };

struct EnvVar {
  std::string name;
  std::string value;
  bool plain = false;  // the value may be recorded as it is; else name + SHA-256
  friend bool operator==(const EnvVar&, const EnvVar&) = default;
};

// The template that a run is made from. A caller gives the name; the rest says
// which one it was, once it was read, and is empty before.
struct TemplateUse {
  std::string name;
  std::string uid;              // of the object in the cluster
  std::int64_t generation = 0;  // grows with each change of its spec
  std::string digest;           // over what it says
  [[nodiscard]] bool read() const noexcept { return !digest.empty(); }
  friend bool operator==(const TemplateUse&, const TemplateUse&) = default;
};

// What somebody asks for. Optional fields left out take the policy's defaults.
// With a template that was not read yet, only the namespace, `params`, `reason`,
// `interactive` and `break_glass` are set: the template says the rest.
struct RunRequest {
  WorkloadRef workload;
  std::vector<std::string> command;  // argv; never empty in a valid request
  std::optional<std::string> container;
  std::vector<EnvVar> env;
  std::optional<std::string> cpu;  // quantity, request and limit
  std::optional<std::string> memory;
  std::optional<Duration> timeout;  // whole seconds
  int retries = 0;                  // 0..10
  std::string reason;
  std::optional<SidecarMode> sidecars;
  std::optional<InitMode> init_containers;
  bool image_tag_as_written = false;
  bool interactive = false;
  bool break_glass = false;
  std::optional<std::string> service_account;  // another than the workload's own
  std::optional<TemplateUse> from_template;
  std::map<std::string, std::string, std::less<>> params;  // of the template; recorded as they are
  friend bool operator==(const RunRequest&, const RunRequest&) = default;
};

std::string_view to_string(SidecarMode m) noexcept;  // "drop" "native" "keep"
std::string_view to_string(InitMode m) noexcept;     // "run" "skip"
std::optional<SidecarMode> parse_sidecar_mode(std::string_view s) noexcept;
std::optional<InitMode> parse_init_mode(std::string_view s) noexcept;

// Checks everything that needs no cluster: command not empty, no empty first
// word, no NUL, at most kMaxCommandBytes with one byte per separator; env names;
// quantities; bounds. Error names the field ("request.command_empty", …).
Result<> validate(const RunRequest& r);

// The API's JSON form (camelCase), both ways. `from` refuses unknown fields and
// wrong types, naming them ("request.unknown_field").
//   {"namespace","workload":"deploy/x","command":[…],"container","env":[{"name",
//    "value","plain"}],"cpu","memory","timeout":"1h","retries","reason",
//    "sidecars","initContainers","imageTagAsWritten","interactive","breakGlass",
//    "serviceAccount"}
// or, with a template, {"namespace","template":"backfill","params":{"since":
//   "2026-01-01"},"reason","breakGlass"} and nothing else ("request.template_fixed").
json::object to_json(const RunRequest& r);
Result<RunRequest> run_request_from_json(const json::value& v);
// What to_json gave of a request whose template was read: "template" is then
// {"name","uid","generation","digest"} and stands beside all that it filled in.
Result<RunRequest> recorded_request_from_json(const json::value& v);
// The form that may be stored and shown: env values that are not `plain` are
// replaced by {"name","sha256"}.
json::object to_recordable_json(const RunRequest& r);

// ---- run ------------------------------------------------------------------

enum class RunState {
  requested,
  pending_approval,
  starting,
  running,  // live
  succeeded,
  failed,
  timed_out,
  cancelled,
  lost,
  denied,
  expired,  // final
};
std::string_view to_string(RunState s) noexcept;  // "requested", "pending_approval", "timed_out", …
std::optional<RunState> parse_run_state(std::string_view s) noexcept;
bool is_final(RunState s) noexcept;

// One subject's recorded yes to one digest.
struct Approval {
  std::string subject;
  std::vector<std::string> teams;  // as they were then
  AuthMethod how = AuthMethod::static_token;
  std::string channel, from;  // "cli"; peer address
  std::string digest, reason;
  Time at{};
  friend bool operator==(const Approval&, const Approval&) = default;
};

// What a run that needs approval waits for. Fixed when it was asked for: what
// the workload says later can end the run, but never make it easier to start.
struct ApprovalTerms {
  int required = 0;                       // approvals by so many people; 0: none needed
  std::vector<std::string> teams, users;  // who may give them
  Time expires{};
  bool deferred = false;  // the Job is made only when it is approved
  json::object policy;    // the workload's annotations under oddjob.dev/
  std::string diff;       // the Job against the workload, for those who approve
};

// One execution, as the store keeps it and the API shows it.
struct Run {
  std::string id;  // 20 lower-case base32 characters, time-ordered
  RunState state = RunState::requested;
  std::int64_t version = 0;  // grows by one at each change; for optimistic updates
  WorkloadRef workload;
  std::string requester;
  std::vector<std::string> requester_teams;
  AuthMethod requester_how = AuthMethod::static_token;
  std::vector<std::string> command;
  std::string container;  // resolved
  std::string image;      // as rendered (pinned where it could be)
  std::string reason;
  json::object request;  // to_recordable_json
  std::string job_name;
  std::string job_uid;   // empty until the Job exists
  std::string digest;    // of the rendered Job
  json::value job;       // the rendered Job; env values given on the run removed
  json::array report;    // the render's changes and warnings
  std::string progress;  // one line: what it waits for now ("ImagePullBackOff: …")
  std::optional<int> exit_code;
  std::string result_reason;  // "Completed", "Error", "OOMKilled", "DeadlineExceeded", …
  std::string message;        // a sentence about the end, for people
  bool cancel_requested = false;
  std::string cancelled_by;
  ApprovalTerms approval;
  std::vector<Approval> approvals;  // oldest first; lists of runs have them too
  bool break_glass = false;         // started without the approval it would have needed
  bool released = false;            // the intent to start the Job is on record
  bool log_complete = false;        // every byte the cluster had is archived
  std::int64_t log_bytes = 0;
  Time created{};
  std::optional<Time> started, finished;
};
// API form (camelCase; times RFC 3339; "command" array, "exitCode" or absent).
// Of a template's run also "template" and "params". `full` adds job and report,
// and to a run that needs approval the policy it was asked for under and the diff.
json::object to_json(const Run& r, bool full);

// ---- ids ------------------------------------------------------------------

// 20 characters [a-z2-7]: 45 bits of milliseconds, then randomness; sorts by time.
std::string new_run_id(Time now);
bool is_run_id(std::string_view s) noexcept;
// The last 8 characters: used in Job names and accepted by commands as a short id.
std::string short_run_id(std::string_view id);
// Random UUID (version 4).
std::string new_uuid();

}  // namespace oddjob
