// Responses in the API's own form. Pure.
#pragma once

#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/json.hpp"
#include "net/http_server.hpp"

namespace oddjob::api {

// RFC 9457. An error of kind internal is answered without what it says: the
// caller logs that under `reference`, which the answer names.
net::ServerResponse problem_response(const Error& e, std::string_view reference = {});
net::ServerResponse problem_of_status(int status, std::string_view message);
net::ServerResponse json_response(int status, const json::value& body);
net::ServerResponse text_response(int status, std::string body,
                                  std::string_view type = "text/plain; charset=utf-8");
// On every answer, streams included.
void add_security_headers(net::Headers& headers);

}  // namespace oddjob::api
