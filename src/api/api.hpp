// The REST API (openapi.json describes it) as one handler.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "auth/authenticator.hpp"
#include "auth/front_proxy.hpp"
#include "core/checkpoint.hpp"
#include "image/service/service.hpp"
#include "net/http_server.hpp"
#include "runs/engine.hpp"
#include "runs/images.hpp"
#include "store/store.hpp"

namespace oddjob::api {

// What one caller may ask for; may change while the API runs. 0: no bound.
struct ApiLimits {
  std::size_t max_streams_per_subject = 100;
  std::int64_t requests_per_minute = 0;         // of a subject
  std::int64_t runs_per_minute = 0;             // that a subject asks for, dry ones too
  std::int64_t unauthenticated_per_minute = 0;  // from one address
};

// A figure for /metrics that somebody else keeps.
struct Figure {
  std::string name, help;
  double value = 0;
  bool counter = false;  // else a gauge
};

struct ApiOptions {
  std::string version, commit;
  ApiLimits limits{};
  Duration stream_keepalive = std::chrono::seconds(15);
  // Both or none: without them there are no files to list ("files.off"). Borrowed.
  image::Service* images = nullptr;
  runs::WorkloadImages* workload_images = nullptr;
  std::function<std::vector<Figure>()> figures{};  // asked at each scrape
  // Borrowed; null: there are no checkpoints ("audit.no_checkpoints").
  const CheckpointSigner* checkpoint_signer = nullptr;
  // Without it there is nothing below /apis. Borrowed.
  auth::FrontProxy* front_proxy = nullptr;
};

// Borrowed parts must outlive the Api. Loop thread only.
class Api {
 public:
  Api(runs::Engine& engine, store::Store& store, net::BlockingPool& db, auth::Authenticator& auth,
      ApiOptions options);
  ~Api();
  void set_limits(const ApiLimits& limits);
  // From now on /readyz says "server.stopping"; everything else is served on.
  void drain();
  // To be given to net::HttpServer; never throws.
  net::Task<> handle(const net::ServerRequest& request, net::ResponseWriter& out);
  // RFC 9457 body for errors that the HTTP server finds by itself.
  static net::ServerResponse problem(int status, std::string_view message);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::api
