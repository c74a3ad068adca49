// Reads the logs of one run's pods, one after the other, from their first byte
// to their last, into the archive; and gives readers what is not archived yet.
//
// One upstream stream at a time. A stream that breaks is opened again where the
// archive ends (log_resume.hpp). A stream that ends is believed only when the
// pod's status says that the container has ended too, and even then the log is
// read once more from the cursor, without following, for what may have been
// left out. Loop thread only.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "kube/client.hpp"
#include "net/async.hpp"
#include "runs/log_resume.hpp"
#include "store/store.hpp"

namespace oddjob::runs {

struct LogFollowerOptions {
  std::string run_id, name_space;
  std::string owner;  // who may archive, by the database; empty: anybody
  std::size_t max_bytes = 1ULL << 30U;
  std::size_t flush_bytes = 64U << 10U;
  Duration flush_after = std::chrono::milliseconds(200);
  Duration give_up_after = std::chrono::seconds(30);  // without a byte, after the container's end
  Duration stuck_after = std::chrono::seconds(5);     // a stream that outlives its container
  Duration retry_min = std::chrono::milliseconds(100), retry_max = std::chrono::seconds(5);
};

// What the pod's status says of its main container.
enum class PodState { running, ended, gone };

class LogFollower : public std::enable_shared_from_this<LogFollower> {
 public:
  using StateOf = std::function<PodState(const std::string& pod_uid)>;
  // `on_change` is called whenever bytes came or drained() changed; neither it
  // nor `state_of` is called after stop().
  LogFollower(kube::Client& client, store::Store& store, net::BlockingPool& db, LogFollowerOptions options,
              StateOf state_of, std::function<void()> on_change);

  // Reads where the archive ends. To be called once, before all else.
  net::Task<Result<>> load();
  void follow(std::string pod_name, std::string pod_uid, std::string container);
  void poke();  // some pod's state changed
  // Ends the streams and archives what is in memory; returns when done, or
  // when the database does not take it.
  net::Task<> stop();

  // Everything of the pods given to follow() is archived, or given up.
  [[nodiscard]] bool drained() const noexcept;
  // Nothing was given up; else problem() says what.
  [[nodiscard]] bool complete() const noexcept { return problem_.empty(); }
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  // Bytes so far, archived or not.
  [[nodiscard]] std::int64_t length() const noexcept;

  // At most `max_bytes` from `offset`; empty when there is no more now.
  net::Task<Result<std::string>> read(std::int64_t offset, std::size_t max_bytes);

 private:
  struct Pod {
    std::string name, uid, container;
  };
  using Ptr = std::shared_ptr<LogFollower>;
  using Steady = std::chrono::steady_clock;

  enum class Next { again, done };
  struct Reading;  // the state of one pod's reading

  static net::Task<> main(Ptr self);
  static net::Task<> keep(Ptr self);
  static net::Task<> read_pod(Ptr self, Pod pod);
  static net::Task<Next> read_stream(Ptr self, std::shared_ptr<Reading> r,
                                     std::shared_ptr<net::HttpStream> stream);
  static net::Task<Next> open_failed(Ptr self, std::shared_ptr<Reading> r, Error error);
  static net::Task<> pause(Ptr self, std::shared_ptr<Reading> r);
  static net::Task<> flush(Ptr self);
  static net::Task<> flush_all(Ptr self);
  void take(std::string bytes, const store::LogCursor& cursor);
  void give_up(std::string why);
  void changed();
  [[nodiscard]] bool over() const noexcept { return stopping_ || truncated_; }

  kube::Client& client_;
  store::Store& store_;
  net::BlockingPool& db_;
  LogFollowerOptions options_;
  StateOf state_of_;
  std::function<void()> on_change_;

  std::deque<Pod> queue_;
  bool reading_ = false, keeping_ = false, stopping_ = false, truncated_ = false;
  std::string problem_;

  std::int64_t archived_ = 0;    // bytes in the store
  std::string inflight_, tail_;  // bytes after it: being written, to be written
  std::string pod_uid_;          // whose they are
  store::LogCursor tail_cursor_;
  Steady::time_point tail_since_{};
  bool flush_now_ = false, flushing_ = false;

  std::shared_ptr<Reading> current_;
  std::shared_ptr<net::HttpStream> stream_;
  Steady::time_point last_byte_{};
  Steady::time_point ended_since_{};                    // of the pod that is read; zero: it runs
  net::Notifier poked_, flushed_, wake_keeper_, idle_;  // idle_: main() or keep() ended
};

}  // namespace oddjob::runs
