#include "net/connection.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/text.hpp"

namespace oddjob::net {
namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t kFirstBuffer = 4096;
constexpr std::size_t kReadAhead = 64U << 10U;   // beyond the header limit, for bodies
constexpr std::size_t kWatchBound = 16U << 10U;  // of early requests, while one is answered
constexpr std::size_t kLingerBytes = 16U << 20U;
constexpr Duration kLinger = std::chrono::seconds(2);

// Beast's verdict on a request, as status and words.
std::pair<int, std::string> refusal(const error_code& error, const ServerOptions& options) {
  if (error == http::error::body_limit)
    return {413, fmt::format("the request's body is larger than {} bytes", options.max_body)};
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return {431, fmt::format("the request's header is larger than {} bytes", options.max_header)};
  if (error == http::error::bad_version) return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  return {400, "malformed HTTP request: " + error.message()};
}

// Path and query of origin-form ("/a?b") or absolute-form ("http://host/a?b").
Result<> set_target(ServerRequest& request) {
  if (request.target == "*" && request.method == "OPTIONS") {
    request.path = "*";
    return {};
  }
  OJ_TRY(const Url url, parse_url(request.target));
  OJ_TRY(request.path, percent_decode(url.path));
  if (request.path.find('\0') != std::string::npos)
    return fail(Errc::invalid_argument, "url.malformed", "malformed URL: the path holds a NUL");
  OJ_TRY(request.query, Query::parse(url.query));
  return {};
}

}  // namespace

std::string_view ServerCore::date() {
  const std::time_t now = std::time(nullptr);
  if (now != date_second_) {
    static constexpr std::string_view days = "SunMonTueWedThuFriSat",
                                      months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    std::tm t{};
    gmtime_r(&now, &t);
    date_ = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                        days.substr(static_cast<std::size_t>(t.tm_wday) * 3, 3), t.tm_mday,
                        months.substr(static_cast<std::size_t>(t.tm_mon) * 3, 3), t.tm_year + 1900, t.tm_hour,
                        t.tm_min, t.tm_sec);
    date_second_ = now;
  }
  return date_;
}

Connection::Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<Transport> transport,
                       std::string peer)
    : core_(std::move(core)),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      idle_since_(Clock::now()),
      clock_(core_->executor) {
  at_ = core_->connections.insert(core_->connections.end(), this);
}

Connection::~Connection() {
  core_->connections.erase(at_);
  core_->ended.notify_all();
}

// ---- deadlines and the end ------------------------------------------------------

void Connection::expire_in(Duration d) {
  deadline_ = Clock::now() + d;
  if (!closed_ && deadline_ < clock_.expiry()) tick();
}
void Connection::never_expire() { deadline_ = Clock::time_point::max(); }

// Looks as often as the shortest timeout is long: few deadlines are nearer than
// the next look, and so few have to move the timer.
void Connection::tick() {
  const auto& o = core_->options;
  const Duration every = std::max(std::min({o.header_timeout, o.body_timeout, o.write_timeout}), Duration(1));
  clock_.expires_at(std::min(Clock::now() + every, deadline_));
  clock_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->closed_) return;
    if (Clock::now() >= self->deadline_) {
      self->timed_out_ = true;
      self->cut(false);
    } else {
      self->tick();
    }
  });
}

void Connection::cut(bool reset) {
  if (closed_) return;
  closed_ = true;
  transport_->close(reset);
  clock_.cancel();
  set_gone();
}

void Connection::set_gone() {
  gone_now_ = true;
  if (gone_) gone_->cancel();
}

CancelToken Connection::gone() {
  if (!gone_) gone_.emplace();
  auto token = *gone_;
  if (gone_now_) {
    token.cancel();
  } else {
    watch_peer();
  }
  return token;
}

// ---- reading ---------------------------------------------------------------------

