// OCI image layouts: images as folders on disk.
// https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "image/registry/source.hpp"
#include "net/async.hpp"

namespace oddjob::image {

// The layout in `folder`. manifest(name): the entry of index.json whose
// org.opencontainers.image.ref.name is `name`, or the blob of that digest; a
// layout with a single entry without a name has it for every tag. Files are
// read on `pool`, which must outlive the Source. Errors: "image.bad_layout"
// (no layout, another version), "image.not_found".
Result<std::unique_ptr<Source>> open_layout(const std::string& folder, net::BlockingPool& pool);

}  // namespace oddjob::image
