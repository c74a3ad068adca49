// Which image a run on a workload would see, and who may pull it: the very one
// that the running pods report (docs/rendering.md). Loop thread only.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/words.hpp"
#include "kube/client.hpp"
#include "net/async.hpp"
#include "policy/policy.hpp"
#include "runs/facts.hpp"

namespace oddjob::runs {

struct ContainerImage {
  WorkloadRef workload;
  std::string container;            // as a run would choose it
  std::string image;                // pinned to a digest where the pods agree
  std::string working_dir;          // of the container; empty: the image's
  std::string path;                 // PATH that the container sets; empty: the image's
  std::string os, architecture;     // that the pod's nodeSelector asks for; mostly empty
  std::vector<std::string> mounts;  // where volumes hide what the image has
  std::string service_account;
  std::vector<std::string> pull_secrets;  // names
  bool audit = false;                     // the policy wants to know who looks
};

class WorkloadImages {
 public:
  // `namespaces`: those that are served; empty: all. Answers are kept for `keep`,
  // so that a burst of completions asks the cluster once.
  WorkloadImages(kube::Client& client, std::vector<std::string> namespaces,
                 Duration keep = std::chrono::seconds(3));

  // Without looking at who asks. `container` may be empty. Errors:
  // "workload.not_found", "runs.namespace_not_served", those of the policy, of
  // choosing a container ("render.container_unknown", …) and of the cluster.
  net::Task<Result<ContainerImage>> read(WorkloadRef workload, std::string container);
  // The same, but never what was kept: for who knows that the workload has changed.
  net::Task<Result<ContainerImage>> read_anew(WorkloadRef workload, std::string container);
  // read() for somebody: who may not run anything there gets "policy.not_allowed".
  net::Task<Result<ContainerImage>> read_for(Subject subject, WorkloadRef workload, std::string container);

  // Docker configurations (JSON, secret) of the pod's imagePullSecrets, or where it
  // has none of its service account's. What cannot be read is left out: the pull
  // then says that it was refused.
  net::Task<std::vector<std::string>> pull_secrets(ContainerImage image);

 private:
  struct Seen {
    Policy policy;
    Result<ContainerImage> image;
  };
  static net::Task<Result<Seen>> fetch(kube::Client& client, WorkloadRef workload, std::string container);
  net::Task<Result<Seen>> look(WorkloadRef workload, std::string container);
  kube::Client& client_;
  std::vector<std::string> namespaces_;
  Duration keep_;
  std::map<std::string, Shared<Seen>, std::less<>> kept_;
};

// What of a workload makes a ContainerImage, its image as written. Pure. Errors
// as choosing a container has them.
Result<ContainerImage> container_image(const json::value& workload, const WorkloadRef& ref,
                                       const std::string& container, const Policy& policy);

}  // namespace oddjob::runs