bool Connection::make_room() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ < buffer_.size()) return true;
  if (begin_ > 0) {
    std::move(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), buffer_.end(), buffer_.begin());
    end_ -= begin_;
    begin_ = 0;
    return true;
  }
  const std::size_t bound = core_->options.max_header + kReadAhead;
  if (buffer_.size() >= bound) return false;
  buffer_.resize(std::min(std::max(kFirstBuffer, buffer_.size() * 2), bound));
  return true;
}

Task<bool> Connection::fill() {
  if (watching_) {
    const auto before = end_;
    while (watching_) {
      const auto seen = watched_.ticket();
      if (watching_) co_await watched_.wait_beyond(seen, std::chrono::hours(24));
    }
    if (end_ > before) co_return true;
  }
  if (closed_ || read_error_ || !make_room()) co_return false;
  const auto space = asio::buffer(buffer_.data() + end_, buffer_.size() - end_);
  const auto [error, bytes] = co_await transport_->read(space);
  end_ += bytes;
  read_error_ = error;
  co_return !error;
}

// Reads on while a handler runs, only to learn when the peer closes. What comes
// instead of an end is the next request's: kept, up to a bound.
void Connection::watch_peer() {
  if (watching_ || closed_ || read_error_ || end_ - begin_ >= kWatchBound || !make_room()) return;
  watching_ = true;
  transport_->watch(asio::buffer(buffer_.data() + end_, buffer_.size() - end_),
                    WatchDone{shared_from_this()});
}

void WatchDone::operator()(const error_code& error, std::size_t bytes) const {
  connection->on_watched(error, bytes);
}

void Connection::on_watched(const error_code& error, std::size_t bytes) {
  watching_ = false;
  end_ += bytes;
  read_error_ = error;
  watched_.notify_all();
  if (error) {
    set_gone();
  } else if (gone_) {
    watch_peer();
  }
}

Task<bool> Connection::read_request(Parser& parser) {
  const auto& options = core_->options;
  parser.eager(true);
  parser.header_limit(static_cast<std::uint32_t>(options.max_header));
  parser.body_limit(options.max_body);
  bool started = false, header_seen = false;
  const auto start = [&] {
    started = true;
    idle_since_.reset();
    expire_in(options.header_timeout);
  };
  if (begin_ != end_) start();
  for (;;) {
    if (begin_ != end_) {
      error_code error;
      begin_ += parser.put(asio::buffer(buffer_.data() + begin_, end_ - begin_), error);
      if (error && error != http::error::need_more) {
        auto [status, message] = refusal(error, options);
        co_await refuse(status, std::move(message));
        co_return false;
      }
      if (parser.is_done()) co_return true;
      if (parser.is_header_done() && !header_seen) {
        header_seen = true;
        expire_in(options.body_timeout);
        if (begin_ == end_ && parser.get().version() >= 11 &&
            ascii_lower(parser.get()[http::field::expect]) == "100-continue") {
          const auto told = co_await put("HTTP/1.1 100 Continue\r\n\r\n", {});
          if (!told) co_return false;
          expire_in(options.body_timeout);
        }
      }
    }
    const bool came = co_await fill();
    if (!came) {
      const bool full = !closed_ && !read_error_;
      if (full)
        co_await refuse(431, fmt::format("the request's header is larger than {} bytes", options.max_header));
      co_return false;
    }
    if (!started) start();
  }
}

// ---- exchanges ---------------------------------------------------------------------

Task<> Connection::run(std::shared_ptr<Connection> self) {
  try {
    co_await self->serve();
  } catch (const std::exception& e) {
    spdlog::error("a connection from {} ended by an exception: {}", self->peer_, e.what());
  }
  self->cut(false);
}

Task<> Connection::serve() {
  deadline_ = Clock::now() + core_->options.header_timeout;
  tick();
  const error_code refused = co_await transport_->handshake();
  if (refused) {
    spdlog::debug("{}: no TLS handshake: {}", peer_, refused.message());
    co_return;
  }
  client_cert_ = transport_->client_certificate(core_->options.ask_client_cert);
  expire_in(core_->options.header_timeout);
  for (;;) {
    const bool next = co_await one_exchange();
    if (!next || closed_ || core_->stopping) break;
    idle_since_ = Clock::now();
    expire_in(core_->options.header_timeout * 4);
  }
  if (closed_) co_return;
  expire_in(kLinger);
  co_await transport_->say_goodbye();
}

