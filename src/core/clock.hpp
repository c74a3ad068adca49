// Time. Wall-clock time for records, monotonic time for waits; both by way of
// a seam so that tests can make a clock jump.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace oddjob {

// Wall-clock time, microseconds since the Unix epoch, UTC. What the store keeps.
using Time = std::chrono::sys_time<std::chrono::microseconds>;
using Duration = std::chrono::milliseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Time now() const = 0;
  [[nodiscard]] virtual std::chrono::steady_clock::time_point steady() const = 0;
};
// The machine's clocks; thread-safe, lives for ever.
const Clock& system_clock();

// RFC 3339, UTC: "2026-01-02T03:04:05Z" or with ".123456" when not whole.
std::string format_time(Time t);
std::string format_time_micro(Time t);  // always six digits, sorts as text
// Accepts any RFC 3339 offset and 0 to 9 fraction digits (truncated to micros).
Result<Time> parse_time(std::string_view text);

// Durations as Go and Kubernetes write them: "90s", "1h30m", "500ms", "1.5h";
// a bare integer is refused (which unit?). Range: 1 ms to 10 years, no sign.
// Also accepts "d" for 24 h. Error "duration.malformed".
Result<Duration> parse_duration(std::string_view text);
std::string format_duration(Duration d);  // "1h30m0s" as Go prints it
std::string human_duration(Duration d);   // "95s", "3m10s", "2h", "5d": as kubectl's AGE

}  // namespace oddjob
