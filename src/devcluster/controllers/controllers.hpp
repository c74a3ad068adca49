// The controllers of the dev cluster: what kube-controller-manager does for the
// kinds that it runs.
#pragma once

#include <memory>

#include "devcluster/registry.hpp"
#include "net/async.hpp"

namespace oddjob::devcluster {

// Level-based: every change queues the objects it concerns; each is looked at
// as it is then. Loop thread only; the registry outlives it.
class Controllers {
 public:
  Controllers(net::Loop& loop, Registry& registry);
  ~Controllers();
  void start();
  net::Task<> stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::devcluster
