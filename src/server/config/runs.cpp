#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys runs_keys() {
  using C = ServerConfig;
  return {
      {"runs.pendingJobs",
       "suspended: a run that waits for approval has its Job already; deferred: it is made then",
       one_of(&C::pending_jobs, {"suspended", "deferred"})},
  };
}

}  // namespace oddjob::server::config
