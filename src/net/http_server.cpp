#include "net/http_server.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/pem.h>
#include <poll.h>
#include <spdlog/spdlog.h>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <filesystem>
#include <list>
#include <optional>
#include <variant>

#include "core/text.hpp"
#include "net/connection.hpp"

namespace oddjob::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr Duration kLinger = std::chrono::seconds(2);
constexpr Duration kPeerPoll = std::chrono::milliseconds(250);

std::string peer_certificate(const SSL* ssl) {
  X509* certificate = SSL_get1_peer_certificate(ssl);
  if (certificate == nullptr) return {};
  std::string out;
  if (BIO* memory = BIO_new(BIO_s_mem()); memory != nullptr) {
    if (PEM_write_bio_X509(memory, certificate) == 1) {
      char* data = nullptr;
      const long size = BIO_get_mem_data(memory, &data);
      out.assign(data, static_cast<std::size_t>(size));
    }
    BIO_free(memory);
  }
  X509_free(certificate);
  return out;
}

int choose_http11(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                  unsigned in_length, void* /*arg*/) {
  static constexpr unsigned char kProtocols[] = "\x08http/1.1";
  if (SSL_select_next_proto(const_cast<unsigned char**>(out), out_length, kProtocols, sizeof kProtocols - 1, in, in_length) ==
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_OK;
  return SSL_TLSEXT_ERR_NOACK;
}

template <class Endpoint>
std::string peer_name(const Endpoint& endpoint) {
  if constexpr (std::is_same_v<Endpoint, asio::ip::tcp::endpoint>) {
    const auto address = endpoint.address();
    return address.is_v6() ? fmt::format("[{}]:{}", address.to_string(), endpoint.port())
                           : fmt::format("{}:{}", address.to_string(), endpoint.port());
  } else {
    return "unix";
  }
}

ServerResponse plain_error(int status, std::string_view message) {
  ServerResponse r;
  r.status = status;
  r.headers.add("Content-Type", "text/plain; charset=utf-8");
  r.body = std::string(message) + "\n";
  return r;
}

}  // namespace

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  asio::any_io_executor executor;
  ServerOptions options;
  Handler handler;
  std::function<ServerResponse(int, std::string_view)> on_error;
  std::optional<asio::ssl::context> tls;
  std::variant<std::monostate, asio::ip::tcp::acceptor, asio::local::stream_protocol::acceptor> acceptor;
  int port = 0;
  bool stopping = false;
  Notifier ended;

  // What shutdown must reach of a connection.
  struct Session {
    CancelToken gone;
    std::function<void()> close;
    bool idle = true;
  };
  std::list<std::shared_ptr<Session>> sessions;

  Impl(Loop& loop, ServerOptions o, Handler h, std::function<ServerResponse(int, std::string_view)> e)
      : executor(loop.executor()), options(std::move(o)), handler(std::move(h)), on_error(e ? std::move(e) : plain_error) {}

  Result<> set_up_tls() {
    if (options.cert_pem.empty()) return {};
    tls.emplace(asio::ssl::context::tls_server);
    error_code e;
    const auto failed = [&](std::string_view what) {
      return fail(Errc::invalid_argument, "server.tls", fmt::format("{}: {}", what, e.message()));
    };
    tls->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 |
                         asio::ssl::context::single_dh_use,
                     e);
    tls->use_certificate_chain(asio::buffer(options.cert_pem), e);
    if (e) return failed("the certificate can't be used");
    tls->use_private_key(asio::buffer(options.key_pem), asio::ssl::context::pem, e);
    if (e) return failed("the private key can't be used");
    if (SSL_CTX_check_private_key(tls->native_handle()) != 1)
      return fail(Errc::invalid_argument, "server.tls", "the private key is not that of the certificate");
    if (!options.client_ca_pem.empty()) {
      tls->add_certificate_authority(asio::buffer(options.client_ca_pem), e);
      if (e) return failed("the CA for client certificates can't be used");
      tls->set_verify_mode(asio::ssl::verify_peer, e);
    }
    SSL_CTX_set_alpn_select_cb(tls->native_handle(), choose_http11, nullptr);
    return {};
  }

  template <class Acceptor, class Endpoint>
  Result<> bind(const Endpoint& endpoint, std::string_view name) {
    error_code e;
    Acceptor a(executor);
    a.open(endpoint.protocol(), e);
    if constexpr (std::is_same_v<Acceptor, asio::ip::tcp::acceptor>)
      if (!e) a.set_option(asio::socket_base::reuse_address(true), e);
    if (!e) a.bind(endpoint, e);
    if (!e) a.listen(asio::socket_base::max_listen_connections, e);
    if (e) return fail(Errc::unavailable, "server.bind", fmt::format("cannot listen on {}: {}", name, e.message()));
    if constexpr (std::is_same_v<Acceptor, asio::ip::tcp::acceptor>) port = a.local_endpoint().port();
    acceptor = std::move(a);
    return {};
  }

  Result<> start() {
    OJ_CHECK(set_up_tls());
    if (options.address.starts_with("unix:")) {
      const std::string path = options.address.substr(5);
      std::error_code ignored;
      // Left behind by a process that was killed. Anything else stays.
      if (std::filesystem::is_socket(path, ignored)) std::filesystem::remove(path, ignored);
      if (path.size() > 100) return fail(Errc::invalid_argument, "server.bind", fmt::format("{}: too long for a socket's path", path));
      OJ_CHECK(bind<asio::local::stream_protocol::acceptor>(asio::local::stream_protocol::endpoint(path), path));
    } else {
      error_code e;
      const auto address = asio::ip::make_address(options.address, e);
      if (e) return fail(Errc::invalid_argument, "server.bind", fmt::format("'{}' is not an IP address", printable(options.address, 100)));
      OJ_CHECK(bind<asio::ip::tcp::acceptor>(asio::ip::tcp::endpoint(address, static_cast<std::uint16_t>(options.port)),
                                             fmt::format("{}:{}", options.address, options.port)));
    }
    asio::co_spawn(executor, accept_loop(shared_from_this()), asio::detached);
    return {};
  }

  void stop_accepting() {
    stopping = true;
    error_code ignored;
    if (auto* a = std::get_if<asio::ip::tcp::acceptor>(&acceptor)) a->close(ignored);
    if (auto* a = std::get_if<asio::local::stream_protocol::acceptor>(&acceptor)) a->close(ignored);
  }

  static Task<> accept_loop(std::shared_ptr<Impl> self) {
    if (std::holds_alternative<asio::ip::tcp::acceptor>(self->acceptor)) {
      co_await accept_from(self, std::get<asio::ip::tcp::acceptor>(self->acceptor));
    } else {
      co_await accept_from(self, std::get<asio::local::stream_protocol::acceptor>(self->acceptor));
    }
  }

  template <class Acceptor>
  static Task<> accept_from(std::shared_ptr<Impl> self, Acceptor& a) {
    using Protocol = typename Acceptor::protocol_type;
    using Stream = beast::basic_stream<Protocol, asio::any_io_executor>;
    while (!self->stopping) {
      auto [error, socket] = co_await a.async_accept(kTuple);
      if (error) {
        if (self->stopping || error == asio::error::operation_aborted) co_return;
        spdlog::warn("a connection was not accepted: {}", error.message());
        co_await sleep_for(std::chrono::milliseconds(100));   // out of descriptors, most likely
        continue;
      }
      if (self->sessions.size() >= self->options.max_connections) {
        error_code ignored;
        socket.close(ignored);
        continue;
      }
      if constexpr (std::is_same_v<Protocol, asio::ip::tcp>) {
        error_code ignored;
        socket.set_option(asio::ip::tcp::no_delay(true), ignored);
      }
      Stream stream(std::move(socket));
      if (self->tls) {
        asio::co_spawn(self->executor, tls_session<Stream>(self, std::move(stream)), asio::detached);
      } else {
        asio::co_spawn(self->executor, plain_session<Stream>(self, std::move(stream)), asio::detached);
      }
    }
  }

  template <class Stream>
  static Task<> plain_session(std::shared_ptr<Impl> self, Stream stream) {
    co_await serve(self, stream, stream, std::string{});
    error_code ignored;
    stream.socket().close(ignored);
  }

  template <class Stream>
  static Task<> tls_session(std::shared_ptr<Impl> self, Stream lower) {
    beast::ssl_stream<Stream> stream(std::move(lower), *self->tls);
    beast::get_lowest_layer(stream).expires_after(self->options.header_timeout);
    const auto [error] = co_await stream.async_handshake(asio::ssl::stream_base::server, kTuple);
    if (error) co_return;
    co_await serve(self, stream, beast::get_lowest_layer(stream), peer_certificate(stream.native_handle()));
    // A clean end tells the peer that nothing was cut off.
    if (beast::get_lowest_layer(stream).socket().is_open()) {
      beast::get_lowest_layer(stream).expires_after(kLinger);
      co_await stream.async_shutdown(kTuple);
      error_code ignored;
      beast::get_lowest_layer(stream).socket().close(ignored);
    }
  }

  // Notices a peer that closes while a handler waits for something else.
  // Request bytes that come early stay in the socket.
  template <class Lower>
  static Task<> watch_peer(std::shared_ptr<Session> session, Lower& lower, std::shared_ptr<bool> busy) {
    while (*busy && !session->gone.cancelled()) {
      const auto [error] = co_await lower.socket().async_wait(asio::socket_base::wait_read, kTuple);
      if (!*busy) co_return;
      if (error) {
        session->gone.cancel();
        co_return;
      }
      pollfd p{lower.socket().native_handle(), POLLRDHUP, 0};
      if (::poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
        session->gone.cancel();
        co_return;
      }
      co_await sleep_for(kPeerPoll);
    }
  }

  template <class Stream, class Lower>
  static Task<> serve(std::shared_ptr<Impl> self, Stream& stream, Lower& lower, std::string client_certificate) {
    const auto session = std::make_shared<Session>();
    session->close = [&lower] {
      error_code ignored;
      lower.socket().close(ignored);
    };
    struct Registered {
      Impl& impl;
      std::list<std::shared_ptr<Session>>::iterator at;
      ~Registered() {
        (*at)->close = [] {};
        impl.sessions.erase(at);
        impl.ended.notify_all();
      }
    } registered{*self, self->sessions.insert(self->sessions.end(), session)};
    error_code endpoint_error;
    const auto endpoint = lower.socket().remote_endpoint(endpoint_error);
    const std::string peer = endpoint_error ? "?" : peer_name(endpoint);
    beast::flat_buffer buffer(self->options.max_header + 65536);
    bool first = true;
    while (!self->stopping) {
      http::request_parser<http::string_body> parser;
      parser.header_limit(static_cast<std::uint32_t>(self->options.max_header));
      parser.body_limit(self->options.max_body);
      session->idle = true;
      lower.expires_after(first ? self->options.header_timeout : self->options.header_timeout * 4);
      first = false;
      auto [error, n] = co_await http::async_read_header(stream, buffer, parser, kTuple);
      session->idle = false;
      if (!error && !parser.is_done()) {
        if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
          static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
          co_await asio::async_write(stream, asio::buffer(kContinue.data(), kContinue.size()), kTuple);
        }
        lower.expires_after(self->options.body_timeout);
        std::tie(error, n) = co_await http::async_read(stream, buffer, parser, kTuple);
      }
      Connection<Stream, Lower> connection(stream, lower, self->options.write_timeout);
      connection.gone = session->gone;
      if (error) {
        co_await refuse(*self, connection, stream, lower, error);
        co_return;
      }
      auto message = parser.release();
      connection.head_only = message.method() == http::verb::head;
      connection.old_http = message.version() < 11;
      connection.keep_alive = message.keep_alive() && !self->stopping;
      if (!co_await exchange(self, session, connection, lower, message, peer, client_certificate)) co_return;
      if (!connection.keep_alive || connection.aborted || session->gone.cancelled()) break;
    }
  }

  // Answers what was no proper request, and lets the peer read that answer.
  template <class C, class Stream, class Lower>
  static Task<> refuse(Impl& self, C& connection, Stream& stream, Lower& lower, error_code error) {
    int status = 400;
    std::string text = "malformed HTTP request: " + error.message();
    if (error == http::error::end_of_stream || error == beast::error::timeout || error.category() == asio::error::get_system_category() ||
        error == asio::ssl::error::stream_truncated || error.category() == asio::error::get_ssl_category() || error == asio::error::eof ||
        error == http::error::partial_message)
      co_return;
    if (error == http::error::body_limit) {
      status = 413;
      text = fmt::format("the request body is larger than {} bytes", self.options.max_body);
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      status = 431;
      text = fmt::format("the request header is larger than {} bytes", self.options.max_header);
    }
    connection.keep_alive = false;
    auto response = self.on_error(status, text);
    co_await connection.send(std::move(response));
    // With unread bytes in the socket a close would reset the connection, and
    // the answer with it.
    error_code ignored;
    lower.socket().shutdown(asio::socket_base::shutdown_send, ignored);
    const auto deadline = std::chrono::steady_clock::now() + kLinger;
    std::array<char, 16384> sink{};
    while (std::chrono::steady_clock::now() < deadline) {
      lower.expires_after(kLinger);
      const auto [e, n] = co_await stream.async_read_some(asio::buffer(sink), kTuple);
      if (e) break;
    }
    lower.socket().close(ignored);
  }

  // One request and its answer. False when the connection can't go on.
  template <class C, class Lower, class Message>
  static Task<bool> exchange(std::shared_ptr<Impl> self, std::shared_ptr<Session> session, C& connection, Lower& lower,
                             Message& message, const std::string& peer, const std::string& client_certificate) {
    ServerRequest request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    request.peer = peer;
    request.client_cert_pem = client_certificate;
    for (const auto& field : message) request.headers.add(std::string(field.name_string()), std::string(field.value()));
    request.body = std::move(message.body());
    const auto question = request.target.find('?');
    auto path = percent_decode(std::string_view(request.target).substr(0, question));
    auto query = Query::parse(question == std::string::npos ? std::string_view{} : std::string_view(request.target).substr(question + 1));
    if (!path || !query || !request.target.starts_with('/')) {
      auto response = self->on_error(400, !path ? path.error().message : !query ? query.error().message : "the request target must begin with '/'");
      const auto sent = co_await connection.send(std::move(response));
      co_return sent.has_value();
    }
    request.path = std::move(*path);
    request.query = std::move(*query);

    lower.expires_never();
    const auto busy = std::make_shared<bool>(true);
    asio::co_spawn(self->executor, watch_peer(session, lower, busy), asio::detached);
    bool failed = false;
    {
      ResponseWriter writer(connection);
      try {
        co_await self->handler(request, writer);
      } catch (const std::exception& e) {
        spdlog::error("{} {}: the handler ended by an exception: {}", request.method, printable(request.path, 200), e.what());
        failed = true;
      }
    }
    *busy = false;
    error_code ignored;
    lower.socket().cancel(ignored);   // ends watch_peer
    co_await yield_now();
    if (connection.aborted) {
      lower.socket().close(ignored);
      co_return false;
    }
    if (!connection.begun) {
      auto response = self->on_error(500, failed ? "internal error" : "the server gave no answer");
      const auto sent = co_await connection.send(std::move(response));
      co_return sent.has_value();
    }
    if (failed) {
      // A cut connection shows that the answer is not whole.
      lower.socket().close(ignored);
      co_return false;
    }
    const auto ended_well = co_await connection.finish();
    co_return ended_well.has_value();
  }
};

