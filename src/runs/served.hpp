// Which namespaces a server is for.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/text.hpp"

namespace oddjob::runs {

// `served` empty: all. Error "runs.namespace_not_served".
inline Result<> check_served(const std::vector<std::string>& served, std::string_view name_space) {
  if (served.empty() || std::ranges::find(served, name_space) != served.end()) return {};
  return fail(Errc::failed_precondition, "runs.namespace_not_served",
              "this server does not serve namespace " + printable(name_space, 64),
              "it serves: " + join(served, ", "));
}

}  // namespace oddjob::runs
