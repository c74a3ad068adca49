// The sample workloads of `oddjobd dev`.
#pragma once

#include <string_view>

namespace oddjob::server {

// YAML documents: `payments` (open to the team payments), `reports` (to the
// user bob), `legacy` (to nobody: no annotation).
std::string_view sample_workloads() noexcept;

}  // namespace oddjob::server
