// Exec credential plugins: a program that prints an ExecCredential.
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "kube/config.hpp"

namespace oddjob::kube {

struct ExecCredential {
  std::string token, client_cert_pem, client_key_pem;
  std::optional<Time> expires;
};

inline constexpr std::size_t kMaxPluginOutput = 1U << 20U;

// What the plugin printed. Pure. Error "kube.exec_failed"; none quotes the output.
Result<ExecCredential> parse_exec_credential(std::string_view output, const ExecPlugin& plugin);
// The value of KUBERNETES_EXEC_INFO for this configuration. Pure.
std::string exec_info(const ExecPlugin& plugin, const Config& config);

// Runs the plugin to its end; blocks, so for a BlockingPool's thread. Its
// standard input is empty. It is killed, with what it started, at the timeout
// or when `stop` becomes true. Errors: "kube.exec_failed", with the last line
// that it wrote to standard error (less what looks like a credential).
Result<ExecCredential> run_exec_plugin(const ExecPlugin& plugin, const Config& config, Duration timeout,
                                       const std::atomic<bool>& stop);

}  // namespace oddjob::kube
