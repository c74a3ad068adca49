#include "core/trace.hpp"

#include <algorithm>

#include "core/digest.hpp"

namespace oddjob {
namespace {

bool is_hex(std::string_view s) {
  return std::ranges::all_of(s, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
bool is_id(std::string_view s) { return is_hex(s) && s.find_first_not_of('0') != std::string_view::npos; }

std::string new_id(std::size_t bytes) {
  for (;;)
    if (auto id = hex_encode(random_bytes(bytes)); is_id(id)) return id;
}

}  // namespace

std::optional<Trace> parse_traceparent(std::string_view header) {
  constexpr std::size_t kLength = 55;
  if (header.size() < kLength || header[2] != '-' || header[35] != '-' || header[52] != '-') return {};
  const auto version = header.substr(0, 2), trace_id = header.substr(3, 32), span_id = header.substr(36, 16),
             flags = header.substr(53, 2);
  if (!is_hex(version) || version == "ff" || !is_id(trace_id) || !is_id(span_id) || !is_hex(flags)) return {};
  if (header.size() > kLength && (version == "00" || header[kLength] != '-')) return {};
  const char low = flags[1];
  const int digit = low <= '9' ? low - '0' : low - 'a' + 10;
  return Trace{std::string(trace_id), std::string(span_id), (digit & 1) != 0};
}

std::string to_traceparent(const Trace& trace) {
  return "00-" + trace.trace_id + "-" + trace.span_id + (trace.sampled ? "-01" : "-00");
}

Trace new_trace() { return {new_id(16), new_id(8), false}; }
Trace trace_from(std::string_view header) {
  const auto given = parse_traceparent(header);
  return given ? *given : new_trace();
}
Trace child_of(const Trace& trace) { return {trace.trace_id, new_id(8), trace.sampled}; }

}  // namespace oddjob