HttpServer::HttpServer(Loop& loop, ServerOptions options, Handler handler,
                       std::function<ServerResponse(int status, std::string_view message)> on_error)
    : impl_(std::make_shared<Impl>(loop, std::move(options), std::move(handler), std::move(on_error))) {}

HttpServer::~HttpServer() {
  impl_->stop_accepting();
  for (const auto& session : impl_->sessions) {
    session->gone.cancel();
    session->close();
  }
}

Result<> HttpServer::start() { return impl_->start(); }
int HttpServer::port() const noexcept { return impl_->port; }
std::size_t HttpServer::connections() const noexcept { return impl_->sessions.size(); }

Task<> HttpServer::shutdown(Duration grace) {
  const auto impl = impl_;
  impl->stop_accepting();
  const auto now = impl->sessions;   // gone() callbacks may end sessions
  for (const auto& session : now) {
    session->gone.cancel();
    if (session->idle) session->close();
  }
  const auto deadline = std::chrono::steady_clock::now() + grace;
  while (!impl->sessions.empty()) {
    const auto left = std::chrono::duration_cast<Duration>(deadline - std::chrono::steady_clock::now());
    if (left <= Duration::zero()) break;
    const auto seen = impl->ended.ticket();
    co_await impl->ended.wait_beyond(seen, left);
  }
  const auto rest = impl->sessions;
  for (const auto& session : rest) session->close();
}

