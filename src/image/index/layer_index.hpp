// What one layer of an image says about paths: the headers of its tar, in the
// order in which they stand there, without the files' contents.
//
// The order is kept because it has a meaning: within a layer the last entry of
// a name wins, and a hard link is to what its target was at that moment.
//
// A LayerIndex is one block of front-coded bytes, about a tenth of the paths it
// stands for; a Cursor walks through it. Thread safety: a plain value; const
// use from several threads is safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace oddjob::image {

// Of one path or link target, as Linux has it (PATH_MAX).
inline constexpr std::size_t kMaxPathBytes = 4096;

enum class EntryKind : std::uint8_t {
  file = 0,  // regular, sparse and contiguous files
  directory = 1,
  symlink = 2,  // `link` is its text, as written
  character_device = 3,
  block_device = 4,
  fifo = 5,
  hard_link = 6,  // `link` is the path of an earlier entry, normalised like `path`
  whiteout = 7,   // ".wh.NAME": `path` (without ".wh.") of the layers below is gone
  opaque = 8,     // ".wh..wh..opq": what the layers below have in directory `path` is gone
};

struct LayerEntry {
  // Relative to the root, segments joined by single '/', without "." and "..", no
  // '/' at either end; empty for the root itself. Any bytes but NUL: not
  // necessarily UTF-8, and control characters are possible.
  std::string_view path;
  EntryKind kind = EntryKind::file;
  std::uint16_t mode = 0;  // permission bits, set-id bits and sticky bit: 07777
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;  // of a regular file: its length, holes included
  std::string_view link;   // symlink, hard_link

  friend bool operator==(const LayerEntry&, const LayerEntry&) = default;
};

// Where an uncompressed size and the like can be reported from.
struct LayerStats {
  std::uint64_t entries = 0;
  std::uint64_t path_bytes = 0;          // sum of the lengths of paths and link targets
  std::uint64_t compressed_bytes = 0;    // of the blob
  std::uint64_t uncompressed_bytes = 0;  // of the tar
  std::uint64_t skipped_entries = 0;     // of a type that has no path on disk (volume labels, …)

  friend bool operator==(const LayerStats&, const LayerStats&) = default;
};

class LayerIndex {
 public:
  // An index without entries.
  LayerIndex() = default;

  [[nodiscard]] const LayerStats& stats() const noexcept { return stats_; }
  // Bytes in memory, nearly.
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return sizeof *this + encoded_.capacity(); }

  // Walks over the entries in order. The index must outlive the cursor.
  class Cursor {
   public:
    explicit Cursor(const LayerIndex& index) : rest_(index.encoded_), left_(index.stats_.entries) {}
    // False at the end. The views in `entry` are good until the next call.
    // Error "layer.index_corrupt": only from an index whose file was damaged
    // in a way that its checksum does not show.
    Result<bool> next(LayerEntry& entry);

   private:
    std::string_view rest_;
    std::uint64_t left_;
    std::string path_;
    std::string link_;
    std::uint16_t mode_ = 0;
    std::uint32_t uid_ = 0;
    std::uint32_t gid_ = 0;
  };

  // Appends one entry. Requires what LayerEntry promises. Used by LayerReader
  // and by tests.
  class Writer {
   public:
    void add(const LayerEntry& entry);
    [[nodiscard]] std::uint64_t entries() const noexcept { return stats_.entries; }
    [[nodiscard]] std::uint64_t path_bytes() const noexcept { return stats_.path_bytes; }
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return encoded_.capacity(); }
    // The writer is empty afterwards. `about` gives the sizes; entries and
    // path_bytes are the writer's own.
    LayerIndex finish(const LayerStats& about = {});

   private:
    std::string encoded_;
    LayerStats stats_;
    std::string path_;
    std::uint16_t mode_ = 0;
    std::uint32_t uid_ = 0;
    std::uint32_t gid_ = 0;
  };

  // The file of one layer: docs/formats/image-index.md. `bytes` may be anything.
  // Errors: "layer.index_corrupt"; "layer.index_too_large" when it would unpack
  // to more than `max_memory_bytes`.
  static Result<LayerIndex> decode(std::span<const std::byte> bytes,
                                   std::size_t max_memory_bytes = 1U << 30U);
  [[nodiscard]] std::string encode() const;

  // decode() of a file, encode() to a file (written beside it, synced, renamed).
  // Errors: decode's; "layer.index_unreadable" (kind not_found if there is no
  // such file); "file.unwritable".
  static Result<LayerIndex> load(const std::string& path);
  [[nodiscard]] Result<> save(const std::string& path) const;

  friend bool operator==(const LayerIndex&, const LayerIndex&) = default;

 private:
  std::string encoded_;
  LayerStats stats_;
};

}  // namespace oddjob::image
