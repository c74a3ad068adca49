#include "net/sse.hpp"

#include <fmt/format.h>

#include "core/text.hpp"

namespace oddjob::net {

std::string format_sse(const SseEvent& e) {
  std::string out;
  if (!e.event.empty()) out += "event: " + e.event + "\n";
  if (!e.id.empty()) out += "id: " + e.id + "\n";
  for (auto line : split(e.data, '\n')) {
    // A carriage return would end the line for the reader.
    std::erase(line, '\r');
    out += "data: " + line + "\n";
  }
  return out + "\n";
}

std::string sse_comment(std::string_view text) { return fmt::format(": {}\n\n", text); }

Result<std::vector<SseEvent>> SseParser::feed(std::string_view bytes) {
  std::vector<SseEvent> out;
  for (const char c : bytes) {
    if (skip_lf_) {
      skip_lf_ = false;
      if (c == '\n') continue;
    }
    if (c == '\n' || c == '\r') {
      skip_lf_ = c == '\r';
      end_line(out);
      continue;
    }
    line_ += c;
    if (line_.size() + data_.size() > max_event_)
      return fail(Errc::too_large, "sse.too_large", fmt::format("a server-sent event is larger than {} bytes", max_event_));
  }
  return out;
}

void SseParser::end_line(std::vector<SseEvent>& out) {
  std::string line = std::move(line_);
  line_.clear();
  if (first_) {
    first_ = false;
    if (line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
  }
  if (line.empty()) {
    if (has_data_) {
      data_.pop_back();   // the last newline
      out.push_back({event_, data_, id_});
    }
    data_.clear();
    event_.clear();
    has_data_ = false;
    return;
  }
  if (line[0] == ':') return;
  const auto colon = line.find(':');
  const std::string_view field = std::string_view(line).substr(0, colon);
  std::string_view value = colon == std::string::npos ? std::string_view{} : std::string_view(line).substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    data_ += value;
    data_ += '\n';
    has_data_ = true;
  } else if (field == "event") {
    event_ = std::string(value);
  } else if (field == "id" && value.find('\0') == std::string_view::npos) {
    id_ = std::string(value);
  }
}

Result<std::vector<std::string>> LineReader::feed(std::string_view bytes) {
  std::vector<std::string> out;
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    const auto piece = bytes.substr(0, end);
    if (buffer_.size() + piece.size() > max_line_)
      return fail(Errc::too_large, "lines.too_long", fmt::format("a line is longer than {} bytes", max_line_));
    buffer_ += piece;
    if (end == std::string_view::npos) break;
    out.push_back(std::move(buffer_));
    buffer_.clear();
    bytes.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace oddjob::net
