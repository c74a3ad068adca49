// What the blocks of one index have in common, as a Zstandard dictionary: a block
// is too small to learn by itself how an image's names go.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/error.hpp"

struct ZSTD_CCtx_s;
struct ZSTD_DDict_s;

namespace oddjob::image {

// Of blocks before they are compressed. Empty where they are too few for a
// dictionary to pay for itself. The same blocks give the same bytes.
std::string train_dictionary(std::span<const std::string> blocks);

class Compressor {
 public:
  // `dictionary` may be empty.
  explicit Compressor(std::string_view dictionary);
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  // One frame, valid until the next call. Error "image.internal": out of memory.
  Result<std::string_view> compress(std::string_view block);

 private:
  ZSTD_CCtx_s* context_;
  std::string packed_;
};

// Thread safety: const use from several threads is safe.
class Decompressor {
 public:
  // `dictionary` may be anything, and is copied. Null: it is damaged.
  static std::unique_ptr<const Decompressor> make(std::string_view dictionary);
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // What the frame holds, in memory of this thread that the next call from it
  // uses again. A damaged frame, or one of over kMaxBlockBytes, gives !ok.
  struct Output {
    bool ok = false;
    std::string_view bytes;
  };
  [[nodiscard]] Output decompress(std::string_view frame) const;

 private:
  Decompressor() = default;
  ZSTD_DDict_s* dictionary_ = nullptr;
};

}  // namespace oddjob::image
