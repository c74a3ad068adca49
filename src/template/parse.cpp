// The custom resource to a JobTemplate, and everything that is wrong with it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/digest.hpp"
#include "core/quantity.hpp"
#include "core/text.hpp"
#include "template/reader.hpp"
#include "template/text.hpp"

namespace oddjob::templates {
namespace {

constexpr int kMaxRetries = 10, kMaxApprovals = 10;
constexpr std::int64_t kMaxCharacters = static_cast<std::int64_t>(kMaxValue);

constexpr std::string_view kSpecFields[] = {
    "description", "workloadRef",  "container",    "command",           "args",     "parameters",
    "env",         "resources",    "timeout",      "retries",           "sidecars", "initContainers",
    "approvals",   "allowedTeams", "allowedUsers", "serviceAccountName"};
constexpr std::string_view kParameterFields[] = {"name",    "type",      "description", "required",
                                                 "default", "min",       "max",         "values",
                                                 "pattern", "minLength", "maxLength"};

bool has_bounds(ParameterType t) {
  return t == ParameterType::integer || t == ParameterType::duration || t == ParameterType::date;
}

std::string quoted_types() {
  std::vector<std::string> out;
  for (const auto& [name, type] : kParameterTypes) out.emplace_back(name);
  return join(out, ", ");
}

class SpecReader : public Reader {
 public:
  void read(const json::value& root, std::string_view fallback_namespace) {
    if (!root.is_object()) return bad("", "must be an object");
    const auto& o = root.get_object();
    if (get_string(root, {"apiVersion"}) != kApiVersion)
      bad("apiVersion", fmt::format("must be {}", kApiVersion));
    if (get_string(root, {"kind"}) != kKind) bad("kind", fmt::format("must be {}", kKind));
    for (const auto& [key, value] : o)
      if (key != "apiVersion" && key != "kind" && key != "metadata" && key != "spec" && key != "status")
        bad(printable(std::string_view(key), 100), "there is no such field");
    t.name = get_string(root, {"metadata", "name"});
    t.name_space = get_string(root, {"metadata", "namespace"}, fallback_namespace);
    t.uid = get_string(root, {"metadata", "uid"});
    t.generation = get_int(root, {"metadata", "generation"}).value_or(0);
    if (!is_dns_subdomain(t.name)) bad("metadata.name", "must be a name such as backfill-payments");
    const auto* spec = object(o.if_contains("spec"), "spec", kSpecFields);
    if (spec == nullptr) return bad("spec", "is required");
    t.terms.name = t.name;
    t.description = text(*spec, "description", "spec", kMaxDescription).value_or("");
    workload(*spec);
    parameters(*spec);
    command(*spec);
    env(*spec);
    overrides(*spec);
    who(*spec);
    usage();
  }

  JobTemplate t;

 private:
  void workload(const json::object& spec) {
    constexpr std::string_view kFields[] = {"kind", "name"};
    t.workload.name_space = t.name_space;
    const auto* ref = object(Reader::get(spec, "workloadRef"), "spec.workloadRef", kFields);
    if (ref == nullptr) {
      if (Reader::get(spec, "workloadRef") == nullptr) bad("spec.workloadRef", "is required");
      return;
    }
    if (const auto kind = text(*ref, "kind", "spec.workloadRef", 63)) {
      if (const auto known = workload_kind_from_kind_name(*kind))
        t.workload.kind = *known;
      else
        bad("spec.workloadRef.kind", "must be Deployment, StatefulSet, DaemonSet or CronJob");
    }
    const auto name = text(*ref, "name", "spec.workloadRef", 253);
    if (!name && Reader::get(*ref, "name") == nullptr) bad("spec.workloadRef.name", "is required");
    if (name && !is_dns_subdomain(*name))
      bad("spec.workloadRef.name", fmt::format("'{}' is not the name of a workload", printable(*name, 100)));
    t.workload.name = name.value_or("");
  }

  void parameters(const json::object& spec) {
    const auto* list = array(spec, "parameters", "spec", kMaxParameters);
    if (list == nullptr) return;
    for (std::size_t i = 0; i < list->size(); ++i) {
      const auto path = fmt::format("spec.parameters[{}]", i);
      const auto* o = object(&(*list)[i], path, kParameterFields);
      if (o == nullptr) {
        bad(path, "must be an object");
        continue;
      }
      parameter(*o, path);
    }
  }

