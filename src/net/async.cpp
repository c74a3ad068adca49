#include "net/async.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio.hpp>
#include <condition_variable>
#include <deque>
#include <exception>
#include <list>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace oddjob::net {
namespace asio = boost::asio;

namespace {

constexpr auto kQuiet = asio::as_tuple(asio::use_awaitable);

// Far enough for any wait, near enough not to overflow the clock.
std::chrono::steady_clock::time_point deadline_after(Duration d) {
  constexpr Duration longest = std::chrono::hours(24 * 3650);
  return std::chrono::steady_clock::now() + std::clamp(d, Duration::zero(), longest);
}

Task<> run_named(std::string name, Task<> task) {
  try {
    co_await std::move(task);
    co_return;
  } catch (const boost::system::system_error& e) {
    if (e.code() == asio::error::operation_aborted) co_return;
    spdlog::critical("{}: ended by an exception: {}", name, e.what());
  } catch (const std::exception& e) {
    spdlog::critical("{}: ended by an exception: {}", name, e.what());
  } catch (...) {
    spdlog::critical("{}: ended by an unknown exception", name);
  }
  spdlog::default_logger()->flush();
  std::terminate();
}

}  // namespace

// ---- Loop ------------------------------------------------------------------

struct Loop::Impl {
  asio::io_context context{1};
  std::atomic<bool> stop_requested = false;
};

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

void Loop::run() {
  // The flag is looked at after restart(), so that a stop() from another thread
  // is not undone by it.
  impl_->context.restart();
  if (!impl_->stop_requested) impl_->context.run();
  impl_->stop_requested = false;
}

void Loop::stop() {
  impl_->stop_requested = true;
  impl_->context.stop();
}

void Loop::spawn(std::string_view name, Task<> task) {
  auto& context = impl_->context;
  // Posted even from the loop's own thread: the caller goes on first, always.
  asio::post(context, [&context, named = run_named(std::string(name), std::move(task))]() mutable {
    asio::co_spawn(context, std::move(named), asio::detached);
  });
}

void Loop::post(std::function<void()> fn) { asio::post(impl_->context, std::move(fn)); }

asio::any_io_executor Loop::executor() { return impl_->context.get_executor(); }

void Loop::block_on_erased(Task<> task) {
  struct Outcome {
    bool done = false;
    std::exception_ptr error;
  };
  auto outcome = std::make_shared<Outcome>();
  auto& context = impl_->context;
  impl_->stop_requested = false;
  context.restart();
  asio::co_spawn(context, std::move(task), [outcome, &context](std::exception_ptr error) {
    outcome->done = true;
    outcome->error = std::move(error);
    context.stop();
  });
  context.run();
  impl_->stop_requested = false;
  if (!outcome->done) throw std::runtime_error("the loop was stopped before the awaited task ended");
  if (outcome->error) std::rethrow_exception(outcome->error);
}

// ---- waiting ---------------------------------------------------------------

Task<bool> sleep_for(Duration d) {
  asio::steady_timer timer(co_await asio::this_coro::executor, deadline_after(d));
  auto [ec] = co_await timer.async_wait(kQuiet);
  co_return !ec;
}

Task<> yield_now() { co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable); }

Task<int> wait_signal(std::vector<int> signals) {
  // Copied out before the first suspension: the list's array is the caller's temporary.
  std::vector<int> numbers(signals);
  return [](std::vector<int> wanted) -> Task<int> {
    asio::signal_set set(co_await asio::this_coro::executor);
    for (int number : wanted) set.add(number);
    co_return co_await set.async_wait(asio::use_awaitable);
  }(std::move(numbers));
}

// ---- BlockingPool ----------------------------------------------------------

struct BlockingPool::Impl {
  struct Job {
    std::function<void()> work;     // keeps its result, or what it threw
    std::function<void()> deliver;  // after which the frame that handed it over may go at any moment
  };
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Job> jobs, gathered;
  std::function<void(Calls)> together;  // empty: nothing is gathered
  std::size_t most = 1;
  bool closing = false, group_at_work = false;
  bool jobs_turn = false;  // so that one thread alone does both kinds in turn
  std::vector<std::thread> threads;

  [[nodiscard]] bool group_is_due() const { return !gathered.empty() && !group_at_work; }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return closing || !jobs.empty() || group_is_due(); });
      if (group_is_due() && (jobs.empty() || !jobs_turn)) {
        work_together(lock);
      } else if (!jobs.empty()) {
        Job job = std::move(jobs.front());
        jobs.pop_front();
        jobs_turn = false;
        lock.unlock();
        job.work();
        job.deliver();
        job = {};
        lock.lock();
      } else {
        return;  // what may be gathered still is for the thread that is at a group
      }
    }
  }

  void work_together(std::unique_lock<std::mutex>& lock) {
    group_at_work = true;
    std::vector<std::function<void()>> calls, deliveries;
    while (calls.size() < most && !gathered.empty()) {
      calls.push_back(std::move(gathered.front().work));
      deliveries.push_back(std::move(gathered.front().deliver));
      gathered.pop_front();
    }
    lock.unlock();
    together(calls);
    for (auto& deliver : deliveries) deliver();
    calls.clear();
    deliveries.clear();
    lock.lock();
    group_at_work = false;
    jobs_turn = true;
  }

  void submit(Job job, bool group) {
    bool needs_thread = true;
    {
      const std::lock_guard lock(mutex);
      if (group && together) {
        gathered.push_back(std::move(job));
        needs_thread = !group_at_work;  // the one at work comes back for it
      } else {
        jobs.push_back(std::move(job));
      }
    }
    if (needs_thread) wake.notify_one();
  }
};

