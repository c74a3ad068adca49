// Drops logs of runs that ended long ago, or that are too much together
// (docs/operations.md, "Disk and retention").
//
// Looks once in a while, in small transactions, so that nobody waits for the
// database. Of several servers one does it, by lease. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "net/async.hpp"
#include "store/store.hpp"

namespace oddjob::server {

struct RetentionOptions {
  store::LogRetention rule;
  Duration every = std::chrono::minutes(1);
  std::string replica;              // empty: there are no other servers
  std::function<void()> on_record;  // something was added to the audit; may be empty
};

class Retention {
 public:
  Retention(net::Loop& loop, store::Store& store, net::BlockingPool& db, RetentionOptions options);
  ~Retention();
  void start();
  void set(const store::LogRetention& rule);  // looks at once
  net::Task<> stop();                         // waits for what is under way, a few seconds at most

  struct State {
    std::uint64_t by_age = 0, by_size = 0;   // logs dropped since the start
    std::optional<std::int64_t> kept_bytes;  // as of the last look; only where this server looks
    bool failing = false;
  };
  [[nodiscard]] State state() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::server
