#include "auth/authenticator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "auth/jws.hpp"
#include "auth/review_cache.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::auth {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxToken = 16U << 10U;
// Reviews under way at once: a flood of made-up tokens must not become a flood
// on the API server.
constexpr std::size_t kMaxReviews = 64;
// Subjects remembered as they were identified last.
constexpr std::size_t kMaxSeen = 10000;
constexpr Duration kReviewWait = std::chrono::seconds(35);

// Whoever brings the token of an issuer that is not configured, perhaps for a
// slash too many, is told which one; nothing of it has been checked.
std::unexpected<Error> unknown_token(std::string_view token) {
  std::string hint = "log in again, or ask for a new token";
  const auto claims = claimed_claims(token);
  if (const auto issuer = get_string(claims, {"iss"}); !issuer.empty())
    hint += fmt::format(
        "; it says to be of '{}': unless that is the cluster itself, `auth.oidc` has no such issuer",
        printable(issuer, 200));
  return fail(Errc::unauthenticated, "auth.unknown_token",
              "the bearer token is not valid here, or has expired", std::move(hint));
}

Result<std::string_view> bearer(std::string_view header) {
  header = trim(header);
  if (header.empty())
    return fail(Errc::unauthenticated, "auth.missing", "the request has no Authorization header",
                "send `Authorization: Bearer <token>`");
  const auto space = header.find(' ');
  const std::string_view token =
      space == std::string_view::npos ? std::string_view() : trim(header.substr(space + 1));
  if (ascii_lower(header.substr(0, space)) != "bearer" || token.empty())
    return fail(Errc::unauthenticated, "auth.malformed", "the Authorization header is not `Bearer <token>`");
  const bool odd = std::any_of(token.begin(), token.end(), [](char c) { return c <= 0x20 || c >= 0x7f; });
  if (odd || token.size() > kMaxToken)
    return fail(Errc::unauthenticated, "auth.malformed",
                "the bearer token has characters that no token has, or is too long");
  return token;
}

bool any_of_teams(const std::vector<std::string>& teams, const std::vector<std::string>& wanted) {
  return std::any_of(teams.begin(), teams.end(), [&](const std::string& t) {
    return std::find(wanted.begin(), wanted.end(), t) != wanted.end();
  });
}

// The API server has no reason to repeat a token in a message; a proxy may.
std::string without(std::string text, const std::string& secret) {
  for (auto at = text.find(secret); at != std::string::npos; at = text.find(secret, at))
    text.replace(at, secret.size(), "[redacted]");
  return text;
}

}  // namespace

struct Authenticator::Impl {
  using Ptr = std::shared_ptr<Impl>;
  using Verdict = ReviewCache::Verdict;
  // One review under way; all who bring the same token wait for it.
  struct Review {
    net::Notifier done;
    std::optional<Result<Verdict>> result;
  };

  Impl(AuthOptions o, kube::Client* c)
      : options(std::move(o)), client(c), cache(options.cache_entries, options.cache_ttl) {}

  const StaticToken* find_static(std::string_view hash) const;
  Subject with_roles(Subject s) const;
  Result<Verdict> verdict_of(const json::value& review) const;
  static net::Task<Result<Subject>> authenticate(Ptr self, std::string header);
  static net::Task<> review(Ptr self, std::string token, std::string hash, std::shared_ptr<Review> state);

  AuthOptions options;
  kube::Client* client;
  bool closed = false;
  ReviewCache cache;
  std::unordered_map<std::string, std::shared_ptr<Review>> reviews;
  std::map<std::pair<AuthMethod, std::string>, Subject> seen;  // by how and user; without roles

  Subject remembered(Subject s) {
    if (seen.size() >= kMaxSeen) seen.clear();
    seen.insert_or_assign({s.how, s.user}, s);
    return with_roles(std::move(s));
  }
};

Authenticator::Authenticator(AuthOptions options, kube::Client* client)
    : impl_(std::make_shared<Impl>(std::move(options), client)) {}
Authenticator::~Authenticator() { impl_->closed = true; }

void Authenticator::replace_static_tokens(std::vector<StaticToken> tokens) {
  impl_->options.static_tokens = std::move(tokens);
}

void Authenticator::replace_roles(std::vector<std::string> admin_teams,
                                  std::vector<std::string> auditor_teams, std::vector<NamedTeam> teams) {
  impl_->options.admin_teams = std::move(admin_teams);
  impl_->options.auditor_teams = std::move(auditor_teams);
  impl_->options.teams = std::move(teams);
}

Subject Authenticator::admit(Subject subject) { return impl_->remembered(std::move(subject)); }

net::Task<Result<Subject>> Authenticator::authenticate(std::string_view authorization) {
  return Impl::authenticate(impl_, std::string(authorization));
}

// Looks at every entry, found or not, so that time tells nothing.
const StaticToken* Authenticator::Impl::find_static(std::string_view hash) const {
  const StaticToken* found = nullptr;
  for (const StaticToken& t : options.static_tokens)
    if (equal_constant_time(t.sha256, hash)) found = &t;
  return found;
}

Subject Authenticator::Impl::with_roles(Subject s) const {
  s = with_named_teams(std::move(s), options.teams);
  s.admin = s.admin || any_of_teams(s.teams, options.admin_teams);
  s.auditor = s.auditor || any_of_teams(s.teams, options.auditor_teams);
  return s;
}

