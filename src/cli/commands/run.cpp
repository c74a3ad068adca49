// oddjob run [WORKLOAD] [flags] -- COMMAND...
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "cli/follow.hpp"
#include "cli/outcome.hpp"
#include "cli/request_flags.hpp"
#include "core/text.hpp"
#include "core/yaml.hpp"

namespace oddjob::cli {
namespace {

constexpr Duration kSubmitFor = std::chrono::seconds(30);
constexpr Duration kFirstPause = std::chrono::milliseconds(200), kLastPause = std::chrono::seconds(5);

struct RunFlags {
  RequestFlags request;
  std::string idempotency_key;
  bool detach = false, dry_run = false;
};

// How long to go on asking a server that is away; ODDJOB_SUBMIT_DEADLINE, such as 2m.
Duration submit_deadline(const Environment& environment) {
  const auto found = environment.find("ODDJOB_SUBMIT_DEADLINE");
  if (found == environment.end()) return kSubmitFor;
  const auto given = parse_duration(found->second);
  return given ? *given : kSubmitFor;
}

// With one key the server makes one run of it, however often we ask.
net::Task<Result<json::value>> submit(ApiClient& api, const Invocation& invocation, json::value body,
                                      std::string key, bool quiet) {
  const auto deadline = std::chrono::steady_clock::now() + submit_deadline(invocation.environment);
  auto pause = kFirstPause;
  bool told = false;
  for (;;) {
    net::Headers headers;
    headers.add("Idempotency-Key", key);
    auto answer = co_await api.call("POST", "/api/v1/runs", body, std::move(headers));
    if (answer) co_return answer;
    const auto& e = answer.error();
    const bool again =
        e.code.starts_with("http.") || e.kind == Errc::unavailable || e.kind == Errc::rate_limited;
    if (!again || e.code == "http.tls" || std::chrono::steady_clock::now() + pause > deadline)
      co_return fail(e);
    if (!told && !quiet) write_err(fmt::format("waiting for the server: {}\n", printable(e.message, 200)));
    told = true;
    co_await net::sleep_for(std::max(pause, Duration(std::chrono::seconds(e.retry_after_seconds))));
    pause = std::min(pause * 2, kLastPause);
  }
}

net::Task<Result<int>> dry_run(ApiClient& api, const Invocation& invocation, json::value body) {
  OJ_CO_TRY(const auto answer, co_await api.call("POST", "/api/v1/runs?dryRun=All", std::move(body)));
  if (invocation.format() == Format::json || invocation.format() == Format::yaml) {
    print_value(answer, invocation.format());
    co_return 0;
  }
  if (const auto* job = find(answer, {"job"})) write_out(to_yaml(*job));
  std::string notes;
  if (const auto* report = find_array(answer, {"report"}))
    for (const auto& item : *report)
      if (const auto path = get_string(item, {"path"}); !path.empty())
        notes +=
            fmt::format("# {} {}: {}\n", get_string(item, {"action"}), path, get_string(item, {"reason"}));
  if (const auto* warnings = find_array(answer, {"warnings"}))
    for (const auto& w : *warnings)
      if (w.is_string()) notes += fmt::format("# warning: {}\n", sv(w.get_string()));
  notes += "# dry run: nothing was created\n";
  if (!invocation.quiet) write_err(notes);
  co_return 0;
}

net::Task<Result<int>> run(net::Loop& loop, ApiClient& api, const Settings& settings,
                           const Invocation& invocation, const RunFlags& flags) {
  OJ_CO_TRY(const auto request, make_request(flags.request, invocation,
                                             settings.name_space.empty() ? "default" : settings.name_space));
  json::value body = to_json(request);
  if (flags.dry_run) co_return co_await dry_run(api, invocation, std::move(body));
  const auto format = invocation.format();
  const bool machine = format == Format::json || format == Format::yaml || format == Format::name;
  const std::string key = flags.idempotency_key.empty() ? new_uuid() : flags.idempotency_key;
  OJ_CO_TRY(const auto made, co_await submit(api, invocation, std::move(body), key, invocation.quiet));
  const std::string id(get_string(made, {"id"}));
  if (flags.detach) {
    if (format == Format::json || format == Format::yaml)
      print_value(made, format);
    else if (format == Format::name)
      write_out("run/" + id + "\n");
    else
      write_out(id + "\n");
    if (!invocation.quiet && !machine && invocation.terminal.err_tty)
      write_err(fmt::format("`oddjob logs -f {}` shows its log, `oddjob cancel {}` ends it\n",
                            short_run_id(id), short_run_id(id)));
    co_return 0;
  }
  FollowOptions options;
  options.quiet = invocation.quiet;
  options.log_to_stderr = machine;
  OJ_CO_TRY(const auto followed, co_await follow(loop, api, invocation, id, options));
  if (!followed.ended) {
    if (followed.signal != SIGPIPE)
      write_err(fmt::format(
          "detached; the run goes on. `oddjob logs -f {}` reattaches, `oddjob cancel {}` ends it\n", id, id));
    co_return 128 + followed.signal;
  }
  if (format == Format::json || format == Format::yaml) print_value(followed.run, format);
  if (format == Format::name) write_out("run/" + id + "\n");
  const bool well = get_string(followed.run, {"state"}) == "succeeded";
  if (!invocation.quiet || !well) {
    // In a script a success needs no words.
    if (!well || invocation.terminal.err_tty) write_err(final_line(followed.run) + "\n");
  }
  co_return exit_code_of(followed.run);
}

}  // namespace

void add_run(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("run", "Run a command once, the way a workload runs")->fallthrough();
  auto flags = std::make_shared<RunFlags>();
  add_request_flags(*command, flags->request);
  command->add_flag("-d,--detach", flags->detach, "Return once the run is recorded; print its id");
  command->add_flag("--dry-run", flags->dry_run, "Show the Job and every change, create nothing");
  command->add_option("--idempotency-key", flags->idempotency_key,
                      "The same key is the same run, however often it is asked for");
  command->footer(
      "The words after `--` are the command; no shell reads them.\n\n"
      "  oddjob run deploy/payments -- node scripts/backfill.js --since 2026-01-01\n"
      "  oddjob run sts/db --container db --timeout 2h --reason 'ticket 42' -- ./vacuum\n\n"
      "Exit code: the command's; 125 where OddJob refused, or the command has none.");
  command->callback([&invocation, flags] {
    invocation.action = [flags](Invocation& i) {
      // Before any server is asked: what is wrong with the words themselves.
      if (const auto checked = make_request(flags->request, i, "default"); !checked) {
        print_error(checked.error());
        return kOwnFailure;
      }
      return with_server(i, [&i, flags](net::Loop& loop, ApiClient& api, const Settings& settings) {
        return run(loop, api, settings, i, *flags);
      });
    };
  });
}

}  // namespace oddjob::cli
