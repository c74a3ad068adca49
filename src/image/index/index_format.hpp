// The numbers of docs/formats/image-index.md, shared by the writer and the reader.
#pragma once

#include <cstdint>
#include <string_view>

#include "image/index/layer_index.hpp"

namespace oddjob::image::format {

inline constexpr std::string_view kMagic = "OJPATHS";
inline constexpr std::uint8_t kVersion = 2;

// Offsets in the header.
inline constexpr std::size_t kVersionAt = 7;
inline constexpr std::size_t kChecksumAt = 8;  // of all bytes from kCheckedFrom on
inline constexpr std::size_t kCheckedFrom = 16;
inline constexpr std::size_t kHeaderBytes = 64;

inline constexpr std::size_t kAttributeBytes = 12;
inline constexpr std::size_t kBlockEntryBytes = 8;
inline constexpr std::size_t kGroupEntryBytes = 8;
inline constexpr std::uint32_t kGroup = 64;  // directories a group

// A block is closed when it has this many bytes or entries, before compression.
inline constexpr std::size_t kBlockBytes = 6U << 10U;
inline constexpr std::size_t kBlockEntries = 1024;
inline constexpr std::size_t kBlockNames = 256U << 10U;  // of names written out
// What a reader accepts: the above and one more entry, with room to spare.
inline constexpr std::size_t kMaxBlockBytes = 64U << 10U;
inline constexpr std::size_t kMaxBlockEntries = 4096;
inline constexpr std::size_t kMaxBlockNames = 1U << 20U;
inline constexpr std::size_t kMaxDictionaryBytes = 1U << 20U;

inline constexpr std::uint64_t kMaxFileBytes = 2ULL << 30U;
inline constexpr std::size_t kMaxFactsBytes = 256U << 10U;

// Where a symlink leads in the end.
enum class Leads : std::uint8_t { nowhere = 0, directory = 1, executable = 2, other = 3 };

// What entries share.
struct Attribute {
  EntryKind kind = EntryKind::file;
  Leads leads = Leads::nowhere;  // of symlinks
  std::uint16_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  friend auto operator<=>(const Attribute&, const Attribute&) = default;
};

// Whether a number of a directory stands with the entry: its own, or that of
// the one it leads to.
inline bool has_directory(const Attribute& a) noexcept {
  return a.kind == EntryKind::directory || (a.kind == EntryKind::symlink && a.leads == Leads::directory);
}

}  // namespace oddjob::image::format
