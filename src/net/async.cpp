#include "net/async.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio.hpp>
#include <csignal>
#include <list>
#include <stdexcept>

namespace oddjob::net {
namespace {

namespace asio = boost::asio;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
// Longer waits overflow the clock's arithmetic.
constexpr Duration kLongest = std::chrono::hours(24 * 365);

Task<> guarded(std::string name, Task<> task) {
  try {
    co_await std::move(task);
  } catch (const boost::system::system_error& e) {
    if (e.code() == asio::error::operation_aborted) co_return;
    spdlog::critical("the coroutine '{}' ended by an exception: {}", name, e.what());
    std::terminate();
  } catch (const std::exception& e) {
    spdlog::critical("the coroutine '{}' ended by an exception: {}", name, e.what());
    std::terminate();
  }
}

}  // namespace

// ---- Loop --------------------------------------------------------------------

struct Loop::Impl {
  asio::io_context context{1};
  std::atomic<bool> stopped{false};
};

Loop::Loop() : impl_(std::make_unique<Impl>()) {
  // A peer that goes away is an error of the write, never a signal.
  std::signal(SIGPIPE, SIG_IGN);
}
Loop::~Loop() = default;

void Loop::run() {
  impl_->stopped = false;
  impl_->context.restart();
  impl_->context.run();
}

void Loop::stop() {
  impl_->stopped = true;
  impl_->context.stop();
}

void Loop::spawn(std::string_view name, Task<> task) {
  asio::co_spawn(impl_->context, guarded(std::string(name), std::move(task)), asio::detached);
}

void Loop::post(std::function<void()> fn) { asio::post(impl_->context, std::move(fn)); }

boost::asio::any_io_executor Loop::executor() { return impl_->context.get_executor(); }

void Loop::block_on_erased(Task<> task) {
  bool done = false;
  std::exception_ptr thrown;
  asio::co_spawn(impl_->context, std::move(task), [&](std::exception_ptr e) {
    thrown = std::move(e);
    done = true;
    impl_->context.stop();
  });
  const auto work = asio::make_work_guard(impl_->context);
  impl_->stopped = false;
  while (!done) {
    impl_->context.restart();
    impl_->context.run();
    if (!done && impl_->stopped) throw std::runtime_error("the loop was stopped before the task ended");
  }
  if (thrown) std::rethrow_exception(thrown);
}

// ---- waiting -------------------------------------------------------------------

Task<bool> sleep_for(Duration d) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(std::min(d, kLongest));
  const auto [error] = co_await timer.async_wait(kTuple);
  co_return !error;
}

Task<> yield_now() { co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable); }

Task<int> wait_signal(std::initializer_list<int> signals) {
  asio::signal_set set(co_await asio::this_coro::executor);
  for (const int s : signals) set.add(s);
  const auto [error, number] = co_await set.async_wait(kTuple);
  co_return error ? 0 : number;
}

// ---- BlockingPool ----------------------------------------------------------------

struct BlockingPool::Impl {
  asio::thread_pool pool;
  explicit Impl(unsigned threads) : pool(threads) {}
};

BlockingPool::BlockingPool(unsigned threads) : impl_(std::make_unique<Impl>(std::max(threads, 1U))) {}
BlockingPool::~BlockingPool() { impl_->pool.join(); }

Task<> BlockingPool::offload_erased(std::function<void()> fn) {
  auto executor = co_await asio::this_coro::executor;
  auto& pool = impl_->pool;
  auto initiate = [executor, &pool, &fn](auto handler) {
    auto work = asio::make_work_guard(executor);
    asio::post(pool, [handler = std::move(handler), work = std::move(work), &fn]() mutable {
      std::exception_ptr thrown;
      try {
        fn();
      } catch (...) {
        thrown = std::current_exception();
      }
      auto back = work.get_executor();
      asio::post(back, [handler = std::move(handler), thrown]() mutable { std::move(handler)(thrown); });
    });
  };
  co_await asio::async_initiate<decltype(asio::use_awaitable), void(std::exception_ptr)>(std::move(initiate), asio::use_awaitable);
}

// ---- Notifier --------------------------------------------------------------------

struct Notifier::Impl {
  std::uint64_t ticket = 0;
  std::list<asio::steady_timer*> waiters;
};

Notifier::Notifier() : impl_(std::make_shared<Impl>()) {}
Notifier::~Notifier() = default;

void Notifier::notify_all() {
  ++impl_->ticket;
  for (auto* timer : impl_->waiters) timer->cancel();
}

std::uint64_t Notifier::ticket() const noexcept { return impl_->ticket; }

Task<bool> Notifier::wait_beyond(std::uint64_t seen, Duration timeout) {
  // Held, so that the notifier may go away while somebody waits.
  const auto impl = impl_;
  if (impl->ticket > seen) co_return true;
  if (timeout <= Duration::zero()) co_return false;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(std::min(timeout, kLongest));
  struct Registered {
    Impl& impl;
    std::list<asio::steady_timer*>::iterator at;
    ~Registered() { impl.waiters.erase(at); }
  } registered{*impl, impl->waiters.insert(impl->waiters.end(), &timer)};
  co_await timer.async_wait(kTuple);
  co_return impl->ticket > seen;
}

// ---- CancelToken -----------------------------------------------------------------

struct CancelToken::Impl {
  bool cancelled = false;
  std::uint64_t next = 1;
  std::vector<std::pair<std::uint64_t, std::function<void()>>> callbacks;
};

CancelToken::CancelToken() : impl_(std::make_shared<Impl>()) {}

void CancelToken::cancel() {
  if (impl_->cancelled) return;
  impl_->cancelled = true;
  const auto callbacks = std::move(impl_->callbacks);
  for (const auto& [id, fn] : callbacks) fn();
}

bool CancelToken::cancelled() const noexcept { return impl_->cancelled; }

std::uint64_t CancelToken::on_cancel(std::function<void()> fn) {
  if (impl_->cancelled) {
    fn();
    return 0;
  }
  impl_->callbacks.emplace_back(impl_->next, std::move(fn));
  return impl_->next++;
}

void CancelToken::remove(std::uint64_t id) {
  std::erase_if(impl_->callbacks, [id](const auto& entry) { return entry.first == id; });
}

}  // namespace oddjob::net
