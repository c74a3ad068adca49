// Writes a settled tree of paths as an index (docs/formats/image-index.md).
#pragma once

#include <string>

#include "core/error.hpp"
#include "image/index/image_builder.hpp"
#include "image/index/path_tree.hpp"

namespace oddjob::image {

// `tree` must be settled. Error "image.too_large": over the format's limits.
Result<std::string> write_index(const PathTree& tree, const ImageFacts& facts, BuildStats& stats);

// The part of the file that holds the facts: a JSON object.
std::string facts_to_json(const ImageFacts& facts);
Result<ImageFacts> facts_from_json(std::string_view text);

}  // namespace oddjob::image
