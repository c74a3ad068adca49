// The REST API (openapi.json describes it) as one handler.
#pragma once

#include <memory>

#include "auth/authenticator.hpp"
#include "image/service/service.hpp"
#include "net/http_server.hpp"
#include "runs/engine.hpp"
#include "runs/images.hpp"
#include "store/store.hpp"

namespace oddjob::api {

struct ApiOptions {
  std::string version, commit;
  std::size_t max_streams_per_subject = 100;
  Duration stream_keepalive = std::chrono::seconds(15);
  // Both or none: without them there are no files to list ("files.off"). Borrowed.
  image::Service* images = nullptr;
  runs::WorkloadImages* workload_images = nullptr;
};

// Borrowed parts must outlive the Api. Loop thread only.
class Api {
 public:
  Api(runs::Engine& engine, store::Store& store, net::BlockingPool& db, auth::Authenticator& auth,
      ApiOptions options);
  ~Api();
  // To be given to net::HttpServer; never throws.
  net::Task<> handle(const net::ServerRequest& request, net::ResponseWriter& out);
  // RFC 9457 body for errors that the HTTP server finds by itself.
  static net::ServerResponse problem(int status, std::string_view message);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::api
