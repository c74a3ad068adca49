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

// The run, or the signal that came while the server was asked.
struct Submitted {
  json::value run;
  int signal = 0;
};

// With one key the server makes one run of it, however often we ask.
net::Task<Result<Submitted>> submit(net::Loop& loop, ApiClient& api, Interrupts& interrupts,
                                    const Invocation& invocation, const json::value& body, std::string key) {
  const auto deadline = std::chrono::steady_clock::now() + submit_deadline(invocation.environment);
  auto pause = kFirstPause;
  bool told = false;
  for (;;) {
    net::Headers headers;
    headers.add("Idempotency-Key", key);
    auto asking = api.call("POST", "/api/v1/runs", body, std::move(headers));
    auto answer = co_await interrupts.attend(loop, std::move(asking));
    if (!answer) co_return Submitted{nullptr, interrupts.take()};
    if (*answer) co_return Submitted{std::move(**answer), 0};
    const auto& e = answer->error();
    const auto wait = std::max(pause, Duration(std::chrono::seconds(e.retry_after_seconds)));
    const auto until = std::chrono::steady_clock::now() + wait;
    if (!passing(e) || until > deadline) co_return fail(e);
    if (!told && !invocation.quiet)
      write_err(fmt::format("waiting for the server: {}\n", printable(e.message, 200)));
    told = true;
    while (std::chrono::steady_clock::now() < until) {
      co_await interrupts.wait(std::chrono::ceil<Duration>(until - std::chrono::steady_clock::now()));
      if (const int signal = interrupts.take(); signal != 0) co_return Submitted{nullptr, signal};
    }
    pause = std::min(pause * 2, kLastPause);
  }
}

net::Task<Result<int>> dry_run(ApiClient& api, const Invocation& invocation, json::value body) {
  OJ_CO_TRY(const auto answer, co_await api.call("POST", "/api/v1/runs?dryRun=All", std::move(body)));
  const auto* denials = find_array(answer, {"denials"});
  const int code = denials != nullptr && !denials->empty() ? kOwnFailure : 0;
  if (invocation.format() == Format::json || invocation.format() == Format::yaml) {
    print_value(answer, invocation.format());
    co_return code;
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
  if (denials != nullptr)
    for (const auto& d : *denials)
      if (d.is_string()) write_err(fmt::format("error: {}\n", printable(sv(d.get_string()), 2048)));
  co_return code;
}

// A success in a script needs no words, OddJob's own failure always does.
bool says_end(const Invocation& invocation, const json::value& run, int code) {
  if (code == kOwnFailure && !get_int(run, {"exitCode"})) return true;
  if (invocation.quiet) return false;
  return get_string(run, {"state"}) != "succeeded" || invocation.terminal.err_tty;
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
  Interrupts interrupts(loop);
  OJ_CO_TRY(const auto submitted, co_await submit(loop, api, interrupts, invocation, body, key));
  if (submitted.signal != 0) {
    write_err(
        "interrupted while the server was asked: the run may have been made; `oddjob ls --mine` shows it\n");
    co_return 128 + submitted.signal;
  }
  const auto& made = submitted.run;
  const std::string id(get_string(made, {"id"}));
  if (!is_run_id(id)) co_return fail(Errc::internal, "cli.bad_answer", "the server answered without a run");
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
  OJ_CO_TRY(const auto followed, co_await follow(loop, api, interrupts, invocation, id, options));
  if (!followed.ended) {
    if (followed.signal != SIGPIPE)
      write_err(fmt::format(
          "detached; the run goes on. `oddjob logs -f {}` reattaches, `oddjob cancel {}` ends it\n", id, id));
    co_return 128 + followed.signal;
  }
  const int code = exit_code_of(followed.run);
  if (says_end(invocation, followed.run, code))
    write_err((followed.partial_line && invocation.terminal.err_tty ? "\n" : "") + final_line(followed.run) +
              "\n");
  if (format == Format::json || format == Format::yaml) print_value(followed.run, format);
  if (format == Format::name) write_out("run/" + id + "\n");
  co_return code;
}

}  // namespace

void add_run(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("run", "Run a command once, the way a workload runs")->fallthrough();
  auto flags = std::make_shared<RunFlags>();
  add_request_flags(*command, flags->request);
  add_param_flag(*command, flags->request);
  command->add_flag("-d,--detach", flags->detach, "Return once the run is recorded; print its id");
  command->add_flag("--dry-run", flags->dry_run, "Show the Job and every change, create nothing");
  command->add_option("--idempotency-key", flags->idempotency_key,
                      "The same key is the same run, however often it is asked for");
  command->footer(
      "The words after `--` are the command; no shell reads them.\n\n"
      "  oddjob run deploy/payments -- node scripts/backfill.js --since 2026-01-01\n"
      "  oddjob run sts/db --container db --timeout 2h --reason 'ticket 42' -- ./vacuum\n"
      "  oddjob run template/backfill --param since=2026-01-01\n\n"
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
