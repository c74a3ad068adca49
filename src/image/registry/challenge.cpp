#include "image/registry/challenge.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/json.hpp"
#include "core/text.hpp"

namespace oddjob::image {
namespace {

constexpr std::size_t kMaxHeader = 8U << 10U, kMaxChallenges = 16, kMaxTokenBytes = 64U << 10U;

bool token_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

struct Reader {
  std::string_view rest;
  void skip(std::string_view chars) {
    while (!rest.empty() && chars.find(rest.front()) != std::string_view::npos) rest.remove_prefix(1);
  }
  std::string_view token() {
    std::size_t n = 0;
    while (n < rest.size() && token_char(rest[n])) ++n;
    const auto out = rest.substr(0, n);
    rest.remove_prefix(n);
    return out;
  }
  // A quoted string, or a token; false where there is neither.
  bool value(std::string& out) {
    if (!rest.starts_with('"')) {
      out = token();
      return !out.empty();
    }
    rest.remove_prefix(1);
    while (!rest.empty() && rest.front() != '"') {
      if (rest.front() == '\\' && rest.size() > 1) rest.remove_prefix(1);
      out += rest.front();
      rest.remove_prefix(1);
    }
    if (rest.empty()) return false;
    rest.remove_prefix(1);
    return true;
  }
};

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
  std::vector<Challenge> out;
  if (header.size() > kMaxHeader) return out;
  Reader in{header};
  while (out.size() < kMaxChallenges) {
    in.skip(" \t,");
    const auto scheme = in.token();
    if (scheme.empty()) break;
    Challenge c;
    c.scheme = ascii_lower(scheme);
    for (;;) {
      in.skip(" \t,");
      const auto before = in.rest;
      const auto name = ascii_lower(in.token());
      in.skip(" \t");
      if (name.empty() || !in.rest.starts_with('=')) {
        in.rest = before;  // the scheme of the next challenge, or the end
        break;
      }
      in.rest.remove_prefix(1);
      in.skip(" \t");
      std::string value;
      if (!in.value(value)) {
        out.push_back(std::move(c));
        return out;
      }
      if (name == "realm") c.realm = value;
      if (name == "service") c.service = value;
      if (name == "scope") c.scope = value;
    }
    out.push_back(std::move(c));
  }
  return out;
}

Result<Token> parse_token(std::string_view body, std::string_view realm) {
  const auto bad = [&](std::string_view why) {
    return fail(Errc::unavailable, "image.bad_token",
                fmt::format("the token server {} {}", printable(realm, 200), why));
  };
  const auto parsed = parse_json(body, "its answer", 1U << 20U);
  if (!parsed || !parsed->is_object()) return bad("did not answer with a JSON object");
  Token out;
  out.value = get_string(*parsed, {"token"});
  if (out.value.empty()) out.value = get_string(*parsed, {"access_token"});
  if (out.value.empty()) return bad("answered without a token");
  if (out.value.size() > kMaxTokenBytes ||
      std::ranges::any_of(out.value, [](char c) { return c <= 0x20 || c >= 0x7f; }))
    return bad("gave a token that no header can carry");
  if (const auto seconds = get_int(*parsed, {"expires_in"}); seconds && *seconds > 0)
    out.lifetime = std::chrono::seconds(std::min<std::int64_t>(*seconds, 24L * 3600));
  return out;
}

}  // namespace oddjob::image
