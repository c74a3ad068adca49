#include "core/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace oddjob {
namespace {

// Length of the well-formed UTF-8 sequence at the front (Unicode, table 3-7), 0 if ill-formed.
std::size_t sequence_length(std::string_view s) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto tail = [&](std::size_t i, unsigned char low = 0x80, unsigned char high = 0xBF) {
    return i < s.size() && at(i) >= low && at(i) <= high;
  };
  if (s.empty()) return 0;
  const auto lead = at(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned char high = lead == 0xED ? 0x9F : 0xBF;
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned char low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xF4 ? 0x8F : 0xBF;
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

char32_t decode(std::string_view s, std::size_t n) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(s[i])); };
  if (n == 1) return at(0);
  if (n == 2) return ((at(0) & 0x1F) << 6) | (at(1) & 0x3F);
  if (n == 3) return ((at(0) & 0x0F) << 12) | ((at(1) & 0x3F) << 6) | (at(2) & 0x3F);
  return ((at(0) & 0x07) << 18) | ((at(1) & 0x3F) << 12) | ((at(2) & 0x3F) << 6) | (at(3) & 0x3F);
}

// Could move the cursor, hide or reorder text.
bool unsafe(char32_t c) noexcept {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x2028 || c == 0x2029 || (c >= 0x202A && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F || c == 0xFEFF;
}

bool alnum(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

bool valid_utf8(std::string_view s) noexcept {
  while (!s.empty()) {
    const auto n = sequence_length(s);
    if (n == 0) return false;
    s.remove_prefix(n);
  }
  return true;
}

std::string to_valid_utf8(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  while (!s.empty()) {
    const auto n = sequence_length(s);
    if (n == 0) {
      out += "\xEF\xBF\xBD";
      s.remove_prefix(1);
    } else {
      out += s.substr(0, n);
      s.remove_prefix(n);
    }
  }
  return out;
}

std::string printable(std::string_view s, std::size_t max_bytes) {
  std::string out;
  while (!s.empty()) {
    const auto n = sequence_length(s);
    std::string piece;
    if (n == 0) {
      piece = fmt::format("\\x{:02x}", static_cast<unsigned char>(s[0]));
    } else if (const auto c = decode(s, n); !unsafe(c)) {
      piece = std::string(s.substr(0, n));
    } else if (c == '\n') {
      piece = "\\n";
    } else if (c == '\t') {
      piece = "\\t";
    } else if (c == '\r') {
      piece = "\\r";
    } else {
      piece = c < 0x80 ? fmt::format("\\x{:02x}", static_cast<unsigned>(c))
                       : fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    }
    if (out.size() + piece.size() > max_bytes) return out + "…";
    out += piece;
    s.remove_prefix(std::max<std::size_t>(n, 1));
  }
  return out;
}

std::string terminal_safe(std::string_view s, std::string& carry) {
  constexpr std::size_t kMaxCarry = 256;  // longer than any colour sequence
  std::string joined;
  if (!carry.empty()) {
    joined = carry + std::string(s);
    s = joined;
  }
  std::string out, rest;
  std::size_t i = 0;
  while (i < s.size()) {
    const char c = s[i];
    if (c == '\x1b') {
      if (i + 1 == s.size()) {
        rest = std::string(s.substr(i));
        break;
      }
      if (s[i + 1] == '[') {
        std::size_t end = i + 2;
        while (end < s.size() && s[end] >= 0x20 && s[end] <= 0x3F) ++end;
        if (end == s.size()) {
          if (end - i <= kMaxCarry) rest = std::string(s.substr(i));
          break;
        }
        const auto parameters = s.substr(i + 2, end - i - 2);
        if (s[end] == 'm' && parameters.find_first_not_of("0123456789;:") == std::string_view::npos)
          out += s.substr(i, end - i + 1);
        i = end + 1;
      } else if (std::string_view("]PX^_").find(s[i + 1]) != std::string_view::npos) {
        // A string sequence: all up to BEL or ST goes.
        std::size_t end = i + 2;
        while (end < s.size() && s[end] != '\a' && s[end] != '\n' &&
               !(s[end] == '\x1b' && end + 1 < s.size() && s[end + 1] == '\\'))
          ++end;
        if (end == s.size()) {
          if (end - i <= kMaxCarry) rest = std::string(s.substr(i));
          break;
        }
        i = s[end] == '\a' ? end + 1 : s[end] == '\n' ? end : end + 2;
      } else {
        i += 2;
      }
      continue;
    }
    const auto n = sequence_length(s.substr(i));
    if (n == 0) {
      // Perhaps only cut: at most three bytes of a sequence can be missing.
      const auto lead = static_cast<unsigned char>(c);
      if (lead >= 0xC2 && lead <= 0xF4 && s.size() - i < 4) {
        bool cut = true;
        for (std::size_t k = i + 1; k < s.size(); ++k)
          cut = cut && (static_cast<unsigned char>(s[k]) & 0xC0U) == 0x80U;
        if (cut) {
          rest = std::string(s.substr(i));
          break;
        }
      }
      out += "\xEF\xBF\xBD";
      ++i;
      continue;
    }
    const auto point = decode(s.substr(i), n);
    if (!unsafe(point) || point == '\n' || point == '\t' || point == '\r') out += s.substr(i, n);
    i += n;
  }
  carry = std::move(rest);
  return out;
}

std::vector<std::string> split(std::string_view s, char sep) {
  std::vector<std::string> out;
  for (;;) {
    const auto at = s.find(sep);
    out.emplace_back(s.substr(0, at));
    if (at == std::string_view::npos) return out;
    s.remove_prefix(at + 1);
  }
}

std::string_view trim(std::string_view s) noexcept {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const auto first = s.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(kSpace) - first + 1);
}

std::string join(std::span<const std::string> parts, std::string_view sep) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += sep;
    out += parts[i];
  }
  return out;
}

