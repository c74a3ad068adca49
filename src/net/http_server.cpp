#include "net/http_server.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <variant>

#include "core/text.hpp"
#include "net/connection.hpp"

namespace oddjob::net {
namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Unix = asio::local::stream_protocol;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr Duration kAcceptRetry = std::chrono::milliseconds(100);
constexpr Duration kUnwind = std::chrono::milliseconds(200);  // for handlers, once their connections are cut

ServerResponse plain_error(int /*status*/, std::string_view message) {
  ServerResponse r;
  r.headers.add("Content-Type", "text/plain; charset=utf-8");
  r.body = std::string(message) + "\n";
  return r;
}

std::string peer_of(const Tcp::socket& socket) {
  error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return "unknown";
  const auto address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", address, endpoint.port())
                                    : fmt::format("{}:{}", address, endpoint.port());
}
std::string peer_of(const Unix::socket& /*socket*/) { return "unix"; }

// A socket file that nobody listens on was left behind by a killed process.
bool is_abandoned(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  asio::io_context context;
  Unix::socket probe(context);
  error_code error;
  probe.connect(Unix::endpoint(path), error);
  return error == asio::error::connection_refused;
}

}  // namespace

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  std::shared_ptr<ServerCore> core = std::make_shared<ServerCore>();
  std::shared_ptr<asio::ssl::context> tls;
  std::variant<std::monostate, Tcp::acceptor, Unix::acceptor> acceptor;
  std::string socket_path;        // to remove at the end
  std::string named_authorities;  // in the request for client certificates
  int port = 0;

  Result<> start() {
    if (!core->options.cert_pem.empty() || !core->options.key_pem.empty()) {
      OJ_TRY(tls, make_tls_context(core->options));
    }
    return core->options.address.starts_with("unix:") ? listen_unix() : listen_tcp();
  }

  Result<> listen_tcp() {
    const auto& o = core->options;
    const auto failed = [&](std::string_view why) {
      return fail(Errc::unavailable, "server.bind",
                  fmt::format("cannot listen on {}:{}: {}", printable(o.address, 100), o.port, why));
    };
    error_code error;
    const auto address = asio::ip::make_address(o.address == "localhost" ? "127.0.0.1" : o.address, error);
    if (error) return failed("this is not an IP address");
    if (o.port < 0 || o.port > 65535) return failed("this is not a port");
    Tcp::acceptor a(core->executor);
    const Tcp::endpoint endpoint(address, static_cast<std::uint16_t>(o.port));
    a.open(endpoint.protocol(), error);
    if (!error) a.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) a.bind(endpoint, error);
    if (!error) a.listen(asio::socket_base::max_listen_connections, error);
    if (error) return failed(error.message());
    port = a.local_endpoint().port();
    acceptor = std::move(a);
    asio::co_spawn(core->executor, accept<Tcp>(shared_from_this()), asio::detached);
    return {};
  }

  Result<> listen_unix() {
    const std::string path = core->options.address.substr(5);
    const auto failed = [&](std::string_view why) {
      return fail(Errc::unavailable, "server.bind",
                  fmt::format("cannot listen on {}: {}", printable(path, 200), why));
    };
    if (path.empty() || path.size() > 107) return failed("a socket's path has 1 to 107 bytes");
    error_code error;
    Unix::acceptor a(core->executor);
    a.open(Unix(), error);
    if (error) return failed(error.message());
    ::fchmod(a.native_handle(), 0600);  // before there is a file to open
    a.bind(Unix::endpoint(path), error);
    if (error == asio::error::address_in_use && is_abandoned(path)) {
      ::unlink(path.c_str());
      a.bind(Unix::endpoint(path), error);
    }
    if (!error) {
      socket_path = path;
      a.listen(asio::socket_base::max_listen_connections, error);
    }
    if (error) return failed(error.message());
    acceptor = std::move(a);
    asio::co_spawn(core->executor, accept<Unix>(shared_from_this()), asio::detached);
    return {};
  }

  void stop_accepting() {
    core->stopping = true;
    core->ended.notify_all();  // accept() may wait for a free place
    error_code ignored;
    if (auto* a = std::get_if<Tcp::acceptor>(&acceptor)) a->close(ignored);
    if (auto* a = std::get_if<Unix::acceptor>(&acceptor)) a->close(ignored);
    if (!socket_path.empty()) ::unlink(std::exchange(socket_path, {}).c_str());
  }

  void cut_all() {
    const auto now = core->connections;  // cutting may end some
    for (auto* connection : now) connection->cut(true);
  }

  // A full house lets go of the guest that has been silent longest.
  static Task<> wait_for_room(std::shared_ptr<ServerCore> core) {
    while (!core->stopping && core->connections.size() >= core->options.max_connections) {
      const auto seen = core->ended.ticket();
      Connection* idlest = nullptr;
      for (auto* c : core->connections) {
        if (c->idle_since() && (idlest == nullptr || *c->idle_since() < *idlest->idle_since())) idlest = c;
      }
      if (idlest != nullptr) idlest->cut(false);
      co_await core->ended.wait_beyond(seen, std::chrono::seconds(1));
    }
  }

  template <class Protocol>
  static Task<> accept(std::shared_ptr<Impl> self) {
    auto& a = std::get<typename Protocol::acceptor>(self->acceptor);
    const auto core = self->core;
    for (;;) {
      co_await wait_for_room(core);
      if (core->stopping) co_return;
      auto [error, socket] = co_await a.async_accept(kTuple);
      if (core->stopping || error == asio::error::operation_aborted) co_return;
      if (error) {
        if (error == asio::error::connection_aborted) continue;
        spdlog::warn("a connection was not accepted: {}",
                     error.message());  // out of descriptors, most likely
        co_await sleep_for(kAcceptRetry);
        continue;
      }
      if constexpr (std::is_same_v<Protocol, Tcp>) {
        error_code ignored;
        socket.set_option(Tcp::no_delay(true), ignored);
      }
      auto peer = peer_of(socket);
      ServerSocket bytes(std::move(socket));
      auto transport =
          self->tls ? tls_transport(std::move(bytes), *self->tls) : plain_transport(std::move(bytes));
      auto connection = std::make_shared<Connection>(core, std::move(transport), std::move(peer));
      asio::co_spawn(core->executor, Connection::run(std::move(connection)), asio::detached);
    }
  }
};