  void parameter(const json::object& o, const std::string& path) {
    Parameter p;
    p.name = text(o, "name", path, 63).value_or("");
    if (!is_parameter_name(p.name))
      bad(path + ".name",
          "must begin with a lower-case letter, hold lower-case letters, digits, '-' and '_', "
          "and end with a letter or digit");
    else if (t.parameter(p.name) != nullptr)
      bad(path + ".name", fmt::format("there is another parameter '{}'", p.name));
    if (names_a_secret(p.name))
      bad(path + ".name",
          "values of parameters are recorded and shown, so none may be a secret: put it into a "
          "Secret that the workload reads");
    const auto type = text(o, "type", path, 63);
    const auto known = std::ranges::find(kParameterTypes, type.value_or(""),
                                         &std::pair<std::string_view, ParameterType>::first);
    if (known == std::end(kParameterTypes)) {
      if (type || Reader::get(o, "type") == nullptr)
        bad(path + ".type", (type ? "must be one of " : "is required: one of ") + quoted_types());
      // Known by its name all the same, so that its uses are not wrong too.
      t.parameters.push_back(std::move(p));
      return;
    }
    p.type = known->second;
    p.description = text(o, "description", path, kMaxDescription).value_or("");
    p.min = scalar(o, "min", path);
    p.max = scalar(o, "max", path);
    p.values = texts(o, "values", path, kMaxEnumValues, kMaxEnumValue);
    p.pattern = text(o, "pattern", path, kMaxPattern);
    p.min_length = whole(o, "minLength", path, 0, kMaxCharacters);
    p.max_length = whole(o, "maxLength", path, 0, kMaxCharacters);
    p.fallback = scalar(o, "default", path);
    only_for(o, path, p.type);
    bounds(p, path);
    text_rules(p, path);
    values(o, p, path);
    fallback(o, p, path);
    t.parameters.push_back(std::move(p));
  }

  void only_for(const json::object& o, const std::string& path, ParameterType type) {
    const auto forbid = [&](std::string_view field, bool allowed, std::string_view whose) {
      if (!allowed && Reader::get(o, field) != nullptr)
        bad(fmt::format("{}.{}", path, field), fmt::format("is for parameters of type {} only", whose));
    };
    forbid("min", has_bounds(type), "integer, duration or date");
    forbid("max", has_bounds(type), "integer, duration or date");
    forbid("values", type == ParameterType::enumeration, "enum");
    forbid("pattern", type == ParameterType::string, "string");
    forbid("minLength", type == ParameterType::string, "string");
    forbid("maxLength", type == ParameterType::string, "string");
  }

  void bounds(const Parameter& p, const std::string& path) {
    if (!has_bounds(p.type)) return;
    std::optional<std::int64_t> ranks[2];
    for (const bool low : {true, false}) {
      const auto& written = low ? p.min : p.max;
      if (!written) continue;
      auto& at = ranks[low ? 0 : 1];
      at = rank(p.type, *written);
      if (!at)
        bad(path + (low ? ".min" : ".max"),
            fmt::format("'{}' is no {}", printable(*written, 60), to_string(p.type)));
    }
    if (ranks[0] && ranks[1] && *ranks[0] > *ranks[1]) bad(path + ".min", "is more than max");
  }

  void text_rules(const Parameter& p, const std::string& path) {
    if (p.type != ParameterType::string) return;
    if (p.pattern)
      if (const auto why = pattern_error(*p.pattern))
        bad(path + ".pattern", "is no regular expression that RE2 reads: " + printable(*why, 200));
    if (p.min_length && p.max_length && *p.min_length > *p.max_length)
      bad(path + ".minLength", "is more than maxLength");
  }

  void values(const json::object& o, const Parameter& p, const std::string& path) {
    if (p.type != ParameterType::enumeration) return;
    if (p.values.empty() && (Reader::get(o, "values") == nullptr || Reader::get(o, "values")->is_array()))
      bad(path + ".values", "an enum has at least one value");
    const std::set<std::string> distinct(p.values.begin(), p.values.end());
    if (distinct.size() != p.values.size()) bad(path + ".values", "holds a value twice");
  }

