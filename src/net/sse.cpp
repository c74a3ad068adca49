#include "net/sse.hpp"

#include <algorithm>

namespace oddjob::net {
namespace {

// A field's value is one line: what would end it early is dropped.
std::string one_line(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (char c : s) {
    if (c != '\n' && c != '\r' && c != '\0') out += c;
  }
  return out;
}

// Calls fn with each line of `text`, however its lines end.
template <class F>
void each_line(std::string_view text, F fn) {
  for (;;) {
    const auto end = text.find_first_of("\r\n");
    if (end == std::string_view::npos) {
      fn(text);
      return;
    }
    fn(text.substr(0, end));
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
}

}  // namespace

std::string format_sse(const SseEvent& e) {
  std::string out;
  out.reserve(e.data.size() + e.id.size() + e.event.size() + 32);
  if (!e.id.empty()) out += "id: " + one_line(e.id) + "\n";
  if (!e.event.empty()) out += "event: " + one_line(e.event) + "\n";
  each_line(e.data, [&](std::string_view line) {
    out += "data: ";
    out += line;
    out += '\n';
  });
  out += '\n';
  return out;
}

std::string sse_comment(std::string_view text) {
  std::string out;
  each_line(text, [&](std::string_view line) {
    out += ": ";
    out += line;
    out += '\n';
  });
  out += '\n';
  return out;
}

Result<std::vector<SseEvent>> SseParser::feed(std::string_view bytes) {
  std::vector<SseEvent> out;
  while (!bytes.empty()) {
    if (skip_lf_) {  // the \n of a \r\n, perhaps cut apart
      skip_lf_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const auto end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    if (line_.size() + data_.size() + end > max_event_) {
      return fail(Errc::too_large, "sse.too_large",
                  "an event of the stream is larger than " + std::to_string(max_event_) + " bytes");
    }
    line_.append(bytes.substr(0, end));
    if (end == bytes.size()) break;
    skip_lf_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    end_line(out);
  }
  return out;
}

void SseParser::end_line(std::vector<SseEvent>& out) {
  std::string_view line = line_;
  if (first_) {
    first_ = false;
    if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  }
  if (line.empty()) {
    if (has_data_) {
      data_.pop_back();  // the last line's \n
      out.push_back({std::move(event_), std::move(data_), id_});
    }
    data_.clear();
    event_.clear();
    has_data_ = false;
  } else if (line.front() != ':') {
    const auto colon = std::min(line.find(':'), line.size());
    const auto field = line.substr(0, colon);
    auto value = line.substr(std::min(colon + 1, line.size()));
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "data") {
      data_.append(value);
      data_ += '\n';
      has_data_ = true;
    } else if (field == "event") {
      event_ = value;
    } else if (field == "id" && value.find('\0') == std::string_view::npos) {
      id_ = value;
    }
  }
  line_.clear();
}

Result<std::vector<std::string>> LineReader::feed(std::string_view bytes) {
  std::vector<std::string> out;
  while (!bytes.empty()) {
    const auto end = std::min(bytes.find('\n'), bytes.size());
    if (buffer_.size() + end > max_line_) {
      return fail(Errc::too_large, "lines.too_long",
                  "a line of the stream is longer than " + std::to_string(max_line_) + " bytes");
    }
    buffer_.append(bytes.substr(0, end));
    if (end == bytes.size()) break;
    bytes.remove_prefix(end + 1);
    out.push_back(std::move(buffer_));
    buffer_.clear();
  }
  return out;
}

}  // namespace oddjob::net
