// An identity provider as `oddjob login` uses it: discovery, the token endpoint,
// the device authorization endpoint. TLS only; answers are bounded.
//
// Loop thread only. No error holds a token or a code.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "net/async.hpp"
#include "net/http.hpp"
#include "net/http_client.hpp"

namespace oddjob::cli {

// What the server says of an issuer (GET /api/v1/login).
struct LoginIssuer {
  std::string issuer, client_id, ca_pem;
  std::vector<std::string> scopes;
  std::string client_secret;                      // empty: a public client
  std::map<std::string, std::string> parameters;  // more of the authorization request
};

struct Tokens {
  std::string id_token, refresh_token;
  Time expires{};  // `exp` of the ID token
};

// What an ID token that came straight from the token endpoint must say (OpenID
// Connect Core 3.1.3.7: TLS vouches for it there, and the OddJob server checks the
// signature of every one it is sent). `nonce` empty: not asked for. Error
// "login.bad_token".
Result<Time> check_id_token(std::string_view id_token, const LoginIssuer& issuer, std::string_view nonce);

struct DeviceCode {
  std::string device_code, user_code, uri, uri_complete;
  Duration interval, expires_in;
};

class Provider {
 public:
  // Discovery. Errors: those of net::HttpClient; "login.bad_provider".
  static net::Task<Result<std::unique_ptr<Provider>>> find(net::Loop& loop, LoginIssuer issuer);

  [[nodiscard]] const LoginIssuer& issuer() const noexcept { return issuer_; }
  [[nodiscard]] bool has_device_flow() const noexcept { return !device_.empty(); }
  [[nodiscard]] bool says_issuer_in_answers() const noexcept { return answers_say_issuer_; }
  // The page to open. `challenge`: PKCE, S256.
  [[nodiscard]] std::string authorization_url(std::string_view redirect_uri, std::string_view state,
                                              std::string_view nonce, std::string_view challenge) const;
  // Errors: "login.refused" with the provider's own words.
  net::Task<Result<Tokens>> exchange(std::string code, std::string redirect_uri, std::string verifier,
                                     std::string nonce);
  // Error "cli.session_expired": the provider does not take the refresh token any more.
  net::Task<Result<Tokens>> refresh(std::string refresh_token);
  // Tells the provider to forget it (RFC 7009), where it can be told.
  net::Task<Result<>> revoke(std::string refresh_token);
  net::Task<Result<DeviceCode>> device_code();
  // One question. nullopt: not yet. `slow_down` asks for longer pauses.
  net::Task<Result<std::optional<Tokens>>> poll(std::string device_code, bool& slow_down);

 private:
  Provider(net::Loop& loop, LoginIssuer issuer);
  net::Task<Result<net::HttpResponse>> post(std::string url, net::Query form);
  [[nodiscard]] std::string scope() const;
  [[nodiscard]] Result<Tokens> tokens_of(const net::HttpResponse& answer, std::string_view nonce) const;

  LoginIssuer issuer_;
  net::HttpClient http_;
  std::string authorize_, token_, device_, revocation_;
  std::vector<std::string> scopes_supported_;  // empty: not said
  bool answers_say_issuer_ = false;
  bool secret_in_form_ = false;  // the provider wants it there, and not as HTTP Basic
};

}  // namespace oddjob::cli
