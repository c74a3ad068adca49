#include "kube/status.hpp"

#include <algorithm>
#include <charconv>

#include "core/text.hpp"

namespace oddjob::kube {
namespace {

constexpr std::size_t kMessageBytes = 4096;

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// "pods \"x\" is forbidden: maximum memory usage per Container is 256Mi, but limit is 1Gi"
bool is_limit_range_denial(std::string_view m) {
  return ((has(m, ": maximum ") || has(m, ": minimum ") || has(m, "[maximum ") || has(m, "[minimum ")) &&
          has(m, " usage per ")) ||
         has(m, " max limit to request ratio per ");
}

// Denials by admission keep the status code that the denier chose (a webhook
// may say 400, a ValidatingAdmissionPolicy says 422), so they are known by
// their words, which the API server puts there itself.
bool is_admission_denial(std::string_view m) {
  return (has(m, "admission webhook \"") && has(m, "denied the request")) ||
         has(m, "violates PodSecurity \"") ||
         (has(m, "ValidatingAdmissionPolicy '") && has(m, " denied request")) || is_limit_range_denial(m);
}

bool is_quota_denial(std::string_view m) {
  return has(m, "exceeded quota: ") || has(m, "failed quota: ") || has(m, "insufficient quota to consume: ");
}

Error classify(int status, std::string_view reason, std::string message) {
  Error e;
  if (status >= 400 && status < 500 && status != 401 && status != 409 && status != 429) {
    if (is_admission_denial(message)) {
      e = {Errc::forbidden, "kube.admission", std::move(message),
           "the cluster's own rules refuse this object; its administrators can tell which rule and why"};
      return e;
    }
    if (status == 403 && is_quota_denial(message)) {
      e = {Errc::forbidden, "kube.quota", std::move(message),
           "the namespace's ResourceQuota has no room: wait for other pods to end, or ask for less"};
      return e;
    }
  }
  switch (status) {
    case 400:
      return {Errc::invalid_argument, "kube.invalid", std::move(message), {}};
    case 401:
      return {Errc::unauthenticated, "kube.unauthorized", std::move(message),
              "the cluster does not accept these credentials: renew the token or log in again"};
    case 403:
      return {Errc::forbidden, "kube.forbidden", std::move(message),
              "the cluster's RBAC lacks this permission for the user that the message names"};
    case 404:
      return {Errc::not_found, "kube.not_found", std::move(message), {}};
    case 405:
    case 406:
    case 415:
      return {Errc::unsupported, "kube.unsupported", std::move(message), {}};
    case 409:
      if (reason == "AlreadyExists")
        return {Errc::already_exists, "kube.already_exists", std::move(message), {}};
      return {Errc::conflict, "kube.conflict", std::move(message), {}};
    case 410:
      return {Errc::gone, "kube.expired", std::move(message), {}};
    case 413:
      return {Errc::too_large, "kube.too_large", std::move(message), {}};
    case 422:
      return {Errc::failed_precondition, "kube.invalid", std::move(message), {}};
    case 429:
      return {Errc::rate_limited, "kube.too_many_requests", std::move(message), {}};
    default:
      break;
  }
  if (status >= 400 && status < 500) return {Errc::invalid_argument, "kube.invalid", std::move(message), {}};
  e = {Errc::unavailable, "kube.server_error", std::move(message), {}};
  if (has(e.message, "failed calling webhook"))
    e.hint = "an admission webhook of the cluster does not answer; its owner must repair it";
  return e;
}

// On one line: webhooks like to answer in paragraphs.
std::string flatten(std::string_view text) {
  std::string flat;
  for (const char c : trim(text)) {
    const bool space = c == '\n' || c == '\r' || c == '\t' || c == ' ';
    if (space && (flat.empty() || flat.back() == ' ')) continue;
    flat += space ? ' ' : c;
  }
  return flat;
}

std::string describe_body(const net::Headers& headers, std::string_view body) {
  const std::string_view type = headers.get("Content-Type");
  const std::string flat = flatten(body.substr(0, 400));
  return fmt::format("{}, {} bytes{}", type.empty() ? "no content type" : printable(type, 80), body.size(),
                     flat.empty() ? std::string() : ": " + printable(flat, 120));
}

// `secretName "x" not found` says what; "Unauthorized" says nothing without the call.
std::string with_call(std::string_view what, std::string_view message) {
  if (message.find('"') != std::string_view::npos) return printable(flatten(message), kMessageBytes);
  return fmt::format("{}: {}", what, printable(flatten(message), kMessageBytes));
}

}  // namespace

int retry_after_seconds(const net::Headers& headers) {
  const std::string_view text = trim(headers.get("Retry-After"));
  int seconds = 0;
  // The API server sends whole seconds; the HTTP-date form of a proxy counts as absent.
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size() || seconds < 0) return 0;
  return std::min(seconds, 3600);
}

Error error_from_status(std::string_view what, int http_status, const json::value& status) {
  const std::string_view reason = get_string(status, {"reason"});
  std::string_view message = get_string(status, {"message"});
  int code = http_status;
  if (code < 400) {  // the ERROR event of a watch comes in a 200
    code = static_cast<int>(std::clamp<std::int64_t>(get_int(status, {"code"}).value_or(500), 400, 599));
    if (reason == "Expired" || reason == "Gone") code = 410;
  }
  if (message.empty()) message = reason.empty() ? "the API server gave no reason" : reason;
  Error e = classify(code, reason, with_call(what, message));
  if (e.kind == Errc::rate_limited || e.kind == Errc::unavailable)
    e.retry_after_seconds = static_cast<int>(
        std::clamp<std::int64_t>(get_int(status, {"details", "retryAfterSeconds"}).value_or(0), 0, 3600));
  return e;
}

Error error_from_answer(std::string_view what, int status, const net::Headers& headers,
                        std::string_view body) {
  Error e;
  if (const auto first = body.find_first_not_of(" \t\r\n");
      first != std::string_view::npos && body[first] == '{') {
    const auto parsed = parse_json(body, what, 4U << 20U);
    if (parsed && get_string(*parsed, {"kind"}) == "Status" && status >= 400) {
      e = error_from_status(what, status, *parsed);
      if (const int s = retry_after_seconds(headers); s > 0) e.retry_after_seconds = s;
      return e;
    }
  }
  if (status >= 300 && status < 400) {
    return {Errc::unavailable, "kube.not_json",
            fmt::format("{}: the server answered with a redirect ({}), which an API server does not do", what,
                        status),
            "check the server address in the kubeconfig: a login page or proxy may be answering"};
  }
  const std::string_view phrase = net::status_text(status);
  e = classify(status, {},
               fmt::format("{}: HTTP {}{}{} ({})", what, status, phrase.empty() ? "" : " ", phrase,
                           describe_body(headers, body)));
  e.retry_after_seconds =
      e.kind == Errc::rate_limited || e.kind == Errc::unavailable ? retry_after_seconds(headers) : 0;
  return e;
}

Error not_json(std::string_view what, int status, const net::Headers& headers, std::string_view body,
               std::string_view why) {
  return {
      Errc::unavailable, "kube.not_json",
      fmt::format("{}: the answer (HTTP {}) is {} ({})", what, status, why, describe_body(headers, body)),
      "check the server address in the kubeconfig: is it a Kubernetes API server, and nothing in between?"};
}

}  // namespace oddjob::kube
