// What `oddjob login` keeps: one session a server, in a file that only its user
// can read ($XDG_STATE_HOME/oddjob/sessions/, else ~/.local/state/…). A session
// is for the server that it was made for and is never sent to another.
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
  std::string id_token, refresh_token;  // secrets; the second may be empty
  Time expires{};                       // of the ID token
};

// $XDG_STATE_HOME/oddjob/sessions/<hash of the server's URL>.json
std::string session_path(const Environment& environment, std::string_view server);

// nullopt: there is none. Errors: "cli.session_unsafe" (others could read or
// change the file), "cli.session_malformed". None says a token.
Result<std::optional<LoginSession>> load_session(const std::string& path);
// In one step, 0600; its folders are made 0700. Error "file.unwritable".
Result<> save_session(const std::string& path, const LoginSession& session);
// True if there was one.
Result<bool> remove_session(const std::string& path);

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
