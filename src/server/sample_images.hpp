// The images of the sample workloads: OCI layouts made from small trees, whose
// programs are those of this machine, so that what is completed really runs.
#pragma once

#include <string>

#include "core/error.hpp"

namespace oddjob::server {

// Writes the layouts below `folder`, at <registry>/<repository>. Blocks for a
// moment. A machine without ldd gets images without programs. Error "devcluster.layout".
Result<> write_sample_images(const std::string& folder);

}  // namespace oddjob::server
