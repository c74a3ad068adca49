// The sample workloads of `oddjobd dev`.
#pragma once

#include <string_view>

namespace oddjob::server {

// YAML documents: `payments` (open to the team payments), `reports` (to the
// user bob), `legacy` (to nobody: no annotation), and the template `backfill` of `payments`.
std::string_view sample_workloads() noexcept;
// deploy/crds/oddjob.dev_jobtemplates.yaml, compiled in (embed.cmake).
std::string_view template_crd() noexcept;

}  // namespace oddjob::server
