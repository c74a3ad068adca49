// What the tests of net share: certificates, raw sockets, a server and its client.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "net/async.hpp"
#include "net/http_client.hpp"
#include "net/http_server.hpp"

namespace oddjob::net::testing {

// Removed with all that is in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path);

// Made once a process by the openssl command: a CA with a server's certificate
// (localhost, 127.0.0.1) and a client's ("ann"), and a stranger's CA with a client's.
struct Pki {
  std::filesystem::path folder;
  std::string ca, server_cert, server_key, client_cert, client_key, other_ca, other_cert, other_key;
};
const Pki& pki();

// A blocking socket for what no proper client would say. Not on the loop's thread.
class RawClient {
 public:
  explicit RawClient(int port);
  explicit RawClient(const std::string& unix_path);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  void send(std::string_view bytes) const;
  // Until `n` bytes came, `until` is in them, the peer closed, or five seconds passed.
  std::string receive(std::string_view until = {}, std::size_t n = SIZE_MAX);
  // True when the peer closes within five seconds.
  bool closed();
  void close();

 private:
  int fd_ = -1;
};

// One loop with a server and a client of it.
struct Bench {
  Loop loop;
  BlockingPool pool{2};
  std::unique_ptr<HttpServer> server;
  std::unique_ptr<HttpClient> client;
  std::string base;

  // Starts the server, plain or TLS as the options say, with a client that trusts it.
  void serve(Handler handler, ServerOptions options = {}, HttpClientOptions client_options = {});
  [[nodiscard]] std::string url(std::string_view target = "/") const;
  Result<HttpResponse> fetch(HttpRequest request) { return loop.block_on(client->fetch(std::move(request))); }
  Result<HttpResponse> get(std::string_view target);
  // Runs blocking code beside the loop.
  template <class F>
  auto beside(F fn) {
    return loop.block_on(pool.offload(std::move(fn)));
  }
  // Turns the loop until `condition` holds; false after `limit`.
  bool until(const std::function<bool()>& condition, Duration limit = std::chrono::seconds(10));
};

ServerOptions tls_server();

// A handler that answers 200 with these bytes.
Handler answering(std::string body);

}  // namespace oddjob::net::testing
