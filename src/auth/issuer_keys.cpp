#include "auth/issuer_keys.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>

#include "core/text.hpp"
#include "net/http_client.hpp"

namespace oddjob::auth {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxDiscovery = 256U << 10U, kMaxJwks = 1U << 20U;
// Of keys that a token may be tried with; only without `kid` are they many.
constexpr std::size_t kMaxCandidates = 16;

net::HttpClientOptions client_options(const IssuerKeysOptions& o) {
  net::HttpClientOptions out;
  out.tls.ca_pem = o.ca_pem;
  out.proxy = o.proxy;
  out.user_agent = "oddjobd";
  out.max_connections = 4;
  return out;
}

// Discovery 1.0, section 4: a terminating slash goes before the suffix is added.
std::string discovery_url(std::string issuer) {
  while (issuer.ends_with('/')) issuer.pop_back();
  return issuer + "/.well-known/openid-configuration";
}

}  // namespace

struct IssuerKeys::Impl {
  using Ptr = std::shared_ptr<Impl>;
  Impl(net::Loop& l, IssuerKeysOptions o) : loop(l), options(std::move(o)) { tokens = options.unknown_burst; }

  net::Loop& loop;
  IssuerKeysOptions options;
  std::unique_ptr<net::HttpClient> http;  // null: closed
  Keys keys;
  std::optional<Steady::time_point> fetched, failed;  // the last of each
  std::string failure;                                // of the last attempt, if it failed
  bool fetching = false;
  std::uint64_t fetches = 0;  // ended ones
  net::Notifier ended;
  // Fetches that unknown key ids may still cause.
  int tokens = 0;
  Steady::time_point filled = Steady::now();

  [[nodiscard]] Keys matching(const SignedToken& token) const {
    Keys out;
    for (const PublicKey& k : keys)
      if (out.size() < kMaxCandidates && token.fits(k)) out.push_back(k);
    return out;
  }
  [[nodiscard]] bool younger_than(Duration age) const { return fetched && Steady::now() - *fetched < age; }

  bool may_fetch_for_unknown() {
    const auto now = Steady::now();
    while (tokens < options.unknown_burst && now - filled >= options.unknown_every) {
      ++tokens;
      filled += options.unknown_every;
    }
    if (tokens == options.unknown_burst) filled = now;
    if (tokens == 0) return false;
    --tokens;
    return true;
  }

  static net::Task<Result<std::string>> get(Ptr self, std::string url, std::size_t max_body);
  static net::Task<Result<Keys>> read(Ptr self);
  static net::Task<> fetch(Ptr self);
  static net::Task<> refreshed(Ptr self);
  static net::Task<Result<Keys>> for_token(Ptr self, SignedToken token);
  [[nodiscard]] std::unexpected<Error> unavailable() const;
};