Task<bool> Connection::one_exchange() {
  gone_.reset();
  gone_now_ = false;
  Parser parser;
  const bool read = co_await read_request(parser);
  never_expire();
  if (!read) co_return false;
  co_return co_await answer(parser);
}

Task<bool> Connection::answer(Parser& parser) {
  auto& message = parser.get();
  ResponseWriter::Impl writer(*this);
  writer.head_only = message.method() == http::verb::head;
  writer.old_http = message.version() < 11;
  writer.keep_alive = message.keep_alive() && !core_->stopping;

  ServerRequest request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.peer = peer_;
  (core_->options.ask_client_cert ? request.unverified_client_chain_pem : request.client_cert_pem) =
      client_cert_;
  for (const auto& field : message)
    request.headers.add(std::string(field.name_string()), std::string(field.value()));
  request.body = std::move(message.body());
  if (!writer.old_http && !request.headers.has("Host")) {
    co_await refuse(400, "the request has no Host header");
    co_return false;
  }
  if (const auto good = set_target(request); !good) {
    co_await refuse(400, good.error().message);
    co_return false;
  }
  co_await call_handler(request, writer);
  gone_.reset();  // what hangs on the token is the handler's, and that has returned
  if (closed_ || writer.aborted) {
    cut(true);
    co_return false;
  }
  const auto finished = co_await writer.finish();
  co_return finished.has_value() && writer.keep_alive;
}

// After it either an answer was begun or the exchange is aborted.
Task<> Connection::call_handler(const ServerRequest& request, ResponseWriter::Impl& writer) {
  bool failed = true;
  try {
    ResponseWriter front(writer);
    co_await core_->handler(request, front);
    failed = false;
  } catch (const std::exception& e) {
    spdlog::error("{} {}: the handler ended by an exception: {}", printable(request.method, 20),
                  printable(request.path, 200), e.what());
  } catch (...) {
    spdlog::error("{} {}: the handler ended by an unknown exception", printable(request.method, 20),
                  printable(request.path, 200));
  }
  if (writer.begun) {
    // A cut connection tells the client that this is not the whole answer.
    if (failed) writer.aborted = true;
    co_return;
  }
  if (writer.aborted || closed_) co_return;
  if (!failed && read_error_) {
    writer.aborted = true;  // the client left, and the handler with it
    co_return;
  }
  if (!failed && core_->stopping) {
    auto farewell = core_->on_error(503, "the server is shutting down");
    co_await writer.send(std::move(farewell));
    co_return;
  }
  if (!failed)
    spdlog::error("{} {}: the handler gave no answer", printable(request.method, 20),
                  printable(request.path, 200));
  auto response = core_->on_error(500, "internal error");
  co_await writer.send(std::move(response));
}

// Answers what was no proper request, and lets the peer read that answer.
Task<> Connection::refuse(int status, std::string message) {
  ResponseWriter::Impl writer(*this);
  writer.keep_alive = false;
  auto response = core_->on_error(status, message);
  const auto sent = co_await writer.send(std::move(response));
  if (!sent) co_return;
  // A close with bytes unread would reset the connection, and lose the answer.
  error_code error;
  auto& socket = transport_->socket();
  socket.shutdown(asio::socket_base::shutdown_send, error);
  expire_in(kLinger);
  std::vector<char> sink(16U << 10U);
  for (std::size_t total = 0; !error && total < kLingerBytes && !watching_;) {
    const auto space = asio::buffer(sink);
    const auto [read_error, bytes] =
        co_await socket.async_read_some(space, asio::as_tuple(asio::use_awaitable));
    error = read_error;
    total += bytes;
  }
  cut(false);
}

}  // namespace oddjob::net
