// Server-sent events (HTML Living Standard, section 9.2), both sides. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace oddjob::net {

struct SseEvent {
  std::string event;  // empty means "message"
  std::string data;   // lines joined by \n
  std::string id;     // last event id in force
};

// One event in wire form, ended by a blank line. `data` may hold newlines.
std::string format_sse(const SseEvent& e);
// A comment line, as a keep-alive.
std::string sse_comment(std::string_view text);

// Incremental parser; bounded: an event over max_event bytes is an error "sse.too_large".
class SseParser {
 public:
  explicit SseParser(std::size_t max_event = 1U << 20U) : max_event_(max_event) {}
  Result<std::vector<SseEvent>> feed(std::string_view bytes);

 private:
  std::size_t max_event_;
  std::string line_, data_, event_, id_;
  bool has_data_ = false, skip_lf_ = false, first_ = true;
  void end_line(std::vector<SseEvent>& out);
};

// Splits a byte stream into lines of at most max_line bytes (error
// "lines.too_long"); for JSON-lines streams such as Kubernetes watches.
class LineReader {
 public:
  explicit LineReader(std::size_t max_line) : max_line_(max_line) {}
  Result<std::vector<std::string>> feed(std::string_view bytes);
  [[nodiscard]] const std::string& rest() const noexcept { return buffer_; }

 private:
  std::size_t max_line_;
  std::string buffer_;
};

}  // namespace oddjob::net
