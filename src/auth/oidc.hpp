// Tokens of the configured issuers to subjects: which issuer, its keys, the
// signature, the claims.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/issuer.hpp"
#include "auth/issuer_keys.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/words.hpp"
#include "net/async.hpp"

namespace oddjob::auth {

// What `oddjob login` needs to know; nothing of it is secret.
struct LoginIssuer {
  std::string issuer, client_id;
  std::vector<std::string> scopes;
  std::string ca_pem;
  std::string client_secret;  // empty: none; see Issuer
  std::map<std::string, std::string> parameters;
};

// Loop thread only.
class Oidc {
 public:
  // `keys`: what of it is not in the issuer's entry (times, for tests).
  Oidc(net::Loop& loop, std::vector<Issuer> issuers, IssuerKeysOptions keys = {},
       const Clock& clock = system_clock());
  ~Oidc();
  // Does a configured issuer claim this token? It is then nobody else's to see.
  [[nodiscard]] bool claims(std::string_view token) const;
  // Errors: those of SignedToken, IssuerKeys and subject_of.
  net::Task<Result<Subject>> subject(std::string token);
  // Could an issuer that is still configured have called somebody so?
  [[nodiscard]] bool may_name(std::string_view user) const;
  // Those that people log in at.
  [[nodiscard]] std::vector<LoginIssuer> logins() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::auth
