// What `oddjob login` keeps: one session a server, in a file that only its user
// can read ($XDG_STATE_HOME/oddjob/sessions/, else ~/.local/state/…); its tokens
// in the user's keyring instead, where a credential helper is named. A session is
// for the server that it was made for and is never sent to another.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/config.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"

namespace oddjob::cli {

struct LoginSession {
  std::string server, issuer, client_id;
  std::vector<std::string> scopes;
  std::string ca_pem;                   // of the issuer; empty: the system's
  std::string client_secret;            // empty: a public client
  std::string id_token, refresh_token;  // secrets; the second may be empty
  Time expires{};                       // of the ID token
  std::string credential_helper;        // whose keyring has the tokens; empty: the file has them
};

// $XDG_STATE_HOME/oddjob/sessions/<hash of the server's URL>.json
std::string session_path(const Environment& environment, std::string_view server);

// nullopt: there is none. Errors: "cli.session_unsafe" (others could read or
// change the file), "cli.session_malformed", those of Keyring; "cli.session_lost": the
// keyring does not have it any more. None says a token.
Result<std::optional<LoginSession>> load_session(const std::string& path, const Environment& environment);
// In one step, 0600; its folders are made 0700. What an earlier session left in
// another keyring is taken out of it. Errors "file.unwritable", those of Keyring.
Result<> save_session(const std::string& path, const LoginSession& session, const Environment& environment);
// True if there was one. The file is gone even where the keyring fails.
Result<bool> remove_session(const std::string& path, const Environment& environment);

// Held by one process at a time, so that a refresh token is used once. Its file
// stands beside the session's and stays.
class SessionLock {
 public:
  // Waits until `deadline`; error "cli.session_busy".
  static Result<SessionLock> take(const std::string& path, std::chrono::steady_clock::time_point deadline);
  SessionLock(SessionLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  SessionLock& operator=(SessionLock&&) = delete;
  ~SessionLock();

 private:
  explicit SessionLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace oddjob::cli
