#include "image/index/image_builder.hpp"

#include "fs/files.hpp"
#include "image/index/index_writer.hpp"
#include "image/index/path_tree.hpp"

namespace oddjob::image {

struct ImageBuilder::Impl {
  PathTree tree;
};

ImageBuilder::ImageBuilder(const BuildLimits& limits) : impl_(new Impl{PathTree(limits)}) {}
ImageBuilder::~ImageBuilder() = default;
ImageBuilder::ImageBuilder(ImageBuilder&&) noexcept = default;
ImageBuilder& ImageBuilder::operator=(ImageBuilder&&) noexcept = default;

Result<> ImageBuilder::add(const LayerIndex& layer) { return impl_->tree.apply(layer); }

Result<std::string> ImageBuilder::finish(const ImageFacts& facts, BuildStats* stats) {
  OJ_CHECK(impl_->tree.settle());
  BuildStats unused;
  return write_index(impl_->tree, facts, stats != nullptr ? *stats : unused);
}

Result<BuildStats> build_index(std::span<const LayerIndex* const> layers, const ImageFacts& facts,
                               const std::string& path, const BuildLimits& limits) {
  ImageBuilder builder(limits);
  for (const auto* layer : layers) OJ_CHECK(builder.add(*layer));
  BuildStats stats;
  OJ_TRY(const std::string bytes, builder.finish(facts, &stats));
  OJ_CHECK(fs::write_private_file(path, bytes));
  return stats;
}

}  // namespace oddjob::image
