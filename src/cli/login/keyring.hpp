// The user's keyring, by the credential helpers that Docker and Podman use
// (docker-credential-helpers: secretservice for GNOME and KDE, pass,
// osxkeychain, wincred, …): programs named docker-credential-NAME in PATH that
// read a request from standard input.
//
// Blocks, since a keyring may first ask its user to unlock it; at most two
// minutes. No error holds a secret, nor what a helper printed: it could be one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/config.hpp"
#include "core/error.hpp"

namespace oddjob::cli {

class Keyring {
 public:
  // `helper` without "docker-credential-"; letters, digits, '-', '_' and '.'.
  // Error "cli.keyring_name".
  static Result<Keyring> named(std::string helper, const Environment& environment);

  // `server`: of OddJob. What is kept under it is none of a registry's on the
  // same host. Error of all three: "cli.keyring_failed", saying what to do.
  Result<> store(std::string_view server, std::string_view secret) const;
  Result<std::optional<std::string>> get(std::string_view server) const;  // nullopt: it has none
  Result<> erase(std::string_view server) const;                          // also where it has none

 private:
  struct Answer;
  Keyring(std::string helper, const Environment& environment)
      : helper_(std::move(helper)), environment_(&environment) {}
  [[nodiscard]] Result<Answer> ask(std::string_view verb, std::string input) const;
  [[nodiscard]] std::unexpected<Error> failed(std::string_view why, std::string hint = {}) const;

  std::string helper_;
  const Environment* environment_;  // the process's; outlives this
};

}  // namespace oddjob::cli
