// Text at the edges: UTF-8, control characters, quoting, names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace oddjob {

bool valid_utf8(std::string_view s) noexcept;
// Ill-formed sequences become U+FFFD; the result is valid UTF-8.
std::string to_valid_utf8(std::string_view s);
// For a line in a message or a table: control characters (C0, C1, DEL), line
// and bidi separators become visible escapes (\n, \x1b, \u202e); cut at
// max_bytes on a character boundary with "…" appended.
std::string printable(std::string_view s, std::size_t max_bytes = 1024);
// For a log shown on a terminal: keeps text, \n, \t, \r (progress bars) and SGR colour
// sequences (CSI … m); drops every other control sequence. Never throws; works
// on pieces: an escape sequence cut at the end of `s` is left in `carry`.
std::string terminal_safe(std::string_view s, std::string& carry);

std::vector<std::string> split(std::string_view s, char sep);  // keeps empty parts
std::string_view trim(std::string_view s) noexcept;            // ASCII white space
std::string join(std::span<const std::string> parts, std::string_view sep);
std::string ascii_lower(std::string_view s);

// POSIX shell words without any expansion: quotes, backslash; `$`, backtick,
// `*`, `~`, `;`, `|`, `&`, `<`, `>`, `(`, `)` are plain characters.
// Errors: "argv.unterminated_quote", "argv.nul".
Result<std::vector<std::string>> split_posix_words(std::string_view line);
// One line that a POSIX shell would split back into exactly these words.
std::string quote_posix_words(std::span<const std::string> argv);

// RFC 1123 label: [a-z0-9]([-a-z0-9]*[a-z0-9])?, at most 63.
bool is_dns_label(std::string_view s) noexcept;
// RFC 1123 subdomain: labels joined by '.', at most 253.
bool is_dns_subdomain(std::string_view s) noexcept;
// A Kubernetes label value: at most 63 of [A-Za-z0-9._-], ends alphanumeric; may be empty.
bool is_label_value(std::string_view s) noexcept;
// A qualified name, the key of a label or annotation: [subdomain/]name.
bool is_qualified_name(std::string_view s) noexcept;
// C_IDENTIFIER-like environment variable name as Kubernetes accepts: [-._a-zA-Z][-._a-zA-Z0-9]*,
// not ".", nothing that begins with "..".
bool is_env_name(std::string_view s) noexcept;

// Closest of `candidates` by edit distance, or empty when none is near; for
// "did you mean …".
std::string closest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace oddjob
