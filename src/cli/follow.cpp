#include "cli/follow.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <charconv>
#include <csignal>

#include "cli/outcome.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::cli {
namespace {

constexpr Duration kIdle = std::chrono::seconds(60);  // the server says something every 15 s
constexpr Duration kGiveUp = std::chrono::minutes(5);
constexpr Duration kFirstPause = std::chrono::milliseconds(200), kLastPause = std::chrono::seconds(5);
constexpr Duration kFrame = std::chrono::milliseconds(100);
constexpr std::size_t kMaxEvent = 4U << 20U;

// Shared by the coroutines of one follow().
struct Session {
  const Invocation& invocation;
  FollowOptions options;
  std::string id;
  StatusLine line;
  StreamState stream{};
  json::value run;
  std::string told, carry;
  net::HttpStream* open = nullptr;
  int signal = 0;
  bool done = false;
  explicit Session(const Invocation& i) : invocation(i), line(i.terminal) {}

  bool write_log(const std::string& bytes) {
    if (options.log_to_stderr) return write_err(bytes);
    line.clear();
    if (invocation.terminal.out_tty) return write_out(terminal_safe(bytes, carry));
    return write_out(bytes);
  }

  void say(const std::string& text) {
    if (options.quiet) return;
    line.clear();
    write_err(text + "\n");
  }

  void show() {
    if (options.quiet || run.is_null()) return;
    const auto text = progress_line(run);
    if (invocation.terminal.live) {
      // A running command speaks for itself.
      if (get_string(run, {"state"}) == "running" && stream.offset() > 0 && invocation.terminal.out_tty)
        line.clear();
      else
        line.show(text);
    } else if (text != told) {
      write_err(text + "\n");
    }
    told = text;
  }
};

net::Task<> spin(std::shared_ptr<Session> s) {
  while (!s->done) {
    co_await net::sleep_for(kFrame);
    if (!s->done) s->line.tick();
  }
}

net::Task<> watch_signals(std::shared_ptr<Session> s) {
  const std::vector<int> wanted = {SIGINT, SIGTERM};
  while (!s->done) {
    const int number = co_await net::wait_signal(wanted);
    if (s->done || number == 0) co_return;
    s->signal = number;
    if (s->open != nullptr) s->open->cancel();
  }
}

// d, c or g; 'd' where nobody answers for a minute, or presses Ctrl-C again.
char ask() {
  write_err("\nDetach and leave it running [d], cancel the run [c], or go on [g]? (d) ");
  pollfd p{STDIN_FILENO, POLLIN, 0};
  if (::poll(&p, 1, 60000) <= 0) return 'd';
  char buffer[64];
  const auto n = ::read(STDIN_FILENO, buffer, sizeof buffer);
  const std::string answer =
      ascii_lower(trim(std::string_view(buffer, n > 0 ? static_cast<std::size_t>(n) : 0)));
  return answer.empty() ? 'd' : answer[0] == 'c' || answer[0] == 'g' ? answer[0] : 'd';
}

// One connection: until its end, an error, or a signal.
net::Task<Result<bool>> read_stream(ApiClient& api, std::shared_ptr<Session> s) {
  net::Headers headers;
  headers.add("Accept", "text/event-stream");
  if (s->stream.offset() > 0) headers.add("Last-Event-ID", std::to_string(s->stream.offset()));
  OJ_CO_TRY(auto stream, co_await api.open("/api/v1/runs/" + s->id + "/stream", std::move(headers), kIdle));
  s->open = &stream;
  struct Closed {
    Session& session;
    ~Closed() { session.open = nullptr; }
  } closed{*s};
  net::SseParser parser(kMaxEvent);
  for (;;) {
    if (s->signal != 0) co_return false;
    auto bytes = co_await stream.read();
    if (!bytes) co_return fail(bytes.error());
    if (bytes->empty()) co_return false;
    OJ_CO_TRY(const auto events, parser.feed(*bytes));
    for (const auto& event : events) {
      OJ_CO_TRY(const auto update, s->stream.apply(event));
      if (update.status) {
        s->run = *update.status;
        s->show();
      }
      if (!update.log.empty() && !s->write_log(update.log)) {
        s->signal = SIGPIPE;
        co_return false;
      }
      if (update.ended) co_return true;
    }
  }
}

}  // namespace

