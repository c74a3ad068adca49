// Reading policy from annotations, and the one decision that every channel
// asks. Pure.
#pragma once

#include <map>
#include <optional>
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
  int active_runs = 0;             // of this workload, this one not counted
  std::string resolved_container;  // empty if not known yet
  // Of the template that the request was filled from; a request that names a
  // template is refused without them ("policy.template_unread").
  std::optional<TemplateTerms> terms;
};

struct Allow {
  bool break_glass = false;
};
struct NeedsApproval {
  int approvals = 1;
};
struct Deny {
  std::string code;    // "policy.not_allowed", "policy.templates_only", "policy.command_not_allowed",
                       // "policy.reason_required", "policy.interactive", "policy.env_not_allowed",
                       // "policy.timeout_too_long", "policy.max_concurrent", "policy.max_cpu",
                       // "policy.max_memory", "policy.break_glass",
                       // "policy.template_not_allowed", "policy.template_unread",
                       // "policy.service_account_not_allowed"
  std::string reason;  // a sentence for the caller: what is not allowed and what would be
};
using Decision = std::variant<Allow, NeedsApproval, Deny>;

// A template's terms narrow who may run; the workload's approvals hold unless it
// says that templates are pre-approved; the template's own always hold, and of
// both the larger number. All else of the policy holds for templates too.
Decision decide(const Subject& subject, const Policy& policy, const RunRequest& request,
                const Circumstances& now);

// May this subject start runs here at all (for `oddjob workloads`, completion)?
bool may_run(const Subject& subject, const Policy& policy) noexcept;
// The same as an error ("policy.not_allowed", forbidden) in decide()'s words.
Result<> check_may_run(const Subject& subject, const Policy& policy, const WorkloadRef& workload);
bool may_run(const Subject& subject, const Policy& policy, const TemplateTerms& terms) noexcept;
// Approvals that a run needs: of a template's terms, or of a free command (nullptr).
int approvals_needed(const Policy& policy, const TemplateTerms* terms) noexcept;
// Is the subject among those who may approve? Four eyes are apart from that:
// approvals.hpp.
bool is_approver(const Subject& subject, const Policy& policy) noexcept;
bool matches(const ArgvPattern& pattern, const std::vector<std::string>& argv) noexcept;

}  // namespace oddjob::policy
