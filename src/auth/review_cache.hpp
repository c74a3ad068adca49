// What TokenReview said of a token, for a short while. Bounded: the least
// recently used entry makes room.
#pragma once

#include <chrono>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "core/clock.hpp"
#include "core/words.hpp"

namespace oddjob::auth {

class ReviewCache {
 public:
  using Steady = std::chrono::steady_clock;
  struct Verdict {
    std::optional<Subject> subject;  // none: the token is not known
  };

  ReviewCache(std::size_t entries, Duration ttl) : entries_(entries), ttl_(ttl) {}
  // By the token's hash; never by the token. Null when absent or too old.
  const Verdict* find(const std::string& hash, Steady::time_point now);
  void put(const std::string& hash, Verdict verdict, Steady::time_point now);
  [[nodiscard]] std::size_t size() const { return index_.size(); }

 private:
  struct Entry {
    std::string hash;
    Verdict verdict;
    Steady::time_point until;
  };
  std::size_t entries_;
  Duration ttl_;
  std::list<Entry> order_;  // most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> index_;
};

}  // namespace oddjob::auth
