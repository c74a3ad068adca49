// Named teams (`auth.teams`): sets of users and groups that policies can name. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "core/words.hpp"

namespace oddjob::auth {

struct NamedTeam {
  std::string name;
  std::vector<std::string> users, groups;  // user names and groups as subjects have them
  friend bool operator==(const NamedTeam&, const NamedTeam&) = default;
};

// {sre: {users: [ann@example.com], groups: [platform-sre]}}. Error "config.bad_value".
Result<std::vector<NamedTeam>> parse_teams(const json::value& v);

// The subject with its named teams. A name that stands in `teams` is ours: an
// identity provider's group of that name counts only where the team lists it.
Subject with_named_teams(Subject s, const std::vector<NamedTeam>& teams);

}  // namespace oddjob::auth
