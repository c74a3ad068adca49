#include "cli/login/renew.hpp"

#include <fmt/format.h>

namespace oddjob::cli {
namespace {

constexpr auto kBefore = std::chrono::seconds(60);
constexpr auto kLockWait = std::chrono::seconds(40);

std::unexpected<Error> expired(const LoginSession& s) {
  return fail(Errc::unauthenticated, "cli.session_expired",
              fmt::format("the session with {} expired at {}", s.server, format_time(s.expires)),
              "run `oddjob login`");
}

}  // namespace

LoginIssuer issuer_of(const LoginSession& session) {
  return {session.issuer, session.client_id, session.ca_pem, session.scopes, session.client_secret, {}};
}

bool needs_renewal(const LoginSession& session, Time now) { return session.expires - kBefore <= now; }

net::Task<Result<LoginSession>> renewed(net::Loop& loop, std::string path, LoginSession session,
                                        Environment environment) {
  OJ_CO_TRY(const auto lock, SessionLock::take(path, std::chrono::steady_clock::now() + kLockWait));
  OJ_CO_TRY(auto stored, load_session(path, environment));
  if (!stored) co_return expired(session);
  if (!needs_renewal(*stored, system_clock().now())) co_return std::move(*stored);
  session = std::move(*stored);
  const bool holds = session.expires > system_clock().now();
  if (session.refresh_token.empty()) {
    if (holds) co_return session;
    co_return expired(session);
  }
  auto provider = co_await Provider::find(loop, issuer_of(session));
  Result<Tokens> tokens =
      provider ? Result<Tokens>(Tokens{}) : Result<Tokens>(std::unexpected(provider.error()));
  if (provider) tokens = co_await (*provider)->refresh(session.refresh_token);
  if (!tokens) {
    if (holds) co_return session;
    co_return fail(std::move(tokens.error()));
  }
  session.id_token = std::move(tokens->id_token);
  session.refresh_token = std::move(tokens->refresh_token);
  session.expires = tokens->expires;
  OJ_CO_CHECK(save_session(path, session, environment));
  co_return session;
}

}  // namespace oddjob::cli
