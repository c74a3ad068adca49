// Keeps copies of the audit elsewhere: reads it forward from where each sink is
// and hands it on, from the first record, without a gap, each at least once.
//
// A sink that fails is asked again with growing pauses, for ever; it holds up
// no other, and never a run. A copy that holds a record the database has
// otherwise is not gone on with: one of the two was altered or restored.
//
// Loop thread only; the database by way of its pool, each sink on a thread of
// its own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/sink.hpp"
#include "core/checkpoint.hpp"
#include "net/async.hpp"
#include "store/store.hpp"

namespace oddjob::audit {

struct ExporterOptions {
  const Clock* clock = nullptr;  // null: the system's
  Duration retry_min = std::chrono::seconds(1), retry_max = std::chrono::minutes(5);
  Duration poll = std::chrono::seconds(5);  // how often the audit is looked at, unless poked
  // Null: no checkpoints. A sink gets one when it has all there is, at most so often.
  const CheckpointSigner* signer = nullptr;
  Duration checkpoint_every = std::chrono::minutes(10);
  // Set where other servers may be on the same database: this server's name. A sink that all of them
  // share is then written by one at a time, by a lease; the others have copies of their own.
  std::string replica;
  Duration lease = std::chrono::seconds(75);  // longer than a call of a sink may take
};

// Signs the audit up to record `seq`; nullopt: as it is now. Blocks: for the database's thread.
// Error "store.not_found": there is no such record.
Result<std::string> signed_checkpoint(store::Store& store, const CheckpointSigner& signer,
                                      std::optional<std::int64_t> seq, Time now);

class Exporter {
 public:
  Exporter(net::Loop& loop, store::Store& store, net::BlockingPool& db,
           std::vector<std::unique_ptr<Sink>> sinks, ExporterOptions options = {});
  ~Exporter();
  void start();
  void poke();         // something was recorded
  net::Task<> stop();  // waits for what is under way, a few seconds at most

  struct State {
    std::string name;
    std::int64_t place = 0;  // the last record that it has
    std::uint64_t failures = 0;
    bool failing = false;
  };
  [[nodiscard]] std::vector<State> states() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::audit
