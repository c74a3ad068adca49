#include "image/registry/reference.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"

namespace oddjob::image {
namespace {

constexpr std::size_t kMaxReference = 1024, kMaxRepository = 255, kMaxTag = 128;

bool alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool word(char c) { return alphanumeric(c) || (c >= 'A' && c <= 'Z') || c == '_'; }

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
bool is_component(std::string_view s) {
  if (s.empty() || !alphanumeric(s.front()) || !alphanumeric(s.back())) return false;
  for (std::size_t i = 0; i < s.size();) {
    if (alphanumeric(s[i])) {
      ++i;
      continue;
    }
    auto end = i;
    while (end < s.size() && !alphanumeric(s[end])) ++end;
    const auto separator = s.substr(i, end - i);
    if (separator != "." && separator != "_" && separator != "__" &&
        separator.find_first_not_of('-') != std::string_view::npos)
      return false;
    i = end;
  }
  return true;
}

bool is_tag(std::string_view s) {
  return !s.empty() && s.size() <= kMaxTag && word(s.front()) &&
         std::ranges::all_of(s, [](char c) { return word(c) || c == '.' || c == '-'; });
}

bool is_host(std::string_view s) {
  if (s.starts_with('[')) {
    const auto end = s.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    const auto address = s.substr(1, end - 1);
    if (address.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return false;
    s.remove_prefix(end + 1);
    if (s.empty()) return true;
    if (!s.starts_with(':')) return false;
  } else {
    const auto colon = s.find(':');
    const auto name = s.substr(0, colon);
    if (!is_dns_subdomain(ascii_lower(name))) return false;
    if (colon == std::string_view::npos) return true;
    s.remove_prefix(colon);
  }
  s.remove_prefix(1);
  return !s.empty() && s.size() <= 5 && s.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

bool is_digest(std::string_view text) noexcept {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const auto algorithm = text.substr(0, colon), hex = text.substr(colon + 1);
  const std::size_t length = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
  return length != 0 && hex.size() == length &&
         hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<Reference> parse_reference(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return fail(Errc::invalid_argument, "image.bad_reference",
                fmt::format("'{}' is not the name of an image: {}", printable(text, 200), why));
  };
  if (text.empty()) return bad("it is empty");
  if (text.size() > kMaxReference) return bad("it is too long");
  Reference out;
  std::string_view rest = text;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    out.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!is_digest(out.digest)) return bad("after @ there must be sha256: or sha512: and as many hex digits");
  }
  const auto slash = rest.rfind('/');
  const auto colon = rest.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    out.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_tag(out.tag)) return bad("the tag has characters that no tag may have, or is too long");
  }
  const auto first_slash = rest.find('/');
  const auto first = rest.substr(0, first_slash);
  const bool has_host =
      first_slash != std::string_view::npos && (first.find_first_of(".:") != std::string_view::npos ||
                                                first == "localhost" || ascii_lower(first) != first);
  if (has_host) {
    if (!is_host(first)) return bad("the registry's host is malformed");
    out.registry = first == "index.docker.io" ? "docker.io" : std::string(first);
    rest.remove_prefix(first_slash + 1);
  } else {
    out.registry = "docker.io";
  }
  out.repository = rest;
  if (out.registry == "docker.io" && rest.find('/') == std::string_view::npos && !rest.empty())
    out.repository = "library/" + out.repository;
  if (out.repository.size() > kMaxRepository) return bad("the repository's name is too long");
  for (const auto& part : split(out.repository, '/'))
    if (!is_component(part)) return bad("the repository's name is malformed");
  if (out.tag.empty() && out.digest.empty()) out.tag = "latest";
  return out;
}

std::string to_string(const Reference& r) {
  std::string out = r.registry + "/" + r.repository;
  if (!r.tag.empty()) out += ":" + r.tag;
  if (!r.digest.empty()) out += "@" + r.digest;
  return out;
}

std::string_view manifest_name(const Reference& r) noexcept { return r.digest.empty() ? r.tag : r.digest; }

std::string_view api_host(const Reference& r) noexcept {
  return r.registry == "docker.io" ? std::string_view("registry-1.docker.io") : std::string_view(r.registry);
}

bool is_loopback(std::string_view host) noexcept {
  if (host.starts_with("[::1]") || host == "::1") return true;
  const auto name = host.substr(0, host.find(':'));
  if (name == "localhost") return true;
  return name.starts_with("127.") && name.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace oddjob::image
