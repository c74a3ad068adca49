// Approvals: whose yes counts, and what must not have changed meanwhile. Pure.
//
// All of it is asked twice: when somebody approves, and when the run starts.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.hpp"
#include "core/policy.hpp"
#include "core/words.hpp"

namespace oddjob::policy {

// Each entry: the user names of one person (auth.aliases in the configuration).
using Aliases = std::vector<std::vector<std::string>>;

// Could the two names be one person? Strict: in doubt they are. Beside equal
// names these are one person:
//   - names that differ in case or in surrounding white space only;
//   - names that differ in an identity provider's prefix only ("oidc:ann",
//     "https://login.example.com#ann"); names of service accounts and of the
//     system ("system:…") have no such prefix;
//   - a name and the same name in a domain ("ann", "ann@example.com"), but not
//     names in two different domains;
//   - names in one set of aliases, compared as above; sets that share a name
//     are one person.
bool same_person(std::string_view a, std::string_view b, const Aliases& aliases = {});
bool same_person(const Subject& a, const Subject& b, const Aliases& aliases = {});

// What is known of a subject now: its teams may be others than when it
// approved. nullopt: there is no such subject any more.
using Known = std::function<std::optional<Subject>(const Approval&)>;

struct Tally {
  std::vector<std::string> counted;  // subjects; as many people
  struct Void {
    std::string subject, why;  // "is not among the approvers any more"
  };
  std::vector<Void> not_counted;
};
// Counts the run's approvals under `now`, the policy of this moment: bound to
// the run's digest, by approvers, never by the requester, each person once.
Tally tally(const Run& run, const Policy& now, const Aliases& aliases, const Known& known);

// Who may approve by this policy: those it names, else those who may run.
const std::vector<std::string>& approver_teams(const Policy& p) noexcept;
const std::vector<std::string>& approver_users(const Policy& p) noexcept;

// May `subject` approve this run now? The reason why not, if it may not.
//   "approval.own_run", "approval.not_approver", "approval.same_person"
std::optional<Error> why_not_approve(const Subject& subject, const Run& run, const Policy& now,
                                     const Aliases& aliases);

// The annotations under oddjob.dev/: the policy as it is written.
json::object policy_annotations(const json::object& annotations);
// What differs between two of them, a phrase each: "oddjob.dev/approval was
// '2', is '1'". Empty: nothing.
std::vector<std::string> policy_changes(const json::object& then, const json::object& now);

// "team payments or user bob", "teams a, b"; for people.
std::string who_may_approve(const std::vector<std::string>& teams, const std::vector<std::string>& users);

}  // namespace oddjob::policy
