#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <system_error>

#include "auth/authenticator.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"
#include "core/yaml.hpp"

namespace oddjob::auth {
namespace {

constexpr std::size_t kMaxFile = 4U << 20U;
constexpr std::size_t kMaxName = 256;
constexpr std::size_t kMaxTeams = 1000;
constexpr std::size_t kMinPlainToken = 16;
constexpr std::size_t kMaxPlainToken = 4096;

std::unexpected<Error> malformed(std::string message, std::string hint = {}) {
  return fail(Errc::invalid_argument, "tokens.malformed", std::move(message), std::move(hint));
}

// Names end up in the audit, in logs and on terminals.
bool is_name(std::string_view s) {
  return !s.empty() && s.size() <= kMaxName && trim(s).size() == s.size() && valid_utf8(s) &&
         printable(s, 4 * kMaxName) == s;
}

Result<std::string> string_of(const json::object& o, std::string_view key, const std::string& where) {
  const json::value* v = o.if_contains(key);
  if (v == nullptr) return std::string();
  if (!v->is_string())
    return malformed(fmt::format("{}: {} must be a string (put it in quotes)", where, key));
  if (v->get_string().empty()) return malformed(fmt::format("{}: {} is empty", where, key));
  return std::string(sv(v->get_string()));
}

Result<bool> bool_of(const json::object& o, std::string_view key, const std::string& where) {
  const json::value* v = o.if_contains(key);
  if (v == nullptr) return false;
  if (!v->is_bool()) return malformed(fmt::format("{}: {} must be true or false", where, key));
  return v->get_bool();
}

Result<> refuse_unknown(const json::object& o, std::initializer_list<std::string_view> known,
                        const std::string& where) {
  for (const auto& kv : o) {
    const std::string_view key = kv.key();
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string near = closest(key, std::span(known.begin(), known.size()));
    return malformed(fmt::format("{}: unknown key \"{}\"", where, printable(key, 60)),
                     near.empty() ? std::string() : fmt::format("did you mean {}?", near));
  }
  return {};
}

Result<std::vector<std::string>> teams_of(const json::object& o, const std::string& where) {
  std::vector<std::string> teams;
  const json::value* v = o.if_contains("teams");
  if (v == nullptr) return teams;
  if (!v->is_array() || v->get_array().size() > kMaxTeams)
    return malformed(fmt::format("{}: teams must be a list of at most {} names", where, kMaxTeams));
  for (const json::value& t : v->get_array()) {
    if (!t.is_string() || !is_name(sv(t.get_string())))
      return malformed(fmt::format("{}: teams holds something that is not a plain name", where));
    teams.emplace_back(sv(t.get_string()));
  }
  return teams;
}

// One entry. `plain` is set when the file holds the token itself.
Result<StaticToken> parse_entry(const json::value& v, const std::string& where, bool& plain) {
  if (!v.is_object()) return malformed(where + ": must be a mapping");
  const json::object& o = v.get_object();
  OJ_CHECK(refuse_unknown(o, {"tokenSha256", "token", "user", "teams", "admin", "auditor"}, where));
  StaticToken out;
  OJ_TRY(out.sha256, string_of(o, "tokenSha256", where));
  OJ_TRY(const std::string token, string_of(o, "token", where));
  OJ_TRY(out.subject.user, string_of(o, "user", where));
  OJ_TRY(out.subject.teams, teams_of(o, where));
  OJ_TRY(out.subject.admin, bool_of(o, "admin", where));
  OJ_TRY(out.subject.auditor, bool_of(o, "auditor", where));
  out.subject.how = AuthMethod::static_token;
  if (out.subject.user.empty()) return malformed(where + ": user is missing");
  if (!is_name(out.subject.user)) return malformed(where + ": user is not a plain name");
  if (out.sha256.empty() == token.empty())
    return malformed(
        where + (token.empty() ? ": tokenSha256 is missing" : ": tokenSha256 and token exclude each other"),
        "printf %s \"$TOKEN\" | sha256sum");
  plain = !token.empty();
  if (plain) {
    const bool odd = std::any_of(token.begin(), token.end(), [](char c) { return c <= 0x20 || c == 0x7f; });
    if (odd || token.size() < kMinPlainToken || token.size() > kMaxPlainToken)
      return malformed(fmt::format("{}: token must be {} to {} characters without white space", where,
                                   kMinPlainToken, kMaxPlainToken),
                       "openssl rand -hex 32");
    out.sha256 = sha256_hex(token);
  }
  out.sha256 = ascii_lower(out.sha256);
  if (out.sha256.size() != 64 || out.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)
    return malformed(where + ": tokenSha256 must be 64 hexadecimal digits",
                     "printf %s \"$TOKEN\" | sha256sum");
  return out;
}

}  // namespace

Result<std::vector<StaticToken>> parse_static_tokens(std::string_view yaml, std::string_view where) {
  const std::string file = fmt::format("token file {}", where);
  auto document = parse_yaml(yaml, where);
  if (!document) return malformed("token file " + document.error().message);
  if (!document->is_object()) return malformed(file + ": must be a mapping with the key `tokens`");
  OJ_CHECK(refuse_unknown(document->get_object(), {"tokens"}, file));
  const json::value* list = find(*document, {"tokens"});
  if (list == nullptr || !list->is_array()) return malformed(file + ": tokens must be a list");

  std::vector<StaticToken> out;
  std::map<std::string, std::size_t> seen;
  for (const json::value& v : list->get_array()) {
    const std::size_t index = out.size() + 1;
    // The user's name, where there is one, finds the entry faster than a number.
    const std::string_view user = get_string(v, {"user"});
    const std::string entry =
        fmt::format("{}: entry {}{}", file, index, user.empty() ? "" : " (" + printable(user, 60) + ")");
    bool plain = false;
    OJ_TRY(StaticToken token, parse_entry(v, entry, plain));
    if (const auto [at, fresh] = seen.emplace(token.sha256, index); !fresh)
      return fail(Errc::invalid_argument, "tokens.duplicate",
                  fmt::format("{}: has the same token as entry {}", entry, at->second),
                  "each token belongs to one user");
    if (plain) spdlog::warn("auth: {}: holds the token itself; prefer tokenSha256", entry);
    out.push_back(std::move(token));
  }
  return out;
}

Result<std::vector<StaticToken>> load_static_tokens(std::string_view path) {
  const std::string file(path);
  const auto unreadable = [&](int error) {
    return fail(Errc::invalid_argument, "tokens.unreadable",
                fmt::format("cannot read token file {}: {}", file,
                            error == EFBIG ? "larger than allowed" : std::generic_category().message(error)));
  };
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return unreadable(errno);
  std::string text;
  struct stat st {};
  int error = ::fstat(fd, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
  char chunk[16384];
  while (error == 0) {
    const ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      error = errno;
    } else if (text.size() + static_cast<std::size_t>(n) > kMaxFile) {
      error = EFBIG;
    } else {
      text.append(chunk, static_cast<std::size_t>(n));
    }
  }
  ::close(fd);
  if (error != 0) return unreadable(error);
  if ((st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0 && S_ISREG(st.st_mode))
    spdlog::warn("auth: token file {} can be read or changed by others than its owner (mode {:o})", file,
                 st.st_mode & 07777U);
  return parse_static_tokens(text, file);
}

}  // namespace oddjob::auth
