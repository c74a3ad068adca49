// One 512-byte header of a tar, and the records of a pax header, read as Go's
// archive/tar reads them. Pure functions over bytes that may be anything.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace oddjob::image {

inline constexpr std::size_t kTarBlock = 512;

struct TarHeader {
  char type = '0';   // the type flag as written; NUL is an old-style file
  std::string name;  // with the prefix before it
  std::string link;
  std::uint16_t mode = 0;  // 07777
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;  // bytes of content in the archive
  bool gnu = false;
  // Old GNU sparse files (type 'S') only: the length with holes, and whether
  // blocks of a sparse map follow the header.
  std::uint64_t real_size = 0;
  bool sparse_continues = false;
};

using TarBlock = std::span<const char, kTarBlock>;

bool is_zero_block(TarBlock block) noexcept;

// Error "layer.bad_header": wrong checksum, a number that is none, a negative size.
// `out` is filled in place, so that its strings' memory is used again.
Result<> parse_tar_header(TarBlock block, TarHeader& out);

// Of a further block of an old GNU sparse map: whether one more follows.
inline bool sparse_map_continues(TarBlock block) noexcept { return block[504] != '\0'; }

// What a pax header says about the entry that follows it.
struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<std::uint64_t> size;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  // GNU.sparse.*: the real name and length of a sparse file.
  std::optional<std::string> sparse_name;
  std::optional<std::uint64_t> sparse_size;
};

// Error "layer.bad_header": a record that is none, a number that is none, NUL in a name.
Result<PaxRecords> parse_pax(std::string_view data);

// A path as the index keeps it: "a/b" of "/a//./b/". Errors: "layer.unsafe_path"
// with a "..", "layer.path_too_long".
Result<> normalise_path(std::string_view path, std::string& out);

}  // namespace oddjob::image
