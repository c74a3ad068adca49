#include "cli/follow.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>

#include "cli/outcome.hpp"
#include "core/text.hpp"
#include "core/words.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

constexpr Duration kIdle = std::chrono::seconds(60);  // the server says something every 15 s
constexpr Duration kFirstPause = std::chrono::milliseconds(200), kLastPause = std::chrono::seconds(5);
constexpr Duration kFrame = std::chrono::milliseconds(100);
constexpr Duration kPatience = std::chrono::minutes(1);  // for an answer after Ctrl-C
constexpr std::size_t kMaxEvent = 4U << 20U;

// Shared by the coroutines of one follow(), which may outlive it by a moment.
struct Session {
  const Terminal terminal;
  const FollowOptions options;
  const std::string id;
  StatusLine line;
  StreamState stream{};
  json::value run;
  std::string told, told_state, carry;
  bool partial_line = false;  // on the terminal, the log stands within a line
  std::uint64_t heard = 0;    // events so far: a server that speaks is there
  bool done = false;

  Session(const Terminal& t, const FollowOptions& o, std::string run_id)
      : terminal(t), options(o), id(std::move(run_id)), line(t) {}

  [[nodiscard]] std::string path(std::string_view rest) const {
    return fmt::format("/api/v1/runs/{}{}", net::percent_encode(id), rest);
  }

  bool write_log(const std::string& bytes) {
    line.clear();
    const bool tty = options.log_to_stderr ? terminal.err_tty : terminal.out_tty;
    const auto text = tty ? terminal_safe(bytes, carry) : bytes;
    if (tty && !text.empty()) partial_line = text.back() != '\n';
    return options.log_to_stderr ? write_err(text) : write_out(text);
  }

  // What we say begins on a line of its own.
  void fresh_line() {
    line.clear();
    if (partial_line && terminal.err_tty) write_err("\n");
    partial_line = false;
  }

  void say(const std::string& text) {
    if (options.quiet) return;
    fresh_line();
    write_err(text + "\n");
  }

  void show() {
    if (options.quiet || run.is_null()) return;
    const std::string state(get_string(run, {"state"}));
    if (const auto known = parse_run_state(state); known && is_final(*known))
      return;  // the last line says it
    const auto text = progress_line(run);
    if (terminal.live) {
      // A running command speaks for itself.
      if (stream.offset() > 0 && get_string(run, {"state"}) == "running" && terminal.out_tty) {
        line.clear();
      } else {
        if (!line.shown()) fresh_line();
        line.show(text);
      }
    } else if (text != told && (state != told_state || !get_string(run, {"progress"}).empty())) {
      say(text);
    }
    told = text;
    told_state = state;
  }
};
using Shared = std::shared_ptr<Session>;

net::Task<> spin(Shared s) {
  while (!s->done) {
    co_await net::sleep_for(kFrame);
    if (!s->done) s->line.tick();
  }
}

// d, c or g; 'd' where nobody answers, or presses Ctrl-C again.
char ask() {
  write_err("\nDetach and leave it running (d, default), cancel the run (c), or go on (g)? ");
  pollfd p{STDIN_FILENO, POLLIN, 0};
  if (::poll(&p, 1, static_cast<int>(kPatience.count())) <= 0) {
    write_err("\n");
    return 'd';
  }
  char buffer[64];
  const auto n = ::read(STDIN_FILENO, buffer, sizeof buffer);
  const std::string answer =
      ascii_lower(trim(std::string_view(buffer, n > 0 ? static_cast<std::size_t>(n) : 0)));
  return answer.empty() ? 'd' : answer[0] == 'c' || answer[0] == 'g' ? answer[0] : 'd';
}

net::Task<> cancel_run(ApiClient& api, Shared s) {
  const json::value nothing = json::object();
  auto cancelled = co_await api.call("POST", s->path("/cancel"), nothing);
  if (s->done) co_return;
  s->say(cancelled ? "cancelling…" : "could not cancel: " + printable(cancelled.error().message, 500));
}

struct Round {
  bool done = false;
  // True: the run's end came. False: the stream ended without it.
  Result<bool> outcome = false;
};

