#include "auth/jws.hpp"

#include <gtest/gtest.h>

#include "auth/issuer.hpp"
#include "signing.hpp"

namespace oddjob::auth {
namespace {

using testing::forge;
using testing::jwks;
using testing::SigningKey;

const json::value kClaims = json::object{{"iss", "https://id.example.com"}, {"sub", "ann"}};

Result<std::string> check(const std::string& token, const std::string& keys,
                          const std::vector<std::string>& allowed = signing_algorithms()) {
  OJ_TRY(const auto parsed, SignedToken::parse(token, allowed));
  OJ_TRY(const auto known, parse_jwks(keys));
  for (const auto& key : known)
    if (parsed.fits(key)) return parsed.verify(key);
  return fail(Errc::unauthenticated, "no_key", "no key fits");
}

std::string code(const Result<std::string>& r) { return r ? "accepted: " + *r : r.error().code; }

TEST(Jws, EverySignatureThatIsAcceptedHoldsUnderItsKeyAndNoOther) {
  const auto rsa = SigningKey::rsa("k"), other_rsa = SigningKey::rsa("k");
  for (const auto& alg : signing_algorithms()) {
    const auto curve = alg == "ES256"   ? CJOSE_JWK_EC_P_256
                       : alg == "ES384" ? CJOSE_JWK_EC_P_384
                                        : CJOSE_JWK_EC_P_521;
    const bool ec = alg.starts_with("ES");
    const auto key = ec ? SigningKey::ec("k", curve) : rsa,
               other = ec ? SigningKey::ec("k", curve) : other_rsa;
    const auto token = key.sign(kClaims, alg);
    const auto good = check(token, jwks({key.jwk()}));
    ASSERT_TRUE(good) << alg << ": " << good.error().message;
    EXPECT_EQ(*good, json::serialize(kClaims));
    EXPECT_EQ(code(check(token, jwks({other.jwk()}))), "auth.token_signature") << alg;
    EXPECT_EQ(code(check(token, jwks({key.jwk({{"alg", alg == "RS256" ? "RS512" : "RS256"}})}))),
              ec ? "jwks.malformed" : "no_key")
        << alg << ": a key for another algorithm";
    auto changed = token;
    changed[token.find('.') + 3] = changed[token.find('.') + 3] == 'A' ? 'B' : 'A';
    EXPECT_EQ(code(check(changed, jwks({key.jwk()}))), "auth.token_signature") << alg;
    EXPECT_EQ(code(check(token, jwks({key.jwk()}), {alg == "RS512" ? "RS256" : "RS512"})),
              "auth.token_algorithm");
  }
}

TEST(Jws, WhatAnAttackerMakesOfAPublicKeyIsRefused) {
  const auto rsa = SigningKey::rsa("k"), ec = SigningKey::ec("k");
  const auto keys = jwks({rsa.jwk()});
  const auto n = json::serialize(rsa.jwk());
  const auto good = rsa.sign(kClaims, "RS256");
  const auto body = good.substr(good.find('.'));
  const std::tuple<std::string, std::string, std::string> cases[] = {
      {"alg none", forge({{"alg", "none"}}, kClaims), "auth.token_algorithm"},
      {"alg None", forge({{"alg", "None"}}, kClaims), "auth.token_algorithm"},
      {"alg none, signature kept", base64url_encode(R"({"alg":"none","kid":"k"})") + body,
       "auth.token_algorithm"},
      {"HS256 with the public key", forge({{"alg", "HS256"}, {"kid", "k"}}, kClaims, n),
       "auth.token_algorithm"},
      {"no alg", forge(json::object{{"kid", "k"}}, kClaims, n), "auth.token_algorithm"},
      {"alg is no text", forge({{"alg", 1}}, kClaims, n), "auth.token_malformed"},
      {"RS256 said, HMAC made", forge({{"alg", "RS256"}, {"kid", "k"}}, kClaims, n), "auth.token_signature"},
      {"RS256 said, nothing signed", forge({{"alg", "RS256"}, {"kid", "k"}}, kClaims),
       "auth.token_signature"},
      {"ES256 under an RSA key's id", ec.sign(kClaims, "ES256"), "no_key"},
      {"crit", rsa.sign(kClaims, "RS256", {{"crit", json::array{"b64"}}}), "auth.token_algorithm"},
      {"a logout token", rsa.sign(kClaims, "RS256", {{"typ", "logout+jwt"}}), "auth.token_type"},
      {"a client assertion", rsa.sign(kClaims, "RS256", {{"typ", "client-authentication+jwt"}}),
       "auth.token_type"},
      {"another key id", rsa.sign(kClaims, "RS256", {{"kid", "other"}}), "no_key"},
      {"two parts", good.substr(0, good.rfind('.')), "auth.token_malformed"},
      {"five parts", good + ".a.b", "auth.token_malformed"},
      {"no base64", "!!." + good.substr(good.find('.') + 1), "auth.token_malformed"},
      {"empty", "", "auth.token_malformed"},
      {"dots", "..", "auth.token_malformed"},
      {"a key of the token's own", ec.sign(kClaims, "ES256", {{"jwk", ec.jwk()}}), "no_key"},
  };
  for (const auto& [what, token, wanted] : cases) {
    const auto r = check(token, keys);
    EXPECT_EQ(code(r), wanted) << what;
    if (!r && !token.empty()) {
      EXPECT_EQ(r.error().message.find(token), std::string::npos) << what;
    }
  }
  EXPECT_TRUE(check(rsa.sign(kClaims, "RS256", {{"typ", "at+jwt"}}), keys));
  EXPECT_TRUE(check(rsa.sign(kClaims, "PS384", {{"typ", "JWT"}}), keys));
  EXPECT_TRUE(check(rsa.sign(kClaims, "RS256", {{"kid", nullptr}}), keys)) << "without a key id";
}

TEST(Jws, OnlyKeysThatCheckSignaturesAreTakenFromAKeySet) {
  const auto rsa = SigningKey::rsa("r"), ec = SigningKey::ec("e");
  const auto small = SigningKey::rsa("small", 1024);
  const json::value oct = json::object{{"kty", "oct"}, {"k", "c2VjcmV0"}, {"kid", "o"}};
  const json::value okp = json::object{{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", "AAAA"}};
  const auto keys =
      parse_jwks(jwks({oct, okp, small.jwk(), rsa.jwk({{"use", "enc"}}), rsa.jwk({{"alg", "RSA-OAEP"}}),
                       rsa.jwk({{"alg", "HS256"}}), ec.jwk({{"key_ops", json::array{"sign"}}}), "text",
                       json::object{{"kty", "RSA"}, {"n", "AQAB"}}, rsa.jwk({{"use", "sig"}}),
                       ec.jwk({{"key_ops", json::array{"verify"}}, {"alg", "ES256"}})}));
  ASSERT_TRUE(keys) << keys.error().message;
  ASSERT_EQ(keys->size(), 2U);
  EXPECT_EQ((*keys)[0].kid, "r");
  EXPECT_EQ((*keys)[0].type, "RSA");
  EXPECT_EQ((*keys)[1].type, "P-256");
  json::array many(kMaxKeys + 1, rsa.jwk());
  for (const std::string& text : {std::string("{}"), std::string("[]"), std::string("no"), jwks({}),
                                  jwks({oct}), json::serialize(json::object{{"keys", many}})}) {
    const auto none = parse_jwks(text);
    ASSERT_FALSE(none) << text.substr(0, 40);
    EXPECT_EQ(none.error().code, "jwks.malformed");
  }
}

}  // namespace
}  // namespace oddjob::auth
