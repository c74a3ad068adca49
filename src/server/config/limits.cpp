#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys limits_keys() {
  using C = ServerConfig;
  return {
      {"limits.maxActiveRuns", "runs under way at once; more get 429",
       number(&C::max_active_runs, 1, 100000)},
      {"limits.maxStreamsPerSubject", "open streams of one caller",
       number(&C::max_streams_per_subject, 1, 10000)},
      {"limits.maxLogBytes", "bytes of log kept of one run", number(&C::max_log_bytes, 1024, 1LL << 40)},
      {"limits.startTimeout", "how long a pod may take to start", duration(&C::start_timeout)},
      {"limits.shutdownGrace", "how long open exchanges get at the end", duration(&C::shutdown_grace)},
  };
}

}  // namespace oddjob::server::config
