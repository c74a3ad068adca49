// Reads from registries by the OCI Distribution specification v1.1 (and Docker's
// registry API v2, which it was made of).
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
//
// What always holds: credentials go to the registry itself and to the token
// server that it names, over TLS (or in the clear where plain HTTP was allowed);
// never to where a blob is redirected. Plain HTTP is spoken to loopback
// addresses and to registries named in `plain_http`, and a redirect never leads
// from TLS to the clear. Everything has a bound: sizes, redirects, attempts, time.
//
// Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "image/registry/credentials.hpp"
#include "image/registry/reference.hpp"
#include "image/registry/source.hpp"
#include "net/async.hpp"
#include "net/http_client.hpp"

namespace oddjob::image {

struct RegistryOptions {
  RegistryOptions() {}                    // NOLINT(modernize-use-equals-default)
  std::vector<std::string> plain_http;    // registries ("host[:port]") that have no TLS
  std::vector<std::string> insecure_tls;  // whose certificate is not checked
  std::string ca_pem;                     // trusted for registries; empty: the system's store
  std::string proxy = "env";
  std::string user_agent = "oddjob";
  Duration call_timeout = std::chrono::seconds(60);  // a manifest or a token, retries included
  Duration idle_timeout = std::chrono::seconds(30);  // of a blob
  Duration min_backoff = std::chrono::milliseconds(200), max_backoff = std::chrono::seconds(10);
  int max_attempts = 5;              // in a row without progress
  std::size_t slowest = 16U << 10U;  // bytes/s that a blob must make on average, after two minutes
};

// Errors of all of it, besides those that net gives: "image.not_found" (the
// registry has no such manifest or blob), "image.unauthorized" (kind
// unavailable: with what it was tried), "image.rate_limited", "image.registry"
// (any other answer, with status and the registry's own words), "image.plain_http",
// "image.redirect", "image.too_slow", "image.bad_token", "image.digest_mismatch".
class Registry {
 public:
  Registry(net::Loop& loop, RegistryOptions options);
  ~Registry();  // ends what is under way
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // One repository, with the credentials to try in their order; without any of
  // them at the end. Tokens are kept here, by credential. The Source must not
  // outlive the Registry.
  std::unique_ptr<Source> repository(const Reference& image, std::vector<Credential> credentials);

  // Ends what is under way and refuses what comes: "image.stopped".
  void close();

  struct Stats {
    std::uint64_t requests = 0, retries = 0, resumed = 0, tokens = 0, bytes = 0;
  };
  [[nodiscard]] Stats stats() const noexcept;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::image
