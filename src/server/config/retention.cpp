#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys retention_keys() {
  using C = ServerConfig;
  return {
      {"retention.logMaxAge", "how long the log of a run is kept after its end; 0s: for ever",
       duration_or_zero(&C::log_max_age), Reload::live},
      {"retention.logMaxBytes",
       "bytes of all logs together, compressed; over it the oldest of runs that have ended go; 0: no bound",
       number(&C::log_max_bytes, 0, 1LL << 50), Reload::live},
  };
}

}  // namespace oddjob::server::config
