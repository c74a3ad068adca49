// oddjob context list | use | set | show | delete
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "cli/command.hpp"
#include "core/text.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

int finish(const Result<>& done, const std::string& said) {
  if (!done) {
    print_error(done.error());
    return kOwnFailure;
  }
  write_out(said);
  return 0;
}

std::unexpected<Error> unknown(const std::string& name) {
  return fail(Errc::not_found, "cli.no_context",
              fmt::format("there is no context '{}'", printable(name, 100)),
              "`oddjob context list` shows them");
}

// Reads the configuration, lets `change` edit it, and writes it.
int edit(const Invocation& i, const std::function<Result<std::string>(CliConfig&)>& change) {
  const auto path = config_path(i.environment);
  auto config = load_cli_config(path);
  if (!config) return finish(fail(config.error()), {});
  const auto said = change(*config);
  if (!said) return finish(fail(said.error()), {});
  return finish(save_cli_config(path, *config), *said);
}

// What is written must mean the same from every folder.
std::string absolute(const std::string& path) { return std::filesystem::absolute(path).lexically_normal(); }

// Never the token itself.
json::object without_secret(const CliContext& c) {
  json::object o{{"name", c.name}, {"server", c.server}, {"namespace", c.name_space}};
  if (c.via_kubernetes) {
    o["via"] = "kubernetes";
    if (!c.kubeconfig.empty()) o["kubeconfig"] = c.kubeconfig;
    if (!c.kube_context.empty()) o["kubeContext"] = c.kube_context;
  }
  o["identity"] = c.via_kubernetes        ? "kubeconfig, by way of Kubernetes"
                  : !c.token.empty()      ? "token"
                  : !c.token_file.empty() ? "token file"
                  : c.auth_kubeconfig     ? "kubeconfig"
                                          : "none";
  if (!c.token_file.empty()) o["tokenFile"] = c.token_file;
  if (!c.ca_file.empty()) o["caFile"] = c.ca_file;
  return o;
}

int list(const Invocation& i) {
  const auto config = load_cli_config(config_path(i.environment));
  if (!config) return finish(fail(config.error()), {});
  const auto format = i.format();
  if (format == Format::json || format == Format::yaml) {
    json::array items;
    for (const auto& c : config->contexts) items.push_back(without_secret(c));
    print_value(json::object{{"currentContext", config->current}, {"items", std::move(items)}}, format);
    return 0;
  }
  if (format != Format::name && config->contexts.empty()) {
    write_err("No contexts. `oddjob context set NAME --server URL` makes one.\n");
    return 0;
  }
  Table table({"CURRENT", "NAME", "SERVER", "NAMESPACE"});
  for (const auto& c : config->contexts) {
    if (format == Format::name) write_out(c.name + "\n");
    table.add({c.name == config->current ? "*" : "", printable(c.name, 60), printable(c.server, 200),
               printable(c.name_space, 63)});
  }
  if (format != Format::name) write_out(table.text());
  return 0;
}

int show(const Invocation& i) {
  const auto settings = i.settings();
  if (!settings) return finish(fail(settings.error()), {});
  const auto shown = without_secret(
      {settings->context, settings->server, settings->token, settings->token_file, settings->ca_file,
       settings->name_space.empty() ? "default" : settings->name_space, settings->auth_kubeconfig,
       settings->via_kubernetes, settings->kubeconfig, settings->kube_context});
  const auto format = i.format();
  if (format == Format::json || format == Format::yaml) {
    print_value(shown, format);
  } else if (format == Format::name) {
    write_out(settings->context + "\n");
  } else {
    std::string out;
    const auto row = [&](std::string_view label, std::string_view key) {
      const auto text = get_string(shown, {key});
      if (!text.empty()) out += fmt::format("{:<12}{}\n", label, printable(text, 500));
    };
    out += fmt::format("{:<12}{}\n",
                       "Context:", settings->context.empty() ? "<none>" : printable(settings->context, 60));
    row("Server:", "server");
    row("Namespace:", "namespace");
    row("Identity:", "identity");
    row("Token file:", "tokenFile");
    row("CA file:", "caFile");
    write_out(out);
  }
  return 0;
}

}  // namespace

