// Live view of one run by server-sent events.
#include "api/answers.hpp"
#include "api/exchange.hpp"
#include "api/parameters.hpp"
#include "api/stream_events.hpp"
#include "net/sse.hpp"

namespace oddjob::api {
namespace {

constexpr std::size_t kPiece = 64U << 10U;
// Pieces of log between two looks at the run, so that a flood of output does
// not hide a change of state.
constexpr int kPiecesAtOnce = 64;
// How soon a wait sees that the client has gone: the engine's wait cannot be cut.
constexpr Duration kSlice = std::chrono::milliseconds(500);
// A run that has ended, but whose log could not be completed, lets its viewers
// go after this long without a byte.
constexpr auto kGrace = std::chrono::seconds(60);
constexpr std::int64_t kMaxOffset = std::int64_t{1} << 53;

// Counts the stream of one user while it lives.
class StreamSlot {
 public:
  static std::optional<StreamSlot> take(Services& s, const std::string& user) {
    auto& n = s.streams_by_user[user];
    if (n >= s.options.limits.max_streams_per_subject) return std::nullopt;
    ++n;
    s.metrics.stream_opened();
    return StreamSlot(s, user);
  }
  StreamSlot(StreamSlot&& o) noexcept
      : services_(std::exchange(o.services_, nullptr)), user_(std::move(o.user_)) {}
  StreamSlot& operator=(StreamSlot&&) = delete;
  ~StreamSlot() {
    if (services_ == nullptr) return;
    services_->metrics.stream_closed();
    const auto it = services_->streams_by_user.find(user_);
    if (it != services_->streams_by_user.end() && --it->second == 0) services_->streams_by_user.erase(it);
  }

 private:
  StreamSlot(Services& s, std::string user) : services_(&s), user_(std::move(user)) {}
  Services* services_;
  std::string user_;
};

Result<std::int64_t> start_offset(const net::ServerRequest& request) {
  // A client that reconnects repeats its URL: what it saw last counts more.
  if (const auto last = request.headers.get("Last-Event-ID"); !last.empty()) {
    auto n = parse_number(last, "Last-Event-ID", 0, kMaxOffset);
    if (!n) {
      return fail(Errc::invalid_argument, "api.bad_last_event_id",
                  "Last-Event-ID is not an offset of this stream");
    }
    return n;
  }
  return number(request.query, "offset", 0, 0, kMaxOffset);
}

// Where one viewer is.
struct View {
  std::int64_t offset = 0;
  std::string status;    // the last one sent, less the log's length
  bool drained = false;  // everything there was has been sent
  std::optional<std::chrono::steady_clock::time_point> last_byte;
};

// What of a run makes a new status event: all but the length of its log, which
// the log events tell.
std::string fingerprint(const Run& r) {
  auto o = to_json(r, false);
  o.erase("logBytes");
  return json::serialize(o);
}

net::Task<Result<>> send_log(Exchange& x, const Run& run, View& view, bool last) {
  view.drained = false;
  for (int i = 0; i < kPiecesAtOnce; ++i) {
    OJ_CO_TRY(const auto data, co_await x.services.engine.read_log(run.id, view.offset, kPiece));
    if (data.empty()) {
      view.drained = true;
      break;
    }
    // Only the very end of a complete log may cut a character.
    const auto piece = log_event(view.offset, data, last && data.size() < kPiece);
    if (piece.used == 0) {
      view.drained = true;
      break;
    }
    OJ_CO_CHECK(co_await x.out.write(piece.wire));
    view.offset += static_cast<std::int64_t>(piece.used);
    view.last_byte = std::chrono::steady_clock::now();
  }
  co_return Result<>();
}

// True when the run moved, or at the time for a comment; false when the client
// has gone.
net::Task<bool> wait(Exchange& x, const std::string& run_id, std::uint64_t seen,
                     const net::CancelToken& gone) {
  const auto until = std::chrono::steady_clock::now() + x.services.options.stream_keepalive;
  while (!gone.cancelled()) {
    const auto left = std::chrono::duration_cast<Duration>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      const std::string comment = net::sse_comment("still here");
      const auto written = co_await x.out.write(comment);
      co_return written.has_value();
    }
    if (co_await x.services.engine.wait_changed(run_id, seen, std::min(left, kSlice))) co_return true;
  }
  co_return false;
}

bool overdue(const Run& run, const View& view) {
  return run.finished && system_clock().now() - *run.finished > kGrace &&
         (!view.last_byte || std::chrono::steady_clock::now() - *view.last_byte > kGrace);
}

net::Task<Result<>> follow(Exchange& x, Run run, View view) {
  const net::CancelToken gone = x.out.gone();
  const std::string id = run.id;
  while (!gone.cancelled()) {
    // Taken before the run is read: a change in between is seen by the wait.
    const auto seen = x.services.engine.change_ticket(id);
    OJ_CO_TRY(run, co_await x.services.engine.get(x.caller, id));
    if (auto now = fingerprint(run); now != view.status) {
      const std::string wire = status_event(run);
      OJ_CO_CHECK(co_await x.out.write(wire));
      view.status = std::move(now);
    }
    const bool complete = is_final(run.state) && (run.log_complete || overdue(run, view));
    OJ_CO_CHECK(co_await send_log(x, run, view, complete));
    if (complete && view.drained) {
      const std::string wire = end_event(run);
      OJ_CO_CHECK(co_await x.out.write(wire));
      break;
    }
    if (view.drained && !co_await wait(x, id, seen, gone)) break;
  }
  co_return Result<>();
}

}  // namespace

net::Task<Answer> stream_run(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {"offset"}));
  View view;
  OJ_CO_TRY(view.offset, start_offset(x.request));
  OJ_CO_TRY(auto run, co_await x.services.engine.get(x.caller, x.parameter));
  // One that is not kept any more is said as an error that a client can show.
  if (is_final(run.state)) OJ_CO_CHECK(co_await x.services.engine.read_log(run.id, view.offset, 1));
  const auto slot = StreamSlot::take(x.services, x.caller.subject.user);
  if (!slot) {
    co_return fail(Errc::rate_limited, "api.too_many_streams",
                   "you have " + std::to_string(x.services.options.limits.max_streams_per_subject) +
                       " open streams already",
                   "close one, or wait for one to end");
  }
  net::Headers headers;
  headers.set("Content-Type", "text/event-stream");
  headers.set("X-Accel-Buffering", "no");
  add_security_headers(headers);
  x.status = 200;
  if (!co_await x.out.begin(200, std::move(headers))) co_return std::nullopt;
  const auto result = co_await follow(x, std::move(run), std::move(view));
  // An end without `end` tells the client to come back; a cut does too, and it
  // cannot be mistaken for the end of the run.
  if (!result) x.out.abort();
  co_return std::nullopt;
}

}  // namespace oddjob::api
