#include "policy/approvals.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/names.hpp"
#include "core/text.hpp"
#include "policy/policy.hpp"

namespace oddjob::policy {
namespace {

// A user name taken apart for comparison.
struct Name {
  std::string local, domain;
};

Name name_of(std::string_view user) {
  const std::string lower = ascii_lower(trim(user));
  std::string_view rest = lower;
  // A service account's name is all of it: two namespaces may have the same.
  if (rest.starts_with("system:")) return {std::string(rest), {}};
  if (const auto prefix = rest.find_last_of("#:");
      prefix != std::string_view::npos && prefix + 1 < rest.size())
    rest.remove_prefix(prefix + 1);
  const auto at = rest.rfind('@');
  if (at == std::string_view::npos || at == 0) return {std::string(rest), {}};
  return {std::string(rest.substr(0, at)), std::string(rest.substr(at + 1))};
}

bool alike(const Name& a, const Name& b) {
  return a.local == b.local && (a.domain == b.domain || a.domain.empty() || b.domain.empty());
}

// All names that are `user`'s by the aliases, itself included.
std::vector<Name> names_of(std::string_view user, const Aliases& aliases) {
  std::vector<Name> mine = {name_of(user)};
  std::vector<bool> taken(aliases.size(), false);
  for (bool grew = true; grew;) {
    grew = false;
    for (std::size_t i = 0; i < aliases.size(); ++i) {
      if (taken[i] || std::ranges::none_of(aliases[i], [&](const std::string& alias) {
            return std::ranges::any_of(mine, [&](const Name& n) { return alike(n, name_of(alias)); });
          }))
        continue;
      taken[i] = grew = true;
      for (const auto& alias : aliases[i]) mine.push_back(name_of(alias));
    }
  }
  return mine;
}

std::string shown(const json::value& v) {
  return printable(v.is_string() ? std::string(sv(v.get_string())) : json::serialize(v), 200);
}

}  // namespace

bool same_person(std::string_view a, std::string_view b, const Aliases& aliases) {
  const auto mine = names_of(a, aliases), theirs = names_of(b, aliases);
  return std::ranges::any_of(mine, [&](const Name& m) {
    return std::ranges::any_of(theirs, [&](const Name& t) { return alike(m, t); });
  });
}

bool same_person(const Subject& a, const Subject& b, const Aliases& aliases) {
  return same_person(a.user, b.user, aliases);
}

Tally tally(const Run& run, const Policy& now, const Aliases& aliases, const Known& known) {
  Tally t;
  for (const auto& a : run.approvals) {
    const auto leave_out = [&](std::string why) { t.not_counted.push_back({a.subject, std::move(why)}); };
    if (a.digest != run.digest) {
      leave_out("approved another Job than the one that would start");
      continue;
    }
    if (same_person(a.subject, run.requester, aliases)) {
      leave_out("is the requester");
      continue;
    }
    const auto subject = known(a);
    if (!subject) {
      leave_out("is no longer known here");
      continue;
    }
    if (!is_approver(*subject, now)) {
      leave_out("is not among the approvers any more");
      continue;
    }
    if (std::ranges::any_of(t.counted,
                            [&](const std::string& c) { return same_person(c, a.subject, aliases); })) {
      leave_out("is the same person as another approver");
      continue;
    }
    t.counted.push_back(a.subject);
  }
  return t;
}

const std::vector<std::string>& approver_teams(const Policy& p) noexcept {
  return p.approvers_given ? p.approver_teams : p.allowed_teams;
}
const std::vector<std::string>& approver_users(const Policy& p) noexcept {
  return p.approvers_given ? p.approver_users : p.allowed_users;
}

std::optional<Error> why_not_approve(const Subject& subject, const Run& run, const Policy& now,
                                     const Aliases& aliases) {
  if (same_person(subject.user, run.requester, aliases))
    return Error{
        Errc::forbidden, "approval.own_run",
        fmt::format("{} asked for this run{}, and nobody approves their own", printable(run.requester, 100),
                    subject.user == run.requester ? ""
                                                  : fmt::format(", which counts as the same person as {}",
                                                                printable(subject.user, 100))),
        fmt::format("it takes {}", who_may_approve(run.approval.teams, run.approval.users))};
  if (!is_approver(subject, now))
    return Error{Errc::forbidden, "approval.not_approver",
                 fmt::format("{} is not among those who may approve runs of {}", printable(subject.user, 100),
                             to_string(run.workload)),
                 fmt::format("it takes {}", who_may_approve(run.approval.teams, run.approval.users))};
  for (const auto& a : run.approvals)
    if (a.subject != subject.user && same_person(a.subject, subject.user, aliases))
      return Error{Errc::forbidden, "approval.same_person",
                   fmt::format("{} has approved already and counts as the same person as {}",
                               printable(a.subject, 100), printable(subject.user, 100)),
                   "another person's approval is needed"};
  return std::nullopt;
}

json::object policy_annotations(const json::object& annotations) {
  json::object out;
  for (const auto& [key, value] : annotations)
    if (std::string_view(key).starts_with(names::kPrefix)) out[key] = value;
  return out;
}

std::vector<std::string> policy_changes(const json::object& then, const json::object& now) {
  std::vector<std::string> out;
  for (const auto& [key, value] : then) {
    const auto name = printable(std::string_view(key), 200);
    const auto* found = now.if_contains(key);
    if (found == nullptr)
      out.push_back(fmt::format("{} was '{}' and is gone", name, shown(value)));
    else if (*found != value)
      out.push_back(fmt::format("{} was '{}', is '{}'", name, shown(value), shown(*found)));
  }
  for (const auto& [key, value] : now)
    if (!then.contains(key))
      out.push_back(fmt::format("{} is new: '{}'", printable(std::string_view(key), 200), shown(value)));
  return out;
}

std::string who_may_approve(const std::vector<std::string>& teams, const std::vector<std::string>& users) {
  const auto part = [](const std::vector<std::string>& list, std::string_view noun) {
    if (list.empty()) return std::string();
    return fmt::format("{}{} {}", noun, list.size() == 1 ? "" : "s", printable(join(list, ", "), 200));
  };
  if (std::ranges::find(teams, "*") != teams.end() || std::ranges::find(users, "*") != users.end())
    return "anybody else";
  const auto t = part(teams, "team"), u = part(users, "user");
  return t + (!t.empty() && !u.empty() ? " or " : "") + u;
}

}  // namespace oddjob::policy
