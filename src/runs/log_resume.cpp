#include "runs/log_resume.hpp"

#include <algorithm>
#include <chrono>

#include "core/clock.hpp"

namespace oddjob::runs {
namespace {

constexpr std::size_t kMaxStamp = 64;
constexpr std::size_t kMaxHeld = 256U << 10U;
constexpr std::size_t kMaxNote = 512;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMaxDisorder = 2 * kSecond;

// Digits at `pos`, exactly `count` of them.
std::optional<int> digits(std::string_view s, std::size_t pos, std::size_t count) noexcept {
  if (pos + count > s.size()) return std::nullopt;
  int n = 0;
  for (std::size_t i = pos; i < pos + count; ++i) {
    if (s[i] < '0' || s[i] > '9') return std::nullopt;
    n = n * 10 + (s[i] - '0');
  }
  return n;
}

}  // namespace

std::optional<std::int64_t> parse_log_time(std::string_view s) noexcept {
  // 2026-01-02T03:04:05[.fraction](Z|±hh:mm)
  const auto y = digits(s, 0, 4), mo = digits(s, 5, 2), d = digits(s, 8, 2);
  const auto h = digits(s, 11, 2), mi = digits(s, 14, 2), se = digits(s, 17, 2);
  if (!y || !mo || !d || !h || !mi || !se || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' ||
      s[16] != ':') {
    return std::nullopt;
  }
  std::size_t pos = 19;
  std::int64_t nanos = 0;
  if (pos < s.size() && s[pos] == '.') {
    std::int64_t unit = kSecond / 10;
    const std::size_t first = ++pos;
    for (; pos < s.size() && s[pos] >= '0' && s[pos] <= '9'; ++pos, unit /= 10)
      nanos += (s[pos] - '0') * unit;
    if (pos == first) return std::nullopt;
  }
  std::int64_t offset = 0;
  if (pos + 1 == s.size() && s[pos] == 'Z') {
    offset = 0;
  } else if (pos + 6 == s.size() && (s[pos] == '+' || s[pos] == '-') && s[pos + 3] == ':') {
    const auto oh = digits(s, pos + 1, 2), om = digits(s, pos + 4, 2);
    if (!oh || !om) return std::nullopt;
    offset = (*oh * 60 + *om) * 60 * (s[pos] == '+' ? 1 : -1);
  } else {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(*y),
                                         std::chrono::month(static_cast<unsigned>(*mo)),
                                         std::chrono::day(static_cast<unsigned>(*d))};
  if (!date.ok() || *h > 23 || *mi > 59 || *se > 60 || *y < 1900 || *y > 2200) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return (days * 86400 + *h * 3600 + *mi * 60 + *se - offset) * kSecond + nanos;
}

std::string since_time(const store::LogCursor& cursor) {
  const auto at = parse_log_time(cursor.timestamp);
  if (!at) return {};
  const auto second = std::chrono::seconds(*at / kSecond - 1);
  return format_time(Time(std::chrono::duration_cast<std::chrono::microseconds>(second)));
}

LogResume::LogResume(store::LogCursor archived) : cursor_(std::move(archived)) { reopen(); }

void LogResume::reopen() {
  const auto at = parse_log_time(cursor_.timestamp);
  cursor_at_ = at.value_or(0);
  seeking_ = at.has_value() && (cursor_.lines_at > 0 || cursor_.partial > 0);
  place_ = Place::stamp;
  stamp_.clear();
  held_.clear();
  seen_at_ = drop_ = 0;
  counts_ = fresh_ = false;
}

void LogResume::settle(std::string& out) {
  if (held_.empty()) return;
  // What is held is fed again, this time without waiting for the cursor's line.
  const std::string held = std::exchange(held_, {});
  const std::string cut = std::exchange(stamp_, {});
  const Place then = std::exchange(place_, Place::stamp);
  seeking_ = false;
  feed(held, out);
  if (then == Place::hold) return;  // the last held line goes on
  place_ = then;
  stamp_ = cut;
}

void LogResume::feed(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    if (place_ == Place::stamp) {
      bytes.remove_prefix(take_stamp(bytes, out));
      continue;
    }
    const auto newline = bytes.find('\n');
    const bool ends = newline != std::string_view::npos;
    const auto part = ends ? bytes.substr(0, newline + 1) : bytes;
    switch (place_) {
      case Place::content:
        pass(part, ends, out);
        break;
      case Place::hold:
        held_.append(part);
        break;
      case Place::note:
        if (note_.size() < kMaxNote) note_.append(part.substr(0, kMaxNote - note_.size()));
        break;
      case Place::skip:
      case Place::stamp:
        break;
    }
    if (ends) {
      if (place_ == Place::skip && std::exchange(counts_, false) && ++seen_at_ >= cursor_.lines_at &&
          cursor_.partial == 0) {
        seeking_ = false;
      }
      place_ = Place::stamp;
      stamp_.clear();
    }
    if (held_.size() > kMaxHeld) settle(out);
    bytes.remove_prefix(part.size());
  }
}

