#include "image/index/dictionary.hpp"

#include <zdict.h>
#include <zstd.h>

#include <algorithm>
#include <vector>

#include "image/index/index_format.hpp"

namespace oddjob::image {
namespace {

// Indexes are small and written once, read often.
constexpr int kLevel = 12;

// A dictionary of a sixty-fourth of the blocks takes off several times its size;
// training wants some ten times as much as it makes, and is slow with more.
constexpr std::size_t kPaysFrom = 256U << 10U;
constexpr std::size_t kShare = 64;
constexpr std::size_t kMaxTrained = 64U << 10U;
constexpr std::size_t kMaxSamples = 2U << 20U;

}  // namespace

std::string train_dictionary(std::span<const std::string> blocks) {
  std::size_t total = 0;
  for (const auto& b : blocks) total += b.size();
  if (total < kPaysFrom) return {};
  // Blocks from everywhere: neighbours are alike.
  const std::size_t every = (total + kMaxSamples - 1) / kMaxSamples;
  std::string samples;
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < blocks.size(); i += every) {
    samples += blocks[i];
    sizes.push_back(blocks[i].size());
  }
  std::string out(std::min(total / kShare, kMaxTrained), '\0');
  const std::size_t n = ZDICT_trainFromBuffer(out.data(), out.size(), samples.data(), sizes.data(),
                                              static_cast<unsigned>(sizes.size()));
  // Blocks that have nothing in common are compressed without.
  out.resize(ZDICT_isError(n) != 0 ? 0 : n);
  return out;
}

Compressor::Compressor(std::string_view dictionary) : context_(ZSTD_createCCtx()) {
  ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_contentSizeFlag, 0);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_dictIDFlag, 0);
  if (!dictionary.empty()) ZSTD_CCtx_loadDictionary(context_, dictionary.data(), dictionary.size());
}
Compressor::~Compressor() { ZSTD_freeCCtx(context_); }

Result<std::string_view> Compressor::compress(std::string_view block) {
  packed_.resize(ZSTD_compressBound(block.size()));
  const std::size_t n = ZSTD_compress2(context_, packed_.data(), packed_.size(), block.data(), block.size());
  if (ZSTD_isError(n) != 0)
    return fail(Errc::internal, "image.internal",
                std::string("compressing an index failed: ") + ZSTD_getErrorName(n));
  return std::string_view(packed_).substr(0, n);
}

std::unique_ptr<const Decompressor> Decompressor::make(std::string_view dictionary) {
  std::unique_ptr<Decompressor> out(new Decompressor());
  if (dictionary.empty()) return out;
  out->dictionary_ = ZSTD_createDDict(dictionary.data(), dictionary.size());
  return out->dictionary_ != nullptr ? std::move(out) : nullptr;
}
Decompressor::~Decompressor() { ZSTD_freeDDict(dictionary_); }

Decompressor::Output Decompressor::decompress(std::string_view frame) const {
  struct Scratch {
    ZSTD_DCtx* context = ZSTD_createDCtx();
    std::unique_ptr<char[]> bytes = std::make_unique_for_overwrite<char[]>(format::kMaxBlockBytes);

    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { ZSTD_freeDCtx(context); }
  };
  thread_local Scratch scratch;
  const std::size_t n = ZSTD_decompress_usingDDict(
      scratch.context, scratch.bytes.get(), format::kMaxBlockBytes, frame.data(), frame.size(), dictionary_);
  if (ZSTD_isError(n) != 0) return {};
  return {true, {scratch.bytes.get(), n}};
}

}  // namespace oddjob::image
