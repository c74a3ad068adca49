// Signed tokens and the keys that sign them: cjose (a JOSE library over
// OpenSSL) behind values. Nothing here knows what a token means.
//
// Signatures are asymmetric ones only. cjose picks what it checks by the
// token's own `alg`, so every call here says first which it may be, and that
// the key is of its type: neither "none" nor an HMAC keyed with a public key
// is ever computed.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob::auth {

// One public key of a JWKS that can check signatures.
struct PublicKey {
  std::string kid;               // may be empty
  std::string alg;               // the only one it is for; empty: any of its type
  std::string type;              // "RSA", "P-256", "P-384", "P-521"
  std::shared_ptr<void> handle;  // of the library
};

inline constexpr std::size_t kMaxKeys = 128;

// Keys of a JWKS document. Those of other types, for encryption, secret ones
// (`oct`) and RSA below 2048 bits are left out; more than kMaxKeys, or no usable
// one, is an error: "jwks.malformed".
Result<std::vector<PublicKey>> parse_jwks(std::string_view text);

// What the header of a token says, before anything is believed.
struct TokenHeader {
  std::string alg, kid, typ;
};

// A token in compact form, taken apart. Errors, kind unauthenticated:
// "auth.token_malformed"; "auth.token_algorithm": `alg` is none of `allowed`, or
// `crit` asks for what is not understood; "auth.token_type": `typ` says that
// this is another kind of token.
class SignedToken {
 public:
  static Result<SignedToken> parse(std::string_view compact, const std::vector<std::string>& allowed);
  [[nodiscard]] const TokenHeader& header() const noexcept { return header_; }
  // Could this key have signed it: by type, `alg` and, where the token names one, `kid`.
  [[nodiscard]] bool fits(const PublicKey& key) const noexcept;
  // The payload, where the signature holds under the key, which must fit.
  // Error "auth.token_signature".
  Result<std::string> verify(const PublicKey& key) const;

 private:
  TokenHeader header_;
  std::string compact_;
};

// The payload as an unchecked token has it, to find who is to check it; null where
// there is none. Never a reason to believe anything.
json::value claimed_claims(std::string_view token);

}  // namespace oddjob::auth
