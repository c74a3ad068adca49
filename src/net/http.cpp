#include "net/http.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/text.hpp"

namespace oddjob::net {
namespace {

bool same_name(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, [](char x, char y) {
    const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return low(x) == low(y);
  });
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void Headers::set(std::string_view name, std::string value) {
  for (auto& [key, old] : items_) {
    if (same_name(key, name)) {
      old = std::move(value);
      return;
    }
  }
  add(std::string(name), std::move(value));
}

std::string_view Headers::get(std::string_view name) const noexcept {
  for (const auto& [key, value] : items_)
    if (same_name(key, name)) return value;
  return {};
}

bool Headers::has(std::string_view name) const noexcept {
  return std::ranges::any_of(items_, [&](const auto& item) { return same_name(item.first, name); });
}

Result<Url> parse_url(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    // The user part of a URL may be a secret.
    const auto at = text.find('@');
    return fail(Errc::invalid_argument, "url.malformed",
                fmt::format("'{}' is not an http or https URL: {}", printable(at == std::string_view::npos ? text : text.substr(at + 1), 200), why));
  };
  Url url;
  std::string_view rest = text;
  if (rest.find_first_of(" \t\r\n\"<>\\^`{|}") != std::string_view::npos || rest.find('\0') != std::string_view::npos)
    return bad("it has a character that must be percent-encoded");
  const auto scheme = rest.find("://");
  if (scheme == std::string_view::npos) {
    if (!rest.starts_with('/')) return bad("it has no scheme");
  } else {
    url.scheme = ascii_lower(rest.substr(0, scheme));
    if (url.scheme != "http" && url.scheme != "https") return bad("the scheme is another");
    rest.remove_prefix(scheme + 3);
    const auto end = rest.find_first_of("/?#");
    std::string_view authority = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end);
    if (authority.find('@') != std::string_view::npos) return bad("credentials in a URL are not supported");
    std::string_view port;
    if (authority.starts_with('[')) {
      const auto close = authority.find(']');
      if (close == std::string_view::npos) return bad("'[' without ']'");
      url.host = std::string(authority.substr(1, close - 1));
      authority.remove_prefix(close + 1);
      if (!authority.empty() && authority[0] != ':') return bad("text after ']'");
      if (!authority.empty()) port = authority.substr(1);
    } else {
      const auto colon = authority.rfind(':');
      url.host = std::string(authority.substr(0, colon));
      if (colon != std::string_view::npos) port = authority.substr(colon + 1);
    }
    if (url.host.empty()) return bad("it has no host");
    url.port = url.scheme == "https" ? 443 : 80;
    if (!port.empty()) {
      const auto [last, ec] = std::from_chars(port.data(), port.data() + port.size(), url.port);
      if (ec != std::errc{} || last != port.data() + port.size() || url.port < 1 || url.port > 65535) return bad("the port is no number from 1 to 65535");
    }
  }
  rest = rest.substr(0, rest.find('#'));
  const auto question = rest.find('?');
  url.path = std::string(rest.substr(0, question));
  if (url.path.empty()) url.path = "/";
  if (question != std::string_view::npos) url.query = std::string(rest.substr(question + 1));
  return url;
}

std::string percent_encode(std::string_view s) {
  std::string out;
  for (const char c : s) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) out += c;
    else out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Result<std::string> percent_decode(std::string_view s, bool plus_is_space) {
  std::string out;
  out.reserve(s.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (s[i] == '%') {
      if (i + 2 >= s.size() || hex_digit(s[i + 1]) < 0 || hex_digit(s[i + 2]) < 0)
        return fail(Errc::invalid_argument, "url.malformed", fmt::format("'{}' has a '%' that is not followed by two hex digits", printable(s, 100)));
      out += static_cast<char>(hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2]));
      i += 2;
    } else {
      out += s[i];
    }
  }
  return out;
}

Result<Query> Query::parse(std::string_view encoded) {
  Query out;
  if (encoded.empty()) return out;
  for (const auto& part : split(encoded, '&')) {
    if (part.empty()) continue;
    const auto equals = part.find('=');
    OJ_TRY(auto name, percent_decode(std::string_view(part).substr(0, equals), true));
    std::string value;
    if (equals != std::string::npos) {
      OJ_TRY(value, percent_decode(std::string_view(part).substr(equals + 1), true));
    }
    out.add(std::move(name), std::move(value));
  }
  return out;
}

std::string_view Query::get(std::string_view name) const noexcept {
  for (const auto& [key, value] : items_)
    if (key == name) return value;
  return {};
}

bool Query::has(std::string_view name) const noexcept {
  return std::ranges::any_of(items_, [&](const auto& item) { return item.first == name; });
}

bool Query::flag(std::string_view name) const noexcept {
  const auto value = get(name);
  return value == "true" || value == "1";
}

std::string Query::encode() const {
  std::string out;
  for (const auto& [key, value] : items_) {
    if (!out.empty()) out += '&';
    out += percent_encode(key) + "=" + percent_encode(value);
  }
  return out;
}

std::string_view status_text(int status) noexcept {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return status < 400 ? "OK" : "Error";
  }
}

}  // namespace oddjob::net
