// A task that runs by itself, and whose value any number of coroutines may wait for. Loop thread only.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include "net/async.hpp"

namespace oddjob::runs {

template <class T>
class Shared {
 public:
  // The task begins after the caller has gone on.
  static Shared start(net::Loop& loop, std::string_view name, net::Task<Result<T>> task) {
    Shared s;
    s.state_ = std::make_shared<State>();
    loop.spawn(name, run(s.state_, std::move(task)));
    return s;
  }
  // The value stays with the state, which the caller shares.
  net::Task<std::shared_ptr<const Result<T>>> wait() const { return wait_on(state_); }
  // False: it is not done in that time.
  net::Task<bool> done_within(Duration limit) const { return done_on(state_, limit); }
  [[nodiscard]] bool done() const noexcept { return state_->value.has_value(); }
  [[nodiscard]] bool failed() const noexcept { return done() && !state_->value->has_value(); }
  [[nodiscard]] std::chrono::steady_clock::time_point done_at() const noexcept { return state_->at; }
  // Is it the same task?
  friend bool operator==(const Shared&, const Shared&) = default;

 private:
  struct State {
    std::optional<Result<T>> value;
    std::chrono::steady_clock::time_point at{};
    net::Notifier ready;
  };
  static net::Task<> run(std::shared_ptr<State> s, net::Task<Result<T>> task) {
    Result<T> value = co_await std::move(task);
    s->value.emplace(std::move(value));
    s->at = std::chrono::steady_clock::now();
    s->ready.notify_all();
  }
  static net::Task<std::shared_ptr<const Result<T>>> wait_on(std::shared_ptr<State> s) {
    while (!s->value) co_await done_on(s, std::chrono::minutes(5));
    co_return std::shared_ptr<const Result<T>>(s, &*s->value);
  }
  static net::Task<bool> done_on(std::shared_ptr<State> s, Duration limit) {
    const auto seen = s->ready.ticket();
    if (!s->value) co_await s->ready.wait_beyond(seen, limit);
    co_return s->value.has_value();
  }
  std::shared_ptr<State> state_;
};

}  // namespace oddjob::runs
