#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/digest.hpp"
#include "core/quantity.hpp"
#include "core/text.hpp"
#include "core/words.hpp"

namespace oddjob {
namespace {

constexpr std::size_t kMaxEnvBytes = 128U << 10U;
constexpr int kMaxRetries = 10;

std::unexpected<Error> bad(std::string code, std::string message, std::string hint = {}) {
  return fail(Errc::invalid_argument, std::move(code), std::move(message), std::move(hint));
}

Result<> check_command(const std::vector<std::string>& command) {
  if (command.empty() || command.front().empty())
    return bad("request.command_empty", "the command is empty",
               "write it after `--`: oddjob run deploy/x -- COMMAND ARGS...");
  std::size_t bytes = 0;
  for (const auto& word : command) {
    bytes += word.size() + 1;
    if (word.find('\0') != std::string::npos)
      return bad("request.command_nul", "the command has a NUL character");
    if (!valid_utf8(word))
      return bad("request.command_not_utf8",
                 fmt::format("the command's word '{}' is not UTF-8", printable(word, 60)));
  }
  if (bytes > kMaxCommandBytes)
    return fail(Errc::too_large, "request.command_too_large",
                fmt::format("the command has {} bytes; at most 128 KiB are allowed", bytes),
                "put the data into a file or an object store, and its name into the command");
  return {};
}

Result<> check_env(const std::vector<EnvVar>& env) {
  if (env.size() > kMaxEnvVars)
    return bad("request.env_too_many",
               fmt::format("{} environment variables; at most {} are allowed", env.size(), kMaxEnvVars));
  std::set<std::string_view> seen;
  std::size_t bytes = 0;
  for (const auto& e : env) {
    if (!is_env_name(e.name))
      return bad("request.env_name",
                 fmt::format("'{}' is not a name of an environment variable", printable(e.name, 60)));
    if (!seen.insert(e.name).second)
      return bad("request.env_twice", fmt::format("the environment variable '{}' is given twice", e.name));
    if (e.value.find('\0') != std::string::npos || !valid_utf8(e.value))
      return bad("request.env_value",
                 fmt::format("the value of the environment variable '{}' is not text", e.name));
    bytes += e.name.size() + e.value.size() + 2;
  }
  if (bytes > kMaxEnvBytes)
    return fail(Errc::too_large, "request.env_too_large",
                fmt::format("the environment has {} bytes; at most 128 KiB are allowed", bytes));
  return {};
}

Result<> check_quantity(const std::optional<std::string>& text, std::string_view field) {
  if (!text) return {};
  const auto q = parse_quantity(*text);
  if (!q) return fail(q.error().with_context(field));
  if (q->milli <= 0) return bad("quantity.malformed", fmt::format("{}: must be more than zero", field));
  return {};
}

// ---- from JSON ---------------------------------------------------------------

std::unexpected<Error> wrong_type(std::string_view field, std::string_view expected) {
  return bad("request.wrong_type", fmt::format("'{}' must be {}", field, expected));
}

Result<std::string> text_of(const json::value& v, std::string_view field) {
  if (!v.is_string()) return wrong_type(field, "a string");
  return std::string(sv(v.get_string()));
}

Result<bool> flag_of(const json::value& v, std::string_view field) {
  if (!v.is_bool()) return wrong_type(field, "true or false");
  return v.get_bool();
}

Result<std::vector<EnvVar>> env_of(const json::value& v) {
  if (!v.is_array()) return wrong_type("env", "a list of {name, value}");
  std::vector<EnvVar> out;
  for (const auto& item : v.get_array()) {
    if (!item.is_object()) return wrong_type("env", "a list of {name, value}");
    EnvVar e;
    bool has_value = false;
    for (const auto& [key, value] : item.get_object()) {
      if (key == "name") {
        OJ_TRY(e.name, text_of(value, "env.name"));
      } else if (key == "value") {
        OJ_TRY(e.value, text_of(value, "env.value"));
        has_value = true;
      } else if (key == "plain") {
        OJ_TRY(e.plain, flag_of(value, "env.plain"));
      } else {
        return bad("request.unknown_field",
                   fmt::format("unknown field 'env.{}'", printable(std::string_view(key), 60)));
      }
    }
    if (e.name.empty() || !has_value) return wrong_type("env", "a list of {name, value}");
    out.push_back(std::move(e));
  }
  return out;
}

// Values are text in the end; numbers and booleans may be written as such.
Result<std::map<std::string, std::string, std::less<>>> params_of(const json::value& v) {
  if (!v.is_object()) return wrong_type("params", "an object of names and values");
  std::map<std::string, std::string, std::less<>> out;
  for (const auto& [key, value] : v.get_object()) {
    if (value.is_string())
      out.emplace(key, sv(value.get_string()));
    else if (value.is_int64() || value.is_bool())
      out.emplace(key, json::serialize(value));
    else
      return wrong_type(fmt::format("params.{}", printable(std::string_view(key), 63)),
                        "a string, a whole number, true or false");
  }
  return out;
}

Result<TemplateUse> template_of(const json::value& v, bool recorded) {
  TemplateUse out;
  if (!recorded || v.is_string()) {
    OJ_TRY(out.name, text_of(v, "template"));
    return out;
  }
  out.name = get_string(v, {"name"});
  out.uid = get_string(v, {"uid"});
  out.digest = get_string(v, {"digest"});
  out.generation = get_int(v, {"generation"}).value_or(0);
  if (!out.read()) return wrong_type("template", "{name, uid, generation, digest}");
  return out;
}

Result<> check_params(const RunRequest& r) {
  if (!r.from_template) {
    if (r.params.empty()) return {};
    return bad("request.params_without_template", "parameters are given, but no template that has them",
               "name it: template/NAME");
  }
  if (!is_dns_subdomain(r.from_template->name))
    return bad("request.template",
               fmt::format("'{}' is not the name of a template", printable(r.from_template->name, 100)));
  if (r.params.size() > kMaxParams)
    return bad("request.params_too_many",
               fmt::format("{} parameters; at most {} are allowed", r.params.size(), kMaxParams));
  for (const auto& [name, value] : r.params) {
    if (name.empty() || name.size() > 63 || !valid_utf8(name) || name.find('\0') != std::string::npos)
      return bad("request.param_name",
                 fmt::format("'{}' is not the name of a parameter", printable(name, 63)));
    if (value.size() > kMaxParamBytes || !valid_utf8(value) || value.find('\0') != std::string::npos)
      return bad("request.param_value", fmt::format("the value of the parameter '{}' must be text of at most "
                                                    "{} bytes",
                                                    printable(name, 63), kMaxParamBytes));
  }
  return {};
}

// A template is run as it was reviewed: nothing beside its parameters is the caller's to say.
Result<> check_nothing_but_params(const RunRequest& r) {
  const std::pair<std::string_view, bool> fixed[] = {{"workload", !r.workload.name.empty()},
                                                     {"command", !r.command.empty()},
                                                     {"container", r.container.has_value()},
                                                     {"env", !r.env.empty()},
                                                     {"cpu", r.cpu.has_value()},
                                                     {"memory", r.memory.has_value()},
                                                     {"timeout", r.timeout.has_value()},
                                                     {"retries", r.retries != 0},
                                                     {"sidecars", r.sidecars.has_value()},
                                                     {"initContainers", r.init_containers.has_value()},
                                                     {"imageTagAsWritten", r.image_tag_as_written},
                                                     {"interactive", r.interactive},
                                                     {"serviceAccount", r.service_account.has_value()}};
  for (const auto& [field, given] : fixed)
    if (given)
      return bad("request.template_fixed",
                 fmt::format("'{}' cannot be given with a template, which says it itself", field),
                 "a template takes parameters only; change it in git, or run a command without it");
  return {};
}

constexpr std::string_view kFields[] = {
    "namespace", "workload",       "command",           "container",   "env",
    "cpu",       "memory",         "timeout",           "retries",     "reason",
    "sidecars",  "initContainers", "imageTagAsWritten", "interactive", "breakGlass",
    "template",  "params",         "serviceAccount"};

}  // namespace

Result<> validate(const RunRequest& r) {
  OJ_CHECK(check_params(r));
  const bool to_be_read = r.from_template && !r.from_template->read();
  if (to_be_read) OJ_CHECK(check_nothing_but_params(r));
  if (!is_dns_label(r.workload.name_space))
    return bad("request.namespace",
               fmt::format("'{}' is not a namespace", printable(r.workload.name_space, 100)));
  if (!to_be_read && !is_dns_subdomain(r.workload.name))
    return bad("workload.malformed",
               fmt::format("'{}' is not the name of a workload", printable(r.workload.name, 100)));
  if (!to_be_read) OJ_CHECK(check_command(r.command));
  OJ_CHECK(check_env(r.env));
  OJ_CHECK(check_quantity(r.cpu, "cpu"));
  OJ_CHECK(check_quantity(r.memory, "memory"));
  if (r.container && !is_dns_label(*r.container))
    return bad("request.container",
               fmt::format("'{}' is not the name of a container", printable(*r.container, 100)));
  if (r.service_account && !is_dns_subdomain(*r.service_account))
    return bad("request.service_account",
               fmt::format("'{}' is not the name of a service account", printable(*r.service_account, 100)));
  if (r.timeout && (*r.timeout < std::chrono::seconds(1) || *r.timeout > std::chrono::hours(24 * 365)))
    return bad("request.timeout",
               fmt::format("the timeout {} is not between 1s and 365d", format_duration(*r.timeout)));
  if (r.retries < 0 || r.retries > kMaxRetries)
    return bad("request.retries",
               fmt::format("retries must be from 0 to {}, not {}", kMaxRetries, r.retries));
  if (r.reason.size() > kMaxReasonBytes || !valid_utf8(r.reason) || r.reason.find('\0') != std::string::npos)
    return bad("request.reason", fmt::format("the reason must be text of at most {} bytes", kMaxReasonBytes));
  return {};
}

namespace {

Result<RunRequest> read_request(const json::value& v, bool recorded) {
  if (!v.is_object()) return bad("request.wrong_type", "the request must be a JSON object");
  RunRequest r;
  std::string name_space = "default", workload;
  for (const auto& [field, value] : v.get_object()) {
    const std::string_view name = field;
    if (name == "namespace") {
      OJ_TRY(name_space, text_of(value, name));
    } else if (name == "workload") {
      OJ_TRY(workload, text_of(value, name));
    } else if (name == "command") {
      if (!value.is_array()) return wrong_type(name, "a list of strings");
      for (const auto& word : value.get_array()) {
        if (!word.is_string()) return wrong_type(name, "a list of strings");
        r.command.emplace_back(sv(word.get_string()));
      }
    } else if (name == "container") {
      OJ_TRY(r.container, text_of(value, name));
    } else if (name == "env") {
      OJ_TRY(r.env, env_of(value));
    } else if (name == "cpu") {
      OJ_TRY(r.cpu, text_of(value, name));
    } else if (name == "memory") {
      OJ_TRY(r.memory, text_of(value, name));
    } else if (name == "timeout") {
      OJ_TRY(const auto text, text_of(value, name));
      auto d = parse_duration(text);
      if (!d) return fail(std::move(d.error()).with_context("timeout"));
      r.timeout = *d;
    } else if (name == "retries") {
      if (!value.is_int64() || value.get_int64() < 0 || value.get_int64() > kMaxRetries)
        return wrong_type(name, fmt::format("a whole number from 0 to {}", kMaxRetries));
      r.retries = static_cast<int>(value.get_int64());
    } else if (name == "reason") {
      OJ_TRY(r.reason, text_of(value, name));
    } else if (name == "sidecars") {
      OJ_TRY(const auto text, text_of(value, name));
      r.sidecars = parse_sidecar_mode(text);
      if (!r.sidecars) return wrong_type(name, "drop, native or keep");
    } else if (name == "initContainers") {
      OJ_TRY(const auto text, text_of(value, name));
      r.init_containers = parse_init_mode(text);
      if (!r.init_containers) return wrong_type(name, "run or skip");
    } else if (name == "imageTagAsWritten") {
      OJ_TRY(r.image_tag_as_written, flag_of(value, name));
    } else if (name == "interactive") {
      OJ_TRY(r.interactive, flag_of(value, name));
    } else if (name == "breakGlass") {
      OJ_TRY(r.break_glass, flag_of(value, name));
    } else if (name == "serviceAccount") {
      OJ_TRY(r.service_account, text_of(value, name));
    } else if (name == "template") {
      OJ_TRY(r.from_template, template_of(value, recorded));
    } else if (name == "params") {
      OJ_TRY(r.params, params_of(value));
    } else {
      const auto near = closest(name, kFields);
      return bad("request.unknown_field", fmt::format("unknown field '{}'", printable(name, 60)),
                 near.empty() ? std::string{} : fmt::format("did you mean '{}'?", near));
    }
  }
  if (!workload.empty()) {
    OJ_TRY(r.workload, parse_workload(workload, name_space));
  } else if (!r.from_template || r.from_template->read()) {
    return bad("workload.malformed", "the request names no workload", "such as deploy/payments");
  }
  r.workload.name_space = std::move(name_space);
  OJ_CHECK(validate(r));
  return r;
}

}  // namespace

Result<RunRequest> run_request_from_json(const json::value& v) { return read_request(v, false); }
Result<RunRequest> recorded_request_from_json(const json::value& v) { return read_request(v, true); }

json::object to_json(const RunRequest& r) {
  json::object o{{"namespace", r.workload.name_space}};
  if (const auto& t = r.from_template; t && !t->read()) {
    o["template"] = t->name;
  } else {
    if (t)
      o["template"] = json::object{
          {"name", t->name}, {"uid", t->uid}, {"generation", t->generation}, {"digest", t->digest}};
    o["workload"] = to_string(r.workload);
    o["command"] = json::value_from(r.command);
  }
  if (r.from_template) o["params"] = json::value_from(r.params);
  if (r.container) o["container"] = *r.container;
  if (!r.env.empty()) {
    json::array env;
    for (const auto& e : r.env) {
      json::object item{{"name", e.name}, {"value", e.value}};
      if (e.plain) item["plain"] = true;
      env.push_back(std::move(item));
    }
    o["env"] = std::move(env);
  }
  if (r.cpu) o["cpu"] = *r.cpu;
  if (r.memory) o["memory"] = *r.memory;
  if (r.timeout) o["timeout"] = format_duration(*r.timeout);
  if (r.retries != 0) o["retries"] = r.retries;
  if (!r.reason.empty()) o["reason"] = r.reason;
  if (r.sidecars) o["sidecars"] = to_string(*r.sidecars);
  if (r.init_containers) o["initContainers"] = to_string(*r.init_containers);
  if (r.image_tag_as_written) o["imageTagAsWritten"] = true;
  if (r.interactive) o["interactive"] = true;
  if (r.break_glass) o["breakGlass"] = true;
  if (r.service_account) o["serviceAccount"] = *r.service_account;
  return o;
}

json::object to_recordable_json(const RunRequest& r) {
  auto o = to_json(r);
  auto* env = o.if_contains("env");
  if (env == nullptr) return o;
  for (auto& item : env->get_array()) {
    auto& e = item.get_object();
    if (e.contains("plain")) continue;
    e["sha256"] = sha256_hex(sv(e.at("value").get_string()));
    e.erase("value");
  }
  return o;
}

}  // namespace oddjob
