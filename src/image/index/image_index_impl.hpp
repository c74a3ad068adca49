// Shared by the files that implement ImageIndex.
#pragma once

#include <memory>

#include "image/index/image_index.hpp"
#include "image/index/index_file.hpp"

namespace oddjob::image {

struct ImageIndex::Impl {
  std::unique_ptr<IndexFile> file;
};

}  // namespace oddjob::image
