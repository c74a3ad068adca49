#include "core/quantity.hpp"

#include <fmt/format.h>

#include "core/text.hpp"

namespace oddjob {

Result<Quantity> parse_quantity(std::string_view text) {
  const auto bad = [&] {
    return fail(Errc::invalid_argument, "quantity.malformed",
                fmt::format("'{}' is not a quantity such as 500m, 2 or 1Gi", printable(text, 60)));
  };
  using Int = Quantity::Int;
  constexpr Int kMax = static_cast<Int>(INT64_MAX) * 1000;
  std::string_view s = text;
  if (s.starts_with('+')) s.remove_prefix(1);
  if (s.size() > 40) return bad();
  Int digits = 0;    // all digits as one number
  int fraction = 0;  // how many of them stand behind the point
  bool any = false, point = false;
  while (!s.empty() && ((s[0] >= '0' && s[0] <= '9') || (s[0] == '.' && !point))) {
    if (s[0] == '.') {
      point = true;
    } else {
      any = true;
      digits = digits * 10 + (s[0] - '0');
      fraction += point ? 1 : 0;
      if (digits > kMax) return bad();
    }
    s.remove_prefix(1);
  }
  if (!any) return bad();
  Int factor = 1;
  int ten = 0;  // power of ten
  const auto binary = [&](unsigned n) {
    for (unsigned i = 0; i < n; ++i) factor *= 1024;
  };
  if (s.empty()) {
  } else if (s == "n")
    ten = -9;
  else if (s == "u")
    ten = -6;
  else if (s == "m")
    ten = -3;
  else if (s == "k")
    ten = 3;
  else if (s == "M")
    ten = 6;
  else if (s == "G")
    ten = 9;
  else if (s == "T")
    ten = 12;
  else if (s == "P")
    ten = 15;
  else if (s == "E")
    ten = 18;
  else if (s == "Ki")
    binary(1);
  else if (s == "Mi")
    binary(2);
  else if (s == "Gi")
    binary(3);
  else if (s == "Ti")
    binary(4);
  else if (s == "Pi")
    binary(5);
  else if (s == "Ei")
    binary(6);
  else if (s[0] == 'e' || s[0] == 'E') {
    s.remove_prefix(1);
    const bool negative = s.starts_with('-');
    if (negative || s.starts_with('+')) s.remove_prefix(1);
    if (s.empty() || s.size() > 2) return bad();
    for (const char c : s) {
      if (c < '0' || c > '9') return bad();
      ten = ten * 10 + (c - '0');
    }
    if (negative) ten = -ten;
  } else {
    return bad();
  }
  int power = ten + 3 - fraction;
  Int value = digits;
  if (value != 0 && factor > kMax / value) return bad();
  value *= factor;
  for (; power > 0 && value != 0; --power) {
    value *= 10;
    if (value > kMax) return bad();
  }
  bool inexact = false;
  for (; power < 0 && value != 0; ++power) {
    inexact = inexact || value % 10 != 0;
    value /= 10;
  }
  if (value > kMax) return bad();
  return Quantity{value + (inexact ? 1 : 0)};
}

}  // namespace oddjob
