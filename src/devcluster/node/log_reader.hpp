// Reads container logs (CRI format) the way a kubelet serves them.
#pragma once

#include <functional>
#include <string>

#include "devcluster/node.hpp"

namespace oddjob::devcluster {

// Sends the log to `write`. With follow, waits on `grew` for more until `ended()`
// and the file's end. Errors: those of `write`; "BadRequest" for a malformed since_time.
net::Task<Result<>> read_log(std::string file, LogRequest request, net::Notifier& grew,
                             std::function<bool()> ended,
                             std::function<net::Task<Result<>>(std::string_view)> write);

}  // namespace oddjob::devcluster