BlockingPool::BlockingPool(unsigned threads) : impl_(std::make_unique<Impl>()) {
  for (unsigned i = 0; i < std::max(threads, 1U); ++i)
    impl_->threads.emplace_back([p = impl_.get()] { p->work(); });
}

BlockingPool::~BlockingPool() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->closing = true;
  }
  impl_->wake.notify_all();
  for (auto& thread : impl_->threads) thread.join();
}

void BlockingPool::gather(std::function<void(Calls)> run, std::size_t most) {
  const std::lock_guard lock(impl_->mutex);
  impl_->together = std::move(run);
  impl_->most = std::max<std::size_t>(most, 1);
}

Task<> BlockingPool::hand_over_erased(std::function<void()> fn, bool together) {
  auto initiate = [pool = impl_.get(), &fn, together](auto handler) {
    auto executor =
        asio::prefer(asio::get_associated_executor(handler), asio::execution::outstanding_work.tracked);
    // std::function wants a copyable target, a completion handler is not one.
    struct Call {
      decltype(handler) waiter;
      std::exception_ptr error;
    };
    auto call = std::make_shared<Call>(std::move(handler), nullptr);
    auto work = [call, &fn] {
      call->error = nullptr;
      try {
        fn();
      } catch (...) {
        call->error = std::current_exception();
      }
    };
    auto deliver = [call, executor = std::move(executor)] {
      asio::post(executor, [waiter = std::move(call->waiter), error = std::move(call->error)]() mutable {
        std::move(waiter)(error);
      });
    };
    pool->submit({std::move(work), std::move(deliver)}, together);
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void(std::exception_ptr)>(std::move(initiate),
                                                                                         asio::use_awaitable);
}

// ---- Notifier --------------------------------------------------------------

struct Notifier::Impl {
  std::uint64_t ticket = 0;
  bool closed = false;
  std::list<asio::steady_timer*> waiting;

  void wake() {
    for (auto* timer : waiting) timer->cancel();
  }
};

Notifier::Notifier() : impl_(std::make_shared<Impl>()) {}

Notifier::~Notifier() {
  impl_->closed = true;
  impl_->wake();
}

void Notifier::notify_all() {
  ++impl_->ticket;
  impl_->wake();
}

std::uint64_t Notifier::ticket() const noexcept { return impl_->ticket; }

namespace {

// Keeps one waiter's timer in the list for exactly as long as its frame lives.
template <class Impl>
class Waiting {
 public:
  Waiting(Impl& impl, asio::steady_timer& timer) : impl_(impl) {
    at_ = impl_.waiting.insert(impl_.waiting.end(), &timer);
  }
  ~Waiting() { impl_.waiting.erase(at_); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  Impl& impl_;
  std::list<asio::steady_timer*>::iterator at_;
};

}  // namespace

Task<bool> Notifier::wait_beyond(std::uint64_t seen, Duration timeout) {
  auto impl = impl_;  // the Notifier may go while we wait
  if (impl->ticket > seen) co_return true;
  if (impl->closed) co_return false;
  asio::steady_timer timer(co_await asio::this_coro::executor, deadline_after(timeout));
  Waiting<Impl> waiting(*impl, timer);
  co_await timer.async_wait(kQuiet);
  co_return impl->ticket > seen;
}

// ---- CancelToken -----------------------------------------------------------

struct CancelToken::Impl {
  bool cancelled = false;
  std::uint64_t next_id = 1;
  std::map<std::uint64_t, std::function<void()>> callbacks;
};

CancelToken::CancelToken() : impl_(std::make_shared<Impl>()) {}

void CancelToken::cancel() {
  auto impl = impl_;  // a callback may drop the last handle
  if (impl->cancelled) return;
  impl->cancelled = true;
  // One at a time: a callback may remove another.
  while (!impl->callbacks.empty()) {
    auto node = impl->callbacks.extract(impl->callbacks.begin());
    node.mapped()();
  }
}

bool CancelToken::cancelled() const noexcept { return impl_->cancelled; }

std::uint64_t CancelToken::on_cancel(std::function<void()> fn) {
  const auto id = impl_->next_id++;
  if (impl_->cancelled) {
    fn();
  } else {
    impl_->callbacks.emplace(id, std::move(fn));
  }
  return id;
}

void CancelToken::remove(std::uint64_t id) { impl_->callbacks.erase(id); }

}  // namespace oddjob::net
