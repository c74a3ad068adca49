#include "core/clock.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "core/text.hpp"

namespace oddjob {
namespace {

using namespace std::chrono;

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Time now() const override { return floor<microseconds>(std::chrono::system_clock::now()); }
  [[nodiscard]] steady_clock::time_point steady() const override { return steady_clock::now(); }
};

std::string format(Time t, bool always_fraction) {
  const auto day = floor<days>(t);
  const year_month_day date{day};
  const hh_mm_ss time{t - day};
  auto out = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                         static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                         time.hours().count(), time.minutes().count(), time.seconds().count());
  if (always_fraction || time.subseconds().count() != 0)
    out += fmt::format(".{:06}", time.subseconds().count());
  return out + "Z";
}

// Exactly `digits` decimal digits from the front of `s`.
bool take(std::string_view& s, std::size_t digits, int& out) {
  if (s.size() < digits) return false;
  for (std::size_t i = 0; i < digits; ++i)
    if (s[i] < '0' || s[i] > '9') return false;
  std::from_chars(s.data(), s.data() + digits, out);
  s.remove_prefix(digits);
  return true;
}

bool take(std::string_view& s, char c) {
  if (!s.starts_with(c)) return false;
  s.remove_prefix(1);
  return true;
}

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string format_time(Time t) { return format(t, false); }
std::string format_time_micro(Time t) { return format(t, true); }

Result<Time> parse_time(std::string_view text) {
  const auto bad = [&] {
    return fail(
        Errc::invalid_argument, "time.malformed",
        fmt::format("'{}' is not an RFC 3339 time such as 2026-01-02T03:04:05Z", printable(text, 60)));
  };
  std::string_view s = text;
  int year = 0, month = 0, day_of_month = 0, hour = 0, minute = 0, second = 0;
  if (!take(s, 4, year) || !take(s, '-') || !take(s, 2, month) || !take(s, '-') || !take(s, 2, day_of_month))
    return bad();
  if (!take(s, 'T') && !take(s, 't') && !take(s, ' ')) return bad();
  if (!take(s, 2, hour) || !take(s, ':') || !take(s, 2, minute) || !take(s, ':') || !take(s, 2, second))
    return bad();
  std::int64_t micros = 0;
  if (take(s, '.')) {
    std::size_t digits = 0;
    while (!s.empty() && s[0] >= '0' && s[0] <= '9') {
      if (digits < 6) micros = micros * 10 + (s[0] - '0');
      ++digits;
      s.remove_prefix(1);
    }
    if (digits == 0 || digits > 9) return bad();
    for (; digits < 6; ++digits) micros *= 10;
  }
  minutes offset{0};
  if (s == "Z" || s == "z") {
    s = {};
  } else if (s.starts_with('+') || s.starts_with('-')) {
    const int sign = s[0] == '-' ? -1 : 1;
    s.remove_prefix(1);
    int oh = 0, om = 0;
    if (!take(s, 2, oh) || !take(s, ':') || !take(s, 2, om) || oh > 23 || om > 59) return bad();
    offset = minutes(sign * (oh * 60 + om));
  } else {
    return bad();
  }
  const year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                            std::chrono::day(static_cast<unsigned>(day_of_month))};
  if (!s.empty() || !date.ok() || hour > 23 || minute > 59 || second > 60) return bad();
  return Time(sys_days(date)) + hours(hour) + minutes(minute) + seconds(second) + microseconds(micros) -
         offset;
}

Result<Duration> parse_duration(std::string_view text) {
  const auto bad = [&] {
    return fail(Errc::invalid_argument, "duration.malformed",
                fmt::format("'{}' is not a duration such as 90s, 30m or 1h30m", printable(text, 60)));
  };
  constexpr double kMaxMillis = 10.0 * 365.25 * 86400e3;
  std::string_view s = text;
  if (s.empty() || s.size() > 64) return bad();
  double total = 0;
  while (!s.empty()) {
    std::size_t n = 0;
    while (n < s.size() && ((s[n] >= '0' && s[n] <= '9') || s[n] == '.')) ++n;
    double value = 0;
    const auto [end, ec] = std::from_chars(s.data(), s.data() + n, value, std::chars_format::fixed);
    if (n == 0 || ec != std::errc{} || end != s.data() + n) return bad();
    s.remove_prefix(n);
    double unit = 0;
    if (s.starts_with("ms")) {
      unit = 1;
      s.remove_prefix(2);
    } else if (!s.empty() && (s[0] == 's' || s[0] == 'm' || s[0] == 'h' || s[0] == 'd')) {
      unit = s[0] == 's' ? 1e3 : s[0] == 'm' ? 60e3 : s[0] == 'h' ? 3600e3 : 86400e3;
      s.remove_prefix(1);
    } else {
      return bad();
    }
    total += value * unit;
    if (total > kMaxMillis) return bad();
  }
  if (total < 1) return bad();
  return Duration(static_cast<std::int64_t>(std::llround(total)));
}

std::string format_duration(Duration d) {
  const auto ms = d.count();
  if (ms == 0) return "0s";
  if (ms < 1000) return fmt::format("{}ms", ms);
  const auto h = ms / 3600000, m = ms / 60000 % 60, s = ms / 1000 % 60, rest = ms % 1000;
  std::string out;
  if (h > 0) out += fmt::format("{}h", h);
  if (h > 0 || m > 0) out += fmt::format("{}m", m);
  out += fmt::format("{}", s);
  if (rest != 0) {
    auto fraction = fmt::format(".{:03}", rest);
    while (fraction.ends_with('0')) fraction.pop_back();
    out += fraction;
  }
  return out + "s";
}

std::string human_duration(Duration d) {
  // As kubectl's AGE column (k8s.io/apimachinery duration.HumanDuration).
  const auto s = d.count() / 1000;
  const auto m = s / 60, h = s / 3600, day = h / 24;
  if (s < 120) return fmt::format("{}s", s);
  if (m < 10) return s % 60 == 0 ? fmt::format("{}m", m) : fmt::format("{}m{}s", m, s % 60);
  if (m < 180) return fmt::format("{}m", m);
  if (h < 8) return m % 60 == 0 ? fmt::format("{}h", h) : fmt::format("{}h{}m", h, m % 60);
  if (h < 48) return fmt::format("{}h", h);
  if (h < 192) return h % 24 == 0 ? fmt::format("{}d", day) : fmt::format("{}d{}h", day, h % 24);
  if (day < 730) return fmt::format("{}d", day);
  return fmt::format("{}y", day / 365);
}

}  // namespace oddjob
