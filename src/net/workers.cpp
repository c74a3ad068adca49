#include "net/workers.hpp"

#include <algorithm>

namespace oddjob::net {

using Steady = std::chrono::steady_clock;

void Workers::start(Loop& loop, std::string_view name, Task<> work) {
  ++working_;
  loop.spawn(name, std::move(work));
}

void Workers::ended() {
  --working_;
  ended_.notify_all();
}

void Workers::poke() { news_.notify_all(); }

void Workers::tell_to_end() {
  stopping_ = true;
  news_.notify_all();
}

Task<> Workers::stop(Duration patience) {
  tell_to_end();
  const auto until = Steady::now() + patience;
  while (working_ > 0 && Steady::now() < until) {
    const auto seen = ended_.ticket();
    if (working_ == 0) break;
    co_await ended_.wait_beyond(seen, Duration(200));
  }
}

Task<> Workers::pause(Duration time) {
  const auto until = Steady::now() + time;
  while (!stopping_ && Steady::now() < until) {
    const auto left = std::chrono::ceil<Duration>(until - Steady::now());
    const auto seen = news_.ticket();
    co_await news_.wait_beyond(seen, std::max(Duration(1), left));
  }
}

}  // namespace oddjob::net
