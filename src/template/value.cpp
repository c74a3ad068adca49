// The values of parameters.
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "core/text.hpp"
#include "template/text.hpp"

namespace oddjob::templates {
namespace {

bool matches_whole(const std::string& pattern, std::string_view value) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  const RE2 compiled(pattern, options);
  return compiled.ok() && RE2::FullMatch(re2::StringPiece(value.data(), value.size()), compiled);
}

std::string_view expected(ParameterType t) {
  switch (t) {
    case ParameterType::integer:
      return "a whole number, such as 42";
    case ParameterType::date:
      return "a day, such as 2026-01-31";
    case ParameterType::duration:
      return "a duration, such as 90s or 1h30m";
    default:
      return "text";
  }
}

std::optional<std::string> out_of_bounds(const Parameter& p, std::string_view value) {
  const auto at = rank(p.type, value);
  if (!at) return std::string(expected(p.type));
  const auto low = p.min ? rank(p.type, *p.min) : std::nullopt;
  const auto high = p.max ? rank(p.type, *p.max) : std::nullopt;
  if ((!low || *at >= *low) && (!high || *at <= *high)) return std::nullopt;
  if (low && high) return fmt::format("from {} to {}", *p.min, *p.max);
  return low ? fmt::format("at least {}", *p.min) : fmt::format("at most {}", *p.max);
}

std::optional<std::string> bad_text(const Parameter& p, std::string_view value) {
  if (!valid_utf8(value) || value.find('\0') != std::string_view::npos) return "text";
  const auto n = static_cast<std::int64_t>(characters(value));
  if (p.min_length && n < *p.min_length)
    return fmt::format("at least {} character{}", *p.min_length, *p.min_length == 1 ? "" : "s");
  if (p.max_length && n > *p.max_length)
    return fmt::format("at most {} character{}", *p.max_length, *p.max_length == 1 ? "" : "s");
  if (p.pattern && !matches_whole(*p.pattern, value))
    return fmt::format("text that the pattern {} matches as a whole", *p.pattern);
  return std::nullopt;
}

std::vector<std::string_view> names_of(const JobTemplate& t) {
  std::vector<std::string_view> out;
  for (const auto& p : t.parameters) out.push_back(p.name);
  return out;
}

// The first that stands at the start of an element and makes it an option.
void find_options(const JobTemplate& t, const Values& values, std::vector<Problem>& problems) {
  for (const auto& element : t.argv) {
    if (element == "--") return;
    const auto pieces = take_apart(element);
    if (!pieces) continue;
    for (const auto& piece : *pieces) {
      if (!piece.parameter) break;
      const auto at = values.find(piece.text);
      if (at == values.end() || at->second.empty()) continue;
      const auto* p = t.parameter(piece.text);
      if (p != nullptr && p->type == ParameterType::string && at->second.starts_with('-'))
        problems.push_back(
            {"params." + piece.text,
             fmt::format("the value '{}' begins with '-', so the command could take it for an option",
                         printable(at->second, 100))});
      break;
    }
  }
}

}  // namespace

std::optional<std::string> check_value(const Parameter& p, std::string_view value) {
  if (value.size() > kMaxValue) return fmt::format("at most {} bytes", kMaxValue);
  switch (p.type) {
    case ParameterType::string:
      return bad_text(p, value);
    case ParameterType::integer:
    case ParameterType::duration:
    case ParameterType::date:
      return out_of_bounds(p, value);
    case ParameterType::boolean:
      if (value == "true" || value == "false") return std::nullopt;
      return "true or false";
    case ParameterType::enumeration:
      if (std::ranges::find(p.values, value) != p.values.end()) return std::nullopt;
      return "one of " + printable(join(p.values, ", "), 500);
  }
  return std::nullopt;
}

std::vector<Problem> check(const JobTemplate& t, const Values& values) {
  std::vector<Problem> out;
  for (const auto& [name, value] : values) {
    const auto path = "params." + printable(name, 63);
    const auto* p = t.parameter(name);
    if (p == nullptr) {
      const auto names = names_of(t);
      const auto near = closest(name, names);
      std::vector<std::string> known(names.begin(), names.end());
      out.push_back({path, known.empty() ? "this template has no parameters"
                           : near.empty()
                               ? "there is no such parameter; there are " + join(known, ", ")
                               : fmt::format("there is no such parameter; did you mean '{}'?", near)});
    } else if (const auto wanted = check_value(*p, value)) {
      out.push_back({path, fmt::format("the value is '{}', expected {}", printable(value, 100), *wanted)});
    }
  }
  for (const auto& p : t.parameters)
    if (!p.fallback && !values.contains(p.name)) {
      std::string what(expected(p.type));
      if (p.type == ParameterType::boolean) what = "true or false";
      if (p.type == ParameterType::enumeration) what = "one of " + printable(join(p.values, ", "), 500);
      out.push_back({"params." + p.name, fmt::format("a value is required: {}", what)});
    }
  if (out.empty()) {
    Values all = values;
    for (const auto& p : t.parameters)
      if (p.fallback) all.try_emplace(p.name, *p.fallback);
    find_options(t, all, out);
  }
  return out;
}

RunRequest fixed_request(const JobTemplate& t) {
  RunRequest r;
  r.from_template = TemplateUse{t.name, t.uid, t.generation, t.digest};
  r.workload = t.workload;
  r.container = t.container;
  r.cpu = t.cpu;
  r.memory = t.memory;
  r.timeout = t.timeout;
  r.retries = t.retries;
  r.sidecars = t.sidecars;
  r.init_containers = t.init_containers;
  r.service_account = t.service_account;
  return r;
}

Result<RunRequest> fill(const JobTemplate& t, const RunRequest& asked) {
  if (const auto problems = check(t, asked.params); !problems.empty())
    return fail(Errc::invalid_argument, "template.bad_params",
                fmt::format("template {}: {}", t.name, summary(problems)),
                fmt::format("`oddjob template show {}` describes its parameters", t.name));
  Values values = asked.params;
  for (const auto& p : t.parameters)
    if (p.fallback) values.try_emplace(p.name, *p.fallback);

  RunRequest r = fixed_request(t);
  r.params = values;
  r.reason = asked.reason;
  r.break_glass = asked.break_glass;
  for (const auto& element : t.argv) {
    const auto pieces = take_apart(element);
    if (!pieces) return fail(Errc::failed_precondition, "template.invalid", pieces.error());
    r.command.push_back(put_together(*pieces, values));
  }
  for (const auto& e : t.env) {
    const auto pieces = take_apart(e.value);
    if (!pieces) return fail(Errc::failed_precondition, "template.invalid", pieces.error());
    r.env.push_back({e.name, put_together(*pieces, values), true});
  }
  OJ_CHECK(validate(r));
  return r;
}

}  // namespace oddjob::templates
