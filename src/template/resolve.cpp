// Does a template fit its workload as it is now?
#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "policy/policy.hpp"
#include "render/render.hpp"
#include "template/text.hpp"

namespace oddjob::templates {
namespace {

// Could the pattern match for some values? An element with a parameter in it may
// become anything; the others are what they are.
bool may_match(const ArgvPattern& pattern, const std::vector<std::string>& argv) {
  std::size_t i = 0;
  for (; i < pattern.size(); ++i) {
    if (pattern[i] == "**" && i + 1 == pattern.size()) return true;
    if (i >= argv.size()) return false;
    const auto pieces = take_apart(argv[i]);
    const bool open = !pieces || has_parameter(*pieces);
    if (pattern[i] != "*" && !open && pattern[i] != put_together(*pieces, {})) return false;
  }
  return i == argv.size();
}

// Somebody who is in every team that is named, and each user in turn: may anybody run it?
std::optional<Subject> anybody(const Policy& policy, const TemplateTerms& terms) {
  Subject who;
  who.teams = policy.allowed_teams;
  who.teams.insert(who.teams.end(), terms.allowed_teams.begin(), terms.allowed_teams.end());
  std::vector<std::string> users{"somebody"};
  users.insert(users.end(), policy.allowed_users.begin(), policy.allowed_users.end());
  users.insert(users.end(), terms.allowed_users.begin(), terms.allowed_users.end());
  for (auto& user : users) {
    who.user = user;
    if (policy::may_run(who, policy, terms)) return who;
  }
  return std::nullopt;
}

// "policy.env_not_allowed" -> "EnvNotAllowed", as conditions write reasons.
std::string reason_of(std::string_view code) {
  code.remove_prefix(std::min(code.size(), code.find('.') + 1));
  if (code == "max_cpu") return "CpuTooLarge";
  if (code == "max_memory") return "MemoryTooLarge";
  std::string out;
  bool upper = true;
  for (const char c : code) {
    if (c == '_') {
      upper = true;
    } else {
      out += upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
      upper = false;
    }
  }
  return out;
}

// A request as the template makes it, with something in place of what is asked for.
RunRequest sample_request(const JobTemplate& t) {
  RunRequest r = fixed_request(t);
  r.command = t.argv;
  for (const auto& e : t.env) r.env.push_back({e.name, e.value, true});
  r.reason = "sample";
  return r;
}

}  // namespace

void drop_own_account(RunRequest& request, const json::value& workload) {
  if (!request.service_account) return;
  const auto pod = render::pod_template(workload);
  if (!pod) return;
  const auto own = get_string(*pod, {"spec", "serviceAccountName"},
                              get_string(*pod, {"spec", "serviceAccount"}, "default"));
  if (own == *request.service_account) request.service_account.reset();
}

Resolution resolve(const JobTemplate& t, const json::value& workload) {
  const auto where = to_string(t.workload);
  static const json::object kNone;
  const auto* annotations = find_object(workload, {"metadata", "annotations"});
  const auto policy = policy::parse_policy(annotations != nullptr ? *annotations : kNone, where);
  if (!policy) return {false, "PolicyRefuses", policy.error().message};
  const auto who = anybody(*policy, t.terms);
  if (!who)
    return {false, "NobodyMayRun",
            fmt::format("nobody can be in both what {} allows and what the template allows", where)};
  if (policy->allowed_commands && std::ranges::none_of(*policy->allowed_commands, [&](const auto& pattern) {
        return may_match(pattern, t.argv);
      }))
    return {false, "CommandNotAllowed",
            fmt::format("no pattern of {}'s oddjob.dev/allowed-commands can match the template's command",
                        where)};
  auto request = sample_request(t);
  drop_own_account(request, workload);
  auto rest = *policy;
  rest.allowed_commands.reset();
  policy::Circumstances now;
  now.terms = t.terms;
  const auto decision = policy::decide(*who, rest, request, now);
  if (const auto* deny = std::get_if<policy::Deny>(&decision))
    return {false, reason_of(deny->code), deny->reason};
  if (const auto container = render::choose_container(workload, request, *policy); !container)
    return {false, "ContainerNotFound", container.error().message};
  const render::Identity nobody{"aaaaaaaaaaaaaaaaaaaa", "somebody", "sample"};
  const auto rendered = render::render(workload, request, *policy, {}, nobody);
  if (!rendered) return {false, "NotRenderable", rendered.error().message};
  const int approvals = policy::approvals_needed(*policy, &t.terms);
  return {true, "Resolved",
          fmt::format("runs in container {} of {}{}", rendered->container, where,
                      approvals == 0   ? std::string()
                      : approvals == 1 ? ", after an approval"
                                       : fmt::format(", after {} approvals", approvals))};
}

}  // namespace oddjob::templates
