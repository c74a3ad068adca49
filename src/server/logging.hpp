// The server's own log, on standard error.
#pragma once

#include <string>
#include <string_view>

namespace oddjob::server {

// Sends log lines to standard error, as text or JSON.
void set_up_logging(const std::string& level, const std::string& format);

// What a message is about, as members for a JSON line: `,"run":"…"` where it
// begins with "run <id>", `,"trace":"…"` where it ends with "trace=<id>". Nothing
// in between is looked at: that may come from outside. Pure.
std::string subjects_of(std::string_view message);

}  // namespace oddjob::server
