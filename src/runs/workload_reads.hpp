// Workloads as the API server has them at the moment of asking.
//
// A run reads its workload twice, when it is asked for and again before it starts, and neither may be
// answered by something older. Who asks while a read of the same workload is under way shares the next one
// with all others who do: nobody is given what was read before they asked, and the API server reads once for
// as many as there are. Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "core/words.hpp"
#include "kube/client.hpp"

namespace oddjob::runs {

std::string workload_key(const WorkloadRef& w);  // "namespace/deploy/x"

// One read of its own. Errors: "workload.not_found" (with a hint); what kube::Client::get says, with the
// workload's name.
net::Task<Result<json::value>> read_workload(kube::Client& client, WorkloadRef ref);

class WorkloadReads {
 public:
  using Seen = std::shared_ptr<const json::value>;

  // `client` is used until stop().
  explicit WorkloadReads(kube::Client& client);

  // Errors as above, and "runs.stopping". Takes two calls at most, the first of which is given up to
  // itself after a second.
  net::Task<Result<Seen>> read(const WorkloadRef& ref);
  // Reads that have not begun do not begin any more.
  void stop() noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace oddjob::runs
