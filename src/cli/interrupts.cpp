#include "cli/interrupts.hpp"

#include <csignal>
#include <utility>
#include <vector>

namespace oddjob::cli {

struct Interrupts::State {
  net::Notifier changed;
  int signal = 0;
  bool over = false;

  static net::Task<> watch(std::shared_ptr<State> self) {
    const std::vector<int> wanted = {SIGINT, SIGTERM};
    while (!self->over) {
      const int number = co_await net::wait_signal(wanted);
      if (self->over) co_return;
      self->signal = number;
      self->changed.notify_all();
    }
  }
};

Interrupts::Interrupts(net::Loop& loop) : state_(std::make_shared<State>()) {
  loop.spawn("signals", State::watch(state_));
}
Interrupts::~Interrupts() { state_->over = true; }

int Interrupts::pending() const noexcept { return state_->signal; }
int Interrupts::take() noexcept { return std::exchange(state_->signal, 0); }
void Interrupts::raise(int signal) {
  state_->signal = signal;
  wake();
}
void Interrupts::wake() { tell(*state_); }
void Interrupts::tell(State& state) { state.changed.notify_all(); }

net::Task<> Interrupts::wait(Duration timeout) {
  if (state_->signal != 0) co_return;
  co_await state_->changed.wait_beyond(state_->changed.ticket(), timeout);
}

}  // namespace oddjob::cli
