// Tells webhooks what happens to runs (docs/webhooks.md).
//
// The audit is the queue: an event is there if and only if the change it tells
// of was committed, since both are one transaction. Each hook has a place in it
// that moves on when the receiver has taken the event, so that none is left out
// by a crash, and one may come twice. A hook's events come in order; one that
// is not taken holds up those behind it until it is, or is given up. Nothing
// but one page of the audit is held in memory. Of several servers the one that
// holds the hook's lease tells it; another goes on from the hook's place when
// that lease ends, so that an event may come twice then too.
//
// Loop thread only; the database by way of the pool.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "net/async.hpp"
#include "net/http_client.hpp"
#include "store/store.hpp"

namespace oddjob::hooks {

struct Hook {
  std::string name;                  // its place is kept under it: a DNS label
  std::string url;                   // https; http only to this machine
  std::vector<std::string> secrets;  // newest first; each signs
  std::vector<std::string> events;   // of event_types(); empty: all
  std::string ca_pem;                // empty: the system's trust store
  Duration timeout = std::chrono::seconds(10);
};

struct DelivererOptions {
  const Clock* clock = nullptr;
  Duration retry_min = std::chrono::seconds(1), retry_max = std::chrono::minutes(5);
  Duration give_up = std::chrono::hours(24);  // after the event; then "hook.abandoned" is recorded
  Duration poll = std::chrono::seconds(5);    // how often the audit is looked at, unless poked
  // Set where other servers may be on the same database: this server's name.
  // A hook is then told by one of them at a time, by a lease.
  std::string replica;
  Duration lease = std::chrono::seconds(15);  // longer than a hook's timeout
};

// Is this a URL that may be told? Errors "hooks.bad_url".
Result<> check_url(std::string_view url);

class Deliverer {
 public:
  Deliverer(net::Loop& loop, store::Store& store, net::BlockingPool& db, std::vector<Hook> hooks,
            DelivererOptions options = {});
  ~Deliverer();
  // A hook that is new is told from now on, not of the past.
  void start();
  void poke();         // something was recorded
  net::Task<> stop();  // waits for an exchange that is under way, a few seconds at most

  struct Stats {
    std::uint64_t delivered = 0, failed = 0, abandoned = 0;
  };
  [[nodiscard]] Stats stats() const noexcept;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::hooks
