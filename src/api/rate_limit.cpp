#include "api/rate_limit.hpp"

#include <algorithm>

namespace oddjob::api {

std::chrono::nanoseconds RateLimit::take(std::string_view who, Steady::time_point now) {
  if (per_minute_ <= 0) return {};
  const double most = static_cast<double>(per_minute_);
  const double per_second = most / 60.0;
  const auto found = index_.find(who);
  if (found == index_.end()) {
    if (index_.size() >= most_) {
      index_.erase(order_.back().who);
      order_.pop_back();
    }
    order_.push_front({std::string(who), most, now});
    index_.emplace(order_.front().who, order_.begin());
  } else {
    order_.splice(order_.begin(), order_, found->second);
  }
  auto& bucket = order_.front();
  const double passed = std::chrono::duration<double>(now - bucket.at).count();
  bucket.left = std::min(most, bucket.left + std::max(passed, 0.0) * per_second);
  bucket.at = std::max(bucket.at, now);
  if (bucket.left >= 1) {
    bucket.left -= 1;
    return {};
  }
  const std::chrono::duration<double> wait((1 - bucket.left) / per_second);
  return std::max(std::chrono::ceil<std::chrono::nanoseconds>(wait), std::chrono::nanoseconds(1));
}

}  // namespace oddjob::api
