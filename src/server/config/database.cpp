#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys database_keys() {
  using C = ServerConfig;
  return {
      {"database.url", "sqlite:/path/to/oddjob.db", text(&C::database_url)},
      {"database.busyTimeout", "how long to wait for a locked database", duration(&C::database_busy_timeout)},
  };
}

}  // namespace oddjob::server::config
