// HTTP messages, shared by client and server.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace oddjob::net {

// Header fields in their order; names compare without case (RFC 9110).
class Headers {
 public:
  void add(std::string name, std::string value) { items_.emplace_back(std::move(name), std::move(value)); }
  void set(std::string_view name, std::string value);
  // First value, or empty.
  [[nodiscard]] std::string_view get(std::string_view name) const noexcept;
  [[nodiscard]] bool has(std::string_view name) const noexcept;
  [[nodiscard]] auto begin() const { return items_.begin(); }
  [[nodiscard]] auto end() const { return items_.end(); }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

// A parsed http(s) URL or origin-form target.
struct Url {
  std::string scheme, host, path = "/", query;  // host without brackets; path and query still encoded
  int port = 0;
};
Result<Url> parse_url(std::string_view text);  // "url.malformed"

std::string percent_encode(std::string_view s);  // RFC 3986 unreserved kept, all else encoded
Result<std::string> percent_decode(std::string_view s, bool plus_is_space = false);

// Decoded pairs of a query string, in order.
class Query {
 public:
  Query() = default;
  static Result<Query> parse(std::string_view encoded);
  void add(std::string name, std::string value) { items_.emplace_back(std::move(name), std::move(value)); }
  [[nodiscard]] std::string_view get(std::string_view name) const noexcept;  // first, or empty
  [[nodiscard]] bool has(std::string_view name) const noexcept;
  [[nodiscard]] bool flag(std::string_view name) const noexcept;  // "true" or "1"
  [[nodiscard]] std::string encode() const;                       // without '?'
  [[nodiscard]] auto begin() const { return items_.begin(); }
  [[nodiscard]] auto end() const { return items_.end(); }
  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

// Reason phrase of RFC 9110 for a status.
std::string_view status_text(int status) noexcept;

}  // namespace oddjob::net
