// Policy: what a workload's annotations allow. The type only; how it is read
// from annotations and decided on is in policy/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/quantity.hpp"
#include "core/words.hpp"

namespace oddjob {

// One argv pattern: literals, "*" for exactly one element, "**" as the last
// element for any rest (also none). Never matches inside an element.
using ArgvPattern = std::vector<std::string>;

struct Policy {
  // Who. "*" is kept as the literal element "*".
  std::vector<std::string> allowed_teams, allowed_users;
  int approvals = 0;             // approvals needed; 0: none; `required` reads as 1
  bool approvers_given = false;  // else approvers are the allowed set
  std::vector<std::string> approver_teams, approver_users;
  Duration approval_expires = std::chrono::hours(24);  // a run that waits so long ends
  std::vector<std::string> break_glass_teams;
  // What.
  bool templates_only = false;
  bool templates_pre_approved = false;                       // templates need no approval of the workload's
  std::optional<std::vector<ArgvPattern>> allowed_commands;  // nullopt: any
  bool require_reason = false;
  bool allow_interactive = false;
  // Names that --env may set: nullopt = none may be set; {"*"} = any.
  std::optional<std::vector<std::string>> allow_env;
  bool allow_host_network = false;
  bool audit_files = false;  // who lists the image's files goes into the audit
  // Other service accounts than its own that a run may have; {"*"} = any.
  std::vector<std::string> service_accounts;
  // Limits and defaults.
  Duration default_timeout = std::chrono::hours(1);
  Duration max_timeout = std::chrono::hours(24);
  Duration ttl = std::chrono::hours(1);  // ttlSecondsAfterFinished
  std::optional<int> max_concurrent;
  std::optional<Quantity> max_cpu, max_memory;
  std::optional<std::string> container;
  std::optional<SidecarMode> sidecars;
  std::optional<InitMode> init_containers;
  enum class RwoVolumes { warn, drop, read_only };
  RwoVolumes rwo_volumes = RwoVolumes::warn;
  std::vector<std::string> keep_labels;
  bool keep_mesh = false;  // keep service-mesh injection
};

// What a template says about who and approval. It narrows the workload's policy
// and never widens it.
struct TemplateTerms {
  std::string name;
  std::vector<std::string> allowed_teams, allowed_users;  // both empty: as the workload
  int approvals = 0;                                      // at least so many
};

}  // namespace oddjob
