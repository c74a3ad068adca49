// oddjob context list | use | set | show | delete
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

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

int list(const Invocation& i) {
  const auto config = load_cli_config(config_path(i.environment));
  if (!config) return finish(fail(config.error()), {});
  Table table({"CURRENT", "NAME", "SERVER", "NAMESPACE"});
  for (const auto& c : config->contexts) {
    if (i.format() == Format::name) write_out(c.name + "\n");
    table.add({c.name == config->current ? "*" : "", c.name, c.server, c.name_space});
  }
  if (i.format() != Format::name) write_out(table.text());
  return 0;
}

int show(const Invocation& i) {
  const auto settings = i.settings();
  if (!settings) return finish(fail(settings.error()), {});
  const std::string_view identity = !settings->token.empty()        ? "a token"
                                    : !settings->token_file.empty() ? settings->token_file
                                    : settings->auth_kubeconfig     ? "the kubeconfig's token"
                                                                    : "none";
  write_out(fmt::format("Context:    {}\nServer:     {}\nNamespace:  {}\nIdentity:   {}\n",
                        settings->context.empty() ? "<none>" : settings->context, settings->server,
                        settings->name_space.empty() ? "default" : settings->name_space, identity));
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
        next.token_file = i.flags.token_file;
        next.token.clear();
      }
      if (!i.flags.ca_file.empty()) next.ca_file = i.flags.ca_file;
      if (!i.flags.name_space.empty()) next.name_space = i.flags.name_space;
      next.auth_kubeconfig = next.auth_kubeconfig || fields->auth_kubeconfig;
      if (next.server.empty())
        return fail(Errc::invalid_argument, "cli.no_server", "a context needs a server",
                    "add --server https://oddjob.example.com");
      OJ_TRY(const auto url, net::parse_url(next.server));
      if (url.scheme.empty())
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
