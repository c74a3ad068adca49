// oddjob logs RUN [-f]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "cli/follow.hpp"
#include "core/text.hpp"

namespace oddjob::cli {
namespace {

net::Task<Result<int>> print_archive(ApiClient& api, const Invocation& invocation, std::string id) {
  constexpr int kPiece = 4 << 20;
  std::int64_t offset = 0;
  std::string carry;
  for (;;) {
    auto answer =
        co_await api.fetch("GET", fmt::format("/api/v1/runs/{}/log?offset={}&limit={}", id, offset, kPiece));
    if (!answer) co_return fail(answer.error());
    if (answer->body.empty()) co_return 0;
    offset += static_cast<std::int64_t>(answer->body.size());
    if (!write_out(invocation.terminal.out_tty ? terminal_safe(answer->body, carry) : answer->body))
      co_return 128 + SIGPIPE;
  }
}

}  // namespace

void add_logs(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("logs", "Print a run's log, from its first byte")->fallthrough();
  auto id = std::make_shared<std::string>();
  auto following = std::make_shared<bool>(false);
  command->add_option("run", *id, "Run id, or its last 8 characters")->required();
  command->add_flag("-f,--follow", *following, "Go on until the run ends");
  command->callback([&invocation, id, following] {
    invocation.action = [id, following](Invocation& i) {
      return with_server(i,
                         [&i, id, following](net::Loop& loop, ApiClient& api,
                                             const Settings& /*settings*/) -> net::Task<Result<int>> {
                           const std::string run = run_id_argument(*id);
                           if (!*following) return print_archive(api, i, run);
                           struct Following {
                             static net::Task<Result<int>> go(net::Loop& l, ApiClient& a,
                                                              const Invocation& inv, std::string r) {
                               FollowOptions options;
                               options.quiet = true;
                               options.may_cancel = false;
                               OJ_CO_TRY(const auto followed,
                                         co_await follow(l, a, inv, std::move(r), options));
                               co_return followed.ended ? 0 : 128 + followed.signal;
                             }
                           };
                           return Following::go(loop, api, i, run);
                         });
    };
  });
}

}  // namespace oddjob::cli
