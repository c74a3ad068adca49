// Callers that come by way of the Kubernetes API server, which has authenticated
// them and says who they are in headers of the request ("front proxy"). The
// headers of anybody else count for nothing: a connection is believed only where
// its client certificate chains to the request-header CA and bears an allowed name.
// https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "core/words.hpp"
#include "kube/client.hpp"
#include "net/async.hpp"
#include "net/http.hpp"

namespace oddjob::auth {

// What a cluster says of its front proxy.
struct RequestHeaders {
  std::string ca_pem;
  std::vector<std::string> allowed_names;  // common names; empty: whoever that CA vouches for
  std::vector<std::string> user_headers, group_headers;
  friend bool operator==(const RequestHeaders&, const RequestHeaders&) = default;
};

// Reads ConfigMap kube-system/extension-apiserver-authentication. Pure. Errors,
// kind failed_precondition: "auth.front_proxy_off" (the API server has none),
// "auth.front_proxy_config" (unreadable; names the key), "auth.front_proxy_unsafe"
// (every client certificate of the cluster would pass for the front proxy's).
Result<RequestHeaders> parse_request_headers(const json::value& config_map);

// Whether the first certificate of `chain_pem` is a front proxy's, now. Errors,
// kind unauthenticated: "auth.front_proxy_none" (no certificate),
// "auth.front_proxy_untrusted" (another CA, expired, not for clients),
// "auth.front_proxy_name" (a name that is not allowed).
Result<> check_front_proxy(const RequestHeaders& known, std::string_view chain_pem);

// Who the headers say is calling, to be asked only of a front proxy. Pure. Error,
// kind unauthenticated: "auth.front_proxy_user" (no name, or one that no name is).
Result<Subject> subject_of_headers(const RequestHeaders& known, const net::Headers& headers);

// Where the request came from before the front proxy, as that says; or empty.
std::string forwarded_from(const net::Headers& headers);

// Keeps what the cluster says of its front proxy at hand, and reads it again every
// `every`, or as soon as somebody comes whom it does not know. Loop thread only.
class FrontProxy {
 public:
  struct Options {
    Options() {}  // NOLINT(modernize-use-equals-default)
    Duration every = std::chrono::seconds(30);
    Duration retry = std::chrono::seconds(2);  // after a failure, and between two on demand
    // Told of the CA (PEM) when it is first known and when it changes.
    std::function<void(const std::string& ca_pem)> on_authority;
  };
  // The client is borrowed and outlives it.
  FrontProxy(kube::Client& client, Options options);
  ~FrontProxy();
  FrontProxy(const FrontProxy&) = delete;
  FrontProxy& operator=(const FrontProxy&) = delete;
  void start();
  net::Task<> stop();

  // Errors as above; kind unavailable: "auth.front_proxy_unknown", while the
  // cluster has not said who its front proxy is (the message says why).
  net::Task<Result<Subject>> authenticate(std::string chain_pem, net::Headers headers);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::auth
