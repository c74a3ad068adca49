// oddjob workloads, whoami.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/command.hpp"
#include "core/text.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

net::Task<Result<int>> workloads(ApiClient& api, const Invocation& invocation, const Settings& settings,
                                 bool everywhere) {
  net::Query q;
  if (!everywhere && !settings.name_space.empty()) q.add("namespace", settings.name_space);
  auto asking = all_items(api, "/api/v1/workloads", std::move(q));
  OJ_CO_TRY(auto items, co_await std::move(asking));
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    print_value(json::object{{"items", std::move(items)}}, format);
    co_return 0;
  }
  if (items.empty()) {
    write_err(
        "No workload here lets anybody run anything: none has an oddjob.dev/allowed-teams or allowed-users "
        "annotation.\n");
    co_return 0;
  }
  Table table({"NAMESPACE", "WORKLOAD", "MAY RUN", "APPROVAL", "ALLOWED"});
  for (const auto& w : items) {
    if (format == Format::name) {
      write_out(fmt::format("{}\n", get_string(w, {"workload"})));
      continue;
    }
    const auto problem = get_string(w, {"problem"});
    table.add(
        {std::string(get_string(w, {"namespace"})), std::string(get_string(w, {"workload"})),
         get_bool(w, {"mayRun"}) ? "yes" : "no", get_bool(w, {"needsApproval"}) ? "needed" : "",
         printable(problem.empty() || get_bool(w, {"mayRun"}) ? get_string(w, {"allowed"}) : problem, 120)});
  }
  if (format != Format::name) write_out(table.text());
  co_return 0;
}

net::Task<Result<int>> whoami(ApiClient& api, const Invocation& invocation) {
  OJ_CO_TRY(const auto me, co_await api.call("GET", "/api/v1/whoami"));
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    print_value(me, format);
    co_return 0;
  }
  std::vector<std::string> teams;
  if (const auto* list = find_array(me, {"teams"}))
    for (const auto& t : *list)
      if (t.is_string()) teams.emplace_back(printable(sv(t.get_string()), 100));
  write_out(fmt::format(
      "User:    {}\nTeams:   {}\nServer:  {}\nMethod:  {}\n", printable(get_string(me, {"user"}), 200),
      teams.empty() ? "<none>" : join(teams, ", "), api.server(), get_string(me, {"method"})));
  if (const auto& session = api.session())
    write_out(fmt::format("Expires: {}{}\n", format_time(session->expires),
                          session->refresh_token.empty() ? "" : ", and is renewed before"));
  if (get_bool(me, {"admin"}))
    write_out("Role:    admin\n");
  else if (get_bool(me, {"auditor"}))
    write_out("Role:    auditor\n");
  co_return 0;
}

}  // namespace

void add_workloads(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("workloads", "List what may be run on, and by whom")->fallthrough();
  auto everywhere = std::make_shared<bool>(false);
  command->add_flag("-A,--all-namespaces", *everywhere, "In all namespaces");
  command->callback([&invocation, everywhere] {
    invocation.action = [everywhere](Invocation& i) {
      return with_server(i, [&i, everywhere](net::Loop& /*loop*/, ApiClient& api, const Settings& settings) {
        return workloads(api, i, settings, *everywhere);
      });
    };
  });
}

void add_whoami(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("whoami", "Show who the server takes me for")->fallthrough();
  command->callback([&invocation] {
    invocation.action = [](Invocation& i) {
      return with_server(i, [&i](net::Loop& /*loop*/, ApiClient& api, const Settings& /*settings*/) {
        return whoami(api, i);
      });
    };
  });
}

}  // namespace oddjob::cli
