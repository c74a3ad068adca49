// The events of a run's stream, apart from any I/O.
#include <fmt/format.h>

#include <charconv>

#include "cli/follow.hpp"
#include "core/digest.hpp"

namespace oddjob::cli {

bool passing(const Error& e) noexcept {
  return e.code != "http.tls" &&
         (e.kind == Errc::unavailable || e.kind == Errc::deadline_exceeded || e.kind == Errc::rate_limited);
}

Result<StreamState::Update> StreamState::apply(const net::SseEvent& event) {
  Update out;
  const auto bad = [](std::string_view what) {
    return fail(Errc::internal, "cli.bad_stream", fmt::format("the server's stream: {}", what));
  };
  if (event.event == "status" || event.event == "end") {
    OJ_TRY(auto run, parse_json(event.data, "the server's stream"));
    if (get_string(run, {"state"}).empty())
      return bad(fmt::format("a {} event without a state", event.event));
    out.status = std::move(run);
    out.ended = event.event == "end";
  } else if (event.event == "log") {
    OJ_TRY(const auto log, parse_json(event.data, "the server's stream"));
    const auto begin = get_int(log, {"offset"});
    std::string bytes(get_string(log, {"data"}));
    if (get_string(log, {"encoding"}) == "base64") {
      OJ_TRY(bytes, base64_decode(bytes));
    }
    std::int64_t end = -1;
    const auto [last, ec] = std::from_chars(event.id.data(), event.id.data() + event.id.size(), end);
    if (!begin || ec != std::errc{} || last != event.id.data() + event.id.size() ||
        *begin + static_cast<std::int64_t>(bytes.size()) != end)
      return bad("a log event whose offsets don't fit");
    if (*begin > offset_) return bad(fmt::format("log bytes {} to {} are missing", offset_, *begin));
    // What we have already, as after a reconnect, is passed over.
    if (end <= offset_) return out;
    out.log = bytes.substr(static_cast<std::size_t>(offset_ - *begin));
    offset_ = end;
  }
  return out;
}

}  // namespace oddjob::cli
