// Reads one layer as it arrives: blob bytes in, LayerIndex out.
//
//   LayerReader reader;
//   while (bytes arrive) OJ_CHECK(reader.feed(bytes));
//   OJ_TRY(LayerIndex index, reader.finish());
//
// The compression is told from the first bytes, whatever the media type says:
// gzip (any number of members; ISA-L), zstd (any number of frames, skippable
// ones included; libzstd) or none. File contents are inflated and dropped.
// Nothing touches the disk or the network, and nothing here waits: `feed` takes
// as long as its bytes take to inflate. How long a whole layer may take, and
// whether its digest is right, is the caller's to watch.
//
// Which tar: V7, ustar, GNU (long names, sparse, base-256 numbers), star, pax
// (path, linkpath, size, uid, gid, mode bits as in the header, sparse 0.0, 0.1
// and 1.0), read as Go's archive/tar reads it, since that is what container
// engines use. Global pax headers are skipped, as there.
//
// Memory: about 0.4 MiB, the index so far, for zstd its window (at most
// 2^max_window_log), and one long name or pax header (at most 1 MiB).
//
// Thread safety: none; a reader belongs to one caller at a time, and may move
// between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/error.hpp"
#include "image/index/layer_index.hpp"

namespace oddjob::image {

// What one layer may cost. Over a limit: an error of kind too_large.
struct LayerLimits {
  LayerLimits() = default;
  std::uint64_t max_entries = 4'000'000;                 // "layer.too_many_entries"
  std::uint64_t max_path_bytes = 1ULL << 30U;            // sum of paths; "layer.too_many_path_bytes"
  std::uint64_t max_index_bytes = 256ULL << 20U;         // of the index in memory; the same error
  std::uint64_t max_compressed_bytes = 32ULL << 30U;     // "layer.too_large"
  std::uint64_t max_uncompressed_bytes = 128ULL << 30U;  // "layer.too_large"
  // Uncompressed bytes a compressed byte may stand for, once the layer has
  // inflated to 1 GiB: "layer.bomb". gzip cannot do more than 1032.
  std::uint64_t max_ratio = 2000;
  int max_window_log = 27;  // zstd; "layer.window_too_large"
};

enum class Compression : std::uint8_t { undecided, none, gzip, zstd };

class LayerReader {
 public:
  explicit LayerReader(const LayerLimits& limits = LayerLimits());
  ~LayerReader();
  LayerReader(LayerReader&&) noexcept;
  LayerReader& operator=(LayerReader&&) noexcept;

  // The next bytes of the blob, in pieces of any size. After an error every
  // further call gives the same error. Errors, beside the limits':
  //   layer.corrupt       the compressed stream is damaged, or its checksum is wrong
  //   layer.bad_header    a tar header (or pax, or sparse header) cannot be read
  //   layer.unsafe_path   a path has "..", or changes the type of the root
  //   layer.path_too_long over kMaxPathBytes
  //   layer.bad_whiteout  ".wh." of nothing, of "." or of ".."
  Result<> feed(std::span<const std::byte> blob);

  // The end of the blob. The reader may not be used afterwards. Errors: feed's;
  // "layer.truncated" when the compressed stream, a header or a file's content
  // stops in the middle. A tar that ends after an entry without its two empty
  // blocks is complete, as it is for Go and GNU tar.
  Result<LayerIndex> finish();

  // So far; for progress.
  [[nodiscard]] std::uint64_t entries() const noexcept;
  [[nodiscard]] std::uint64_t compressed_bytes() const noexcept;
  [[nodiscard]] std::uint64_t uncompressed_bytes() const noexcept;
  [[nodiscard]] Compression compression() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::image
