// A block's columns over bytes that may be anything: compressed here, so that
// the fuzzer's changes arrive where they are read.
#include <zstd.h>

#include <cstdlib>

#include "image/index/block.hpp"
#include "image/index/bytes.hpp"

using namespace oddjob::image;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static const std::vector<format::Attribute> attributes = {
      {.kind = EntryKind::file, .mode = 0755},
      {.kind = EntryKind::directory, .mode = 0755},
      {.kind = EntryKind::symlink, .leads = format::Leads::directory},
      {.kind = EntryKind::symlink, .leads = format::Leads::nowhere},
  };
  static const auto plain = Decompressor::make({});
  std::string packed(ZSTD_compressBound(size), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), data + 1, size - 1, 1));
  std::string bytes;
  put_varint(bytes, packed.size());
  bytes += packed;
  bytes.append(8, '\x05');  // sizes
  const std::uint32_t count = data[0];
  const auto block = Block::decode(bytes, count, attributes, *plain);
  if (block->size() != 0 && block->size() != count) std::abort();
  for (std::uint32_t i = 0; i < block->size(); ++i) {
    const auto name = block->name((*block)[i]);
    if (name.empty() || name.find('/') != std::string_view::npos ||
        (*block)[i].attribute >= attributes.size())
      std::abort();
    (void)block->link((*block)[i]);
  }
  return 0;
}
