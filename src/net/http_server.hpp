// HTTP/1.1 server (Beast) on the loop, plain or TLS.
//
// A handler is a coroutine. It reads the request (already read whole, within
// limits) and answers once, or starts a streamed answer and writes to it.
// Every connection has deadlines for header, body and writes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "net/async.hpp"
#include "net/http.hpp"

namespace oddjob::net {

struct ServerRequest {
  std::string method, target;  // target as sent: path[?query]
  std::string path;            // decoded
  Query query;
  Headers headers;
  std::string body;
  std::string peer;             // "127.0.0.1:51234" or "unix"
  std::string client_cert_pem;  // verified against client_ca_pem; empty if none was sent
  // With ask_client_cert: what the client sent, its own certificate first. It has
  // the key of that one; that anybody vouches for it is for the handler to check.
  std::string unverified_client_chain_pem;
};

struct ServerResponse {
  int status = 200;
  Headers headers;  // Content-Length, Date, Connection are added
  std::string body;
};

// The answering half of an exchange. Valid until the handler returns.
class ResponseWriter {
 public:
  struct Impl;
  explicit ResponseWriter(Impl& impl) : impl_(impl) {}
  ResponseWriter(const ResponseWriter&) = delete;
  ResponseWriter& operator=(const ResponseWriter&) = delete;
  // The whole answer. Exactly one of send/begin is called. Errors mean the
  // client went away ("http.client_gone") or is too slow ("http.write_timeout").
  Task<Result<>> send(ServerResponse response);
  // A chunked answer; then any number of write(); the end is sent when the
  // handler returns. With abort() the connection is cut instead, so that the
  // client sees a broken stream, not an end.
  Task<Result<>> begin(int status, Headers headers);
  Task<Result<>> write(std::string_view bytes);  // flushed at once
  void abort();
  [[nodiscard]] bool begun() const noexcept;
  // Set when the peer closed or the server shuts down; handlers that wait for
  // other things must watch it (on_cancel) and return. The peer is watched from
  // the first call or begin() on; callbacks are dropped when the handler returns.
  [[nodiscard]] CancelToken gone() const;

 private:
  Impl& impl_;
};

using Handler = std::function<Task<>(const ServerRequest&, ResponseWriter&)>;

struct ServerOptions {
  std::string address = "127.0.0.1";  // an IP address, "localhost", or "unix:/path" (mode 0600)
  int port = 0;                       // 0: any free one
  std::string cert_pem, key_pem;      // both or none (plain HTTP)
  std::string client_ca_pem;          // asks for client certificates, does not require them
  bool ask_client_cert = false;       // asks for one of any authority, and leaves checking it to the handler
  std::size_t max_header = 64U << 10U;
  std::size_t max_body = 4U << 20U;    // over it: 413, connection closed
  std::size_t max_connections = 2000;  // at it, the connection idle for longest makes room, or new ones wait
  Duration header_timeout = std::chrono::seconds(30);  // also idle keep-alive ×4
  Duration body_timeout = std::chrono::seconds(60);
  Duration write_timeout = std::chrono::seconds(60);  // for each 256 KiB of an answer
};

// Answers 4xx/5xx for malformed requests by itself, through `on_error` when
// given so that the body has the API's own format.
class HttpServer {
 public:
  HttpServer(Loop& loop, ServerOptions options, Handler handler,
             std::function<ServerResponse(int status, std::string_view message)> on_error = {});
  ~HttpServer();
  // Binds and begins to accept. Errors: "server.bind", "server.tls".
  Result<> start();
  // Connections made from now on get this certificate, those that are open keep
  // theirs. Only for a server that was started with one. Error: "server.tls"; the
  // old one stays.
  Result<> use_certificate(std::string cert_pem, std::string key_pem);
  // With ask_client_cert: the authorities (PEM) whose certificates are wanted, so
  // that clients of others send none. For connections made from now on.
  Result<> name_client_authorities(std::string ca_pem);
  [[nodiscard]] int port() const noexcept;
  // Stops accepting, marks every exchange gone(), waits up to `grace` for the
  // handlers to return, then cuts.
  Task<> shutdown(Duration grace);
  [[nodiscard]] std::size_t connections() const noexcept;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::net