void add_context(CLI::App& app, Invocation& invocation) {
  auto* context = app.add_subcommand("context", "Choose which server to talk to, and as whom")
                      ->fallthrough()
                      ->require_subcommand(1);
  auto fields = std::make_shared<CliContext>();
  const auto sub = [&](const char* name, const char* help, std::function<int(const Invocation&)> work) {
    auto* command = context->add_subcommand(name, help);
    command->callback([&invocation, work] { invocation.action = [work](Invocation& i) { return work(i); }; });
    return command;
  };
  sub("list", "List the contexts", list)->fallthrough();
  sub("show", "Show what is in force now: flags, environment, context", show)->fallthrough();
  sub("use", "Make a context the current one",
      [fields](const Invocation& i) {
        return edit(i, [&](CliConfig& c) -> Result<std::string> {
          if (c.find(fields->name) == nullptr) return unknown(fields->name);
          c.current = fields->name;
          return fmt::format("Using context '{}'\n", fields->name);
        });
      })
      ->fallthrough()
      ->add_option("name", fields->name)
      ->required();
  auto* set = sub("set", "Make or change a context", [fields](const Invocation& i) {
    return edit(i, [&](CliConfig& c) -> Result<std::string> {
      auto* known = c.find(fields->name);
      CliContext next = known != nullptr ? *known : CliContext{};
      next.name = fields->name;
      if (!i.flags.server.empty()) next.server = i.flags.server;
      if (!i.flags.token_file.empty()) {
        next.token_file = absolute(i.flags.token_file);
        next.token.clear();
      }
      if (!i.flags.ca_file.empty()) next.ca_file = absolute(i.flags.ca_file);
      if (!i.flags.name_space.empty()) next.name_space = i.flags.name_space;
      if (fields->auth_kubeconfig) {
        next.auth_kubeconfig = true;
        if (i.flags.token_file.empty()) next.token.clear(), next.token_file.clear();
      }
      if (i.flags.via_kubernetes) {
        next.via_kubernetes = true;
        if (!i.flags.kubeconfig.empty()) next.kubeconfig = absolute(i.flags.kubeconfig);
        if (!fields->kube_context.empty()) next.kube_context = fields->kube_context;
      }
      if (next.server.empty() && !next.via_kubernetes)
        return fail(Errc::invalid_argument, "cli.no_server", "a context needs a server",
                    "add --server https://oddjob.example.com");
      if (const auto url = net::parse_url(next.server); !next.server.empty() && (!url || url->scheme.empty()))
        return fail(Errc::invalid_argument, "url.malformed",
                    fmt::format("'{}' is not an http or https URL", printable(next.server, 200)));
      if (known != nullptr)
        *known = next;
      else
        c.contexts.push_back(next);
      if (c.current.empty()) c.current = next.name;
      return fmt::format("Context '{}' {}.\n", next.name, known != nullptr ? "changed" : "made");
    });
  });
  set->fallthrough()->add_option("name", fields->name)->required();
  set->add_flag("--auth-kubeconfig", fields->auth_kubeconfig,
                "Send the bearer token of the kubeconfig's user");
  set->add_option("--kube-context", fields->kube_context,
                  "With --via-kubernetes: a context of the kubeconfig");
  sub("delete", "Forget a context",
      [fields](const Invocation& i) {
        return edit(i, [&](CliConfig& c) -> Result<std::string> {
          if (std::erase_if(c.contexts, [&](const CliContext& x) { return x.name == fields->name; }) == 0)
            return unknown(fields->name);
          if (c.current == fields->name) c.current.clear();
          return fmt::format("Context '{}' deleted.\n", fields->name);
        });
      })
      ->fallthrough()
      ->add_option("name", fields->name)
      ->required();
}

}  // namespace oddjob::cli
