#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys log_keys() {
  using C = ServerConfig;
  return {
      {"log.level", "trace, debug, info, warn or error",
       one_of(&C::log_level, {"trace", "debug", "info", "warn", "error"}), Reload::live},
      {"log.format", "text or json", one_of(&C::log_format, {"text", "json"})},
  };
}

}  // namespace oddjob::server::config
