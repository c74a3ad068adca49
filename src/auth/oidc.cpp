#include "auth/oidc.hpp"

#include <algorithm>

#include "auth/claims.hpp"
#include "auth/jws.hpp"

namespace oddjob::auth {

struct Oidc::Impl {
  struct Entry {
    Issuer issuer;
    std::unique_ptr<IssuerKeys> keys;
  };
  std::vector<Entry> entries;
  const Clock& clock;

  explicit Impl(const Clock& c) : clock(c) {}
  // By `iss`, and by `aud` where one issuer has several entries; the first of
  // the issuer where no audience fits, for its error.
  [[nodiscard]] const Entry* entry_of(const json::value& claims) const {
    const Entry* first = nullptr;
    for (const Entry& e : entries) {
      if (e.issuer.url != get_string(claims, {"iss"})) continue;
      if (audience_fits(claims, e.issuer)) return &e;
      if (first == nullptr) first = &e;
    }
    return first;
  }
  static net::Task<Result<Subject>> subject(std::shared_ptr<Impl> self, std::string token);
};

Oidc::Oidc(net::Loop& loop, std::vector<Issuer> issuers, IssuerKeysOptions keys, const Clock& clock)
    : impl_(std::make_shared<Impl>(clock)) {
  for (Issuer& issuer : issuers) {
    IssuerKeysOptions o = keys;
    o.url = issuer.url;
    o.ca_pem = issuer.ca_pem;
    o.max_age = issuer.keys_max_age;
    o.refresh = std::min(o.refresh, o.max_age);
    impl_->entries.push_back({std::move(issuer), std::make_unique<IssuerKeys>(loop, std::move(o))});
  }
}
Oidc::~Oidc() = default;

bool Oidc::claims(std::string_view token) const {
  if (impl_->entries.empty()) return false;
  const json::value payload = claimed_claims(token);
  const std::string_view issuer = get_string(payload, {"iss"});
  return !issuer.empty() &&
         std::ranges::any_of(impl_->entries, [&](const Impl::Entry& e) { return e.issuer.url == issuer; });
}

net::Task<Result<Subject>> Oidc::subject(std::string token) { return Impl::subject(impl_, std::move(token)); }

net::Task<Result<Subject>> Oidc::Impl::subject(std::shared_ptr<Impl> self, std::string token) {
  // Unchecked, and used for nothing but to find who checks.
  const Entry* entry = self->entry_of(claimed_claims(token));
  if (entry == nullptr)
    co_return fail(Errc::unauthenticated, "auth.token_issuer",
                   "the bearer token is of no issuer that is known here");
  OJ_CO_TRY(const SignedToken parsed, SignedToken::parse(token, entry->issuer.algorithms));
  OJ_CO_TRY(const auto keys, co_await entry->keys->for_token(parsed));
  Result<std::string> payload =
      fail(Errc::unauthenticated, "auth.token_signature", "the bearer token's signature is not its issuer's");
  for (const PublicKey& key : keys) {
    payload = parsed.verify(key);
    if (payload) break;
  }
  if (!payload) co_return fail(payload.error());
  const auto claims = parse_json(*payload, "the token's payload");
  if (!claims)
    co_return fail(Errc::unauthenticated, "auth.token_malformed", "the bearer token's payload is no JSON");
  co_return subject_of(*claims, entry->issuer, self->clock.now());
}

bool Oidc::may_name(std::string_view user) const {
  for (const auto& e : impl_->entries)
    for (const auto& prefix : name_prefixes(e.issuer))
      if (user.starts_with(prefix)) return true;
  return false;
}

std::vector<LoginIssuer> Oidc::logins() const {
  std::vector<LoginIssuer> out;
  for (const auto& e : impl_->entries)
    if (!e.issuer.client_id.empty())
      out.push_back({e.issuer.url, e.issuer.client_id, e.issuer.scopes, e.issuer.ca_pem,
                     e.issuer.client_secret, e.issuer.login_parameters});
  return out;
}

}  // namespace oddjob::auth