Result<StreamState::Update> StreamState::apply(const net::SseEvent& event) {
  Update out;
  const auto bad = [](std::string_view what) {
    return fail(Errc::internal, "cli.bad_stream", fmt::format("the server's stream: {}", what));
  };
  if (event.event == "status" || event.event == "end") {
    OJ_TRY(auto run, parse_json(event.data, "the server's stream"));
    out.status = std::move(run);
    out.ended = event.event == "end";
  } else if (event.event == "log") {
    OJ_TRY(const auto log, parse_json(event.data, "the server's stream"));
    const auto at = get_int(log, {"offset"});
    std::string bytes(get_string(log, {"data"}));
    if (get_string(log, {"encoding"}) == "base64") {
      OJ_TRY(bytes, base64_decode(bytes));
    }
    std::int64_t end = 0;
    const auto [last, ec] = std::from_chars(event.id.data(), event.id.data() + event.id.size(), end);
    if (!at || ec != std::errc{}) return bad("a log event without offsets");
    // `offset` is where the data begins; what we have already is passed over.
    const std::int64_t begin = end - static_cast<std::int64_t>(bytes.size());
    if (begin > offset_) return bad(fmt::format("log bytes {} to {} are missing", offset_, begin));
    if (end <= offset_) return out;
    out.log = bytes.substr(static_cast<std::size_t>(offset_ - begin));
    offset_ = end;
  }
  return out;
}

net::Task<Result<Followed>> follow(net::Loop& loop, ApiClient& api, const Invocation& invocation,
                                   std::string run_id, FollowOptions options) {
  const auto s = std::make_shared<Session>(invocation);
  s->options = options;
  s->id = std::move(run_id);
  loop.spawn("signals", watch_signals(s));
  if (invocation.terminal.live && !options.quiet) loop.spawn("status line", spin(s));
  struct Finished {
    Session& session;
    ~Finished() {
      session.done = true;
      session.line.clear();
    }
  } finished{*s};
  auto pause = kFirstPause;
  auto last_word = std::chrono::steady_clock::now();
  bool complained = false;
  for (;;) {
    const auto before = s->stream.offset();
    auto ended = co_await read_stream(api, s);
    if (ended && *ended) co_return Followed{s->run, true, 0};
    if (s->signal == SIGINT && options.may_cancel && invocation.terminal.in_tty &&
        invocation.terminal.err_tty) {
      s->line.clear();
      const char answer = ask();
      s->signal = 0;
      if (answer == 'd') co_return Followed{s->run, false, SIGINT};
      if (answer == 'c') {
        const json::value nothing = json::object();
        auto cancelled = co_await api.call("POST", "/api/v1/runs/" + s->id + "/cancel", nothing);
        if (!cancelled)
          s->say("could not cancel: " + cancelled.error().message);
        else
          s->say("cancelling…");
      }
      continue;
    }
    if (s->signal != 0) co_return Followed{s->run, false, s->signal};
    const auto now = std::chrono::steady_clock::now();
    if (ended || s->stream.offset() != before) {
      last_word = now;
      pause = kFirstPause;
      complained = false;
    } else {
      const auto& e = ended.error();
      // The server's own words (not found, forbidden) are final; a lost connection is not.
      const bool transport =
          e.code.starts_with("http.") || e.kind == Errc::unavailable || e.kind == Errc::rate_limited;
      if (!transport) co_return fail(e);
      if (now - last_word > kGiveUp)
        co_return fail(
            Error(e)
                .with_context("no server for 5 minutes")
                .with_hint(fmt::format("the run goes on without us; `oddjob logs -f {}` reattaches", s->id)));
      if (!complained) s->say(fmt::format("lost the server ({}); reconnecting…", printable(e.message, 200)));
      complained = true;
    }
    co_await net::sleep_for(pause);
    pause = std::min(pause * 2, kLastPause);
  }
}

}  // namespace oddjob::cli
