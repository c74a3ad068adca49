// Coroutines that go on with what is new until they are told to end.
//
// What they share: news to wait for, a pause that news does not cut short, and
// an end that is waited for with a bound. Held by something that outlives the
// coroutines (they share it). Loop thread only.
#pragma once

#include <string_view>

#include "net/async.hpp"

namespace oddjob::net {

class Workers {
 public:
  // Starts one; its last act is ended().
  void start(Loop& loop, std::string_view name, Task<> work);
  void ended();
  void poke();  // there is news
  // Tells all of them to end, without waiting.
  void tell_to_end();
  // And waits until they have, at most so long.
  Task<> stop(Duration patience);
  [[nodiscard]] bool stopping() const noexcept { return stopping_; }

  // As of a Notifier: no news after ticket() is missed.
  [[nodiscard]] std::uint64_t ticket() const noexcept { return news_.ticket(); }
  Task<bool> wait_beyond(std::uint64_t seen, Duration timeout) { return news_.wait_beyond(seen, timeout); }
  // All of this time, whatever news there is; only the end cuts it short.
  Task<> pause(Duration time);

 private:
  Notifier news_, ended_;
  bool stopping_ = false;
  int working_ = 0;
};

}  // namespace oddjob::net
