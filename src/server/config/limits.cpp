#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys limits_keys() {
  using C = ServerConfig;
  return {
      {"limits.maxActiveRuns", "runs under way at once; more get 429", number(&C::max_active_runs, 1, 100000),
       Reload::live},
      {"limits.maxStreamsPerSubject", "open streams of one caller",
       number(&C::max_streams_per_subject, 1, 10000), Reload::live},
      {"limits.requestsPerMinute", "requests of one subject, in bursts of as many; 0: no bound",
       number(&C::requests_per_minute, 0, 10000000), Reload::live},
      {"limits.runsPerMinute", "runs that one subject asks for, in bursts of as many; 0: no bound",
       number(&C::runs_per_minute, 0, 10000000), Reload::live},
      {"limits.unauthenticatedPerMinute",
       "requests without a valid identity from one address, in bursts of as many; 0: no bound",
       number(&C::unauthenticated_per_minute, 0, 10000000), Reload::live},
      {"limits.activeRunsPerSubject", "runs of one subject under way at once; 0: no bound",
       number(&C::active_runs_per_subject, 0, 100000), Reload::live},
      {"limits.maxLogBytes", "bytes of log kept of one run", number(&C::max_log_bytes, 1024, 1LL << 40),
       Reload::live},
      {"limits.startTimeout", "how long a pod may take to start", duration(&C::start_timeout), Reload::live},
      {"limits.shutdownDelay", "how long to serve on at the end, not ready any more; 0s: not at all",
       duration_or_zero(&C::shutdown_delay), Reload::live},
      {"limits.shutdownGrace", "how long open exchanges get at the end", duration(&C::shutdown_grace),
       Reload::live},
  };
}

}  // namespace oddjob::server::config
