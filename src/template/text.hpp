// An element with ${parameters} in it, taken apart. Internal to this room.
//
// `${name}` is the parameter's value, `$${` a plain `${`, any other `$` itself.
// Nothing else is read: there are no expressions, and a value that holds `${…}`
// is put in as it is.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "template/template.hpp"

namespace oddjob::templates {

struct Piece {
  std::string text;  // literal, or the parameter's name
  bool parameter = false;
};
using Pieces = std::vector<Piece>;

// [a-z]([a-z0-9_-]*[a-z0-9])?, at most 63.
bool is_parameter_name(std::string_view s) noexcept;
// Never empty pieces; of an empty text none. The error is a sentence.
std::expected<Pieces, std::string> take_apart(std::string_view element);
bool has_parameter(const Pieces& pieces) noexcept;
std::string put_together(const Pieces& pieces, const Values& values);

// Parameters where a program would take them for code of its own (the script of
// `sh -c`, `python -c`, …), or choose the program. `paths`: of each element.
std::vector<Problem> code_problems(const std::vector<Pieces>& argv, const std::vector<std::string>& paths,
                                   const JobTemplate& t);
// A variable that makes programs load or run something.
bool steers_programs(std::string_view env_name) noexcept;
// Is it the name of something that must not be a parameter, such as a password?
bool names_a_secret(std::string_view parameter_name) noexcept;

// ---- requests -----------------------------------------------------------------
// A request as far as no parameter has a say in it: all but command, env, params and reason.
RunRequest fixed_request(const JobTemplate& t);

// ---- documents ----------------------------------------------------------------
inline constexpr std::pair<std::string_view, ParameterType> kParameterTypes[] = {
    {"string", ParameterType::string},     {"integer", ParameterType::integer},
    {"boolean", ParameterType::boolean},   {"enum", ParameterType::enumeration},
    {"duration", ParameterType::duration}, {"date", ParameterType::date}};
// What a run depends on, which is what the digest is of; `described`: with descriptions.
json::object meaning(const JobTemplate& t, bool described);

// ---- values -------------------------------------------------------------------
// Days since 1970-01-01 of "2026-01-31"; nullopt if there is no such day.
std::optional<std::int64_t> parse_date(std::string_view s) noexcept;
std::optional<std::int64_t> parse_integer(std::string_view s) noexcept;  // canonical: no +, no leading 0
// A value as something that compares: integers, milliseconds, days.
std::optional<std::int64_t> rank(ParameterType type, std::string_view value) noexcept;
// The pattern can't be read: why.
std::optional<std::string> pattern_error(std::string_view pattern);
std::size_t characters(std::string_view utf8) noexcept;

}  // namespace oddjob::templates
