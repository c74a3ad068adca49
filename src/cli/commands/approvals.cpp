// oddjob pending, approve, deny.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "cli/command.hpp"
#include "cli/run_text.hpp"
#include "core/text.hpp"
#include "core/words.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

constexpr auto kPatience = std::chrono::minutes(10);
constexpr std::size_t kPage = 500;

struct PendingFlags {
  bool all = false, all_namespaces = false;
};
struct ApproveFlags {
  std::string run, reason, digest;
  bool yes = false;
};
struct DenyFlags {
  std::string run, reason;
};

std::string run_path(const std::string& id, std::string_view rest) {
  return "/api/v1/runs/" + net::percent_encode(run_id_argument(id)) + std::string(rest);
}

net::Task<Result<int>> pending(ApiClient& api, const Invocation& invocation, const Settings& settings,
                               const PendingFlags& flags) {
  json::array items;
  std::string cursor;
  do {
    net::Query q;
    if (!flags.all_namespaces && !settings.name_space.empty()) q.add("namespace", settings.name_space);
    q.add("state", "pending_approval");
    if (!flags.all) q.add("approvable", "true");
    q.add("limit", std::to_string(kPage));
    if (!cursor.empty()) q.add("cursor", cursor);
    OJ_CO_TRY(const auto page, co_await api.call("GET", "/api/v1/runs?" + q.encode()));
    if (const auto* got = find_array(page, {"items"})) items.insert(items.end(), got->begin(), got->end());
    cursor = std::string(get_string(page, {"nextCursor"}));
  } while (!cursor.empty() && items.size() < 20 * kPage);
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    print_value(json::object{{"items", std::move(items)}}, format);
    co_return 0;
  }
  if (format == Format::name) {
    for (const auto& run : items) write_out(fmt::format("run/{}\n", get_string(run, {"id"})));
    co_return 0;
  }
  if (items.empty()) {
    write_err(flags.all ? "No run waits for approval.\n" : "No run waits for your approval.\n");
    co_return 0;
  }
  const auto now = system_clock().now();
  const bool wide = format == Format::wide;
  std::vector<std::string> header = {"ID",  "WORKLOAD",   "REQUESTER", "APPROVALS",
                                     "AGE", "EXPIRES IN", "COMMAND"};
  if (wide) header.insert(header.end(), {"NAMESPACE", "APPROVERS", "REASON"});
  Table table(header);
  for (const auto& run : items) {
    const auto expires = parse_time(get_string(run, {"approval", "expiresAt"}));
    const auto left = expires ? std::chrono::duration_cast<Duration>(*expires - now) : Duration::zero();
    std::vector<std::string> row = {
        short_run_id(get_string(run, {"id"})),         std::string(get_string(run, {"workload"})),
        printable(get_string(run, {"requester"}), 30), approvals_text(run),
        age(get_string(run, {"createdAt"}), now),      human_duration(std::max(left, Duration::zero())),
        printable(command_line(run), wide ? 200 : 50)};
    if (wide)
      row.insert(row.end(), {std::string(get_string(run, {"namespace"})), approvers_text(run),
                             printable(get_string(run, {"reason"}), 60)});
    table.add(std::move(row));
  }
  write_out(table.text());
  co_return 0;
}

// Only a plain yes is one.
bool ask(std::string_view question) {
  write_err(question);
  pollfd p{STDIN_FILENO, POLLIN, 0};
  if (::poll(&p, 1, static_cast<int>(Duration(kPatience).count())) <= 0) {
    write_err("\n");
    return false;
  }
  char buffer[64];
  const auto n = ::read(STDIN_FILENO, buffer, sizeof buffer);
  const auto answer = ascii_lower(trim(std::string_view(buffer, n > 0 ? static_cast<std::size_t>(n) : 0)));
  return answer == "y" || answer == "yes";
}

