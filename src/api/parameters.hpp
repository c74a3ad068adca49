// Reading what a request gives beside its path: query parameters, headers, a
// JSON body. Fails with one clear error that names the parameter. Pure.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "net/http_server.hpp"

namespace oddjob::api {

inline constexpr std::size_t kMaxParameter = 1024;
inline constexpr std::size_t kMaxRequestBody = 1U << 20U;

// Every parameter of the query is one of `known`, is given once (unless it is
// in `repeatable`) and is at most kMaxParameter bytes. Errors (invalid_argument):
// "api.unknown_parameter" with "did you mean", "api.bad_parameter".
Result<> check_query(const net::Query& query, std::initializer_list<std::string_view> known,
                     std::initializer_list<std::string_view> repeatable = {});
// A whole number in min..max; `fallback` where the parameter is absent.
Result<std::int64_t> number(const net::Query& query, std::string_view name, std::int64_t fallback,
                            std::int64_t min, std::int64_t max);
Result<std::int64_t> parse_number(std::string_view text, std::string_view name, std::int64_t min,
                                  std::int64_t max);
// A namespace's name, or empty where it is absent.
Result<std::string> name_space(const net::Query& query);

// Idempotency-Key: 1 to 128 printable ASCII characters, or absent (empty).
Result<std::string> idempotency_key(const net::Headers& headers);

// The body as JSON. Errors: "api.content_type" (unsupported media, answered
// with 415), "json.malformed", "json.too_large".
Result<json::value> json_body(const net::ServerRequest& request);
inline constexpr std::string_view kContentTypeCode = "api.content_type";

// An opaque cursor around `text`, for one kind of list.
std::string make_cursor(std::string_view kind, std::string_view text);
Result<std::string> open_cursor(std::string_view kind, std::string_view cursor);
// What the parameter `cursor` holds; empty where it is not given: the beginning.
Result<std::string> start_after(const net::Query& query, std::string_view kind);

}  // namespace oddjob::api
