// The tar reader, and then the merge, over bytes that may be anything. Cut in
// two at any place, a tar reads the same.
#include <cstdlib>

#include "image/index/image_builder.hpp"
#include "image/index/tar_reader.hpp"

using namespace oddjob::image;

namespace {

oddjob::Result<LayerIndex> read(std::string_view bytes, std::size_t cut) {
  LayerLimits limits;
  limits.max_entries = 10'000;
  TarReader tar(limits);
  OJ_CHECK(tar.feed(bytes.substr(0, cut)));
  OJ_CHECK(tar.feed(bytes.substr(cut)));
  return tar.finish({});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = read(bytes, size);
  const auto parts = read(bytes, data[size / 2] * size / 256);
  if (whole.has_value() != parts.has_value() || (whole && !(*whole == *parts))) std::abort();
  if (!whole) return 0;
  // As two layers: the second hides, replaces and links into the first.
  ImageBuilder builder;
  if (builder.add(*whole) && builder.add(*whole)) (void)builder.finish({});
  return 0;
}
