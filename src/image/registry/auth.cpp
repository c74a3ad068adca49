// From a challenge to an Authorization header.
#include <fmt/format.h>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "image/registry/client_impl.hpp"

namespace oddjob::image {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxTokens = 2000, kMaxTokenAnswer = 1U << 20U;

std::string basic(const Credential& c) { return "Basic " + base64_encode(c.username + ":" + c.password); }

std::string scope_of(const Reference& image) { return "repository:" + image.repository + ":pull"; }

std::string key_of(const Challenge& c, const Reference& image, const Credential& who) {
  // A digest, so that no secret is held twice.
  return sha256_hex(fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}", c.realm, c.service, image.registry,
                                image.repository, who.username, who.password, who.identity_token));
}

net::HttpRequest token_request(const Challenge& c, const Reference& image, const Credential& who,
                               bool as_form, const RegistryOptions& options) {
  net::HttpRequest r;
  r.timeout = options.call_timeout / 2;
  r.max_body = kMaxTokenAnswer;
  r.headers.set("Accept", "application/json");
  net::Query q;
  if (!c.service.empty()) q.add("service", c.service);
  q.add("scope", c.scope.empty() ? scope_of(image) : c.scope);
  if (as_form) {
    q.add("client_id", "oddjob");
    q.add("grant_type", "refresh_token");
    q.add("refresh_token", who.identity_token);
    r.method = "POST";
    r.url = c.realm;
    r.headers.set("Content-Type", "application/x-www-form-urlencoded");
    r.body = q.encode();
    return r;
  }
  r.url = c.realm + (c.realm.find('?') == std::string::npos ? "?" : "&") + q.encode();
  if (!who.username.empty() || !who.password.empty()) r.headers.set("Authorization", basic(who));
  return r;
}

net::Task<Result<Token>> fetch_token(std::shared_ptr<Registry::Impl> self, Reference image, Challenge c,
                                     Credential who) {
  OJ_CO_CHECK(self->allowed(c.realm, image, "the token server"));
  const bool as_form = !who.identity_token.empty();
  Error last;
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (attempt > 0) co_await net::sleep_for(backoff(self->options, attempt));
    auto request = token_request(c, image, who, as_form, self->options);
    ++self->stats.tokens;
    auto asking = self->client_for(c.realm).fetch(std::move(request));
    const auto got = co_await std::move(asking);
    if (!got) {
      last = got.error();
      continue;
    }
    if (got->status == 200) co_return parse_token(got->body, c.realm);
    last = Error{Errc::unavailable, "image.unauthorized",
                 fmt::format("the token server {} answered {} for {}/{}", printable(c.realm, 200),
                             got->status, image.registry, image.repository),
                 who.empty() ? "are there imagePullSecrets for this registry?" : "are the credentials right?",
                 0};
    if (got->status < 500 && got->status != 429) break;
  }
  co_return fail(std::move(last));
}

}  // namespace

net::Task<Result<std::string>> authorization(std::shared_ptr<Registry::Impl> self, const Reference& image,
                                             Identity& who) {
  const Credential& c = who.candidates[who.at];
  if (!c.registry_token.empty()) co_return "Bearer " + c.registry_token;
  if (!who.challenge) co_return std::string();
  if (who.challenge->scheme == "basic") {
    co_return c.empty() ? std::string() : basic(c);
  }
  const std::string key = key_of(*who.challenge, image, c);
  if (const auto kept = self->tokens.find(key); kept != self->tokens.end()) {
    if (Steady::now() < kept->second.until) co_return "Bearer " + kept->second.value;
    self->tokens.erase(kept);
  }
  auto fetching = fetch_token(self, image, *who.challenge, c);
  auto token = co_await std::move(fetching);
  if (!token) co_return std::unexpected(std::move(token).error());
  if (self->tokens.size() >= kMaxTokens) self->tokens.clear();
  // A tenth early, so that none runs out on its way.
  self->tokens[key] = {token->value, Steady::now() + token->lifetime * 9 / 10};
  co_return "Bearer " + token->value;
}

bool refused(Registry::Impl& self, const Reference& image, Identity& who, std::string_view header,
             bool had_authorization) {
  const Credential& c = who.candidates[who.at];
  std::optional<Challenge> chosen;
  for (const auto& offered : parse_challenges(header)) {
    if (offered.scheme == "bearer" && !offered.realm.empty() && (!chosen || chosen->scheme == "basic"))
      chosen = offered;
    if (offered.scheme == "basic" && !chosen) chosen = offered;
  }
  const auto next_candidate = [&] {
    if (who.at + 1 >= who.candidates.size()) return false;
    ++who.at;
    return true;
  };
  if (!chosen) return next_candidate();
  if (who.challenge && chosen->scheme == "bearer" && had_authorization) {
    // The token was refused: perhaps it ran out, so one new one is tried.
    const auto key = key_of(*who.challenge, image, c);
    self.tokens.erase(key);
    who.challenge = chosen;
    if (who.tried.insert(key).second) return true;
    return next_candidate();
  }
  who.challenge = chosen;
  if (!c.registry_token.empty() && had_authorization) return next_candidate();
  if (chosen->scheme == "bearer") return true;
  // Basic: nobody cannot be told from somebody without a password.
  if (c.empty() || had_authorization) return next_candidate();
  return true;
}

}  // namespace oddjob::image
