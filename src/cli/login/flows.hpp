// The two ways to log in: in a browser on this machine (authorization code with
// PKCE, a loopback redirect; RFC 7636, RFC 8252), or in one elsewhere with a code
// that is typed in (RFC 8628).
#pragma once

#include <functional>
#include <string>

#include "cli/config.hpp"
#include "cli/login/provider.hpp"
#include "core/error.hpp"
#include "net/async.hpp"

namespace oddjob::cli {

struct LoginOptions {
  int port = 0;  // of the redirect on 127.0.0.1; 0: any free one
  Duration timeout = std::chrono::minutes(5);
  std::function<void(const std::string& url)> open;  // a browser, if there is one
  std::function<void(const std::string& text)> say;  // to the user
};

// Errors: "login.timeout", "login.denied", "login.bad_answer" (another state or
// issuer: not the answer to our question), "server.bind", those of Provider.
net::Task<Result<Tokens>> login_in_browser(net::Loop& loop, Provider& provider, LoginOptions options);
net::Task<Result<Tokens>> login_by_device(Provider& provider, LoginOptions options);

// Is there a browser that could be opened here?
bool has_browser(const Environment& environment);
// Starts $BROWSER, else xdg-open, and does not wait for it. False: it could not be started.
bool open_browser(const Environment& environment, const std::string& url);

}  // namespace oddjob::cli
