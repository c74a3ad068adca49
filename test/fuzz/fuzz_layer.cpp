// gzip, zstd and plain layers over bytes that may be anything. Cut in two at any
// place, a layer reads the same.
#include <cstdlib>

#include "image/index/layer_reader.hpp"

using namespace oddjob::image;

namespace {

oddjob::Result<LayerIndex> read(std::span<const std::byte> bytes, std::size_t cut) {
  LayerLimits limits;
  limits.max_uncompressed_bytes = 4U << 20U;
  limits.max_window_log = 23;
  LayerReader reader(limits);
  OJ_CHECK(reader.feed(bytes.first(cut)));
  OJ_CHECK(reader.feed(bytes.subspan(cut)));
  return reader.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto whole = read(bytes, size);
  const auto parts = read(bytes, data[size / 2] * size / 256);
  if (whole.has_value() != parts.has_value() || (whole && !(*whole == *parts))) std::abort();
  return 0;
}
