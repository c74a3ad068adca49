// Leases, and whose runs are: what several servers on one database agree by.
#pragma once

#include <string_view>
#include <vector>

#include "store/database.hpp"

namespace oddjob::store {

// As in Store.
class LeaseTable {
 public:
  explicit LeaseTable(Database& db) : db_(db) {}
  Result<bool> take(std::string_view name, std::string_view holder, Duration time);
  Result<bool> renew(std::string_view name, std::string_view holder, Duration time);
  Result<> leave(std::string_view replica);
  Result<int> claim(std::string_view replica, int most);
  Result<std::vector<LiveRun>> live_runs();

 private:
  [[nodiscard]] std::string now() const { return std::string(db_.dialect().now_us()); }
  Database& db_;
};

}  // namespace oddjob::store
