// What Kubernetes asks of an aggregated API server besides its resources.
#pragma once

#include <optional>

#include "net/http_server.hpp"

namespace oddjob::api {

// The answer to /apis, /apis/<group>, /apis/<group>/<version>, /openapi/v3 and
// /livez; nullopt for everything else. Open to all: it tells nothing that the
// program's documentation does not.
std::optional<net::ServerResponse> discovery(const net::ServerRequest& request);

}  // namespace oddjob::api
