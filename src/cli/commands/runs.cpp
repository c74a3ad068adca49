// oddjob ls, show, cancel.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/command.hpp"
#include "cli/run_text.hpp"
#include "core/text.hpp"
#include "core/words.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

std::string exit_text(const json::value& run) {
  const auto code = get_int(run, {"exitCode"});
  return code ? std::to_string(*code) : "";
}

struct ListFlags {
  bool mine = false, all_namespaces = false;
  std::string workload, state;
  int limit = 50;
};

net::Task<Result<int>> list(ApiClient& api, const Invocation& invocation, const Settings& settings,
                            const ListFlags& flags) {
  json::array items;
  std::string cursor;
  while (static_cast<int>(items.size()) < flags.limit) {
    net::Query q;
    if (!flags.all_namespaces && !settings.name_space.empty()) q.add("namespace", settings.name_space);
    if (flags.mine) q.add("requester", "me");
    if (!flags.workload.empty()) q.add("workload", flags.workload);
    if (!flags.state.empty()) q.add("state", flags.state);
    q.add("limit", std::to_string(std::min(flags.limit - static_cast<int>(items.size()), 500)));
    if (!cursor.empty()) q.add("cursor", cursor);
    OJ_CO_TRY(const auto page, co_await api.call("GET", "/api/v1/runs?" + q.encode()));
    if (const auto* got = find_array(page, {"items"})) items.insert(items.end(), got->begin(), got->end());
    cursor = std::string(get_string(page, {"nextCursor"}));
    if (cursor.empty()) break;
  }
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    json::object out{{"items", std::move(items)}};
    if (!cursor.empty()) out["nextCursor"] = cursor;
    print_value(out, format);
    co_return 0;
  }
  if (format == Format::name) {
    for (const auto& run : items) write_out(fmt::format("run/{}\n", get_string(run, {"id"})));
    co_return 0;
  }
  if (items.empty()) {
    write_err("No runs found.\n");
    co_return 0;
  }
  const bool wide = format == Format::wide;
  std::vector<std::string> header = {"ID", "STATE", "EXIT", "WORKLOAD", "REQUESTER", "AGE", "COMMAND"};
  if (wide) header.insert(header.end(), {"NAMESPACE", "JOB", "REASON"});
  Table table(header);
  const auto now = system_clock().now();
  for (const auto& run : items) {
    std::vector<std::string> row = {short_run_id(get_string(run, {"id"})),
                                    std::string(get_string(run, {"state"})),
                                    exit_text(run),
                                    std::string(get_string(run, {"workload"})),
                                    printable(get_string(run, {"requester"}), 30),
                                    age(get_string(run, {"createdAt"}), now),
                                    printable(command_line(run), wide ? 200 : 50)};
    if (wide)
      row.insert(row.end(),
                 {std::string(get_string(run, {"namespace"})), std::string(get_string(run, {"jobName"})),
                  printable(get_string(run, {"reason"}), 60)});
    table.add(std::move(row));
  }
  write_out(table.text());
  if (!cursor.empty()) write_err(fmt::format("There are more; --limit {} shows them.\n", flags.limit * 2));
  co_return 0;
}

net::Task<Result<int>> show(ApiClient& api, const Invocation& invocation, std::string id) {
  OJ_CO_TRY(const auto run, co_await api.call("GET", "/api/v1/runs/" + net::percent_encode(id)));
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml)
    print_value(run, format);
  else if (format == Format::name)
    write_out(fmt::format("run/{}\n", get_string(run, {"id"})));
  else
    write_out(describe(run) + describe_changes(run));
  co_return 0;
}

net::Task<Result<int>> cancel(ApiClient& api, const Invocation& invocation, std::string id) {
  const json::value nothing = json::object();
  OJ_CO_TRY(const auto run,
            co_await api.call("POST", "/api/v1/runs/" + net::percent_encode(id) + "/cancel", nothing));
  const auto state = parse_run_state(get_string(run, {"state"}));
  const auto short_id = short_run_id(get_string(run, {"id"}));
  print_run(invocation, run,
            state && is_final(*state)
                ? fmt::format("run {} has ended already: {}", short_id, get_string(run, {"state"}))
                : fmt::format("run {} is being cancelled", short_id));
  co_return 0;
}

// A command whose one argument is a run.
void add_one_run(CLI::App& app, Invocation& invocation, const char* name, const char* help,
                 net::Task<Result<int>> (*work)(ApiClient&, const Invocation&, std::string)) {
  auto* command = app.add_subcommand(name, help)->fallthrough();
  auto id = std::make_shared<std::string>();
  command->add_option("run", *id, "Run id, or its last 8 characters")->required();
  command->callback([&invocation, id, work] {
    invocation.action = [id, work](Invocation& i) {
      return with_server(i,
                         [&i, id, work](net::Loop& /*loop*/, ApiClient& api, const Settings& /*settings*/) {
                           return work(api, i, run_id_argument(*id));
                         });
    };
  });
}

}  // namespace

void add_ls(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("ls", "List runs, the newest first")->alias("list")->fallthrough();
  auto flags = std::make_shared<ListFlags>();
  command->add_flag("--mine", flags->mine, "Only those that I asked for");
  command->add_flag("-A,--all-namespaces", flags->all_namespaces, "In all namespaces");
  command->add_option("--workload", flags->workload, "Only of this workload, such as deploy/payments");
  command->add_option("--state", flags->state, "Only in this state, such as running");
  command->add_option("--limit", flags->limit, "At most so many (default 50)")->check(CLI::Range(1, 100000));
  command->callback([&invocation, flags] {
    invocation.action = [flags](Invocation& i) {
      return with_server(i, [&i, flags](net::Loop& /*loop*/, ApiClient& api, const Settings& settings) {
        return list(api, i, settings, *flags);
      });
    };
  });
}

void add_show(CLI::App& app, Invocation& invocation) {
  add_one_run(app, invocation, "show", "Show one run: who, what, why, the Job and what was changed", show);
}
void add_cancel(CLI::App& app, Invocation& invocation) {
  add_one_run(app, invocation, "cancel", "End a run", cancel);
}

}  // namespace oddjob::cli
