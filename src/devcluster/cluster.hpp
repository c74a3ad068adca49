// The whole dev cluster: storage, registry, controllers, node, HTTPS front.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/error.hpp"
#include "net/async.hpp"

namespace oddjob::devcluster {

struct ClusterOptions {
  std::filesystem::path directory;  // CA, kubeconfig, logs; made if missing, 0700
  std::string address = "127.0.0.1";
  int port = 0;  // 0: any free one
  bool confine = true;
  std::filesystem::path images;  // OCI image layouts, at <registry>/<repository>
  std::size_t watch_history = 20000;
  bool run_pods = true;  // false: no node (benchmarks with many Deployments)
};

class Cluster {
 public:
  Cluster(net::Loop& loop, ClusterOptions options);
  ~Cluster();
  Result<> start();                                   // "devcluster.start": bind, files
  net::Task<> stop();                                 // ends pods, closes connections
  [[nodiscard]] std::string kubeconfig_path() const;  // admin's; client certificate
  [[nodiscard]] std::string server_url() const;
  [[nodiscard]] bool confined() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::devcluster
