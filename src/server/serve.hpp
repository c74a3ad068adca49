// The server put together: store, cluster client, engine, identity, API, HTTP.
#pragma once

#include <memory>
#include <string>

#include "auth/authenticator.hpp"
#include "core/error.hpp"
#include "kube/config.hpp"
#include "net/async.hpp"
#include "server/config.hpp"

namespace oddjob::server {

// One server on one loop. Loop thread only; the loop outlives it.
class Server {
 public:
  // `tokens` come beside those of config.static_tokens_file. `config_file` is what
  // `config` was read from, to be read again when it changes; empty: it is not.
  Server(net::Loop& loop, ServerConfig config, kube::Config cluster,
         std::vector<auth::StaticToken> tokens = {}, std::string config_file = {});
  ~Server();
  // Opens the store, binds the port, and begins to connect to the cluster in
  // the background: /readyz says when that is done. Errors: those of the store,
  // of the token file, of the certificate and of binding.
  net::Task<Result<>> start();
  // True once the engine has its first lists; false after `timeout`.
  net::Task<bool> wait_ready(Duration timeout);
  // Reads configuration, static tokens and certificate again. What is wrong is
  // logged and leaves the old in force; so is what needs a restart.
  void reload();
  // Ends open exchanges, lets the engine flush its logs; running Jobs go on.
  net::Task<> stop();
  [[nodiscard]] std::string url() const;  // "http://127.0.0.1:8080"

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// `oddjobd serve`: until SIGTERM or SIGINT; SIGHUP reloads. The exit code.
// `ready_file`, if not empty, gets the server's URL once it listens.
int serve(const ServerConfig& config, const std::string& config_file, const std::string& ready_file);

}  // namespace oddjob::server
