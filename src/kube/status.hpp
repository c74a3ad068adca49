// From an API server's answer to an Error: Status objects and what comes
// instead of them when something else answers. Pure.
#pragma once

#include <string_view>

#include "core/error.hpp"
#include "core/json.hpp"
#include "net/http.hpp"

namespace oddjob::kube {

// `what` is "GET /api/v1/pods". For any answer whose status is not 2xx.
Error error_from_answer(std::string_view what, int status, const net::Headers& headers,
                        std::string_view body);
// From a Status object, as it also stands in the ERROR event of a watch.
Error error_from_status(std::string_view what, int http_status, const json::value& status);
// "kube.not_json": a 2xx that holds no JSON document.
Error not_json(std::string_view what, int status, const net::Headers& headers, std::string_view body,
               std::string_view why);
// Seconds of a Retry-After header (or of a Status's details); 0 when there is none.
int retry_after_seconds(const net::Headers& headers);

}  // namespace oddjob::kube
