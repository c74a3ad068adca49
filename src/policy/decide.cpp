#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "policy/approvals.hpp"
#include "policy/policy.hpp"

namespace oddjob::policy {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view wanted) {
  return std::ranges::find(list, wanted) != list.end();
}

bool in_set(const Subject& subject, const std::vector<std::string>& teams,
            const std::vector<std::string>& users) {
  if (contains(users, "*") || contains(teams, "*") || contains(users, subject.user)) return true;
  return std::ranges::any_of(subject.teams, [&](const std::string& t) { return contains(teams, t); });
}

std::string names(const std::vector<std::string>& list, std::string_view one, std::string_view many) {
  if (list.empty()) return {};
  return fmt::format("{} {}", list.size() == 1 ? one : many, printable(join(list, ", "), 200));
}

// "5m" rather than "5m0s".
std::string brief(Duration d) {
  auto text = format_duration(d);
  if (text.ends_with("m0s")) text.resize(text.size() - 2);
  if (text.ends_with("h0m")) text.resize(text.size() - 2);
  return text;
}

bool blank(std::string_view s) { return trim(s).empty(); }

std::string who_may(const auto& allowed) {
  const auto teams = names(allowed.allowed_teams, "team", "teams"),
             users = names(allowed.allowed_users, "user", "users");
  return teams + (!teams.empty() && !users.empty() ? " and " : "") + users;
}

std::optional<Deny> over(std::string_view what, const std::optional<std::string>& asked,
                         const std::optional<Quantity>& most) {
  if (!asked || !most) return std::nullopt;
  const auto q = parse_quantity(*asked);
  if (q && *q <= *most) return std::nullopt;
  return Deny{fmt::format("policy.max_{}", what),
              fmt::format("{} {} is more than this workload's annotation oddjob.dev/max-{} allows", what,
                          printable(*asked, 40), what)};
}

}  // namespace

bool matches(const ArgvPattern& pattern, const std::vector<std::string>& argv) noexcept {
  std::size_t i = 0;
  for (; i < pattern.size(); ++i) {
    if (pattern[i] == "**" && i + 1 == pattern.size()) return true;
    if (i >= argv.size() || (pattern[i] != "*" && pattern[i] != argv[i])) return false;
  }
  return i == argv.size();
}

bool may_run(const Subject& subject, const Policy& policy) noexcept {
  return in_set(subject, policy.allowed_teams, policy.allowed_users);
}

bool may_run(const Subject& subject, const Policy& policy, const TemplateTerms& terms) noexcept {
  const bool narrowed = !terms.allowed_teams.empty() || !terms.allowed_users.empty();
  return may_run(subject, policy) && (!narrowed || in_set(subject, terms.allowed_teams, terms.allowed_users));
}

int approvals_needed(const Policy& policy, const TemplateTerms* terms) noexcept {
  if (terms == nullptr) return policy.approvals;
  return std::max(policy.templates_pre_approved ? 0 : policy.approvals, terms->approvals);
}

bool is_approver(const Subject& subject, const Policy& policy) noexcept {
  return in_set(subject, approver_teams(policy), approver_users(policy));
}

Result<> check_may_run(const Subject& subject, const Policy& policy, const WorkloadRef& workload) {
  if (may_run(subject, policy)) return {};
  return fail(Errc::forbidden, "policy.not_allowed",
              fmt::format("{} may not run anything on {}; it allows {}", printable(subject.user, 100),
                          to_string(workload), who_may(policy)));
}

