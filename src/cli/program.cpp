#include "cli/program.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/command.hpp"
#include "kube/config.hpp"

namespace oddjob::cli {

void add_version(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("version", "Print the version")->fallthrough();
  command->callback([&invocation] {
    invocation.action = [](Invocation& i) {
      const json::value v = json::object{{"version", ODDJOB_VERSION}, {"commit", ODDJOB_COMMIT}};
      if (i.format() == Format::json || i.format() == Format::yaml)
        print_value(v, i.format());
      else
        write_out(fmt::format("oddjob {} ({})\n", ODDJOB_VERSION, ODDJOB_COMMIT));
      return 0;
    };
  });
}

int program(std::vector<std::string> arguments) {
  Invocation invocation;
  invocation.environment = kube::process_environment();
  invocation.terminal = detect_terminal(invocation.environment);
  // The words after the first `--` are the command and nobody else's to read.
  if (const auto separator = std::ranges::find(arguments, "--"); separator != arguments.end()) {
    invocation.has_separator = true;
    invocation.command.assign(separator + 1, arguments.end());
    arguments.erase(separator, arguments.end());
  }
  CLI::App app{"Run one command, once, in a service's own environment on Kubernetes.", "oddjob"};
  app.require_subcommand(1);
  app.set_version_flag("--version", fmt::format("oddjob {} ({})", ODDJOB_VERSION, ODDJOB_COMMIT));
  auto& flags = invocation.flags;
  app.add_option("-n,--namespace", flags.name_space, "Namespace");
  app.add_option("--context", flags.context, "Context of the configuration to use");
  app.add_option("--server", flags.server, "URL of the OddJob server");
  app.add_option("--token-file", flags.token_file, "File that holds the token");
  app.add_option("--ca-file", flags.ca_file,
                 "PEM file of the authority that signed the server's certificate");
  app.add_option("-o,--output", invocation.output, "json, yaml, name or wide")
      ->check(CLI::IsMember({"json", "yaml", "name", "wide"}));
  app.add_flag("-q,--quiet", invocation.quiet, "No status and no summary on standard error");
  app.footer("`oddjob COMMAND --help` says more. To try OddJob without a cluster: `oddjobd dev`.");
  for (const auto add : {add_run, add_logs, add_ls, add_show, add_cancel, add_workloads, add_render,
                         add_audit, add_whoami, add_context, add_completion, add_version})
    add(app, invocation);

  std::ranges::reverse(arguments);  // as CLI11 wants them
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kOwnFailure;
  }
  return invocation.action ? invocation.action(invocation) : kOwnFailure;
}

}  // namespace oddjob::cli