// ---- ResponseWriter ------------------------------------------------------------

Task<Result<>> ResponseWriter::send(ServerResponse response) { return impl_.send(std::move(response)); }
Task<Result<>> ResponseWriter::begin(int status, Headers headers) { return impl_.begin(status, std::move(headers)); }
Task<Result<>> ResponseWriter::write(std::string_view bytes) { return impl_.write(bytes); }
void ResponseWriter::abort() { impl_.aborted = true; }
bool ResponseWriter::begun() const noexcept { return impl_.begun; }
CancelToken ResponseWriter::gone() const { return impl_.gone; }

Task<Result<>> ResponseWriter::Impl::send(ServerResponse response) {
  begun = true;
  std::string head = head_of(response.status, response.headers);
  head += fmt::format("Content-Length: {}\r\n\r\n", response.body.size());
  if (head_only) response.body.clear();
  co_return co_await put(std::move(head), response.body);
}

Task<Result<>> ResponseWriter::Impl::begin(int status, Headers headers) {
  begun = true;
  streaming = true;
  if (old_http) keep_alive = false;   // the end of the connection is the end of the body
  std::string head = head_of(status, headers);
  if (!old_http) head += "Transfer-Encoding: chunked\r\n";
  head += "\r\n";
  co_return co_await put(std::move(head), {});
}