net::Task<Result<int>> approve(ApiClient& api, const Invocation& invocation, const ApproveFlags& flags) {
  OJ_CO_TRY(const auto run, co_await api.call("GET", run_path(flags.run, "")));
  const std::string id(get_string(run, {"id"})), short_id = short_run_id(id);
  std::string digest = flags.digest;
  if (digest.empty()) {
    const bool can_ask = invocation.terminal.in_tty && invocation.terminal.err_tty;
    if (!flags.yes && !can_ask) {
      co_return fail(Errc::invalid_argument, "cli.not_asked",
                     "nobody can be asked here, and an approval needs a yes",
                     fmt::format("look at it with `oddjob show {0}`, then: oddjob approve {0} --digest {1}",
                                 short_id, get_string(run, {"digest"})));
    }
    // What is approved is what is shown: the digest goes with the yes.
    digest = std::string(get_string(run, {"digest"}));
    if (!invocation.quiet || !flags.yes) {
      write_err(describe(run));
      if (const auto diff = get_string(run, {"approval", "diff"}); !diff.empty())
        write_err("\n" + std::string(diff) + "\n");
    }
    if (!flags.yes && get_string(run, {"state"}) == "pending_approval" &&
        !ask(fmt::format("Approve this run of {}? [y/N] ", printable(get_string(run, {"requester"}), 100)))) {
      write_err("not approved\n");
      co_return kOwnFailure;
    }
  }
  json::object body{{"digest", digest}};
  if (!flags.reason.empty()) body["reason"] = flags.reason;
  OJ_CO_TRY(const auto after, co_await api.call("POST", run_path(id, "/approve"), std::move(body)));
  const auto state = get_string(after, {"state"});
  print_run(
      invocation, after,
      state == "pending_approval"
          ? fmt::format("run {} approved: {} approvals", short_id, approvals_text(after))
          : fmt::format("run {} approved; it starts. `oddjob logs -f {}` shows its log", short_id, short_id));
  co_return 0;
}

net::Task<Result<int>> deny(ApiClient& api, const Invocation& invocation, const DenyFlags& flags) {
  json::value body = json::object{{"reason", flags.reason}};
  OJ_CO_TRY(const auto after, co_await api.call("POST", run_path(flags.run, "/deny"), std::move(body)));
  print_run(invocation, after, fmt::format("run {} denied", short_run_id(get_string(after, {"id"}))));
  co_return 0;
}

}  // namespace

void add_pending(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("pending", "List runs that wait for my approval")->fallthrough();
  auto flags = std::make_shared<PendingFlags>();
  command->add_flag("--all", flags->all, "All that wait and that I may see, also my own");
  command->add_flag("-A,--all-namespaces", flags->all_namespaces, "In all namespaces");
  command->callback([&invocation, flags] {
    invocation.action = [flags](Invocation& i) {
      return with_server(i, [&i, flags](net::Loop& /*loop*/, ApiClient& api, const Settings& settings) {
        return pending(api, i, settings, *flags);
      });
    };
  });
}

void add_approve(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("approve", "Approve somebody else's run")->fallthrough();
  auto flags = std::make_shared<ApproveFlags>();
  command->add_option("run", flags->run, "Run id, or its last 8 characters")->required();
  command->add_option("--reason", flags->reason, "Recorded with the approval");
  command->add_option("--digest", flags->digest,
                      "Approve the Job with this digest, and no other, without asking");
  command->add_flag("-y,--yes", flags->yes, "Approve what the server has now, without asking");
  command->footer(
      "Shows what will run, and asks. The approval is of that very Job: if anything changes before it\n"
      "starts, it does not start.\n\n"
      "  oddjob pending\n"
      "  oddjob approve k3v7xw2a --reason 'checked with the DBA'");
  command->callback([&invocation, flags] {
    invocation.action = [flags](Invocation& i) {
      return with_server(i, [&i, flags](net::Loop& /*loop*/, ApiClient& api, const Settings& /*settings*/) {
        return approve(api, i, *flags);
      });
    };
  });
}

void add_deny(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("deny", "Deny somebody else's run")->fallthrough();
  auto flags = std::make_shared<DenyFlags>();
  command->add_option("run", flags->run, "Run id, or its last 8 characters")->required();
  command->add_option("--reason", flags->reason, "Why; its requester reads it")->required();
  command->callback([&invocation, flags] {
    invocation.action = [flags](Invocation& i) {
      return with_server(i, [&i, flags](net::Loop& /*loop*/, ApiClient& api, const Settings& /*settings*/) {
        return deny(api, i, *flags);
      });
    };
  });
}

}  // namespace oddjob::cli
