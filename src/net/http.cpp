#include "net/http.hpp"

#include <algorithm>
#include <charconv>

#include "core/text.hpp"

namespace oddjob::net {
namespace {

bool same_name(std::string_view a, std::string_view b) noexcept {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [&](char x, char y) { return lower(x) == lower(y); });
}

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool unreserved(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

std::unexpected<Error> malformed(std::string_view what) {
  return fail(Errc::invalid_argument, "url.malformed", "malformed URL: " + std::string(what));
}

Result<int> parse_port(std::string_view text) {
  int port = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (ec != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535) {
    return malformed("the port is not a number from 1 to 65535");
  }
  return port;
}

// "host", "host:port", "[v6]:port".
Result<> parse_authority(std::string_view authority, Url& url) {
  if (authority.find('@') != std::string_view::npos) return malformed("it holds credentials");
  std::string_view host = authority;
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return malformed("'[' without ']'");
    host = authority.substr(1, close - 1);
    if (host.find_first_not_of("0123456789abcdefABCDEF:.%") != std::string_view::npos) {
      return malformed("what is in brackets is no IPv6 address");
    }
    const auto rest = authority.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') return malformed("unexpected text after ']'");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else if (const auto colon = authority.find(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
    has_port = true;
    if (port.find(':') != std::string_view::npos) return malformed("an IPv6 address needs brackets");
  }
  if (host.empty()) return malformed("the host is missing");
  if (host.find_first_of("\\^`{}|\"<>") != std::string_view::npos)
    return malformed("the host has a bad character");
  url.host = ascii_lower(host);
  if (has_port && !port.empty()) {
    OJ_TRY(url.port, parse_port(port));
  }
  return {};
}

}  // namespace

void Headers::set(std::string_view name, std::string value) {
  auto at = std::find_if(items_.begin(), items_.end(),
                         [&](const auto& item) { return same_name(item.first, name); });
  if (at == items_.end()) {
    items_.emplace_back(name, std::move(value));
    return;
  }
  at->second = std::move(value);
  items_.erase(
      std::remove_if(at + 1, items_.end(), [&](const auto& item) { return same_name(item.first, name); }),
      items_.end());
}

std::string_view Headers::get(std::string_view name) const noexcept {
  for (const auto& [key, value] : items_) {
    if (same_name(key, name)) return value;
  }
  return {};
}

bool Headers::has(std::string_view name) const noexcept {
  return std::any_of(items_.begin(), items_.end(),
                     [&](const auto& item) { return same_name(item.first, name); });
}

Result<Url> parse_url(std::string_view text) {
  Url url;
  for (char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f)
      return malformed("it holds a space or control character");
  }
  if (const auto fragment = text.find('#'); fragment != std::string_view::npos)
    text = text.substr(0, fragment);
  if (!text.starts_with('/')) {
    const auto scheme_end = text.find("://");
    if (scheme_end == std::string_view::npos)
      return malformed("it starts with neither http://, https:// nor /");
    url.scheme = ascii_lower(text.substr(0, scheme_end));
    if (url.scheme != "http" && url.scheme != "https")
      return malformed("the scheme is neither http nor https");
    url.port = url.scheme == "https" ? 443 : 80;
    text = text.substr(scheme_end + 3);
    const auto authority_end = std::min(text.find_first_of("/?"), text.size());
    OJ_CHECK(parse_authority(text.substr(0, authority_end), url));
    text = text.substr(authority_end);
  }
  const auto question = text.find('?');
  if (question != std::string_view::npos) {
    url.query = text.substr(question + 1);
    text = text.substr(0, question);
  }
  url.path = text.empty() ? "/" : std::string(text);
  return url;
}

std::string percent_encode(std::string_view s) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(s.size());
  for (char c : s) {
    if (unreserved(c)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

Result<std::string> percent_decode(std::string_view s, bool plus_is_space) {
  std::string out;
  out.reserve(s.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '%') {
      const int high = i + 2 < s.size() ? hex_value(s[i + 1]) : -1;
      const int low = i + 2 < s.size() ? hex_value(s[i + 2]) : -1;
      if (high < 0 || low < 0) return malformed("'%' is not followed by two hexadecimal digits");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += plus_is_space && s[i] == '+' ? ' ' : s[i];
    }
  }
  return out;
}

Result<Query> Query::parse(std::string_view encoded) {
  Query query;
  while (!encoded.empty()) {
    const auto end = std::min(encoded.find('&'), encoded.size());
    const auto pair = encoded.substr(0, end);
    encoded.remove_prefix(std::min(end + 1, encoded.size()));
    if (pair.empty()) continue;
    const auto equals = std::min(pair.find('='), pair.size());
    OJ_TRY(auto name, percent_decode(pair.substr(0, equals), true));
    OJ_TRY(auto value, percent_decode(pair.substr(std::min(equals + 1, pair.size())), true));
    query.add(std::move(name), std::move(value));
  }
  return query;
}

std::string_view Query::get(std::string_view name) const noexcept {
  for (const auto& [key, value] : items_) {
    if (key == name) return value;
  }
  return {};
}

bool Query::has(std::string_view name) const noexcept {
  return std::any_of(items_.begin(), items_.end(), [&](const auto& item) { return item.first == name; });
}

bool Query::flag(std::string_view name) const noexcept {
  const auto value = get(name);
  return value == "true" || value == "1";
}

std::string Query::encode() const {
  std::string out;
  for (const auto& [name, value] : items_) {
    if (!out.empty()) out += '&';
    out += percent_encode(name);
    out += '=';
    out += percent_encode(value);
  }
  return out;
}

std::string_view status_text(int status) noexcept {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 203:
      return "Non-Authoritative Information";
    case 204:
      return "No Content";
    case 205:
      return "Reset Content";
    case 206:
      return "Partial Content";
    case 300:
      return "Multiple Choices";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 425:
      return "Too Early";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

}  // namespace oddjob::net