  void fallback(const json::object& o, const Parameter& p, const std::string& path) {
    const auto* required = Reader::get(o, "required");
    if (required != nullptr && !required->is_bool()) bad(path + ".required", "must be true or false");
    const bool given = Reader::get(o, "default") != nullptr;
    if (required != nullptr && required->is_bool()) {
      if (required->get_bool() && given)
        bad(path + ".required", "a parameter with a default is not required; leave one of both out");
      if (!required->get_bool() && !given)
        bad(path + ".default",
            "a parameter that is not required needs a default: an argument cannot be left out");
    }
    if (p.fallback)
      if (const auto wanted = check_value(p, *p.fallback))
        bad(path + ".default", fmt::format("is '{}', expected {}", printable(*p.fallback, 100), *wanted));
  }

  void command(const json::object& spec) {
    std::vector<std::string> paths;
    const auto take = [&](std::string_view key, std::size_t most) {
      const auto words = texts(spec, key, "spec", most, kMaxElement);
      for (std::size_t i = 0; i < words.size(); ++i) {
        t.argv.push_back(words[i]);
        paths.push_back(fmt::format("spec.{}[{}]", key, i));
      }
    };
    take("command", kMaxCommand);
    if (t.argv.empty()) {
      if (Reader::get(spec, "command") == nullptr || Reader::get(spec, "command")->is_array())
        bad("spec.command", "is required: the program and its first arguments");
      return;
    }
    if (t.argv.front().empty()) bad("spec.command[0]", "the program's name is empty");
    take("args", kMaxArgs);
    std::vector<Pieces> argv;
    for (std::size_t i = 0; i < t.argv.size(); ++i) argv.push_back(pieces_of(t.argv[i], paths[i]));
    for (auto& problem : code_problems(argv, paths, t))
      if (problems.size() < kMaxProblems) problems.push_back(std::move(problem));
  }

  // Also notes which parameters are used.
  Pieces pieces_of(const std::string& element, const std::string& path) {
    auto pieces = take_apart(element);
    if (!pieces) {
      bad(path, pieces.error());
      return {};
    }
    for (const auto& piece : *pieces) {
      if (!piece.parameter) continue;
      used_.insert(piece.text);
      if (t.parameter(piece.text) == nullptr && reported_.insert(path + piece.text).second)
        bad(path, fmt::format("there is no parameter '{}'; write '$${{' for a plain '${{'", piece.text));
    }
    return std::move(*pieces);
  }

  void env(const json::object& spec) {
    constexpr std::string_view kFields[] = {"name", "value"};
    const auto* list = array(spec, "env", "spec", kMaxEnv);
    if (list == nullptr) return;
    for (std::size_t i = 0; i < list->size(); ++i) {
      const auto path = fmt::format("spec.env[{}]", i);
      const auto* o = object(&(*list)[i], path, kFields);
      if (o == nullptr) {
        bad(path, "must be an object with name and value");
        continue;
      }
      EnvVar e{text(*o, "name", path, 253).value_or(""), text(*o, "value", path, kMaxEnvValue).value_or(""),
               true};
      if (!is_env_name(e.name)) bad(path + ".name", "must be the name of an environment variable");
      if (Reader::get(*o, "value") == nullptr) bad(path + ".value", "is required");
      if (std::ranges::find(t.env, e.name, &EnvVar::name) != t.env.end())
        bad(path + ".name", fmt::format("there is another variable '{}'", printable(e.name, 100)));
      if (has_parameter(pieces_of(e.value, path + ".value")) && steers_programs(e.name))
        bad(path + ".value",
            fmt::format("{} makes programs load or run something, so no parameter may be in it", e.name));
      t.env.push_back(std::move(e));
    }
  }

