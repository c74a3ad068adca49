#include "template/text.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "core/clock.hpp"
#include "core/text.hpp"

namespace oddjob::templates {
namespace {

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool digits(std::string_view s) {
  return !s.empty() && s.find_first_not_of("0123456789") == std::string_view::npos;
}

int number(std::string_view s) {
  int n = 0;
  std::from_chars(s.data(), s.data() + s.size(), n);
  return n;
}

}  // namespace

bool is_parameter_name(std::string_view s) noexcept {
  if (s.empty() || s.size() > 63 || s.front() < 'a' || s.front() > 'z' || !lower_or_digit(s.back()))
    return false;
  return std::ranges::all_of(s, [](char c) { return lower_or_digit(c) || c == '_' || c == '-'; });
}

std::expected<Pieces, std::string> take_apart(std::string_view element) {
  Pieces out;
  std::string literal;
  for (std::size_t i = 0; i < element.size();) {
    if (element.substr(i).starts_with("$${")) {
      literal += "${";
      i += 3;
      continue;
    }
    if (!element.substr(i).starts_with("${")) {
      literal += element[i++];
      continue;
    }
    const auto end = element.find('}', i);
    if (end == std::string_view::npos)
      return std::unexpected("'${' is not closed by '}'; write '$${' for a plain '${'");
    const auto name = element.substr(i + 2, end - i - 2);
    if (!is_parameter_name(name))
      return std::unexpected(fmt::format(
          "'${{{}}}' is not the name of a parameter (lower-case letters, digits, '-' and '_'); write '$${{' "
          "for a plain '${{'",
          printable(name, 63)));
    if (!literal.empty()) out.push_back({std::exchange(literal, {}), false});
    out.push_back({std::string(name), true});
    i = end + 1;
  }
  if (!literal.empty()) out.push_back({std::move(literal), false});
  return out;
}

bool has_parameter(const Pieces& pieces) noexcept { return std::ranges::any_of(pieces, &Piece::parameter); }

std::string put_together(const Pieces& pieces, const Values& values) {
  std::string out;
  for (const auto& p : pieces) {
    if (!p.parameter) {
      out += p.text;
    } else if (const auto at = values.find(p.text); at != values.end()) {
      out += at->second;
    }
  }
  return out;
}

std::optional<std::int64_t> parse_date(std::string_view s) noexcept {
  if (s.size() != 10 || s[4] != '-' || s[7] != '-' || !digits(s.substr(0, 4)) || !digits(s.substr(5, 2)) ||
      !digits(s.substr(8, 2)))
    return std::nullopt;
  const std::chrono::year_month_day day{std::chrono::year(number(s.substr(0, 4))),
                                        std::chrono::month(static_cast<unsigned>(number(s.substr(5, 2)))),
                                        std::chrono::day(static_cast<unsigned>(number(s.substr(8, 2))))};
  if (!day.ok()) return std::nullopt;
  return std::chrono::sys_days(day).time_since_epoch().count();
}

std::optional<std::int64_t> parse_integer(std::string_view s) noexcept {
  const auto body = s.starts_with('-') ? s.substr(1) : s;
  if (!digits(body) || (body.size() > 1 && body[0] == '0') || s == "-0") return std::nullopt;
  std::int64_t n = 0;
  const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (ec != std::errc{} || end != s.data() + s.size()) return std::nullopt;
  return n;
}

std::optional<std::int64_t> rank(ParameterType type, std::string_view value) noexcept {
  switch (type) {
    case ParameterType::integer:
      return parse_integer(value);
    case ParameterType::date:
      return parse_date(value);
    case ParameterType::duration: {
      const auto d = parse_duration(value);
      if (!d) return std::nullopt;
      return d->count();
    }
    default:
      return std::nullopt;
  }
}

std::optional<std::string> pattern_error(std::string_view pattern) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  const RE2 compiled(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (compiled.ok()) return std::nullopt;
  return compiled.error();
}

std::size_t characters(std::string_view utf8) noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(utf8, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

bool steers_programs(std::string_view name) noexcept {
  constexpr auto kNames = std::to_array<std::string_view>({"PATH",
                                                           "IFS",
                                                           "ENV",
                                                           "BASH_ENV",
                                                           "PS4",
                                                           "SHELLOPTS",
                                                           "BASHOPTS",
                                                           "PROMPT_COMMAND",
                                                           "PYTHONPATH",
                                                           "PYTHONSTARTUP",
                                                           "PYTHONHOME",
                                                           "PERL5LIB",
                                                           "PERL5OPT",
                                                           "PERL5DB",
                                                           "PERLLIB",
                                                           "RUBYOPT",
                                                           "RUBYLIB",
                                                           "NODE_OPTIONS",
                                                           "NODE_PATH",
                                                           "JAVA_TOOL_OPTIONS",
                                                           "JDK_JAVA_OPTIONS",
                                                           "_JAVA_OPTIONS",
                                                           "CLASSPATH",
                                                           "PHPRC",
                                                           "PHP_INI_SCAN_DIR",
                                                           "GIT_SSH",
                                                           "GIT_SSH_COMMAND",
                                                           "GIT_EXEC_PATH",
                                                           "EDITOR",
                                                           "VISUAL",
                                                           "PAGER",
                                                           "LESSOPEN",
                                                           "SHELL",
                                                           "ZDOTDIR",
                                                           "FPATH"});
  return name.starts_with("LD_") || name.starts_with("DYLD_") || name.starts_with("BASH_FUNC_") ||
         std::ranges::find(kNames, name) != kNames.end();
}

bool names_a_secret(std::string_view name) noexcept {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at <= name.size();) {
    const auto end = std::min(name.find_first_of("-_", at), name.size());
    words.push_back(name.substr(at, end - at));
    at = end + 1;
  }
  constexpr auto kLast = std::to_array<std::string_view>(
      {"password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "credentials"});
  constexpr auto kBeforeKey = std::to_array<std::string_view>({"api", "access", "private", "secret"});
  if (words.empty()) return false;
  if (std::ranges::find(kLast, words.back()) != kLast.end()) return true;
  return words.size() > 1 && words.back() == "key" &&
         std::ranges::find(kBeforeKey, words[words.size() - 2]) != kBeforeKey.end();
}

}  // namespace oddjob::templates
