#include "server/config/keys.hpp"
#include "store/store.hpp"

namespace oddjob::server::config {

Keys retention_keys() {
  using C = ServerConfig;
  return {
      {store::kLogMaxAge, "how long the log of a run is kept after its end; 0s: for ever",
       duration_or_zero(&C::log_max_age), Reload::live},
      {store::kLogMaxBytes,
       "bytes of all logs together, compressed; over it the oldest of runs that have ended go; 0: no bound",
       number(&C::log_max_bytes, 0, 1LL << 50), Reload::live},
  };
}

}  // namespace oddjob::server::config
