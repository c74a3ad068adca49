// A session that is about to expire is renewed before it is used.
#pragma once

#include <string>

#include "cli/login/provider.hpp"
#include "cli/login/session.hpp"
#include "core/error.hpp"
#include "net/async.hpp"

namespace oddjob::cli {

// Where it was made, for all that comes after the login page.
LoginIssuer issuer_of(const LoginSession& session);

// True where the ID token should be renewed before it is sent.
bool needs_renewal(const LoginSession& session, Time now);

// The session as it is after a renewal, by this process or by another one that
// was quicker; itself where the provider is away and it still holds. Errors:
// "cli.session_expired", "cli.session_busy", those of Provider and Keyring.
net::Task<Result<LoginSession>> renewed(net::Loop& loop, std::string path, LoginSession session,
                                        Environment environment);

}  // namespace oddjob::cli