Result<Authenticator::Impl::Verdict> Authenticator::Impl::verdict_of(const json::value& review) const {
  Verdict v;
  if (find_object(review, {"status"}) == nullptr)
    return fail(Errc::unavailable, "auth.review_failed", "the API server's TokenReview has no status");
  if (!get_bool(review, {"status", "authenticated"})) return v;
  // An API server that does not know audiences leaves them out, and has checked
  // the token against its own instead: that is not the audience asked for.
  if (!options.token_review_audiences.empty()) {
    bool ours = false;
    if (const json::array* got = find_array(review, {"status", "audiences"}))
      for (const json::value& a : *got)
        ours =
            ours || (a.is_string() &&
                     std::find(options.token_review_audiences.begin(), options.token_review_audiences.end(),
                               std::string(sv(a.get_string()))) != options.token_review_audiences.end());
    if (!ours) return v;
  }
  Subject s;
  s.user = get_string(review, {"status", "user", "username"});
  s.how = AuthMethod::token_review;
  if (s.user.empty()) return v;
  if (const json::array* groups = find_array(review, {"status", "user", "groups"}))
    for (const json::value& g : *groups)
      if (g.is_string()) s.teams.emplace_back(sv(g.get_string()));
  v.subject = std::move(s);
  return v;
}

net::Task<Result<Subject>> Authenticator::Impl::authenticate(Ptr self, std::string header) {
  OJ_CO_TRY(const std::string_view token, bearer(header));
  const std::string hash = sha256_hex(token);
  if (const StaticToken* t = self->find_static(hash)) co_return self->with_roles(t->subject);
  if (const auto oidc = self->options.oidc; oidc && oidc->claims(token)) {
    std::string owned(token);
    OJ_CO_TRY(Subject s, co_await oidc->subject(std::move(owned)));
    co_return self->remembered(std::move(s));
  }
  if (!self->options.token_review || self->client == nullptr) co_return unknown_token(token);

  if (const Verdict* known = self->cache.find(hash, Steady::now())) {
    if (!known->subject) co_return unknown_token(token);
    co_return self->remembered(*known->subject);
  }
  std::shared_ptr<Review> state;
  if (const auto it = self->reviews.find(hash); it != self->reviews.end()) {
    state = it->second;
  } else {
    if (self->reviews.size() >= kMaxReviews) {
      Error busy{
          Errc::unavailable, "auth.review_failed", "too many tokens are being checked at this moment", {}, 1};
      co_return fail(std::move(busy));
    }
    state = std::make_shared<Review>();
    self->reviews.emplace(hash, state);
    // On its own: whoever asked first may go away, the others still wait.
    self->client->loop().spawn("auth.token_review", review(self, std::string(token), hash, state));
  }
  if (!state->result) co_await state->done.wait_beyond(0, kReviewWait);
  if (!state->result)
    co_return fail(Errc::unavailable, "auth.review_failed", "the API server did not check the token in time");
  if (!*state->result) co_return fail(state->result->error());
  const Verdict& verdict = **state->result;
  if (!verdict.subject) co_return unknown_token(token);
  co_return self->remembered(*verdict.subject);
}

std::optional<Subject> Authenticator::known(const Subject& recorded) const {
  if (recorded.how != AuthMethod::static_token) {
    if (recorded.how == AuthMethod::oidc &&
        !(impl_->options.oidc && impl_->options.oidc->may_name(recorded.user)))
      return std::nullopt;
    const auto it = impl_->seen.find({recorded.how, recorded.user});
    return impl_->with_roles(it == impl_->seen.end() ? recorded : it->second);
  }
  std::optional<Subject> found;
  for (const StaticToken& t : impl_->options.static_tokens) {
    if (t.subject.user != recorded.user) continue;
    if (!found) {
      found = impl_->with_roles(t.subject);
    } else {
      // Several tokens of one user: what all of them say.
      std::erase_if(found->teams, [&](const std::string& team) {
        return std::find(t.subject.teams.begin(), t.subject.teams.end(), team) == t.subject.teams.end();
      });
    }
  }
  return found;
}

std::vector<LoginIssuer> Authenticator::logins() const {
  return impl_->options.oidc ? impl_->options.oidc->logins() : std::vector<LoginIssuer>{};
}

net::Task<> Authenticator::Impl::review(Ptr self, std::string token, std::string hash,
                                        std::shared_ptr<Review> state) {
  Result<Verdict> result = fail(Errc::cancelled, "auth.review_failed", "the server is shutting down");
  if (!self->closed) {
    json::object spec{{"token", token}};
    if (!self->options.token_review_audiences.empty()) {
      json::array audiences;
      for (const auto& a : self->options.token_review_audiences) audiences.emplace_back(a);
      spec["audiences"] = std::move(audiences);
    }
    json::value object = json::object{{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenReview"}};
    object.get_object()["spec"] = std::move(spec);
    kube::WriteOptions options;
    options.field_manager.clear();
    auto asking = self->client->create(kube::resources::token_reviews, "", std::move(object), options);
    Result<json::value> answer = co_await std::move(asking);
    if (answer) {
      result = self->verdict_of(*answer);
    } else {
      // Whatever went wrong here is between OddJob and the cluster; a 401 must
      // not read as if the caller's own token had been refused.
      result = fail(
          Errc::unavailable, "auth.review_failed",
          "the token could not be checked with the Kubernetes API: " + without(answer.error().message, token),
          answer.error().code == "kube.forbidden"
              ? "OddJob's service account needs permission to create tokenreviews (system:auth-delegator)"
              : answer.error().hint);
      result.error().retry_after_seconds = answer.error().retry_after_seconds;
    }
  }
  if (result) self->cache.put(hash, *result, Steady::now());
  state->result = std::move(result);
  self->reviews.erase(hash);
  state->done.notify_all();
}

}  // namespace oddjob::auth