Decision decide(const Subject& subject, const Policy& policy, const RunRequest& request,
                const Circumstances& now) {
  if (auto allowed = check_may_run(subject, policy, request.workload); !allowed)
    return Deny{allowed.error().code, allowed.error().message};
  const TemplateTerms* terms = now.terms ? &*now.terms : nullptr;
  if (request.from_template.has_value() != (terms != nullptr))
    return Deny{"policy.template_unread", "the template of this run was not read, so nothing can be decided"};
  if (terms != nullptr && !may_run(subject, policy, *terms))
    return Deny{"policy.template_not_allowed",
                fmt::format("{} may not run the template {}; it allows {}", printable(subject.user, 100),
                            printable(terms->name, 253), who_may(*terms))};
  if (policy.templates_only && terms == nullptr)
    return Deny{"policy.templates_only",
                fmt::format("{} allows saved templates only, no free commands", to_string(request.workload))};
  if (policy.allowed_commands && std::ranges::none_of(*policy.allowed_commands, [&](const ArgvPattern& p) {
        return matches(p, request.command);
      })) {
    std::vector<std::string> shown;
    for (const auto& p : *policy.allowed_commands) shown.push_back(quote_posix_words(p));
    return Deny{"policy.command_not_allowed",
                fmt::format("the command is not one that {} allows: {}", to_string(request.workload),
                            printable(join(shown, "; "), 500))};
  }
  if (policy.require_reason && blank(request.reason))
    return Deny{"policy.reason_required",
                fmt::format("{} asks for a reason; give one with --reason", to_string(request.workload))};
  if (request.interactive && !policy.allow_interactive)
    return Deny{"policy.interactive",
                fmt::format("{} does not allow interactive runs (oddjob.dev/allow-interactive)",
                            to_string(request.workload))};
  for (const auto& e : request.env)
    if (!policy.allow_env || (!contains(*policy.allow_env, "*") && !contains(*policy.allow_env, e.name)))
      return Deny{
          "policy.env_not_allowed",
          fmt::format("the environment variable {} may not be set; {} allows {} (oddjob.dev/allow-env)",
                      printable(e.name, 100), to_string(request.workload),
                      policy.allow_env ? printable(join(*policy.allow_env, ", "), 200) : "none")};
  if (request.service_account && !contains(policy.service_accounts, "*") &&
      !contains(policy.service_accounts, *request.service_account))
    return Deny{
        "policy.service_account_not_allowed",
        fmt::format(
            "the service account {} may not be used; {} allows {} (oddjob.dev/allow-service-accounts)",
            printable(*request.service_account, 100), to_string(request.workload),
            policy.service_accounts.empty()
                ? "its own only"
                : "its own and " + printable(join(policy.service_accounts, ", "), 200))};
  if (request.timeout && *request.timeout > policy.max_timeout)
    return Deny{"policy.timeout_too_long",
                fmt::format("the timeout {} is longer than max-timeout, which is {}", brief(*request.timeout),
                            brief(policy.max_timeout))};
  if (auto denied = over("cpu", request.cpu, policy.max_cpu)) return *denied;
  if (auto denied = over("memory", request.memory, policy.max_memory)) return *denied;
  if (policy.max_concurrent && now.active_runs >= *policy.max_concurrent)
    return Deny{"policy.max_concurrent",
                fmt::format("{} has {} run{} under way and allows {} at once (oddjob.dev/max-concurrent); "
                            "wait for one to end",
                            to_string(request.workload), now.active_runs, now.active_runs == 1 ? "" : "s",
                            *policy.max_concurrent)};
  if (request.break_glass) {
    const bool member = contains(policy.break_glass_teams, "*") ||
                        std::ranges::any_of(subject.teams, [&](const std::string& t) {
                          return contains(policy.break_glass_teams, t);
                        });
    if (!member)
      return Deny{"policy.break_glass",
                  fmt::format("{} is in no team that may break glass on {} (oddjob.dev/break-glass-teams)",
                              printable(subject.user, 100), to_string(request.workload))};
    if (blank(request.reason))
      return Deny{"policy.break_glass", "breaking glass needs a reason; give one with --reason"};
    return Allow{true};
  }
  if (const int needed = approvals_needed(policy, terms); needed > 0) return NeedsApproval{needed};
  return Allow{};
}

}  // namespace oddjob::policy
