#include "image/index/layer_reader.hpp"

#include <fmt/format.h>

#include <optional>

#include "image/index/inflater.hpp"
#include "image/index/tar_reader.hpp"

namespace oddjob::image {
namespace {

// Below this a bomb costs less than looking at the ratio is worth.
constexpr std::uint64_t kBombFloor = 1ULL << 30U;

}  // namespace

struct LayerReader::Impl {
  explicit Impl(const LayerLimits& l) : limits(l), inflater(l.max_window_log), tar(l) {}

  LayerLimits limits;
  Inflater inflater;
  TarReader tar;
  std::uint64_t compressed = 0;
  std::uint64_t uncompressed = 0;
  std::optional<Error> failed;

  Result<> drain();
  Result<> check_sizes() const;
};

Result<> LayerReader::Impl::check_sizes() const {
  if (compressed > limits.max_compressed_bytes || uncompressed > limits.max_uncompressed_bytes)
    return fail(Errc::too_large, "layer.too_large",
                fmt::format("the layer is larger than {} bytes, or {} when unpacked",
                            limits.max_compressed_bytes, limits.max_uncompressed_bytes));
  if (uncompressed > kBombFloor && uncompressed / limits.max_ratio > compressed)
    return fail(Errc::too_large, "layer.bomb",
                fmt::format("{} bytes of the layer unpack to over {}: no image is like that", compressed,
                            uncompressed));
  return {};
}

Result<> LayerReader::Impl::drain() {
  for (;;) {
    OJ_TRY(const auto piece, inflater.next());
    if (piece.empty()) return {};
    uncompressed += piece.size();
    OJ_CHECK(check_sizes());
    OJ_CHECK(tar.feed({reinterpret_cast<const char*>(piece.data()), piece.size()}));
  }
}

LayerReader::LayerReader(const LayerLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
LayerReader::~LayerReader() = default;
LayerReader::LayerReader(LayerReader&&) noexcept = default;
LayerReader& LayerReader::operator=(LayerReader&&) noexcept = default;

Result<> LayerReader::feed(std::span<const std::byte> blob) {
  if (impl_->failed) return fail(*impl_->failed);
  impl_->compressed += blob.size();
  impl_->inflater.give(blob);
  auto done = impl_->check_sizes();
  if (done) done = impl_->drain();
  if (!done) impl_->failed = done.error();
  return done;
}

Result<LayerIndex> LayerReader::finish() {
  if (impl_->failed) return fail(*impl_->failed);
  impl_->inflater.give({});
  impl_->inflater.end_of_blob();
  OJ_CHECK(impl_->drain());
  OJ_CHECK(impl_->inflater.finish());
  LayerStats about;
  about.compressed_bytes = impl_->compressed;
  about.uncompressed_bytes = impl_->uncompressed;
  return impl_->tar.finish(about);
}

std::uint64_t LayerReader::entries() const noexcept { return impl_->tar.entries(); }
std::uint64_t LayerReader::compressed_bytes() const noexcept { return impl_->compressed; }
std::uint64_t LayerReader::uncompressed_bytes() const noexcept { return impl_->uncompressed; }
Compression LayerReader::compression() const noexcept { return impl_->inflater.compression(); }

}  // namespace oddjob::image
