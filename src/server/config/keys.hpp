// The keys of the configuration, one table for each section in a file of its
// own. A new key is a row there and a field in ServerConfig.
#pragma once

#include <string_view>
#include <vector>

#include "server/config.hpp"
#include "server/config/values.hpp"

namespace oddjob::server::config {

// What a change of a key in the file does to a server that runs.
enum class Reload {
  restart,  // nothing, until the server is started again
  live,     // it is taken up
};

struct Key {
  std::string_view path, meaning;  // "listen.port"
  Value<ServerConfig> value;
  Reload reload = Reload::restart;
};
using Keys = std::vector<Key>;

Keys listen_keys();
Keys database_keys();
Keys kubernetes_keys();
Keys auth_keys();
Keys identity_keys();  // auth.oidc, auth.teams
Keys runs_keys();
Keys hooks_keys();
Keys limits_keys();
Keys images_keys();
Keys audit_keys();
Keys retention_keys();
Keys log_keys();

// All of them, in the order of the documentation. Made once.
const Keys& keys();

}  // namespace oddjob::server::config