HttpServer::HttpServer(Loop& loop, ServerOptions options, Handler handler,
                       std::function<ServerResponse(int status, std::string_view message)> on_error)
    : impl_(std::make_shared<Impl>()) {
  impl_->core->executor = loop.executor();
  impl_->core->options = std::move(options);
  impl_->core->handler = std::move(handler);
  // The status is the server's to choose, whoever words the answer.
  impl_->core->on_error = [words = on_error ? std::move(on_error) : plain_error](int status,
                                                                                 std::string_view message) {
    auto response = words(status, message);
    response.status = status;
    return response;
  };
}

HttpServer::~HttpServer() {
  impl_->stop_accepting();
  impl_->cut_all();
}

Result<> HttpServer::start() { return impl_->start(); }
Result<> HttpServer::use_certificate(std::string cert_pem, std::string key_pem) {
  if (!impl_->tls) return fail(Errc::failed_precondition, "server.tls", "this server speaks plain HTTP");
  ServerOptions options = impl_->core->options;
  options.cert_pem = std::move(cert_pem);
  options.key_pem = std::move(key_pem);
  // An open connection holds what it needs of the old one.
  OJ_TRY(impl_->tls, make_tls_context(options, impl_->named_authorities));
  impl_->core->options = std::move(options);
  return {};
}

Result<> HttpServer::name_client_authorities(std::string ca_pem) {
  if (!impl_->tls || !impl_->core->options.ask_client_cert)
    return fail(Errc::failed_precondition, "server.tls", "this server asks for no client certificates");
  OJ_TRY(impl_->tls, make_tls_context(impl_->core->options, ca_pem));
  impl_->named_authorities = std::move(ca_pem);
  return {};
}

int HttpServer::port() const noexcept { return impl_->port; }
std::size_t HttpServer::connections() const noexcept { return impl_->core->connections.size(); }

Task<> HttpServer::shutdown(Duration grace) {
  const auto impl = impl_;
  const auto core = impl->core;
  impl->stop_accepting();
  const auto now = core->connections;
  for (auto* connection : now) {
    if (connection->idle_since()) {
      connection->cut(false);
    } else {
      connection->set_gone();
    }
  }
  const auto wait_for_all = [](std::shared_ptr<ServerCore> c, Duration limit) -> Task<> {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!c->connections.empty()) {
      const auto left = std::chrono::ceil<Duration>(deadline - std::chrono::steady_clock::now());
      if (left <= Duration::zero()) co_return;
      const auto seen = c->ended.ticket();
      co_await c->ended.wait_beyond(seen, left);
    }
  };
  co_await wait_for_all(core, grace);
  impl->cut_all();
  co_await wait_for_all(core, kUnwind);
}

}  // namespace oddjob::net
