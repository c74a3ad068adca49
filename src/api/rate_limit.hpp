// How often one caller may ask: a token bucket each, bounded in number. Pure;
// the clock is the caller's. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace oddjob::api {

// Buckets hold what is allowed in a minute, are full at first, and fill evenly.
class RateLimit {
 public:
  using Steady = std::chrono::steady_clock;

  // `per_minute` 0: no bound. `most` buckets are kept; the one that was used
  // least recently makes room, and starts full when it comes back.
  explicit RateLimit(std::int64_t per_minute = 0, std::size_t most = 10000)
      : per_minute_(per_minute), most_(most) {}
  // Zero: taken. Else nothing was taken, and so long until one can be.
  std::chrono::nanoseconds take(std::string_view who, Steady::time_point now);
  // What was used stays used, within the new bound.
  void set(std::int64_t per_minute) { per_minute_ = per_minute; }
  [[nodiscard]] std::int64_t per_minute() const { return per_minute_; }
  [[nodiscard]] std::size_t size() const { return index_.size(); }

 private:
  struct Bucket {
    std::string who;
    double left;
    Steady::time_point at;
  };
  std::int64_t per_minute_;
  std::size_t most_;
  std::list<Bucket> order_;                                                  // used last first
  std::unordered_map<std::string_view, std::list<Bucket>::iterator> index_;  // keys live in order_
};

}  // namespace oddjob::api
