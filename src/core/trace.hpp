// W3C Trace Context (level 1): which calls belong together, over programs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace oddjob {

struct Trace {
  std::string trace_id;  // 32 lower-case hex digits, not all zero
  std::string span_id;   // 16 of them: the caller's, or our own in what we send
  bool sampled = false;

  friend bool operator==(const Trace&, const Trace&) = default;
};

// A header `traceparent`; nullopt for what is not one, which is then as if it
// were not there. Of later versions what version 00 knows is read.
std::optional<Trace> parse_traceparent(std::string_view header);
// "00-<trace id>-<span id>-<flags>"
std::string to_traceparent(const Trace& trace);
Trace new_trace();
// The caller's trace; a new one where `header` is no traceparent.
Trace trace_from(std::string_view header);
// The same trace, under a new span of ours.
Trace child_of(const Trace& trace);

}  // namespace oddjob