std::string ascii_lower(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

Result<std::vector<std::string>> split_posix_words(std::string_view line) {
  std::vector<std::string> out;
  std::string word;
  bool in_word = false;
  if (line.find('\0') != std::string_view::npos)
    return fail(Errc::invalid_argument, "argv.nul", "the command line has a NUL character");
  const auto unterminated = [](std::string_view what) {
    return fail(Errc::invalid_argument, "argv.unterminated_quote",
                fmt::format("the command line ends inside {}", what));
  };
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    // A continued line: it joins, it begins no word.
    if (c == '\\' && i + 1 < line.size() && line[i + 1] == '\n') {
      ++i;
      continue;
    }
    if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) out.push_back(std::move(word));
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == '\\') {
      if (++i == line.size()) return unterminated("a backslash escape");
      word += line[i];
    } else if (c == '\'') {
      const auto end = line.find('\'', i + 1);
      if (end == std::string_view::npos) return unterminated("single quotes");
      word += line.substr(i + 1, end - i - 1);
      i = end;
    } else if (c == '"') {
      for (++i;; ++i) {
        if (i >= line.size()) return unterminated("double quotes");
        if (line[i] == '"') break;
        if (line[i] == '\\' && i + 1 < line.size() &&
            std::string_view("$`\"\\\n").find(line[i + 1]) != std::string_view::npos) {
          ++i;
          if (line[i] == '\n') continue;
        }
        word += line[i];
      }
    } else {
      word += c;
    }
  }
  if (in_word) out.push_back(std::move(word));
  return out;
}

std::string quote_posix_words(std::span<const std::string> argv) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
  std::string out;
  for (const auto& word : argv) {
    if (!out.empty()) out += ' ';
    // NAME=value as the first word would be an assignment.
    const bool plain = !word.empty() && word.find_first_not_of(kPlain) == std::string::npos;
    if (plain && (!out.empty() || word.find('=') == std::string::npos)) {
      out += word;
      continue;
    }
    out += '\'';
    for (const char c : word) {
      if (c == '\'')
        out += "'\\''";
      else
        out += c;
    }
    out += '\'';
  }
  return out;
}

bool is_dns_label(std::string_view s) noexcept {
  if (s.empty() || s.size() > 63 || s.front() == '-' || s.back() == '-') return false;
  return std::ranges::all_of(
      s, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

bool is_dns_subdomain(std::string_view s) noexcept {
  if (s.empty() || s.size() > 253) return false;
  for (;;) {
    const auto dot = s.find('.');
    const auto part = s.substr(0, dot);
    // Labels of a subdomain have no limit of their own in Kubernetes.
    if (part.empty() || part.front() == '-' || part.back() == '-') return false;
    if (!std::ranges::all_of(
            part, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }))
      return false;
    if (dot == std::string_view::npos) return true;
    s.remove_prefix(dot + 1);
  }
}

bool is_label_value(std::string_view s) noexcept {
  if (s.empty()) return true;
  if (s.size() > 63 || !alnum(s.front()) || !alnum(s.back())) return false;
  return std::ranges::all_of(s, [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_qualified_name(std::string_view s) noexcept {
  const auto slash = s.find('/');
  if (slash != std::string_view::npos) {
    if (!is_dns_subdomain(s.substr(0, slash))) return false;
    s.remove_prefix(slash + 1);
  }
  return !s.empty() && is_label_value(s);
}

bool is_env_name(std::string_view s) noexcept {
  // A name that could be a path upwards is refused by Kubernetes too.
  if (s.empty() || (s[0] >= '0' && s[0] <= '9') || s == "." || s.starts_with("..")) return false;
  return std::ranges::all_of(s, [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

std::string closest(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view best;
  std::size_t best_distance = word.size() / 3 + 2;
  if (word.size() > 200) return {};
  std::vector<std::size_t> row;
  for (const auto candidate : candidates) {
    row.resize(candidate.size() + 1);
    std::iota(row.begin(), row.end(), 0U);
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t change = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return std::string(best);
}

}  // namespace oddjob
