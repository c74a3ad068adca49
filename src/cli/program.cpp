#include "cli/program.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

#include "cli/command.hpp"
#include "core/text.hpp"
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

namespace {

// CLI11's complaint in our words, with what to do about it.
Error usage_error(const CLI::App& app, const std::vector<std::string>& arguments, const CLI::ParseError& e) {
  const CLI::App* command = &app;
  std::string path = "oddjob";
  for (auto named = command->get_subcommands(); !named.empty(); named = command->get_subcommands()) {
    command = named.front();
    path += " " + command->get_name();
  }
  // The first of the words that nobody took.
  const auto extras = app.remaining(true);
  const auto first = std::ranges::find_if(
      arguments, [&](const std::string& a) { return std::ranges::find(extras, a) != extras.end(); });
  const auto word = first == arguments.end() ? std::string{} : printable(*first, 60);
  Error out{Errc::invalid_argument, "cli.usage", fmt::format("{}: {}", path, e.what()),
            fmt::format("`{} --help` says more", path), 0};
  const auto known = command->get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); });
  std::vector<std::string> names;
  for (const auto* s : known) names.push_back(s->get_name());
  if (!known.empty() && word.empty()) {
    out.message = fmt::format("`{}` needs a command", path);
    out.hint = fmt::format("there are: {}", join(names, ", "));
  } else if (word.empty()) {
    return out;
  } else if (!known.empty() && !word.starts_with('-')) {
    const auto near = closest(word, std::vector<std::string_view>(names.begin(), names.end()));
    out.message = fmt::format("there is no command '{} {}'", path, word);
    out.hint = near.empty() ? fmt::format("there are: {}", join(names, ", "))
                            : fmt::format("did you mean `{} {}`?", path, near);
  } else if (word.starts_with('-')) {
    out.message = fmt::format("`{}` has no flag {}", path, word);
  } else {
    out.message = fmt::format("`{}` has no place for '{}'", path, word);
    if (command->get_name() == "run" || command->get_name() == "render")
      out.hint = fmt::format("the command to run stands after `--`: {} deploy/NAME -- {} ...", path, word);
  }
  return out;
}

struct Named {
  std::string_view name;
  void (*add)(CLI::App&, Invocation&);
};
constexpr std::array kCommands = {
    Named{"run", add_run},
    Named{"logs", add_logs},
    Named{"ls", add_ls},
    Named{"show", add_show},
    Named{"cancel", add_cancel},
    Named{"pending", add_pending},
    Named{"approve", add_approve},
    Named{"deny", add_deny},
    Named{"workloads", add_workloads},
    Named{"templates", add_templates},
    Named{"template", add_template},
    Named{"image", add_image},
    Named{"render", add_render},
    Named{"audit", add_audit},
    Named{"login", add_login},
    Named{"logout", add_logout},
    Named{"whoami", add_whoami},
    Named{"context", add_context},
    Named{"completion", add_completion},
    Named{"version", add_version},
};

// Where the first word names a command, it alone is set up: it is done before the others would be.
void add_commands(CLI::App& app, Invocation& invocation, const std::vector<std::string>& arguments) {
  const auto named = std::ranges::find_if(
      kCommands, [&](const Named& c) { return !arguments.empty() && c.name == arguments.front(); });
  if (named != kCommands.end()) return named->add(app, invocation);
  for (const auto& c : kCommands) c.add(app, invocation);
}

}  // namespace

int program(std::string_view name, std::vector<std::string> arguments) {
  Invocation invocation;
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  const bool asked_by_kubectl = name.starts_with("kubectl_complete-");
  invocation.plugin = asked_by_kubectl || name.starts_with("kubectl-");
  invocation.environment = kube::process_environment();
  invocation.terminal = detect_terminal(invocation.environment);
  // The words after the first `--` are the command and nobody else's to read.
  if (asked_by_kubectl) {
    invocation.has_separator = true;
    invocation.command = std::exchange(arguments, {"__complete", "--kubectl"});
  } else if (const auto separator = std::ranges::find(arguments, "--"); separator != arguments.end()) {
    invocation.has_separator = true;
    invocation.command.assign(separator + 1, arguments.end());
    arguments.erase(separator, arguments.end());
  }
  CLI::App app{"Run one command, once, in a service's own environment on Kubernetes.",
               invocation.plugin ? "kubectl oddjob" : "oddjob"};
  app.require_subcommand(1);
  app.set_version_flag("--version", fmt::format("oddjob {} ({})", ODDJOB_VERSION, ODDJOB_COMMIT));
  auto& flags = invocation.flags;
  app.add_option("-n,--namespace", flags.name_space, "Namespace");
  app.add_option(
      "--context", flags.context,
      invocation.plugin ? "Context of the kubeconfig to use" : "Context of the configuration to use");
  app.add_flag(
      "--via-kubernetes", flags.via_kubernetes,
      "Go by way of the kubeconfig's API server, as its user; --context is one of the kubeconfig then");
  app.add_option("--kubeconfig", flags.kubeconfig, "The kubeconfig, by way of Kubernetes");
  app.add_option("--server", flags.server, "URL of the OddJob server");
  app.add_option("--token-file", flags.token_file, "File that holds the token");
  app.add_option("--ca-file", flags.ca_file,
                 "PEM file of the authority that signed the server's certificate");
  app.add_option("-o,--output", invocation.output, "json, yaml, name or wide; jsonl (audit list)")
      ->check(CLI::IsMember({"json", "jsonl", "yaml", "name", "wide"}));
  app.add_flag("-q,--quiet", invocation.quiet, "No status and no summary on standard error");
  app.footer("`oddjob COMMAND --help` says more. To try OddJob without a cluster: `oddjobd dev`.");
  add_commands(app, invocation, arguments);

  if (arguments.empty() && !invocation.has_separator) {
    write_out(app.help());
    return 0;
  }
  const auto given = arguments;
  std::ranges::reverse(arguments);  // as CLI11 wants them
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    print_error(usage_error(app, given, e));
    return kOwnFailure;
  }
  if (invocation.output == "jsonl" && app.get_subcommands().front()->get_name() != "audit") {
    print_error(
        Error{Errc::invalid_argument, "cli.usage", "-o jsonl is for `oddjob audit list`", "use -o json", 0});
    return kOwnFailure;
  }
  return invocation.action ? invocation.action(invocation) : kOwnFailure;
}

}  // namespace oddjob::cli
