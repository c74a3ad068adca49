// Keys and tokens for the tests: cjose signs what an issuer would, and OpenSSL's
// HMAC what an attacker would.
#pragma once

#include <cjose/cjose.h>

#include <memory>
#include <string>

#include "core/digest.hpp"
#include "core/json.hpp"

namespace oddjob::auth::testing {

class SigningKey {
 public:
  static SigningKey rsa(std::string kid, std::size_t bits = 2048) {
    cjose_err e{};
    return {cjose_jwk_create_RSA_random(bits, nullptr, 0, &e), std::move(kid)};
  }
  static SigningKey ec(std::string kid, cjose_jwk_ec_curve curve = CJOSE_JWK_EC_P_256) {
    cjose_err e{};
    return {cjose_jwk_create_EC_random(curve, &e), std::move(kid)};
  }
  // As a JWKS publishes it.
  [[nodiscard]] json::object jwk(json::object more = {}) const {
    cjose_err e{};
    char* text = cjose_jwk_to_json(key_.get(), false, &e);
    json::object out = json::parse(text).as_object();
    cjose_get_dealloc()(text);
    out["kid"] = kid_;
    for (auto& [k, v] : more) out[k] = v;
    return out;
  }
  [[nodiscard]] std::string sign(const json::value& claims, std::string_view alg,
                                 json::object header = {}) const {
    cjose_err e{};
    cjose_header_t* h = cjose_header_new(&e);
    cjose_header_set(h, CJOSE_HDR_ALG, std::string(alg).c_str(), &e);
    if (!header.contains("kid") && !kid_.empty()) header["kid"] = kid_;
    for (auto& [k, v] : header)
      if (v.is_string())
        cjose_header_set(h, std::string(k).c_str(), v.get_string().c_str(), &e);
      else if (!v.is_null())
        cjose_header_set_raw(h, std::string(k).c_str(), json::serialize(v).c_str(), &e);
    const std::string payload = json::serialize(claims);
    cjose_jws_t* jws = cjose_jws_sign(key_.get(), h, reinterpret_cast<const std::uint8_t*>(payload.data()),
                                      payload.size(), &e);
    const char* text = nullptr;
    std::string out;
    if (jws != nullptr && cjose_jws_export(jws, &text, &e)) out = text;
    cjose_jws_release(jws);
    cjose_header_release(h);
    return out;
  }

 private:
  SigningKey(cjose_jwk_t* key, std::string kid)
      : key_(key, [](cjose_jwk_t* k) { cjose_jwk_release(k); }), kid_(std::move(kid)) {}
  std::shared_ptr<cjose_jwk_t> key_;
  std::string kid_;
};

inline std::string jwks(std::initializer_list<json::value> keys) {
  return json::serialize(json::object{{"keys", json::array(keys.begin(), keys.end())}});
}

// header.payload.signature, signed by whatever the attacker likes.
inline std::string forge(const json::value& header, const json::value& claims,
                         std::string_view hmac_key = {}) {
  std::string text =
      base64url_encode(json::serialize(header)) + "." + base64url_encode(json::serialize(claims));
  return text + "." + (hmac_key.empty() ? std::string() : base64url_encode(hmac_sha256(hmac_key, text)));
}

}  // namespace oddjob::auth::testing
