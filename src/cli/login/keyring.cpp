#include "cli/login/keyring.hpp"

#include <fmt/format.h>

#include <atomic>

#include "core/json.hpp"
#include "core/text.hpp"
#include "process/credential_helper.hpp"

namespace oddjob::cli {
namespace {

constexpr auto kTimeout = std::chrono::minutes(2);
constexpr std::size_t kMaxSecret = 48U << 10U;

// Helpers know secrets by a URL, and some take it apart: a path keeps ours apart from a registry's.
std::string key_of(std::string_view server) { return fmt::format("{}/oddjob-session", server); }

}  // namespace

struct Keyring::Answer {
  bool found = false;
  std::string output;
};

Result<Keyring> Keyring::named(std::string helper, const Environment& environment) {
  if (!process::is_credential_helper_name(helper))
    return fail(Errc::invalid_argument, "cli.keyring_name",
                fmt::format("'{}' cannot be the name of a credential helper", printable(helper, 80)),
                "it is what comes after docker-credential-, such as secretservice or pass");
  return Keyring(std::move(helper), environment);
}

std::unexpected<Error> Keyring::failed(std::string_view why, std::string hint) const {
  return fail(Errc::unavailable, "cli.keyring_failed",
              fmt::format("the credential helper docker-credential-{} {}", helper_, why), std::move(hint));
}

Result<Keyring::Answer> Keyring::ask(std::string_view verb, std::string input) const {
  const std::atomic<bool> never{false};
  auto answer = process::ask_credential_helper(helper_, std::string(verb), std::move(input), *environment_,
                                               kTimeout, never);
  auto& result = answer.process;
  using process::ProcessEnd;
  if (result.end == ProcessEnd::not_started)
    return failed("cannot be started",
                  "install it (it must be in PATH), or `oddjob login` without --credential-helper");
  if (result.end == ProcessEnd::timed_out)
    return failed(fmt::format("did not end within {}", human_duration(kTimeout)), "is the keyring locked?");
  if (result.end != ProcessEnd::exited) return failed("printed too much");
  if (!result.signalled && result.status == 0) return Answer{true, std::move(result.output)};
  if (answer.nothing) return Answer{};
  return failed(
      fmt::format("failed to {} ({} {})", verb, result.signalled ? "signal" : "exit code", result.status),
      "is the keyring locked, or gone? `oddjob login` makes a new session, without --credential-helper in a "
      "file");
}

Result<> Keyring::store(std::string_view server, std::string_view secret) const {
  if (secret.size() > kMaxSecret) return failed("is given too large a session: the tokens are too long");
  const json::object v{{"ServerURL", key_of(server)}, {"Username", "oddjob"}, {"Secret", secret}};
  OJ_TRY(const auto answer, ask("store", json::serialize(v)));
  if (!answer.found) return failed("did not store the session");
  return {};
}

Result<std::optional<std::string>> Keyring::get(std::string_view server) const {
  OJ_TRY(const auto answer, ask("get", key_of(server)));
  if (!answer.found) return std::nullopt;
  const auto v = parse_json(answer.output, "its answer", process::kMaxHelperOutput);
  if (!v || find(*v, {"Secret"}) == nullptr) return failed("printed no answer of the protocol");
  const auto secret = get_string(*v, {"Secret"});
  if (secret.empty()) return std::nullopt;  // so says docker-credential-pass
  return std::string(secret);
}

Result<> Keyring::erase(std::string_view server) const {
  // Some helpers call it a failure where there is nothing to erase.
  OJ_TRY(const auto held, get(server));
  if (held) OJ_CHECK(ask("erase", key_of(server)));
  return {};
}

}  // namespace oddjob::cli
