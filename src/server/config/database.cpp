#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys database_keys() {
  using C = ServerConfig;
  return {
      {"database.url",
       "sqlite:/path/to/oddjob.db, or postgresql://user@host:5432/database?sslmode=verify-full",
       text(&C::database_url)},
      {"database.passwordFile", "file of PostgreSQL's password", text(&C::database_password_file)},
      {"database.lease", "PostgreSQL: after how long without a word a replica's runs go to the others",
       bounded_duration(&C::database_lease, std::chrono::seconds(2), std::chrono::minutes(5))},
      {"database.busyTimeout", "how long to wait for a locked database", duration(&C::database_busy_timeout)},
  };
}

}  // namespace oddjob::server::config
