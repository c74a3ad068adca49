#include "auth/jws.hpp"

#include <cjose/cjose.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::auth {
namespace {

constexpr std::size_t kMinRsaBits = 2048, kMaxRsaBits = 8192;
constexpr std::size_t kMaxJwks = 1U << 20U;
constexpr std::size_t kMaxHeaderText = 512;

struct Release {
  void operator()(cjose_jws_t* p) const { cjose_jws_release(p); }
};
using Jws = std::unique_ptr<cjose_jws_t, Release>;

std::unexpected<Error> refused(std::string code, std::string message, std::string hint = {}) {
  return fail(Errc::unauthenticated, std::move(code), std::move(message), std::move(hint));
}

Jws import(const std::string& compact) {
  cjose_err error{};
  return Jws(cjose_jws_import(compact.data(), compact.size(), &error));
}

// The type of key that an algorithm needs; empty: it is none that we check.
std::string_view type_of(std::string_view alg) {
  for (const std::string_view rsa : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
    if (alg == rsa) return "RSA";
  if (alg == "ES256") return "P-256";
  if (alg == "ES384") return "P-384";
  if (alg == "ES512") return "P-521";
  return {};
}

// Empty where it is no key that we could use.
std::string usable_type(const json::value& jwk, const cjose_jwk_t* key) {
  cjose_err error{};
  if (cjose_jwk_get_kty(key, &error) == CJOSE_JWK_KTY_RSA) {
    const auto bits = cjose_jwk_get_keysize(key, &error);
    return bits >= kMinRsaBits && bits <= kMaxRsaBits ? "RSA" : "";
  }
  return std::string(get_string(jwk, {"crv"}));
}

bool for_signatures(const json::value& jwk) {
  const auto kty = get_string(jwk, {"kty"});
  if (kty != "RSA" && kty != "EC") return false;
  if (find(jwk, {"use"}) != nullptr && get_string(jwk, {"use"}) != "sig") return false;
  if (const json::value* ops = find(jwk, {"key_ops"})) {
    if (!ops->is_array()) return false;
    return std::ranges::any_of(ops->get_array(), [](const json::value& op) { return op == "verify"; });
  }
  return true;
}

}  // namespace

Result<std::vector<PublicKey>> parse_jwks(std::string_view text) {
  const auto malformed = [](std::string what) {
    return fail(Errc::unavailable, "jwks.malformed", std::move(what));
  };
  const auto document = parse_json(text, "the key set", kMaxJwks);
  if (!document) return malformed(document.error().message);
  const json::array* keys = find_array(*document, {"keys"});
  if (keys == nullptr) return malformed("the key set has no list `keys`");
  if (keys->size() > kMaxKeys) return malformed(fmt::format("the key set has more than {} keys", kMaxKeys));
  std::vector<PublicKey> out;
  for (const json::value& jwk : *keys) {
    if (!for_signatures(jwk)) continue;
    PublicKey key;
    key.kid = get_string(jwk, {"kid"});
    key.alg = get_string(jwk, {"alg"});
    if (!key.alg.empty() && type_of(key.alg).empty()) continue;
    cjose_err error{};
    const std::string one = json::serialize(jwk);
    cjose_jwk_t* handle = cjose_jwk_import(one.data(), one.size(), &error);
    if (handle == nullptr) continue;
    key.handle =
        std::shared_ptr<void>(handle, [](void* p) { cjose_jwk_release(static_cast<cjose_jwk_t*>(p)); });
    key.type = usable_type(jwk, handle);
    if (key.type.empty() || (!key.alg.empty() && type_of(key.alg) != key.type)) continue;
    out.push_back(std::move(key));
  }
  if (out.empty())
    return malformed("the key set has no key that checks signatures (RSA from 2048 bits, or EC)");
  return out;
}

Result<SignedToken> SignedToken::parse(std::string_view compact, const std::vector<std::string>& allowed) {
  SignedToken out;
  out.compact_ = compact;
  const auto malformed = [] {
    return refused("auth.token_malformed", "the bearer token is no signed JSON web token in compact form");
  };
  // The header by the same reader as the payload. What cjose reads is compared below.
  const auto parts = split(compact, '.');
  if (parts.size() != 3 || parts[0].empty()) return malformed();
  const auto text = base64_decode(parts[0]);
  if (!text) return malformed();
  const auto header = parse_json(*text, "the token's header", 16U << 10U);
  if (!header || !header->is_object()) return malformed();
  for (auto [field, key] :
       {std::pair{&out.header_.alg, "alg"}, {&out.header_.kid, "kid"}, {&out.header_.typ, "typ"}}) {
    const json::value* v = find(*header, {key});
    if (v == nullptr) continue;
    if (!v->is_string() || v->get_string().size() > kMaxHeaderText) return malformed();
    *field = std::string(sv(v->get_string()));
  }
  if (std::ranges::find(allowed, out.header_.alg) == allowed.end() || type_of(out.header_.alg).empty())
    return refused("auth.token_algorithm",
                   fmt::format("the bearer token is signed by '{}', which is not accepted here",
                               printable(out.header_.alg, 40)),
                   "accepted of its issuer: " + join(allowed, ", "));
  if (find(*header, {"crit"}) != nullptr)
    return refused("auth.token_algorithm",
                   "the bearer token asks for extensions (`crit`) that are not understood");
  // Logout tokens, client assertions and the like are signed by the same keys.
  const auto typ = ascii_lower(out.header_.typ);
  if (!typ.empty() && typ != "jwt" && typ != "at+jwt" && typ != "application/at+jwt")
    return refused(
        "auth.token_type",
        fmt::format("the bearer token is of type '{}'; only ID tokens and access tokens are accepted",
                    printable(out.header_.typ, 40)));
  const Jws jws = import(out.compact_);
  if (!jws) return malformed();
  cjose_err error{};
  const char* alg = cjose_header_get(cjose_jws_get_protected(jws.get()), CJOSE_HDR_ALG, &error);
  if (alg == nullptr || out.header_.alg != alg) return malformed();
  return out;
}

bool SignedToken::fits(const PublicKey& key) const noexcept {
  return type_of(header_.alg) == key.type && (key.alg.empty() || key.alg == header_.alg) &&
         (header_.kid.empty() || header_.kid == key.kid);
}

Result<std::string> SignedToken::verify(const PublicKey& key) const {
  const auto no = [] {
    return refused("auth.token_signature", "the bearer token's signature is not its issuer's");
  };
  if (!fits(key)) return no();
  const Jws jws = import(compact_);
  cjose_err error{};
  if (!jws || !cjose_jws_verify(jws.get(), static_cast<const cjose_jwk_t*>(key.handle.get()), &error))
    return no();
  std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  if (!cjose_jws_get_plaintext(jws.get(), &bytes, &size, &error)) return no();
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

json::value claimed_claims(std::string_view token) {
  const auto parts = split(token, '.');
  if (parts.size() < 2) return nullptr;
  const auto text = base64_decode(parts[1]);
  if (!text) return nullptr;
  auto payload = parse_json(*text, "the token's payload", 64U << 10U);
  return payload ? std::move(*payload) : json::value();
}

}  // namespace oddjob::auth