Task<Result<>> ResponseWriter::Impl::write(std::string_view bytes) {
  if (bytes.empty() || head_only) co_return Result<>{};
  if (old_http) co_return co_await put({}, bytes);
  std::string chunk = fmt::format("{:x}\r\n", bytes.size());
  chunk += bytes;
  chunk += "\r\n";
  co_return co_await put(std::move(chunk), {});
}

Task<Result<>> ResponseWriter::Impl::finish() {
  if (!streaming || old_http || head_only) co_return Result<>{};
  co_return co_await put("0\r\n\r\n", {});
}

std::string ResponseWriter::Impl::head_of(int status, const Headers& headers) const {
  std::string out = fmt::format("HTTP/1.{} {} {}\r\n", old_http ? 0 : 1, status, status_text(status));
  for (const auto& [name, value] : headers) {
    // A line break in a value would let it write headers of its own.
    if ((name + value).find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) continue;
    out += name + ": " + value + "\r\n";
  }
  out += fmt::format("Date: {:%a, %d %b %Y %H:%M:%S} GMT\r\n", fmt::gmtime(std::time(nullptr)));
  if (!keep_alive) out += "Connection: close\r\n";
  else if (old_http) out += "Connection: keep-alive\r\n";
  return out;
}

}  // namespace oddjob::net
