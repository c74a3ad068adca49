// The readers of stored files, over bytes that may be anything. Their checksums
// are put right first: what lies behind them must hold by itself.
#include <isa-l/crc64.h>

#include <cstring>

#include "image/index/image_index.hpp"
#include "image/index/index_format.hpp"
#include "image/index/layer_index.hpp"

using namespace oddjob::image;

namespace {

void sum_up(std::string& bytes, std::size_t at, std::size_t from, std::size_t end) {
  const std::uint64_t sum =
      crc64_ecma_refl(0, reinterpret_cast<const unsigned char*>(bytes.data()) + from, end - from);
  std::memcpy(bytes.data() + at, &sum, sizeof sum);
}

void look_around(const ImageIndex& index, const std::string& prefix) {
  for (const auto kind : {WordKind::command, WordKind::argument, WordKind::any}) {
    CompletionQuery query;
    query.kind = kind;
    query.prefix = prefix;
    query.interpreter = "node";
    for (const auto& c : index.complete(query).candidates) (void)index.stat(c.text);
  }
  FuzzyQuery fuzzy;
  fuzzy.pattern = prefix.empty() ? "a" : prefix;
  for (const auto& m : index.fuzzy(fuzzy)) (void)index.stat(m.path);
  (void)index.list("/");
  (void)index.list("usr/../bin/.");
  int left = 1000;
  (void)index.walk("/", [&](std::string_view path, const PathInfo&) {
    (void)index.stat(path);
    return --left > 0;
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size >= 8) {
    sum_up(bytes, size - 8, 0, size - 8);
    if (auto layer = LayerIndex::decode(std::as_bytes(std::span(bytes)), 1U << 20U)) {
      ImageBuilder builder;
      if (builder.add(*layer)) (void)builder.finish({});
    }
    bytes.assign(reinterpret_cast<const char*>(data), size);
  }
  if (size >= format::kHeaderBytes) {
    const std::string prefix(bytes, size - 1, data[size - 1] % 2);
    sum_up(bytes, format::kChecksumAt, format::kCheckedFrom, size);
    if (auto index = ImageIndex::from_bytes(std::move(bytes))) look_around(*index, prefix);
  }
  return 0;
}
