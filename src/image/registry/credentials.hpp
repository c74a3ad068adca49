// Who we are to registries: docker configuration files in both forms, matched
// to images as the kubelet matches them, and credential helpers.
// https://kubernetes.io/docs/concepts/containers/images/#config-json
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "image/registry/reference.hpp"

namespace oddjob::image {

// Holds secrets: never print one.
struct Credential {
  std::string username, password;
  std::string identity_token;  // exchanged for tokens, in place of a password
  std::string registry_token;  // sent as it is
  [[nodiscard]] bool empty() const noexcept {
    return username.empty() && password.empty() && identity_token.empty() && registry_token.empty();
  }
  friend bool operator==(const Credential&, const Credential&) = default;
};

inline constexpr std::size_t kMaxDockerConfig = 1U << 20U;

// One configuration. Keys are "host[:port][/path]", a scheme and "/v1/" or "/v2/"
// are taken off; a "*" stands for one part of the host's name.
struct DockerConfig {
  std::vector<std::pair<std::string, Credential>> auths;
  std::string helper;                          // credsStore
  std::map<std::string, std::string> helpers;  // credHelpers: by registry
};
// `text` is a config.json ("auths", credsStore, credHelpers) or the older
// .dockercfg, whose entries stand at the top. Errors "image.bad_credentials":
// name `what` and the key, never a value.
Result<DockerConfig> parse_docker_config(std::string_view text, std::string_view what);

// The credentials that fit an image: longer keys first, each once.
std::vector<Credential> matching(const DockerConfig& config, const Reference& image);
// The helper to ask for this registry; empty: none.
std::string helper_for(const DockerConfig& config, const Reference& image);

// What `docker-credential-X get` printed. Error "image.helper_failed"; none quotes it.
Result<Credential> parse_helper_output(std::string_view output, std::string_view helper);
// Asks docker-credential-<helper>, found in PATH, for the registry; blocks, so
// for a pool's thread. An empty Credential: the helper has none for it. It is
// killed after `timeout`. Error "image.helper_failed".
Result<Credential> ask_helper(std::string_view helper, const Reference& image,
                              const std::map<std::string, std::string>& environment, Duration timeout,
                              const std::atomic<bool>& stop);

}  // namespace oddjob::image
