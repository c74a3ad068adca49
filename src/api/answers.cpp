#include "api/answers.hpp"

#include "core/text.hpp"
#include "net/http.hpp"

namespace oddjob::api {
namespace {

// The code where only a status is known: what the HTTP server finds by itself.
std::string_view code_of_status(int status) {
  switch (status) {
    case 400:
      return "http.bad_request";
    case 404:
      return "api.no_such_path";
    case 405:
      return "api.method_not_allowed";
    case 408:
      return "http.timeout";
    case 413:
      return "http.too_large";
    case 414:
    case 431:
      return "http.header_too_large";
    case 415:
      return "api.content_type";
    case 503:
      return "http.busy";
    default:
      return status >= 500 ? "http.error" : "http.bad_request";
  }
}

net::ServerResponse problem(int status, std::string_view code, std::string_view detail,
                            std::string_view hint) {
  // What came from outside may not be UTF-8, and JSON must be.
  json::object body{{"type", "about:blank"},
                    {"title", net::status_text(status)},
                    {"status", status},
                    {"code", to_valid_utf8(code)},
                    {"detail", to_valid_utf8(detail)}};
  if (!hint.empty()) body["hint"] = to_valid_utf8(hint);
  net::ServerResponse r = json_response(status, body);
  r.headers.set("Content-Type", "application/problem+json");
  return r;
}

}  // namespace

void add_security_headers(net::Headers& headers) {
  headers.set("X-Content-Type-Options", "nosniff");
  headers.set("Cache-Control", "no-store");
}

net::ServerResponse text_response(int status, std::string body, std::string_view type) {
  net::ServerResponse r;
  r.status = status;
  r.headers.set("Content-Type", std::string(type));
  add_security_headers(r.headers);
  r.body = std::move(body);
  return r;
}

net::ServerResponse json_response(int status, const json::value& body) {
  return text_response(status, json::serialize(body), "application/json");
}

net::ServerResponse problem_response(const Error& e, std::string_view reference) {
  const int status = http_status(e.kind);
  net::ServerResponse r;
  if (e.kind == Errc::internal) {
    r = problem(status, e.code.empty() ? "internal" : e.code,
                "OddJob failed; its own log says why" +
                    (reference.empty() ? std::string() : ", under reference " + std::string(reference)),
                {});
  } else {
    r = problem(status, e.code.empty() ? to_string(e.kind) : std::string_view(e.code), e.message, e.hint);
  }
  if (e.kind == Errc::unauthenticated) r.headers.set("WWW-Authenticate", "Bearer realm=\"oddjob\"");
  if (e.kind == Errc::rate_limited || e.kind == Errc::unavailable) {
    constexpr int kLater = 5;
    r.headers.set("Retry-After", std::to_string(e.retry_after_seconds > 0 ? e.retry_after_seconds : kLater));
  }
  return r;
}

net::ServerResponse problem_of_status(int status, std::string_view message) {
  auto r = problem(status, code_of_status(status), message.empty() ? net::status_text(status) : message, {});
  if (status == 503 || status == 429) r.headers.set("Retry-After", "5");
  return r;
}

}  // namespace oddjob::api