  void overrides(const json::object& spec) {
    constexpr std::string_view kFields[] = {"cpu", "memory"};
    t.container = text(spec, "container", "spec", 63);
    if (t.container && !is_dns_label(*t.container)) bad("spec.container", "must be the name of a container");
    t.service_account = text(spec, "serviceAccountName", "spec", 253);
    if (t.service_account && !is_dns_subdomain(*t.service_account))
      bad("spec.serviceAccountName", "must be the name of a service account");
    if (const auto* resources = object(Reader::get(spec, "resources"), "spec.resources", kFields)) {
      t.cpu = quantity(*resources, "cpu");
      t.memory = quantity(*resources, "memory");
    }
    if (const auto written = text(spec, "timeout", "spec", 32)) {
      const auto d = parse_duration(*written);
      if (!d || *d % std::chrono::seconds(1) != Duration::zero() || *d > std::chrono::hours(24 * 365))
        bad("spec.timeout", fmt::format("'{}' is no duration of whole seconds, such as 30m, up to 365d",
                                        printable(*written, 40)));
      else
        t.timeout = *d;
    }
    t.retries = static_cast<int>(whole(spec, "retries", "spec", 0, kMaxRetries).value_or(0));
    if (const auto mode = text(spec, "sidecars", "spec", 32)) {
      t.sidecars = parse_sidecar_mode(*mode);
      if (!t.sidecars) bad("spec.sidecars", "must be drop, native or keep");
    }
    if (const auto mode = text(spec, "initContainers", "spec", 32)) {
      t.init_containers = parse_init_mode(*mode);
      if (!t.init_containers) bad("spec.initContainers", "must be run or skip");
    }
  }

  std::optional<std::string> quantity(const json::object& resources, std::string_view key) {
    const auto written = scalar(resources, key, "spec.resources");
    if (!written) return std::nullopt;
    const auto q = parse_quantity(*written);
    if (q && q->milli > 0) return written;
    bad(fmt::format("spec.resources.{}", key),
        fmt::format("'{}' is no quantity such as 500m or 1Gi", printable(*written, 40)));
    return std::nullopt;
  }

  void who(const json::object& spec) {
    for (const auto& [key, list] : {std::pair{"allowedTeams", &t.terms.allowed_teams},
                                    std::pair{"allowedUsers", &t.terms.allowed_users}}) {
      *list = texts(spec, key, "spec", kMaxWho, kMaxWhoLength);
      const auto* v = Reader::get(spec, key);
      if (v != nullptr && v->is_array() && v->get_array().empty())
        bad(fmt::format("spec.{}", key), "is empty; leave it out to allow whom the workload allows");
      for (std::size_t i = 0; i < list->size(); ++i)
        if (trim((*list)[i]).empty()) bad(fmt::format("spec.{}[{}]", key, i), "is empty");
    }
    t.terms.approvals = static_cast<int>(whole(spec, "approvals", "spec", 0, kMaxApprovals).value_or(0));
  }

  void usage() {
    for (std::size_t i = 0; i < t.parameters.size(); ++i)
      if (!used_.contains(t.parameters[i].name))
        warn(fmt::format("spec.parameters[{}]", i),
             fmt::format("'{0}' is used nowhere: write ${{{0}}} into command, args or env",
                         t.parameters[i].name));
    // What a person would run into at the first run.
    if (has_errors(problems)) return;
    Values defaults;
    for (const auto& p : t.parameters) {
      if (p.fallback) defaults.emplace(p.name, *p.fallback);
    }
    for (std::size_t i = 0; i < t.parameters.size(); ++i) {
      const auto& p = t.parameters[i];
      if (!p.fallback || p.type != ParameterType::string || !p.fallback->starts_with('-')) continue;
      JobTemplate alone = t;
      alone.parameters = {p};
      for (const auto& problem : check(alone, {}))
        bad(fmt::format("spec.parameters[{}].default", i), problem.message);
    }
  }

  std::set<std::string, std::less<>> used_;
  std::set<std::string> reported_;
};

}  // namespace

Parsed parse(const json::value& object, std::string_view fallback_namespace) {
  SpecReader reader;
  reader.read(object, fallback_namespace);
  Parsed out{std::move(reader.t), std::move(reader.problems)};
  out.value.digest = json_digest(meaning(out.value, false));
  return out;
}

Result<JobTemplate> read(const json::value& object) {
  auto parsed = parse(object);
  if (has_errors(parsed.problems))
    return fail(Errc::failed_precondition, "template.invalid",
                fmt::format("template {} is not valid: {}", printable(parsed.value.name, 253),
                            summary(parsed.problems)),
                "`oddjob template lint` says all of it; correct it in git");
  return std::move(parsed.value);
}

}  // namespace oddjob::templates
