// Ctrl-C and SIGTERM while a command waits: told to whoever waits, at once.
#pragma once

#include <memory>
#include <optional>

#include "net/async.hpp"

namespace oddjob::cli {

// From its construction on the process no longer dies of SIGINT and SIGTERM.
// Loop thread only; outlives no loop.
class Interrupts {
 public:
  explicit Interrupts(net::Loop& loop);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // The last signal that was not taken yet; 0: none.
  [[nodiscard]] int pending() const noexcept;
  int take() noexcept;
  // As a signal would; for tests and for what ends like one.
  void raise(int signal);
  // Returns when a signal is pending, wake() was called, or `timeout` passed.
  net::Task<> wait(Duration timeout);
  void wake();

  // What `task` gives, or nothing if a signal came first: then the task goes on
  // unattended, until its loop or its client ends.
  template <class T>
  net::Task<std::optional<T>> attend(net::Loop& loop, net::Task<T> task);

 private:
  struct State;
  static void tell(State& state);  // wakes those who wait
  std::shared_ptr<State> state_;
};

// ---- implementation of templates -------------------------------------------

template <class T>
net::Task<std::optional<T>> Interrupts::attend(net::Loop& loop, net::Task<T> task) {
  struct Run {
    static net::Task<> go(net::Task<T> t, std::shared_ptr<std::optional<T>> out,
                          std::shared_ptr<State> state) {
      out->emplace(co_await std::move(t));
      Interrupts::tell(*state);
    }
  };
  auto out = std::make_shared<std::optional<T>>();
  loop.spawn("attended", Run::go(std::move(task), out, state_));
  while (!*out && pending() == 0) co_await wait(std::chrono::hours(24));
  co_return std::move(*out);
}

}  // namespace oddjob::cli
