// The keys of one issuer: found by discovery (OpenID Connect Discovery 1.0),
// fetched over TLS, kept for a while, fetched again where a token names one that
// is not there. However many tokens ask, there is one fetch at a time, and a
// flood of made-up key ids causes a bounded number of them.
//
// Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "auth/issuer.hpp"
#include "auth/jws.hpp"
#include "core/error.hpp"
#include "net/async.hpp"

namespace oddjob::auth {

struct IssuerKeysOptions {
  std::string url, ca_pem;
  std::string proxy = "env";
  Duration refresh = std::chrono::minutes(10);        // keys are asked for anew after so long
  Duration max_age = std::chrono::hours(1);           // and not used after so long, if the issuer is down
  Duration retry = std::chrono::seconds(10);          // between attempts, while it is
  Duration timeout = std::chrono::seconds(10);        // of one exchange
  int unknown_burst = 5;                              // fetches for unknown key ids at once
  Duration unknown_every = std::chrono::seconds(10);  // and then one in so long
};

class IssuerKeys {
 public:
  using Keys = std::vector<PublicKey>;
  IssuerKeys(net::Loop& loop, IssuerKeysOptions options);
  ~IssuerKeys();  // aborts what is under way; those who wait get an error

  // Keys that could have signed `token`. Errors: "auth.keys_unavailable" (kind
  // unavailable: the issuer cannot be asked, or was asked too often just now);
  // "auth.token_key" (unauthenticated): the issuer publishes no such key.
  net::Task<Result<Keys>> for_token(const SignedToken& token);

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::auth
