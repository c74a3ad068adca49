// What /metrics shows (Prometheus text format).
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "api/api.hpp"
#include "image/service/service.hpp"
#include "runs/engine.hpp"

namespace oddjob::api {

// Loop thread only.
class Metrics {
 public:
  Metrics(std::string_view version, std::string_view commit);
  ~Metrics();

  // `route` is the pattern, never the path: paths are without number.
  void request(std::string_view route, std::string_view method, int status);
  void duration(std::string_view route, std::chrono::steady_clock::duration d);
  // A run that was recorded: OddJob's own share of the time to answer, the database's and the API server's.
  void submit(std::chrono::steady_clock::duration own, const runs::Waited& waited);
  // A request over a limit: "requests", "runs", "unauthenticated".
  void limited(std::string_view limit);
  void stream_opened();
  void stream_closed();
  // `images`: null where there is no index of images.
  [[nodiscard]] std::string text(const runs::Engine::Stats& stats, bool ready,
                                 const image::Service::Stats* images = nullptr,
                                 const std::vector<Figure>& figures = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::api
