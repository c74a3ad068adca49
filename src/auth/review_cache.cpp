#include "auth/review_cache.hpp"

namespace oddjob::auth {

const ReviewCache::Verdict* ReviewCache::find(const std::string& hash, Steady::time_point now) {
  const auto it = index_.find(hash);
  if (it == index_.end()) return nullptr;
  if (now >= it->second->until) {
    order_.erase(it->second);
    index_.erase(it);
    return nullptr;
  }
  order_.splice(order_.begin(), order_, it->second);
  return &it->second->verdict;
}

void ReviewCache::put(const std::string& hash, Verdict verdict, Steady::time_point now) {
  if (entries_ == 0 || ttl_.count() <= 0) return;
  if (const auto it = index_.find(hash); it != index_.end()) {
    order_.erase(it->second);
    index_.erase(it);
  }
  while (index_.size() >= entries_) {
    index_.erase(order_.back().hash);
    order_.pop_back();
  }
  order_.push_front({hash, std::move(verdict), now + ttl_});
  index_.emplace(hash, order_.begin());
}

}  // namespace oddjob::auth
