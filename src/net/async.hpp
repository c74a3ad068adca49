// Coroutines for everything that waits.
//
// One thread runs one Loop; all coroutines of a Loop run on that thread, so
// state that only coroutines touch needs no lock. Work that blocks (SQLite,
// zstd of much data) goes through `offload`.
//
// GCC 12 note: never write a braced or designated-initializer temporary inside
// a co_await full expression (its destructor may run twice). Name it first.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"

namespace oddjob::net {

template <class T = void>
using Task = boost::asio::awaitable<T>;

// An io_context. Owned by main (or a test); outlives all that runs on it.
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();   // until stop() or nothing is left to do
  void stop();  // thread-safe
  // Starts a coroutine that nobody waits for. An exception that leaves it is
  // logged under `name` and ends the process: there are no silent deaths.
  // Thread-safe.
  void spawn(std::string_view name, Task<> task);
  void post(std::function<void()> fn);  // thread-safe
  // Runs `task` to its end on this loop from outside of it (tests, CLI), and
  // rethrows what it threw; throws std::runtime_error if stop() came first.
  template <class T>
  T block_on(Task<T> task);
  boost::asio::any_io_executor executor();
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  void block_on_erased(Task<> task);
  std::unique_ptr<Impl> impl_;
};

// Suspends for `d` on the current coroutine's executor. Ends early, returning
// false, if the coroutine is cancelled.
Task<bool> sleep_for(Duration d);
// Reposts the coroutine: lets others run.
Task<> yield_now();

// Runs `fn` on the pool's thread and resumes on the loop with its result.
class BlockingPool {
 public:
  using Calls = std::span<const std::function<void()>>;
  explicit BlockingPool(unsigned threads = 1);
  ~BlockingPool();  // waits for all that was handed to it
  template <class F>
  Task<std::invoke_result_t<F&>> offload(F fn);

  // For work that is cheaper done together. After gather(), all that was handed over by
  // offload_together() while one group was at work is the next group, of at most `most`: `run` is
  // given its calls in the order in which they came, runs each of them at least once, and only then
  // their waiters go on, each with what its call said last. One group at a time; other threads of the
  // pool do what offload() was given meanwhile. Call gather() once, before anything is handed over.
  void gather(std::function<void(Calls)> run, std::size_t most);
  // `fn` may run more than once: it leaves what it captured as it was. Without gather(): offload().
  template <class F>
  Task<std::invoke_result_t<F&>> offload_together(F fn) {
    return hand_over(std::move(fn), true);
  }

 private:
  template <class F>
  Task<std::invoke_result_t<F&>> hand_over(F fn, bool together);
  Task<> hand_over_erased(std::function<void()> fn, bool together);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Level-triggered notification for coroutines of one loop: wait() returns when
// notify() has been called since the previous wait() returned on this waiter's
// ticket. Many waiters. Not thread-safe: use only on the loop's thread.
class Notifier {
 public:
  Notifier();
  ~Notifier();
  void notify_all();
  // Number of notifications so far; pass it to wait_beyond so none is missed.
  [[nodiscard]] std::uint64_t ticket() const noexcept;
  // Returns true when ticket() > seen, false when `timeout` passed first or the
  // coroutine was cancelled, or the Notifier was destroyed.
  Task<bool> wait_beyond(std::uint64_t seen, Duration timeout);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Stops coroutines that run under it. Copyable handle; loop thread only.
class CancelToken {
 public:
  CancelToken();
  void cancel();  // idempotent
  [[nodiscard]] bool cancelled() const noexcept;
  // Calls `fn` (once, on the loop) at cancellation, or at once if it happened.
  // Returns an id for remove().
  std::uint64_t on_cancel(std::function<void()> fn);
  void remove(std::uint64_t id);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// SIGINT/SIGTERM and the like as a coroutine: returns the signal's number.
Task<int> wait_signal(std::vector<int> signals);

// ---- implementation of templates -------------------------------------------

template <class T>
T Loop::block_on(Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    block_on_erased(std::move(task));
  } else {
    auto out = std::make_shared<std::optional<T>>();  // shared: the task may outlive a stopped wait
    auto wrap = [](Task<T> t, std::shared_ptr<std::optional<T>> o) -> Task<> {
      o->emplace(co_await std::move(t));
    };
    block_on_erased(wrap(std::move(task), out));
    return std::move(**out);
  }
}

template <class F>
Task<std::invoke_result_t<F&>> BlockingPool::offload(F fn) {
  return hand_over(std::move(fn), false);
}

template <class F>
Task<std::invoke_result_t<F&>> BlockingPool::hand_over(F fn, bool together) {
  using R = std::invoke_result_t<F&>;
  if constexpr (std::is_void_v<R>) {
    std::function<void()> erased = [&fn] { fn(); };
    co_await hand_over_erased(std::move(erased), together);
  } else {
    std::optional<R> out;
    std::function<void()> erased = [&fn, &out] { out.emplace(fn()); };
    co_await hand_over_erased(std::move(erased), together);
    co_return std::move(*out);
  }
}

}  // namespace oddjob::net
