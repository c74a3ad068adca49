// What render must know of the cluster, read concurrently and kept for about
// two seconds a namespace, so that a burst of runs reads it once. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/client.hpp"
#include "render/render.hpp"
#include "runs/shared.hpp"

namespace oddjob::runs {

class Facts {
 public:
  Facts(kube::Client& client, Duration keep);

  // Begins to read the namespace's Services, PodDisruptionBudgets and claims,
  // so that it happens while the workload is read.
  void prefetch(const std::string& name_space);
  // Errors name what could not be read. `container`: whose images count;
  // `with_images` false leaves running_image_ids empty.
  net::Task<Result<render::ClusterFacts>> read(const std::string& name_space, const json::value& workload,
                                               const std::string& container, bool with_images);

 private:
  struct Namespace {
    std::vector<json::value> services, budgets, claims;
    std::string claims_problem;
  };
  struct Image {
    std::string container, written, id;  // of one container of a ready pod
  };
  template <class T>
  using Cache = std::map<std::string, Shared<T>, std::less<>>;

  static net::Task<Result<std::vector<json::value>>> list(kube::Client& client, kube::Resource resource,
                                                          std::string ns);
  static net::Task<Result<Namespace>> read_namespace(kube::Client& client, std::string ns);
  static net::Task<Result<std::vector<Image>>> read_images(kube::Client& client, std::string ns,
                                                           std::string selector);
  template <class T>
  Shared<T> cached(Cache<T>& cache, const std::string& key,
                   const std::function<net::Task<Result<T>>()>& make);

  kube::Client& client_;
  Duration keep_;
  Cache<Namespace> namespaces_;
  Cache<std::vector<Image>> images_;
};

// spec.selector of a workload as a label selector ("app=x,tier in (a,b)"); empty
// when it has none.
std::string selector_text(const json::value& workload);

}  // namespace oddjob::runs
