#include "cli/login/provider.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/json.hpp"
#include "core/text.hpp"

namespace oddjob::cli {
namespace {

constexpr std::size_t kMaxAnswer = 512U << 10U, kMaxToken = 16U << 10U;

net::HttpClientOptions client_options(const LoginIssuer& issuer) {
  net::HttpClientOptions out;
  out.tls.ca_pem = issuer.ca_pem;
  out.user_agent = "oddjob/" ODDJOB_VERSION;
  const auto url = net::parse_url(issuer.issuer);
  const bool here = url && (url->host == "127.0.0.1" || url->host == "localhost" || url->host == "::1");
  out.proxy = here ? "" : "env";
  return out;
}

std::unexpected<Error> bad_provider(const std::string& what) {
  return fail(Errc::unavailable, "login.bad_provider", what, "ask whoever runs the OddJob server");
}

bool is_https(std::string_view url) {
  const auto parsed = net::parse_url(url);
  return parsed && parsed->scheme == "https";
}

// The provider's own words on why not (RFC 6749, 5.2), for a person.
Error refusal(const net::HttpResponse& answer, std::string code) {
  const auto v = parse_json(answer.body, "the identity provider's answer", kMaxAnswer);
  const auto why = v ? get_string(*v, {"error"}) : std::string_view{};
  const auto more = v ? get_string(*v, {"error_description"}) : std::string_view{};
  return {Errc::unauthenticated, std::move(code),
          fmt::format("the identity provider refused: {}{}{}",
                      why.empty() ? fmt::format("status {}", answer.status) : printable(why, 80),
                      more.empty() ? "" : ": ", printable(more, 300)),
          "run `oddjob login` again", 0};
}

// RFC 6749, 2.3.1: each encoded as in a form, before it is Basic.
std::string basic_credentials(std::string_view id, std::string_view secret) {
  return "Basic " + base64_encode(net::percent_encode(id) + ":" + net::percent_encode(secret));
}

std::string_view error_of(const json::value& v) { return get_string(v, {"error"}); }

}  // namespace

Result<Time> check_id_token(std::string_view id_token, const LoginIssuer& issuer, std::string_view nonce) {
  const auto bad = [](std::string what) {
    return fail(Errc::unauthenticated, "login.bad_token",
                "the identity provider's ID token " + std::move(what));
  };
  const auto parts = split(id_token, '.');
  if (parts.size() != 3 || id_token.size() > kMaxToken) return bad("is missing or is no signed token");
  const auto text = base64_decode(parts[1]);
  const auto claims = text ? parse_json(*text, "the ID token", kMaxToken) : Result<json::value>(nullptr);
  if (!claims || !claims->is_object()) return bad("cannot be read");
  if (get_string(*claims, {"iss"}) != issuer.issuer) return bad("is of another issuer");
  const json::value* aud = find(*claims, {"aud"});
  const auto ours = [&](const json::value& a) {
    return a.is_string() && sv(a.get_string()) == issuer.client_id;
  };
  if (aud == nullptr || !(aud->is_array() ? std::ranges::any_of(aud->get_array(), ours) : ours(*aud)))
    return bad("is for another client");
  if (!nonce.empty() && get_string(*claims, {"nonce"}) != nonce) return bad("answers another login (nonce)");
  const auto exp = get_int(*claims, {"exp"});
  if (!exp || *exp < 0 || *exp > 100'000'000'000) return bad("does not say when it expires");
  return Time(std::chrono::seconds(*exp));
}

Provider::Provider(net::Loop& loop, LoginIssuer issuer)
    : issuer_(std::move(issuer)), http_(loop, client_options(issuer_)) {}

net::Task<Result<std::unique_ptr<Provider>>> Provider::find(net::Loop& loop, LoginIssuer issuer) {
  std::unique_ptr<Provider> p(new Provider(loop, std::move(issuer)));
  std::string url = p->issuer_.issuer;
  if (!is_https(url))
    co_return bad_provider(fmt::format("the issuer {} is no https URL", printable(url, 200)));
  while (url.ends_with('/')) url.pop_back();
  url += "/.well-known/openid-configuration";
  net::HttpRequest request;
  request.url = url;
  request.max_body = kMaxAnswer;
  request.headers.set("Accept", "application/json");
  OJ_CO_TRY(const auto answer, co_await p->http_.fetch(std::move(request)));
  if (answer.status != 200) co_return bad_provider(fmt::format("GET {}: status {}", url, answer.status));
  OJ_CO_TRY(const auto v, parse_json(answer.body, url, kMaxAnswer));
  if (get_string(v, {"issuer"}) != p->issuer_.issuer)
    co_return bad_provider(fmt::format("{} is of another issuer than {}", url, p->issuer_.issuer));
  p->authorize_ = get_string(v, {"authorization_endpoint"});
  p->token_ = get_string(v, {"token_endpoint"});
  p->device_ = get_string(v, {"device_authorization_endpoint"});
  if (const auto url_of = get_string(v, {"revocation_endpoint"}); is_https(url_of)) p->revocation_ = url_of;
  p->answers_say_issuer_ = get_bool(v, {"authorization_response_iss_parameter_supported"});
  // Basic is what a provider takes that says nothing (OpenID Connect Discovery 3).
  if (const auto* methods = find_array(v, {"token_endpoint_auth_methods_supported"}))
    p->secret_in_form_ = std::ranges::find(*methods, json::value("client_secret_basic")) == methods->end();
  if (const auto* scopes = find_array(v, {"scopes_supported"}))
    for (const auto& s : *scopes)
      if (s.is_string()) p->scopes_supported_.emplace_back(sv(s.get_string()));
  if (!is_https(p->authorize_) || !is_https(p->token_) || (!p->device_.empty() && !is_https(p->device_)))
    co_return bad_provider(fmt::format("{} names no https endpoints to log in at", url));
  co_return std::move(p);
}

// Not every provider knows offline_access; one that says so would refuse the whole login.
std::string Provider::scope() const {
  std::vector<std::string> out;
  for (const auto& s : issuer_.scopes)
    if (s != "offline_access" || scopes_supported_.empty() ||
        std::ranges::find(scopes_supported_, s) != scopes_supported_.end())
      out.push_back(s);
  return join(out, " ");
}

std::string Provider::authorization_url(std::string_view redirect_uri, std::string_view state,
                                        std::string_view nonce, std::string_view challenge) const {
  net::Query q;
  q.add("response_type", "code");
  q.add("client_id", issuer_.client_id);
  q.add("redirect_uri", std::string(redirect_uri));
  q.add("scope", scope());
  q.add("state", std::string(state));
  q.add("nonce", std::string(nonce));
  q.add("code_challenge", std::string(challenge));
  q.add("code_challenge_method", "S256");
  for (const auto& [name, value] : issuer_.parameters)
    if (!q.has(name)) q.add(name, value);
  // A refresh token is only given with the user's consent (OpenID Connect Core 11).
  if (scope().find("offline_access") != std::string::npos && !q.has("prompt")) q.add("prompt", "consent");
  return authorize_ + (authorize_.find('?') == std::string::npos ? "?" : "&") + q.encode();
}

net::Task<Result<net::HttpResponse>> Provider::post(std::string url, net::Query form) {
  form.add("client_id", issuer_.client_id);
  if (secret_in_form_ && !issuer_.client_secret.empty()) form.add("client_secret", issuer_.client_secret);
  net::HttpRequest request;
  request.method = "POST";
  request.url = std::move(url);
  request.headers.set("Content-Type", "application/x-www-form-urlencoded");
  if (!issuer_.client_secret.empty() && !secret_in_form_)
    request.headers.set("Authorization", basic_credentials(issuer_.client_id, issuer_.client_secret));
  request.headers.set("Accept", "application/json");
  request.body = form.encode();
  request.max_body = kMaxAnswer;
  co_return co_await http_.fetch(std::move(request));
}

Result<Tokens> Provider::tokens_of(const net::HttpResponse& answer, std::string_view nonce) const {
  if (answer.status != 200) return fail(refusal(answer, "login.refused"));
  OJ_TRY(const auto v, parse_json(answer.body, "the identity provider's answer", kMaxAnswer));
  Tokens t;
  t.id_token = get_string(v, {"id_token"});
  t.refresh_token = get_string(v, {"refresh_token"});
  OJ_TRY(t.expires, check_id_token(t.id_token, issuer_, nonce));
  return t;
}

net::Task<Result<Tokens>> Provider::exchange(std::string code, std::string redirect_uri, std::string verifier,
                                             std::string nonce) {
  net::Query form;
  form.add("grant_type", "authorization_code");
  form.add("code", std::move(code));
  form.add("redirect_uri", std::move(redirect_uri));
  form.add("code_verifier", std::move(verifier));
  OJ_CO_TRY(const auto answer, co_await post(token_, std::move(form)));
  co_return tokens_of(answer, nonce);
}

net::Task<Result<Tokens>> Provider::refresh(std::string refresh_token) {
  net::Query form;
  form.add("grant_type", "refresh_token");
  form.add("refresh_token", refresh_token);
  OJ_CO_TRY(const auto answer, co_await post(token_, std::move(form)));
  if (answer.status >= 400 && answer.status < 500 && answer.status != 429) {
    Error e = refusal(answer, "cli.session_expired");
    e.message = "the session has expired (" + e.message + ")";
    e.hint = "run `oddjob login`";
    co_return fail(std::move(e));
  }
  OJ_CO_TRY(auto tokens, tokens_of(answer, ""));
  // Not every provider gives a new one.
  if (tokens.refresh_token.empty()) tokens.refresh_token = std::move(refresh_token);
  co_return tokens;
}

net::Task<Result<>> Provider::revoke(std::string refresh_token) {
  if (revocation_.empty()) co_return Result<>{};
  net::Query form;
  form.add("token", std::move(refresh_token));
  form.add("token_type_hint", "refresh_token");
  OJ_CO_TRY(const auto answer, co_await post(revocation_, std::move(form)));
  if (answer.status != 200) co_return fail(refusal(answer, "login.refused"));
  co_return Result<>{};
}

net::Task<Result<DeviceCode>> Provider::device_code() {
  if (device_.empty())
    co_return fail(Errc::unsupported, "login.no_device_flow",
                   fmt::format("{} does not offer the device flow", issuer_.issuer),
                   "run `oddjob login --browser`, and open the address that it prints on this machine");
  net::Query form;
  form.add("scope", scope());
  OJ_CO_TRY(const auto answer, co_await post(device_, std::move(form)));
  if (answer.status != 200) co_return fail(refusal(answer, "login.refused"));
  OJ_CO_TRY(const auto v, parse_json(answer.body, "the identity provider's answer", kMaxAnswer));
  DeviceCode c;
  c.device_code = get_string(v, {"device_code"});
  c.user_code = get_string(v, {"user_code"});
  c.uri = get_string(v, {"verification_uri"}, get_string(v, {"verification_url"}));
  c.uri_complete = get_string(v, {"verification_uri_complete"});
  const auto seconds = [&](std::string_view key, std::int64_t otherwise, std::int64_t most) {
    return std::chrono::seconds(std::clamp<std::int64_t>(get_int(v, {key}).value_or(otherwise), 1, most));
  };
  c.interval = seconds("interval", 5, 60);
  c.expires_in = seconds("expires_in", 600, 1800);
  if (c.device_code.empty() || c.user_code.empty() || c.uri.empty())
    co_return bad_provider("the identity provider's answer has no device code");
  co_return c;
}

net::Task<Result<std::optional<Tokens>>> Provider::poll(std::string device_code, bool& slow_down) {
  slow_down = false;
  net::Query form;
  form.add("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
  form.add("device_code", std::move(device_code));
  auto answer = co_await post(token_, std::move(form));
  if (!answer) {  // RFC 8628, 3.5: a lost connection asks for a longer pause, not for an end
    slow_down = true;
    co_return std::nullopt;
  }
  if (answer->status == 400) {
    const auto v = parse_json(answer->body, "the identity provider's answer", kMaxAnswer);
    const auto why = v ? error_of(*v) : std::string_view{};
    slow_down = why == "slow_down";
    if (slow_down || why == "authorization_pending") co_return std::nullopt;
    if (why == "access_denied")
      co_return fail(Errc::forbidden, "login.denied", "the login was refused in the browser");
    if (why == "expired_token")
      co_return fail(Errc::deadline_exceeded, "login.timeout", "nobody entered the code in time",
                     "run `oddjob login` again");
  }
  OJ_CO_TRY(auto tokens, tokens_of(*answer, ""));
  co_return tokens;
}

}  // namespace oddjob::cli
