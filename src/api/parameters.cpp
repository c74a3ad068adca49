#include "api/parameters.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::api {
namespace {

constexpr std::size_t kMaxKey = 128;

bool holds(std::initializer_list<std::string_view> list, std::string_view s) {
  return std::ranges::find(list, s) != list.end();
}

std::unexpected<Error> bad(std::string_view name, std::string_view value, std::string_view wanted) {
  return fail(Errc::invalid_argument, "api.bad_parameter",
              "query parameter " + std::string(name) + ": \"" + printable(value, 64) + "\" is not " +
                  std::string(wanted));
}

}  // namespace

Result<> check_query(const net::Query& query, std::initializer_list<std::string_view> known,
                     std::initializer_list<std::string_view> repeatable) {
  std::set<std::string_view> seen;
  for (const auto& [name, value] : query) {
    if (!holds(known, name)) {
      const std::vector<std::string_view> names(known);
      const auto near = closest(name, names);
      return fail(Errc::invalid_argument, "api.unknown_parameter",
                  "there is no query parameter \"" + printable(name, 64) + "\" here",
                  near.empty() ? std::string() : "did you mean \"" + near + "\"?");
    }
    if (value.size() > kMaxParameter || !valid_utf8(value)) {
      return fail(Errc::invalid_argument, "api.bad_parameter",
                  "query parameter " + name + " is not UTF-8 text of at most " +
                      std::to_string(kMaxParameter) + " bytes");
    }
    if (!seen.insert(name).second && !holds(repeatable, name)) {
      return fail(Errc::invalid_argument, "api.bad_parameter", "query parameter " + name + " is given twice");
    }
  }
  return {};
}

Result<std::int64_t> parse_number(std::string_view text, std::string_view name, std::int64_t min,
                                  std::int64_t max) {
  std::int64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc() || end != text.data() + text.size() || n < min || n > max) {
    return bad(name, text, "a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return n;
}

Result<std::int64_t> number(const net::Query& query, std::string_view name, std::int64_t fallback,
                            std::int64_t min, std::int64_t max) {
  if (!query.has(name)) return fallback;
  return parse_number(query.get(name), name, min, max);
}

Result<std::string> name_space(const net::Query& query) {
  const auto value = query.get("namespace");
  if (!value.empty() && !is_dns_label(value)) return bad("namespace", value, "a namespace's name");
  return std::string(value);
}

Result<std::string> idempotency_key(const net::Headers& headers) {
  if (!headers.has("Idempotency-Key")) return std::string();
  const auto key = headers.get("Idempotency-Key");
  const bool text = std::ranges::all_of(key, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (key.empty() || key.size() > kMaxKey || !text) {
    return fail(Errc::invalid_argument, "api.idempotency_key",
                "Idempotency-Key must be 1 to " + std::to_string(kMaxKey) + " printable ASCII characters");
  }
  return std::string(key);
}

Result<json::value> json_body(const net::ServerRequest& request) {
  const std::string type = ascii_lower(request.headers.get("Content-Type"));
  const auto media = trim(std::string_view(type).substr(0, type.find(';')));
  if (media != "application/json") {
    return fail(Errc::invalid_argument, std::string(kContentTypeCode),
                media.empty() ? "the body has no Content-Type"
                              : "the body is of type " + printable(media, 64) + ", not application/json",
                "send Content-Type: application/json");
  }
  return parse_json(request.body, "request body", kMaxRequestBody);
}

std::string make_cursor(std::string_view kind, std::string_view text) {
  return base64url_encode(std::string(kind) + ":" + std::string(text));
}

Result<std::string> open_cursor(std::string_view kind, std::string_view cursor) {
  auto text = base64_decode(cursor);
  const std::string mark = std::string(kind) + ":";
  if (!text || !text->starts_with(mark)) {
    return fail(Errc::invalid_argument, "api.bad_cursor", "the cursor is not one that this list gave out",
                "begin again without a cursor");
  }
  return text->substr(mark.size());
}

Result<std::string> start_after(const net::Query& query, std::string_view kind) {
  return query.has("cursor") ? open_cursor(kind, query.get("cursor")) : std::string();
}

}  // namespace oddjob::api
