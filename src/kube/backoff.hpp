// Waiting between tries: exponential, with jitter, so that many clients do not
// come back at the same moment.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

#include "core/clock.hpp"

namespace oddjob::kube {

inline double random_unit() {
  thread_local std::mt19937_64 engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
}

// Decorrelated jitter: each wait is drawn between `min` and three times the last.
class Backoff {
 public:
  Backoff(Duration min, Duration max) : min_(min), max_(std::max(min, max)), last_(min) {}
  Duration next() {
    const double low = static_cast<double>(min_.count());
    const double high = std::max(low, static_cast<double>(last_.count()) * 3.0);
    last_ = std::min(max_, Duration(static_cast<std::int64_t>(low + random_unit() * (high - low))));
    return last_;
  }
  void reset() { last_ = min_; }

 private:
  Duration min_, max_, last_;
};

}  // namespace oddjob::kube
