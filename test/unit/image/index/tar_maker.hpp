// Tars and layers made byte by byte, as a test wants them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "image/index/image_builder.hpp"
#include "image/index/image_index.hpp"
#include "image/index/layer_reader.hpp"

namespace oddjob::image::test {

struct Member {
  std::string name = {};
  char type = '0';
  std::string link = {};
  std::string content = {};
  unsigned mode = 0644;
  unsigned uid = 0;
  unsigned gid = 0;
};

enum class Dialect { v7, ustar, gnu, star };

inline void octal(std::string& block, std::size_t at, std::size_t width, std::uint64_t v) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llo", static_cast<int>(width - 1), static_cast<unsigned long long>(v));
  block.replace(at, width - 1, text, width - 1);
}

inline void put_checksum(std::string& block) {
  block.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  block.replace(148, 7, text, 7);
}

inline std::string header(const Member& m, Dialect dialect = Dialect::ustar, std::string_view prefix = {}) {
  std::string b(512, '\0');
  b.replace(0, std::min<std::size_t>(m.name.size(), 100), m.name, 0, 100);
  octal(b, 100, 8, m.mode);
  octal(b, 108, 8, m.uid);
  octal(b, 116, 8, m.gid);
  octal(b, 124, 12, m.content.size());
  octal(b, 136, 12, 1700000000);
  b[156] = m.type;
  b.replace(157, std::min<std::size_t>(m.link.size(), 100), m.link, 0, 100);
  if (dialect == Dialect::gnu) b.replace(257, 8, std::string_view("ustar  \0", 8));
  if (dialect == Dialect::ustar || dialect == Dialect::star)
    b.replace(257, 8, std::string_view("ustar\00000", 8));
  if (dialect == Dialect::star) b.replace(508, 4, std::string_view("tar\0", 4));
  b.replace(345, prefix.size(), prefix);
  put_checksum(b);
  return b;
}

inline std::string padded(std::string content) {
  content.resize((content.size() + 511) / 512 * 512, '\0');
  return content;
}

inline std::string member(const Member& m, Dialect dialect = Dialect::ustar, std::string_view prefix = {}) {
  return header(m, dialect, prefix) + padded(m.content);
}

inline std::string end_of_tar() { return std::string(1024, '\0'); }

inline std::string tar(const std::vector<Member>& members) {
  std::string out;
  for (const auto& m : members) out += member(m);
  return out + end_of_tar();
}

inline std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t size = rest + 1;
  while (std::to_string(size).size() + rest != size) ++size;
  std::string out = std::to_string(size) + " ";
  return out.append(key).append("=").append(value).append("\n");
}

inline Member pax(std::string records, char type = 'x') {
  return {.name = "pax", .type = type, .content = std::move(records)};
}

inline std::span<const std::byte> bytes_of(std::string_view s) {
  return std::as_bytes(std::span(s.data(), s.size()));
}

// `piece`: how many bytes are fed at once.
inline Result<LayerIndex> read(std::string_view blob, std::size_t piece = SIZE_MAX,
                               const LayerLimits& limits = LayerLimits()) {
  LayerReader reader(limits);
  while (!blob.empty()) {
    const auto n = std::min(piece, blob.size());
    OJ_CHECK(reader.feed(bytes_of(blob.substr(0, n))));
    blob.remove_prefix(n);
  }
  return reader.finish();
}

// One line an entry: "file 644 0:0 5 a/b -> link".
inline std::string describe(const LayerEntry& e) {
  static constexpr std::string_view kKinds[] = {"file", "dir",      "symlink",  "char",  "block",
                                                "fifo", "hardlink", "whiteout", "opaque"};
  char numbers[64];
  std::snprintf(numbers, sizeof numbers, " %o %u:%u %llu ", e.mode, e.uid, e.gid,
                static_cast<unsigned long long>(e.size));
  std::string out(kKinds[static_cast<int>(e.kind)]);
  out.append(numbers).append(e.path);
  if (!e.link.empty()) out.append(" -> ").append(e.link);
  return out;
}

inline std::vector<std::string> describe(const LayerIndex& layer) {
  std::vector<std::string> out;
  LayerIndex::Cursor cursor(layer);
  LayerEntry e;
  for (;;) {
    const auto more = cursor.next(e);
    EXPECT_TRUE(more) << more.error().message;
    if (!more || !*more) return out;
    out.push_back(describe(e));
  }
}

// "KIND PATH [-> LINK]" of each path of an image of these layers.
inline std::vector<std::string> paths_of(const ImageIndex& index) {
  std::vector<std::string> out;
  const auto done = index.walk("/", [&](std::string_view path, const PathInfo& i) {
    static constexpr std::string_view kKinds[] = {"file", "dir", "symlink", "char", "block", "fifo"};
    std::string line(kKinds[static_cast<int>(i.kind)]);
    line.append(" ").append(path.substr(1));
    if (!i.link.empty()) line.append(" -> ").append(i.link);
    out.push_back(line);
    return true;
  });
  EXPECT_TRUE(done);
  return out;
}

inline Result<ImageIndex> index_of(const std::vector<std::vector<Member>>& layers,
                                   const ImageFacts& facts = ImageFacts(),
                                   const BuildLimits& limits = BuildLimits()) {
  ImageBuilder builder(limits);
  for (const auto& members : layers) {
    OJ_TRY(const LayerIndex layer, read(tar(members)));
    OJ_CHECK(builder.add(layer));
  }
  OJ_TRY(auto bytes, builder.finish(facts));
  return ImageIndex::from_bytes(std::move(bytes));
}

}  // namespace oddjob::image::test
