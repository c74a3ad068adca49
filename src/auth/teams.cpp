#include "auth/teams.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"

namespace oddjob::auth {
namespace {

constexpr std::size_t kMaxTeams = 1000, kMaxMembers = 10000, kMaxName = 256;

bool is_name(std::string_view s) {
  return !s.empty() && s.size() <= kMaxName && trim(s).size() == s.size() &&
         printable(s, 4 * kMaxName) == s && s.find(',') == std::string_view::npos;
}

bool has(const std::vector<std::string>& list, const std::string& s) {
  return std::ranges::find(list, s) != list.end();
}

}  // namespace

Result<std::vector<NamedTeam>> parse_teams(const json::value& v) {
  const auto bad = [](std::string expected) {
    return fail(Errc::invalid_argument, "config.bad_value", "expected " + std::move(expected));
  };
  if (!v.is_object() || v.get_object().size() > kMaxTeams)
    return bad("a mapping of teams, each with users, groups or both");
  std::vector<NamedTeam> out;
  for (const auto& [name, members] : v.get_object()) {
    NamedTeam team;
    team.name = name;
    if (!is_name(team.name) || team.name == "*" || team.name.starts_with("system:"))
      return bad(fmt::format("a plain name of a team, got '{}'", printable(team.name, 60)));
    if (!members.is_object() || members.get_object().empty())
      return bad(fmt::format("{}: users, groups or both", team.name));
    for (const auto& [key, list] : members.get_object()) {
      if ((key != "users" && key != "groups") || !list.is_array() || list.get_array().size() > kMaxMembers)
        return bad(fmt::format("{}: users and groups, each a list of names, got '{}'", team.name,
                               printable(std::string_view(key), 60)));
      auto& into = key == "users" ? team.users : team.groups;
      for (const json::value& item : list.get_array()) {
        if (!item.is_string() || !is_name(sv(item.get_string())))
          return bad(fmt::format("{}: {} that are plain names", team.name, std::string_view(key)));
        into.emplace_back(sv(item.get_string()));
      }
    }
    out.push_back(std::move(team));
  }
  return out;
}

Subject with_named_teams(Subject s, const std::vector<NamedTeam>& teams) {
  std::vector<std::string> groups = s.teams;
  std::erase_if(s.teams, [&](const std::string& group) {
    return std::ranges::any_of(teams, [&](const NamedTeam& t) { return t.name == group; });
  });
  for (const NamedTeam& t : teams) {
    const bool in = has(t.users, s.user) ||
                    std::ranges::any_of(groups, [&](const std::string& g) { return has(t.groups, g); });
    if (in) s.teams.push_back(t.name);
  }
  return s;
}

}  // namespace oddjob::auth
