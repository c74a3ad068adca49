// Outgoing HTTP(S): libcurl multi on the loop. HTTP/2 by ALPN, connection
// reuse, proxies, client certificates, bounded answers, deadlines.
//
// Loop thread only. One HttpClient holds one pool of connections and one set
// of TLS material; make one a peer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "net/async.hpp"
#include "net/http.hpp"

namespace oddjob::net {

struct TlsClientOptions {
  std::string ca_pem;  // empty: the system's trust store
  std::string client_cert_pem, client_key_pem;
  std::string server_name;  // overrides SNI and the name checked
  bool insecure_skip_verify = false;
};

struct HttpClientOptions {
  TlsClientOptions tls;
  std::string proxy;  // http, https or socks5 URL; "" none; "env": HTTPS_PROXY, NO_PROXY
  std::string user_agent = "oddjob";
  Duration connect_timeout = std::chrono::seconds(10);
  bool http2 = true;
  std::size_t max_connections = 1024;  // without HTTP/2, each open stream takes one
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  Headers headers;
  std::string body;
  Duration timeout = std::chrono::seconds(30);           // whole exchange; 0: none (streams)
  Duration idle_timeout = std::chrono::milliseconds(0);  // no byte for so long: fails; 0: none
  std::size_t max_body = 64U << 20U;                     // for fetch(); error "http.too_large"
};

struct HttpResponse {
  int status = 0;
  Headers headers;
  std::string body;
  int http_version = 11;  // 11 or 20
};

// A response whose body is read piece by piece. Destroying it aborts the
// transfer. Backpressure: what is not read is not fetched beyond a bound of
// about 256 KiB. A stream has a connection of its own (HTTP/1.1): one that is
// not read holds up nothing else, and the server learns of its end at once.
class HttpStream {
 public:
  struct Impl;
  explicit HttpStream(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  HttpStream(HttpStream&&) noexcept = default;
  HttpStream& operator=(HttpStream&&) noexcept;
  ~HttpStream();
  [[nodiscard]] int status() const noexcept;
  [[nodiscard]] const Headers& headers() const noexcept;
  // Next bytes; empty at the end of the body. Errors: "http.broken" (cut short),
  // "http.idle_timeout", "http.cancelled" (after cancel()).
  Task<Result<std::string>> read();
  // Makes a pending or later read() fail with "http.cancelled".
  void cancel();

 private:
  std::shared_ptr<Impl> impl_;
};

class HttpClient {
 public:
  HttpClient(Loop& loop, HttpClientOptions options);
  ~HttpClient();  // aborts what is under way
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // The whole answer, any status. Errors (kind unavailable unless said):
  // "http.connect", "http.tls", "http.timeout" (deadline_exceeded), "http.broken",
  // "http.too_large" (too_large), "http.resolve", "http.proxy". The message names
  // method and URL without query and credentials. Redirects are not followed.
  // Refused before anything is sent (invalid_argument): "url.malformed",
  // "http.bad_method", "http.bad_header". "http.cancelled": the client was
  // destroyed meanwhile. A request that finds its kept connection closed, with
  // no byte of an answer, is sent again on a new one, whatever its method.
  Task<Result<HttpResponse>> fetch(HttpRequest request);
  // Returns as soon as the header is there; request.timeout bounds only that.
  Task<Result<HttpStream>> open(HttpRequest request);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::net
