// Kubernetes resource quantities ("500m", "1.5", "2Gi", "1e3").
// https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace oddjob {

// Exact in thousandths, which is all that cpu and memory need.
struct Quantity {
  __extension__ typedef __int128 Int;
  Int milli = 0;
  friend bool operator==(const Quantity&, const Quantity&) = default;
  friend auto operator<=>(const Quantity&, const Quantity&) = default;
};

// Error "quantity.malformed" names the text. Negative quantities are refused.
// Values finer than 1/1000 are rounded up, as Kubernetes does.
Result<Quantity> parse_quantity(std::string_view text);

}  // namespace oddjob
