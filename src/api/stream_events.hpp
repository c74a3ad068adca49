// The events of a run's stream in wire form (docs/api.md). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/words.hpp"

namespace oddjob::api {

std::string status_event(const Run& r);
std::string end_event(const Run& r);

struct LogPiece {
  std::string wire;      // empty if `used` is 0
  std::size_t used = 0;  // bytes of the data that it carries
};
// A log event for bytes at `offset`, its id being the offset after them. Text
// where they are UTF-8, base64 where not. A character cut at the end is left
// for the next piece, unless this is the `last` one.
LogPiece log_event(std::int64_t offset, std::string_view bytes, bool last);

}  // namespace oddjob::api
