// oddjob logs RUN [-f]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "cli/follow.hpp"
#include "core/text.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

net::Task<Result<int>> print_archive(ApiClient& api, const Invocation& invocation, std::string id) {
  constexpr int kPiece = 4 << 20;
  std::int64_t offset = 0;
  std::string carry;
  for (;;) {
    auto target =
        fmt::format("/api/v1/runs/{}/log?offset={}&limit={}", net::percent_encode(id), offset, kPiece);
    auto answer = co_await api.fetch("GET", std::move(target));
    if (!answer) co_return fail(answer.error());
    if (answer->body.empty()) co_return 0;
    offset += static_cast<std::int64_t>(answer->body.size());
    const bool written =
        write_out(invocation.terminal.out_tty ? terminal_safe(answer->body, carry) : answer->body);
    if (!written) co_return 128 + SIGPIPE;
  }
}

net::Task<Result<int>> follow_log(net::Loop& loop, ApiClient& api, const Invocation& invocation,
                                  std::string id) {
  FollowOptions options;
  // In a pipe there is the log and nothing else.
  options.quiet = invocation.quiet || !invocation.terminal.live;
  options.may_cancel = false;
  Interrupts interrupts(loop);
  auto following = follow(loop, api, interrupts, invocation, std::move(id), options);
  OJ_CO_TRY(const auto followed, co_await std::move(following));
  co_return followed.ended ? 0 : 128 + followed.signal;
}

}  // namespace

void add_logs(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("logs", "Print a run's log, from its first byte")->fallthrough();
  auto id = std::make_shared<std::string>();
  auto following = std::make_shared<bool>(false);
  command->add_option("run", *id, "Run id, or its last 8 characters")->required();
  command->add_flag("-f,--follow", *following, "Go on until the run ends");
  command->footer(
      "  oddjob logs -f 5ahk2m7q\n\n"
      "Exit code: 0 once the whole log was printed, whatever the run's own code is (`oddjob show`).");
  command->callback([&invocation, id, following] {
    invocation.action = [id, following](Invocation& i) {
      return with_server(i, [&i, id, following](net::Loop& loop, ApiClient& api,
                                                const Settings& /*settings*/) {
        auto run = run_id_argument(*id);
        return *following ? follow_log(loop, api, i, std::move(run)) : print_archive(api, i, std::move(run));
      });
    };
  });
}

}  // namespace oddjob::cli
