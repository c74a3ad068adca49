// Reading policy from annotations, and the one decision that every channel
// asks. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "core/error.hpp"
#include "core/json.hpp"
#include "core/policy.hpp"
#include "core/words.hpp"

namespace oddjob::policy {

// `annotations`: metadata.annotations of the workload (all of them; those
// outside oddjob.dev/ are ignored). `where` names the workload in errors.
// Fails closed; every error is kind `forbidden` and names annotation and value:
//   "policy.no_annotation"       neither allowed-teams nor allowed-users is there
//   "policy.unknown_annotation"  with "did you mean"
//   "policy.malformed"           a value that can't be read
Result<Policy> parse_policy(const json::object& annotations, std::string_view where);

// Does the workload opt in at all (has any oddjob.dev/allowed-* annotation)?
bool opted_in(const json::object& annotations) noexcept;

// Facts of the moment that a decision needs.
struct Circumstances {
  int active_runs = 0;                 // of this workload, this one not counted
  std::string resolved_container;      // empty if not known yet
};

struct Allow { bool break_glass = false; };
struct NeedsApproval { int approvals = 1; };
struct Deny {
  std::string code;        // "policy.not_allowed", "policy.templates_only", "policy.command_not_allowed",
                           // "policy.reason_required", "policy.interactive", "policy.env_not_allowed",
                           // "policy.timeout_too_long", "policy.max_concurrent", "policy.max_cpu",
                           // "policy.max_memory", "policy.break_glass"
  std::string reason;      // a sentence for the caller: what is not allowed and what would be
};
using Decision = std::variant<Allow, NeedsApproval, Deny>;

Decision decide(const Subject& subject, const Policy& policy, const RunRequest& request,
                const Circumstances& now);

// May this subject start runs here at all (for `oddjob workloads`, completion)?
bool may_run(const Subject& subject, const Policy& policy) noexcept;
// The same as an error ("policy.not_allowed", forbidden) in decide()'s words.
Result<> check_may_run(const Subject& subject, const Policy& policy, const WorkloadRef& workload);
// Is the subject among those who may approve? Four eyes are apart from that:
// approvals.hpp.
bool is_approver(const Subject& subject, const Policy& policy) noexcept;
bool matches(const ArgvPattern& pattern, const std::vector<std::string>& argv) noexcept;

}  // namespace oddjob::policy