IssuerKeys::IssuerKeys(net::Loop& loop, IssuerKeysOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {
  impl_->http = std::make_unique<net::HttpClient>(loop, client_options(impl_->options));
}
IssuerKeys::~IssuerKeys() { impl_->http.reset(); }

net::Task<Result<IssuerKeys::Keys>> IssuerKeys::for_token(const SignedToken& token) {
  return Impl::for_token(impl_, token);
}

net::Task<Result<std::string>> IssuerKeys::Impl::get(Ptr self, std::string url, std::size_t max_body) {
  if (!self->http) co_return fail(Errc::cancelled, "http.cancelled", "the server is shutting down");
  net::HttpRequest request;
  request.url = url;
  request.headers.set("Accept", "application/json");
  request.timeout = self->options.timeout;
  request.max_body = max_body;
  OJ_CO_TRY(auto answer, co_await self->http->fetch(std::move(request)));
  if (answer.status != 200)
    co_return fail(Errc::unavailable, "oidc.bad_answer",
                   fmt::format("GET {}: status {}", url, answer.status));
  co_return std::move(answer.body);
}

net::Task<Result<IssuerKeys::Keys>> IssuerKeys::Impl::read(Ptr self) {
  const std::string url = discovery_url(self->options.url);
  OJ_CO_TRY(const auto text, co_await get(self, url, kMaxDiscovery));
  OJ_CO_TRY(const auto document, parse_json(text, url, kMaxDiscovery));
  if (get_string(document, {"issuer"}) != self->options.url)
    co_return fail(
        Errc::unavailable, "oidc.other_issuer",
        fmt::format("{} says that its issuer is '{}'", url, printable(get_string(document, {"issuer"}), 200)),
        "`issuer` in the configuration must be the same to the byte, a last slash included");
  const std::string jwks_uri(get_string(document, {"jwks_uri"}));
  if (const auto parsed = net::parse_url(jwks_uri); !parsed || parsed->scheme != "https")
    co_return fail(Errc::unavailable, "oidc.no_keys", fmt::format("{}: jwks_uri is no https URL", url));
  OJ_CO_TRY(const auto jwks, co_await get(self, jwks_uri, kMaxJwks));
  auto parsed = parse_jwks(jwks);
  if (!parsed) co_return fail(std::move(parsed.error()).with_context(jwks_uri));
  co_return std::move(*parsed);
}

net::Task<> IssuerKeys::Impl::fetch(Ptr self) {
  Result<Keys> got = co_await read(self);
  const auto now = Steady::now();
  if (got) {
    if (!self->failure.empty() || !self->fetched)
      spdlog::info("auth: {} keys of {} are known", got->size(), self->options.url);
    self->keys = std::move(*got);
    self->fetched = now;
    self->failure.clear();
  } else {
    self->failed = now;
    std::string said = got.error().hint.empty()
                           ? got.error().message
                           : fmt::format("{}; {}", got.error().message, got.error().hint);
    if (self->http && said != self->failure)
      spdlog::warn("auth: no keys from {}: {}", self->options.url, said);
    self->failure = std::move(said);
  }
  self->fetching = false;
  ++self->fetches;
  self->ended.notify_all();
}

// One attempt, that of somebody else if there is one under way.
net::Task<> IssuerKeys::Impl::refreshed(Ptr self) {
  const auto seen = self->ended.ticket();
  if (!self->fetching) {
    self->fetching = true;
    // On its own: whoever asked first may go away, the others still wait.
    self->loop.spawn("auth.issuer_keys", fetch(self));
  }
  co_await self->ended.wait_beyond(seen, self->options.timeout * 2 + std::chrono::seconds(1));
}

std::unexpected<Error> IssuerKeys::Impl::unavailable() const {
  Error e{Errc::unavailable, "auth.keys_unavailable",
          fmt::format("the keys of {} cannot be had, so its tokens cannot be checked{}{}", options.url,
                      failure.empty() ? "" : ": ", failure),
          "try again in a moment; the server's log says more", 0};
  e.retry_after_seconds = static_cast<int>(
      std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(options.retry).count()));
  return fail(std::move(e));
}

net::Task<Result<IssuerKeys::Keys>> IssuerKeys::Impl::for_token(Ptr self, SignedToken token) {
  // Old keys are asked for anew before they are used, and used on only while the issuer is down.
  if (!self->younger_than(self->options.refresh)) {
    if (self->fetching || !self->failed || Steady::now() - *self->failed >= self->options.retry)
      co_await refreshed(self);
    if (!self->younger_than(self->options.max_age)) co_return self->unavailable();
  }
  Keys found = self->matching(token);
  if (!found.empty()) co_return found;
  // A key that was rotated in. A fetch that is under way may have begun before
  // it was published, but then its successor is one token away.
  if (!self->fetching && !self->may_fetch_for_unknown()) {
    Error e{Errc::unavailable, "auth.keys_unavailable",
            fmt::format("{} was asked for its keys too often just now", self->options.url),
            "try again in a moment", 0};
    e.retry_after_seconds = static_cast<int>(std::max<std::int64_t>(
        1, std::chrono::ceil<std::chrono::seconds>(self->options.unknown_every).count()));
    co_return fail(std::move(e));
  }
  co_await refreshed(self);
  found = self->matching(token);
  if (!found.empty()) co_return found;
  if (!self->failure.empty()) co_return self->unavailable();
  co_return fail(Errc::unauthenticated, "auth.token_key",
                 fmt::format("{} publishes no key '{}' for {}", self->options.url,
                             printable(token.header().kid, 100), token.header().alg),
                 "run `oddjob login`; the token may be older than the issuer's keys");
}

}  // namespace oddjob::auth
