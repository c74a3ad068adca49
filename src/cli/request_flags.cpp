#include "cli/request_flags.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "core/text.hpp"

namespace oddjob::cli {

void add_request_flags(CLI::App& command, RequestFlags& f) {
  command.add_option("workload", f.workload, "deploy/NAME, sts/NAME, ds/NAME, cronjob/NAME or template/NAME");
  command.add_option("-c,--container", f.container, "Container whose environment to use");
  command.add_option("--env", f.env, "NAME=VALUE, or NAME to pass on our own; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--cpu", f.cpu, "CPU request and limit, such as 500m");
  command.add_option("--memory", f.memory, "Memory request and limit, such as 1Gi");
  command.add_option("--timeout", f.timeout, "Time the command may take, such as 30m");
  command.add_option("--retries", f.retries, "How often to try again when the command fails (default 0)");
  command.add_option("--reason", f.reason, "Why; goes into the audit");
  command.add_option("--sidecars", f.sidecars, "drop, native or keep")
      ->check(CLI::IsMember({"drop", "native", "keep"}));
  command.add_option("--init-containers", f.init_containers, "run or skip")
      ->check(CLI::IsMember({"run", "skip"}));
  command.add_flag("--image-tag-as-written", f.image_tag_as_written,
                   "Do not pin the image to the digest that runs");
  command.add_option("--service-account", f.service_account,
                     "Another service account than the workload's, where it allows that");
  command.add_flag("--break-glass", f.break_glass,
                   "Start without approval, where the workload allows it; needs --reason");
}

void add_param_flag(CLI::App& command, RequestFlags& f) {
  command.add_option("-p,--param", f.params, "NAME=VALUE of a template's parameter; may be repeated")
      ->allow_extra_args(false);
}

std::optional<std::string> template_name(std::string_view text) {
  for (const std::string_view prefix : {"template/", "templates/", "jobtemplate/", "jobtemplates/", "jt/"})
    if (text.starts_with(prefix)) return std::string(text.substr(prefix.size()));
  return std::nullopt;
}

Result<std::map<std::string, std::string, std::less<>>> parse_params(const std::vector<std::string>& words) {
  std::map<std::string, std::string, std::less<>> out;
  for (const auto& word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(Errc::invalid_argument, "cli.param",
                  fmt::format("--param {}: there is no value", printable(word, 60)),
                  "write --param NAME=VALUE");
    if (!out.emplace(word.substr(0, equals), word.substr(equals + 1)).second)
      return fail(Errc::invalid_argument, "cli.param",
                  fmt::format("--param {} is given twice", printable(word.substr(0, equals), 60)));
  }
  return out;
}

Result<RunRequest> make_request(const RequestFlags& f, const Invocation& invocation, std::string name_space) {
  if (f.workload.empty())
    return fail(Errc::invalid_argument, "cli.no_workload", "which workload?",
                "oddjob run deploy/NAME -- COMMAND; `oddjob workloads` lists those you may run on");
  const auto from_template = template_name(f.workload);
  if (from_template && !invocation.command.empty())
    return fail(Errc::invalid_argument, "cli.template_has_command",
                fmt::format("{} has a command of its own", f.workload),
                fmt::format("give its parameters: oddjob run {} --param NAME=VALUE", f.workload));
  if (!from_template && invocation.command.empty())
    return fail(Errc::invalid_argument, "cli.no_command", "there is no command to run",
                fmt::format("write it after `--`, as in `oddjob run {} -- COMMAND ARGS...`", f.workload));
  RunRequest r;
  OJ_TRY(r.params, parse_params(f.params));
  if (from_template) {
    r.workload.name_space = std::move(name_space);
    r.from_template = TemplateUse{*from_template, "", 0, ""};
  } else {
    OJ_TRY(r.workload, parse_workload(f.workload, name_space));
    r.command = invocation.command;
  }
  if (!f.service_account.empty()) r.service_account = f.service_account;
  if (!f.container.empty()) r.container = f.container;
  if (!f.cpu.empty()) r.cpu = f.cpu;
  if (!f.memory.empty()) r.memory = f.memory;
  if (!f.timeout.empty()) {
    auto d = parse_duration(f.timeout);
    if (!d) return fail(std::move(d.error()).with_context("--timeout"));
    r.timeout = *d;
  }
  r.retries = f.retries;
  r.reason = f.reason;
  if (!f.sidecars.empty()) r.sidecars = parse_sidecar_mode(f.sidecars);
  if (!f.init_containers.empty()) r.init_containers = parse_init_mode(f.init_containers);
  r.image_tag_as_written = f.image_tag_as_written;
  r.break_glass = f.break_glass;
  for (const auto& e : f.env) {
    const auto equals = e.find('=');
    EnvVar v{e.substr(0, equals), {}, false};
    if (equals != std::string::npos) {
      v.value = e.substr(equals + 1);
    } else {
      const auto own = invocation.environment.find(v.name);
      if (own == invocation.environment.end())
        return fail(
            Errc::invalid_argument, "cli.env",
            fmt::format("--env {}: there is no such variable in this environment", printable(v.name, 60)),
            "write --env NAME=VALUE");
      v.value = own->second;
    }
    r.env.push_back(std::move(v));
  }
  OJ_CHECK(validate(r));
  return r;
}

}  // namespace oddjob::cli
