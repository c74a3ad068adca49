// The HTTP face of the dev cluster: Kubernetes' API conventions over the registry.
// https://kubernetes.io/docs/reference/using-api/api-concepts/
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "devcluster/api/access.hpp"
#include "devcluster/node.hpp"
#include "devcluster/registry.hpp"
#include "net/http_server.hpp"

namespace oddjob::devcluster {

// metav1.Status as JSON.
json::object status_of(const Error& e);

// Borrows all parts; loop thread only.
class ApiServer {
 public:
  ApiServer(Registry& registry, Access& access, Node* node)
      : registry_(registry), access_(access), node_(node) {}
  net::Task<> handle(const net::ServerRequest& request, net::ResponseWriter& out);

  // What a request is about. Public for the helpers in the .cpp files.
  struct Target;
  struct Exchange;

 private:
  net::Task<> resource_request(Exchange& x);
  net::Task<> list(Exchange& x);
  net::Task<> watch(Exchange& x);
  net::Task<> write(Exchange& x);
  net::Task<> patch(Exchange& x);
  net::Task<> remove(Exchange& x);
  net::Task<> log(Exchange& x);
  net::Task<> review(Exchange& x);
  net::Task<> scale(Exchange& x);
  net::Task<> evict(Exchange& x);
  Result<json::value> patched(Exchange& x, const json::value& live);
  Result<> impersonate(Exchange& x);

  Registry& registry_;
  Access& access_;
  Node* node_;
};

}  // namespace oddjob::devcluster
