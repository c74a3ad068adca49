// From the bytes of a blob to the bytes of its tar, whatever compresses it.
//
//   inflater.give(blob);
//   for (;;) { OJ_TRY(auto piece, inflater.next()); if (piece.empty()) break; use(piece); }
//
// The first four bytes decide: gzip, zstd, or neither, and then the blob is
// handed through as it is. Memory: 0.4 MiB, and for zstd its window.
//
// Thread safety: none.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "core/error.hpp"
#include "image/index/layer_reader.hpp"

namespace oddjob::image {

class Inflater {
 public:
  // Errors of everything below: "layer.corrupt"; "layer.window_too_large".
  explicit Inflater(int max_window_log);
  ~Inflater();
  Inflater(Inflater&&) noexcept;
  Inflater& operator=(Inflater&&) noexcept;

  // The next bytes of the blob. They must stay where they are until next() has
  // answered with an empty piece; only then may more be given.
  void give(std::span<const std::byte> blob) noexcept;
  // Uncompressed bytes, good until the next call; empty when more must be given.
  Result<std::span<const std::byte>> next();
  // After the blob's last byte, when next() is empty. Call next() again until it
  // is empty before calling this. Error "layer.truncated".
  [[nodiscard]] Result<> finish() const;
  // No more will be given: a blob shorter than a magic number is what it is.
  void end_of_blob() noexcept;

  [[nodiscard]] Compression compression() const noexcept { return compression_; }

 private:
  struct Gzip;
  struct Zstd;

  bool decide();
  Result<std::span<const std::byte>> next_gzip();
  Result<std::span<const std::byte>> next_zstd();

  static constexpr std::size_t kMagicBytes = 4;

  int max_window_log_;
  Compression compression_ = Compression::undecided;
  bool ended_ = false;
  std::array<std::byte, kMagicBytes> magic_{};  // the blob's first bytes, until they are enough to decide
  std::size_t magic_size_ = 0;
  std::span<const std::byte> magic_left_;  // of magic_, to be inflated before rest_
  std::span<const std::byte> rest_;
  std::unique_ptr<std::byte[]> out_;
  std::unique_ptr<Gzip> gzip_;
  std::unique_ptr<Zstd> zstd_;
};

}  // namespace oddjob::image
