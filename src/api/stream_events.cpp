#include "api/stream_events.hpp"

#include "core/digest.hpp"
#include "core/json.hpp"
#include "core/text.hpp"
#include "net/sse.hpp"

namespace oddjob::api {
namespace {

std::string event(std::string name, const json::value& data, std::string id = {}) {
  net::SseEvent e;
  e.event = std::move(name);
  e.data = json::serialize(data);
  e.id = std::move(id);
  return net::format_sse(e);
}

// Bytes at the end that begin a character whose rest is not there.
std::size_t cut_character(std::string_view s) {
  for (std::size_t back = 1; back <= 3 && back <= s.size(); ++back) {
    const auto c = static_cast<unsigned char>(s[s.size() - back]);
    if ((c & 0xC0U) == 0x80U) continue;  // a continuation: look further back
    const std::size_t length = c >= 0xF0U ? 4 : c >= 0xE0U ? 3 : c >= 0xC2U ? 2 : 1;
    return length > back && c <= 0xF4U ? back : 0;
  }
  return 0;
}

}  // namespace

std::string status_event(const Run& r) { return event("status", to_json(r, false)); }
std::string end_event(const Run& r) { return event("end", to_json(r, false)); }

LogPiece log_event(std::int64_t offset, std::string_view bytes, bool last) {
  if (!last) {
    const auto text = bytes.substr(0, bytes.size() - cut_character(bytes));
    if (valid_utf8(text)) bytes = text;
  }
  if (bytes.empty()) return {};
  json::object data{{"offset", offset}};
  if (valid_utf8(bytes)) {
    data["data"] = bytes;
  } else {
    data["data"] = base64_encode(bytes);
    data["encoding"] = "base64";
  }
  return {event("log", data, std::to_string(offset + static_cast<std::int64_t>(bytes.size()))), bytes.size()};
}

}  // namespace oddjob::api
