// A template as JSON: for its digest, for the API, for people.
#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "template/text.hpp"

namespace oddjob::templates {
namespace {

json::array strings(const std::vector<std::string>& v) { return json::array(v.begin(), v.end()); }

json::object parameter_json(const Parameter& p, bool described) {
  json::object o{{"name", p.name}, {"type", to_string(p.type)}};
  if (described && !p.description.empty()) o["description"] = p.description;
  o["required"] = !p.fallback;
  if (p.fallback) o["default"] = *p.fallback;
  if (p.min) o["min"] = *p.min;
  if (p.max) o["max"] = *p.max;
  if (p.min_length) o["minLength"] = *p.min_length;
  if (p.max_length) o["maxLength"] = *p.max_length;
  if (p.pattern) o["pattern"] = *p.pattern;
  if (!p.values.empty()) o["values"] = strings(p.values);
  return o;
}

}  // namespace

json::object meaning(const JobTemplate& t, bool described) {
  json::object o;
  if (described && !t.description.empty()) o["description"] = t.description;
  o["workload"] = to_string(t.workload);
  o["command"] = strings(t.argv);
  json::array parameters, env;
  for (const auto& p : t.parameters) parameters.push_back(parameter_json(p, described));
  for (const auto& e : t.env) env.push_back(json::object{{"name", e.name}, {"value", e.value}});
  o["parameters"] = std::move(parameters);
  if (!env.empty()) o["env"] = std::move(env);
  if (t.container) o["container"] = *t.container;
  if (t.cpu) o["cpu"] = *t.cpu;
  if (t.memory) o["memory"] = *t.memory;
  if (t.timeout) o["timeout"] = format_duration(*t.timeout);
  if (t.retries != 0) o["retries"] = t.retries;
  if (t.service_account) o["serviceAccountName"] = *t.service_account;
  if (t.sidecars) o["sidecars"] = to_string(*t.sidecars);
  if (t.init_containers) o["initContainers"] = to_string(*t.init_containers);
  if (!t.terms.allowed_teams.empty()) o["allowedTeams"] = strings(t.terms.allowed_teams);
  if (!t.terms.allowed_users.empty()) o["allowedUsers"] = strings(t.terms.allowed_users);
  if (t.terms.approvals != 0) o["approvals"] = t.terms.approvals;
  return o;
}

std::string_view to_string(ParameterType type) noexcept {
  for (const auto& [name, t] : kParameterTypes)
    if (t == type) return name;
  return "string";
}

const Parameter* JobTemplate::parameter(std::string_view wanted) const noexcept {
  const auto at = std::ranges::find(parameters, wanted, &Parameter::name);
  return at == parameters.end() ? nullptr : &*at;
}

bool has_errors(const std::vector<Problem>& problems) noexcept {
  return std::ranges::any_of(problems, [](const Problem& p) { return !p.warning; });
}

std::string summary(const std::vector<Problem>& problems) {
  constexpr std::size_t kShown = 3;
  std::vector<std::string> out;
  std::size_t rest = 0;
  for (const auto& p : problems) {
    if (p.warning) continue;
    if (out.size() < kShown)
      out.push_back(p.path.empty() ? p.message : p.path + ": " + p.message);
    else
      ++rest;
  }
  auto text = join(out, "; ");
  if (rest > 0) text += fmt::format("; and {} more", rest);
  return text;
}

json::object to_json(const JobTemplate& t) {
  json::object o{{"namespace", t.name_space}, {"name", t.name}};
  if (!t.uid.empty()) o["uid"] = t.uid;
  if (t.generation != 0) o["generation"] = t.generation;
  o["digest"] = t.digest;
  auto rest = meaning(t, true);
  o.insert(rest.begin(), rest.end());
  return o;
}

json::array problems_json(const std::vector<Problem>& problems) {
  json::array out;
  for (const auto& p : problems)
    out.push_back(json::object{
        {"path", p.path}, {"message", p.message}, {"severity", p.warning ? "warning" : "error"}});
  return out;
}

}  // namespace oddjob::templates
