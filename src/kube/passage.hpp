// Plain HTTP exchanges with an API server, as the kubeconfig's user: for those
// who speak to something behind it (an aggregated API) and understand its answers.
//
// Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "core/error.hpp"
#include "kube/config.hpp"
#include "net/async.hpp"
#include "net/http_client.hpp"

namespace oddjob::kube {

class Passage {
 public:
  Passage(net::Loop& loop, Config config, std::string user_agent,
          Duration exec_timeout = std::chrono::seconds(60));
  ~Passage();
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  // `request.url` is path and query below the server's address. The answer,
  // whatever its status; a 401 renews the credentials, where that is possible,
  // and asks once more. Nothing else is repeated. Errors: those of
  // net::HttpClient, and where there is nothing to prove who asks:
  // "kube.exec_failed", "kube.exec_timeout", "kube.token_unreadable".
  net::Task<Result<net::HttpResponse>> fetch(net::HttpRequest request);
  net::Task<Result<net::HttpStream>> open(net::HttpRequest request);
  [[nodiscard]] const Config& config() const noexcept;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // exchanges under way share it
};

}  // namespace oddjob::kube
