#include "core/aggregation.hpp"

#include <array>
#include <utility>

namespace oddjob {
namespace {

constexpr std::string_view kRest = "/api/v1";

struct Row {
  std::string_view rest, aggregated;  // {a} and {b} take one segment each
};
// Where the two differ by more than their root. A template is read in its
// namespace, so that a Role can say of which.
constexpr std::array kRows = {
    Row{"/runs/{a}/stream", "/runs/{a}/log/stream"},
    Row{"/audit/export", "/audit/export/log"},
    Row{"/audit/verify", "/audit/verify/log"},
    Row{"/templates/{a}/{b}", "/namespaces/{a}/templates/{b}"},
};

struct Parts {
  std::string_view a, b;
};

std::optional<Parts> fits(std::string_view pattern, std::string_view path) {
  Parts parts;
  while (!pattern.empty()) {
    if (pattern.front() == '{') {
      const auto end = path.find('/');
      const auto taken = path.substr(0, end);
      if (taken.empty()) return std::nullopt;
      (pattern[1] == 'a' ? parts.a : parts.b) = taken;
      path.remove_prefix(taken.size());
      pattern.remove_prefix(3);
    } else if (!path.empty() && path.front() == pattern.front()) {
      path.remove_prefix(1);
      pattern.remove_prefix(1);
    } else {
      return std::nullopt;
    }
  }
  if (!path.empty()) return std::nullopt;
  return parts;
}

std::string fill(std::string_view pattern, const Parts& parts) {
  std::string out;
  while (!pattern.empty()) {
    if (pattern.front() == '{') {
      out += pattern[1] == 'a' ? parts.a : parts.b;
      pattern.remove_prefix(3);
    } else {
      out += pattern.front();
      pattern.remove_prefix(1);
    }
  }
  return out;
}

// What stands behind `root` and begins with '/'.
std::optional<std::string_view> below(std::string_view path, std::string_view root) {
  if (!path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.starts_with('/') || path.size() == 1) return std::nullopt;
  return path;
}

}  // namespace

std::string to_aggregated(std::string_view target) {
  const auto query = target.find('?');
  const auto tail = query == std::string_view::npos ? std::string_view() : target.substr(query);
  const auto path = below(target.substr(0, query), kRest);
  if (!path) return std::string(target);
  std::string out(kAggregatedRoot);
  for (const auto& row : kRows)
    if (const auto parts = fits(row.rest, *path))
      return out.append(fill(row.aggregated, *parts)).append(tail);
  return out.append(*path).append(tail);
}

std::optional<std::string> from_aggregated(std::string_view path) {
  const auto rest = below(path, kAggregatedRoot);
  if (!rest) return std::nullopt;
  std::string out(kRest);
  for (const auto& row : kRows)
    if (const auto parts = fits(row.aggregated, *rest)) return out.append(fill(row.rest, *parts));
  // One name a thing: what a row renames is not also there as it was, or a role
  // that leaves it out would leave nothing out.
  for (const auto& row : kRows)
    if (fits(row.rest, *rest)) return std::nullopt;
  return out.append(*rest);
}

}  // namespace oddjob
