// Internal to net: the bytes of one server connection, plain or TLS.
#pragma once

#include <array>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <functional>
#include <memory>
#include <string>
#include <tuple>

#include "net/http_server.hpp"

namespace oddjob::net {

class Connection;

// TCP or unix.
using ServerSocket = boost::asio::generic::stream_protocol::socket;

// Completion of a read that nobody awaits. It owns the connection meanwhile.
struct WatchDone {
  std::shared_ptr<Connection> connection;
  void operator()(const boost::system::error_code& error, std::size_t bytes) const;
};

// At most one read and one write are under way at a time.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Task<boost::system::error_code> handshake() = 0;
  virtual Task<std::tuple<boost::system::error_code, std::size_t>> read(boost::asio::mutable_buffer into) = 0;
  virtual void watch(boost::asio::mutable_buffer into, WatchDone done) = 0;
  virtual Task<boost::system::error_code> write(std::array<boost::asio::const_buffer, 3> bytes) = 0;
  // Says that this is the end, so that the peer need not fear a cut.
  virtual Task<> say_goodbye() = 0;
  // PEM, with what the peer sent besides behind it if `chain` is wanted; or empty.
  virtual std::string client_certificate(bool chain) = 0;
  virtual ServerSocket& socket() = 0;

  // Ends whatever is under way. With `reset` the peer sees an error, never an end.
  void close(bool reset);
};

std::unique_ptr<Transport> plain_transport(ServerSocket socket);
std::unique_ptr<Transport> tls_transport(ServerSocket socket, boost::asio::ssl::context& context);

// "server.tls"
Result<std::shared_ptr<boost::asio::ssl::context>> make_tls_context(
    const ServerOptions& options, const std::string& named_authorities = {});

}  // namespace oddjob::net
