#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys kubernetes_keys() {
  using C = ServerConfig;
  return {
      {"kubernetes.kubeconfig", "a kubeconfig file; empty: as kubectl finds it, or the pod's own account",
       text(&C::kubeconfig)},
      {"kubernetes.context", "the context to use", text(&C::kube_context)},
      {"kubernetes.namespaces", "watch these namespaces only; empty: all", words(&C::namespaces)},
  };
}

}  // namespace oddjob::server::config