// One connection. What goes to a reader that is gone (EPIPE) ends it like a signal.
net::Task<Result<bool>> read_stream(ApiClient& api, Shared s, Interrupts& interrupts) {
  net::Headers headers;
  headers.add("Accept", "text/event-stream");
  if (s->stream.offset() > 0) headers.add("Last-Event-ID", std::to_string(s->stream.offset()));
  OJ_CO_TRY(auto stream, co_await api.open(s->path("/stream"), std::move(headers), kIdle));
  net::SseParser parser(kMaxEvent);
  for (;;) {
    auto bytes = co_await stream.read();
    if (s->done) co_return false;
    if (!bytes) co_return fail(bytes.error());
    if (bytes->empty()) co_return false;
    OJ_CO_TRY(const auto events, parser.feed(*bytes));
    for (const auto& event : events) {
      ++s->heard;
      OJ_CO_TRY(const auto update, s->stream.apply(event));
      if (!update.log.empty() && !s->write_log(update.log)) {
        interrupts.raise(SIGPIPE);
        co_return false;
      }
      if (update.status) {
        s->run = *update.status;
        if (!update.ended) s->show();
      }
      if (update.ended) co_return true;
    }
  }
}

net::Task<> one_round(ApiClient& api, Shared s, Interrupts& interrupts, std::shared_ptr<Round> round) {
  round->outcome = co_await read_stream(api, s, interrupts);
  round->done = true;
  if (!s->done) interrupts.wake();
}

// What a signal means: true if we stay.
bool stays(net::Loop& loop, ApiClient& api, const Shared& s, int signal) {
  if (signal != SIGINT || !s->options.may_cancel || !s->terminal.in_tty || !s->terminal.err_tty) return false;
  s->line.clear();
  const char answer = ask();
  if (answer == 'c') loop.spawn("cancel", cancel_run(api, s));
  return answer != 'd';
}

}  // namespace

net::Task<Result<Followed>> follow(net::Loop& loop, ApiClient& api, Interrupts& interrupts,
                                   const Invocation& invocation, std::string run_id, FollowOptions options) {
  const auto s = std::make_shared<Session>(invocation.terminal, options, std::move(run_id));
  if (s->terminal.live && !options.quiet) loop.spawn("status line", spin(s));
  struct Finished {
    Session& session;
    ~Finished() {
      session.done = true;
      session.line.clear();
    }
  } finished{*s};
  const auto result = [&](bool ended, int signal) {
    return Followed{s->run, ended, signal, s->partial_line};
  };

  auto pause = kFirstPause;
  auto last_word = std::chrono::steady_clock::now();
  bool complained = false;
  for (;;) {
    const auto before = s->heard;
    const auto began = std::chrono::steady_clock::now();
    const auto round = std::make_shared<Round>();
    loop.spawn("stream", one_round(api, s, interrupts, round));
    while (!round->done) {
      co_await interrupts.wait(std::chrono::hours(1));
      if (const int signal = interrupts.take(); signal != 0 && !stays(loop, api, s, signal))
        co_return result(false, signal);
    }
    const auto& outcome = round->outcome;
    if (outcome && *outcome) co_return result(true, 0);
    static const Error silent{
        Errc::unavailable, "cli.no_stream", "the server ended the stream at once", {}, 0};
    const auto& e = outcome ? silent : outcome.error();
    const auto hint = fmt::format("the run goes on without us; `oddjob logs -f {}` reattaches", s->id);
    // The server's own words (not found, forbidden) are final; a lost connection is not.
    if (!passing(e)) co_return fail(e.hint.empty() && !s->run.is_null() ? Error(e).with_hint(hint) : e);
    const auto now = std::chrono::steady_clock::now();
    if (s->heard != before) {
      last_word = now;
      complained = false;
    } else if (now - last_word >= options.give_up) {
      co_return fail(Error(e)
                         .with_context(fmt::format("no server for {}", human_duration(options.give_up)))
                         .with_hint(hint));
    } else if (!complained) {
      s->say(fmt::format("lost the server ({}); reconnecting…", printable(e.message, 200)));
      complained = true;
    }
    if (now - began > kLastPause) pause = kFirstPause;
    const auto until = now + pause;
    while (std::chrono::steady_clock::now() < until) {
      const auto left = std::chrono::ceil<Duration>(until - std::chrono::steady_clock::now());
      co_await interrupts.wait(left);
      if (const int signal = interrupts.take(); signal != 0 && !stays(loop, api, s, signal))
        co_return result(false, signal);
    }
    pause = std::min(pause * 2, kLastPause);
  }
}

}  // namespace oddjob::cli