// Reads the timestamp of a line; returns how many bytes it took.
std::size_t LogResume::take_stamp(std::string_view bytes, std::string& out) {
  std::size_t used = 0;
  for (; used < bytes.size() && stamp_.size() < kMaxStamp; ++used) {
    const char c = bytes[used];
    if (c != ' ' && c != '\n') {
      stamp_ += c;
      continue;
    }
    const auto at = parse_log_time(stamp_);
    if (!at) break;
    begin_line(*at, out);
    return c == ' ' ? used + 1 : used;  // the newline of an empty line is content
  }
  if (used == bytes.size() && stamp_.size() < kMaxStamp) return used;
  place_ = Place::note;
  if (note_.size() < kMaxNote) note_.append(stamp_);
  return used;
}

void LogResume::begin_line(std::int64_t at, std::string& out) {
  if (seeking_) return seek(at, out);
  begin_content(at);
}

void LogResume::seek(std::int64_t at, std::string& out) {
  if (at < cursor_at_) {
    place_ = Place::skip;
    return;
  }
  if (at == cursor_at_) {
    held_.clear();  // stood before a line that is archived, and so were archived
    if (seen_at_ < cursor_.lines_at) {
      place_ = Place::skip;
      counts_ = true;
      return;
    }
    seeking_ = false;
    place_ = Place::content;
    fresh_ = false;
    drop_ = cursor_.partial;
    return;
  }
  if (at > cursor_at_ + kMaxDisorder) {
    const std::string stamp = stamp_;
    settle(out);
    stamp_ = stamp;
    seeking_ = false;
    begin_content(at);
    return;
  }
  place_ = Place::hold;
  held_ += stamp_;
  held_ += ' ';
}

void LogResume::begin_content(std::int64_t at) {
  place_ = Place::content;
  fresh_ = true;
  drop_ = 0;
  // Kept until the line gives its first byte: only what is in the archive
  // counts for the cursor.
  if (at != cursor_at_ || cursor_.timestamp.empty()) return;
  fresh_ = false;
  cursor_.partial = 0;
}

void LogResume::pass(std::string_view bytes, bool line_ends, std::string& out) {
  if (drop_ > 0) {
    const auto n = std::min<std::int64_t>(drop_, static_cast<std::int64_t>(bytes.size()));
    drop_ -= n;
    bytes.remove_prefix(static_cast<std::size_t>(n));
    if (bytes.empty() && !line_ends) return;
    drop_ = 0;
  }
  if (fresh_) {
    cursor_.timestamp = stamp_;
    cursor_at_ = parse_log_time(stamp_).value_or(0);
    cursor_.lines_at = cursor_.partial = 0;
    fresh_ = false;
  }
  out.append(bytes);
  if (line_ends) {
    ++cursor_.lines_at;
    cursor_.partial = 0;
  } else {
    cursor_.partial += static_cast<std::int64_t>(bytes.size());
  }
}

}  // namespace oddjob::runs
