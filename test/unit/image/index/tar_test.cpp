// What is read of a tar: every dialect's names and numbers, and what is refused.
#include <fmt/format.h>

#include "tar_maker.hpp"

namespace oddjob::image::test {
namespace {

using Lines = std::vector<std::string>;

struct Case {
  std::string what;
  std::string blob;
  Lines want;  // entries; or the one error's code, as "!code"
};

std::string long_name(std::size_t n) {
  std::string out;
  while (out.size() < n) out += "directory-" + std::to_string(out.size()) + "/";
  return out + "file";
}

std::string sparse_old(bool continues) {
  Member m{.name = "sparse", .type = 'S', .content = "stored bytes"};
  auto b = header(m, Dialect::gnu);
  octal(b, 386, 12, 0);
  octal(b, 398, 12, 12);
  b[482] = continues ? 1 : 0;
  octal(b, 483, 12, 1'000'000);
  put_checksum(b);
  std::string out = b;
  if (continues) {
    std::string more(512, '\0');
    more[504] = 1;
    out += more + std::string(512, '\0');
  }
  return out + padded(m.content);
}

std::string base256(std::uint64_t size) {
  auto b = header({.name = "big"}, Dialect::gnu);
  b[124] = static_cast<char>(0x80);
  for (std::size_t i = 0; i < 11; ++i) b[135 - i] = i < 8 ? static_cast<char>(size >> (8 * i)) : '\0';
  put_checksum(b);
  return b;
}

std::string with(std::string block, std::size_t at, std::string_view bytes) {
  block.replace(at, bytes.size(), bytes);
  put_checksum(block);
  return block;
}

std::vector<Case> cases() {
  const auto deep = long_name(300);
  const std::string link_target = long_name(200);
  const Member after{.name = "after"};
  const std::string nul("a\0b", 3);
  return {
      {"an empty blob", "", {}},
      {"an empty tar", end_of_tar(), {}},
      {"a file, a folder, a link",
       tar({{.name = "d/", .type = '5', .mode = 0755},
            {.name = "d/f", .type = '0', .content = "hello", .mode = 04755, .uid = 1000, .gid = 100},
            {.name = "d/l", .type = '2', .link = "../x", .mode = 0777}}),
       {"dir 755 0:0 0 d", "file 4755 1000:100 5 d/f", "symlink 777 0:0 0 d/l -> ../x"}},
      {"no end marks", member(after), {"file 644 0:0 0 after"}},
      {"one end mark", member(after) + std::string(512, '\0'), {"file 644 0:0 0 after"}},
      {"what follows the end is no part of it", tar({after}) + "anything at all", {"file 644 0:0 0 after"}},
      {"devices, a fifo, a hard link",
       tar({{.name = "null", .type = '3'},
            {.name = "sda", .type = '4'},
            {.name = "p", .type = '6'},
            {.name = "h", .type = '1', .link = "./null"}}),
       {"char 644 0:0 0 null", "block 644 0:0 0 sda", "fifo 644 0:0 0 p", "hardlink 644 0:0 0 h -> null"}},
      {"v7: a folder is told by its slash",
       header({.name = "old/", .type = '\0'}, Dialect::v7) + header({.name = "f", .type = '\0'}, Dialect::v7),
       {"dir 644 0:0 0 old", "file 644 0:0 0 f"}},
      {"ustar prefix", header({.name = "b"}, Dialect::ustar, "very/a"), {"file 644 0:0 0 very/a/b"}},
      {"star prefix is shorter",
       with(header({.name = "b"}, Dialect::star, "a"), 476, "12345670123"),
       {"file 644 0:0 0 a/b"}},
      {"gnu has times there",
       with(header({.name = "b"}, Dialect::gnu), 345, "14401234567"),
       {"file 644 0:0 0 b"}},
      {"old Go wrote a prefix into gnu",
       header({.name = "b"}, Dialect::gnu, "some/prefix"),
       {"file 644 0:0 0 some/prefix/b"}},
      {"gnu long name and long link",
       member({.name = "././@LongLink", .type = 'L', .content = deep + '\0'}, Dialect::gnu) +
           member({.name = "././@LongLink", .type = 'K', .content = link_target + '\0'}, Dialect::gnu) +
           member({.name = "cut", .type = '2', .link = "cut"}, Dialect::gnu) + member(after),
       {"symlink 644 0:0 0 " + deep + " -> " + link_target, "file 644 0:0 0 after"}},
      {"pax path, linkpath, owner",
       member(pax(pax_record("path", deep) + pax_record("linkpath", link_target) +
                  pax_record("uid", "3000000") + pax_record("gid", "7") + pax_record("mtime", "1.5") +
                  pax_record("SCHILY.xattr.user.x", std::string("\0\1", 2)))) +
           member({.name = "cut", .type = '2', .link = "cut"}) + member(after),
       {"symlink 644 3000000:7 0 " + deep + " -> " + link_target, "file 644 0:0 0 after"}},
      {"pax size beats the header's",
       member(pax(pax_record("size", "5"))) + header({.name = "f"}) + padded("12345") + member(after),
       {"file 644 0:0 5 f", "file 644 0:0 0 after"}},
      {"an empty pax value takes it back",
       member(pax(pax_record("path", "wrong") + pax_record("path", ""))) + member(after),
       {"file 644 0:0 0 after"}},
      {"global pax headers are skipped",
       member(pax(pax_record("path", "wrong"), 'g')) + member(after),
       {"file 644 0:0 0 after"}},
      {"a gnu name beats pax",
       member(pax(pax_record("path", "pax"))) + member({.name = "L", .type = 'L', .content = "gnu"}) +
           member(after),
       {"file 644 0:0 0 gnu"}},
      {"sparse, old gnu",
       sparse_old(false) + member(after),
       {"file 644 0:0 1000000 sparse", "file 644 0:0 0 after"}},
      {"sparse, old gnu, longer map",
       sparse_old(true) + member(after),
       {"file 644 0:0 1000000 sparse", "file 644 0:0 0 after"}},
      {"sparse, pax 0.1",
       member(pax(pax_record("GNU.sparse.size", "1000000") + pax_record("GNU.sparse.numblocks", "1") +
                  pax_record("GNU.sparse.name", "real") + pax_record("GNU.sparse.map", "0,4"))) +
           member({.name = "GNUSparseFile.1/real", .type = '0', .content = "data"}) + member(after),
       {"file 644 0:0 1000000 real", "file 644 0:0 0 after"}},
      {"sparse, pax 1.0",
       member(pax(pax_record("GNU.sparse.major", "1") + pax_record("GNU.sparse.minor", "0") +
                  pax_record("GNU.sparse.name", "real") + pax_record("GNU.sparse.realsize", "1000000"))) +
           member({.name = "GNUSparseFile.1/real", .type = '0', .content = padded("1\n0\n4\n") + "data"}) +
           member(after),
       {"file 644 0:0 1000000 real", "file 644 0:0 0 after"}},
      {"a size in base 256",
       base256(512) + padded("x") + member(after),
       {"file 644 0:0 512 big", "file 644 0:0 0 after"}},
      {"paths are made plain",
       tar({{.name = "/a//./b"}, {.name = "./c/."}, {.name = "./", .type = '5'}}),
       {"file 644 0:0 0 a/b", "file 644 0:0 0 c", "dir 644 0:0 0 "}},
      {"names may be any bytes",
       tar({{.name = "\xff\xfe\x1b[31m\n"}}),
       {"file 644 0:0 0 \xff\xfe\x1b[31m\n"}},
      {"whiteouts",
       tar({{.name = "d/.wh.gone"},
            {.name = "d/.wh..wh..opq"},
            {.name = ".wh..wh..opq"},
            {.name = ".wh..wh.plnk", .type = '5'}}),
       {"whiteout 0 0:0 0 d/gone", "opaque 0 0:0 0 d", "opaque 0 0:0 0 "}},
      {"unknown types are skipped with their content",
       tar({{.name = "volume", .type = 'V', .content = "x"}, after}),
       {"file 644 0:0 0 after"}},

      {"a wrong checksum", header(after).replace(0, 1, "b"), {"!layer.bad_header"}},
      {"a number that is none", with(header(after), 124, "9999"), {"!layer.bad_header"}},
      {"a negative size",
       with(header(after, Dialect::gnu), 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
       {"!layer.bad_header"}},
      {"a size beyond 63 bits",
       with(header(after, Dialect::gnu), 124, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
       {"!layer.bad_header"}},
      {"a lone empty block", std::string(512, '\0') + member(after), {"!layer.bad_header"}},
      {"upwards", tar({{.name = "a/../b"}}), {"!layer.unsafe_path"}},
      {"upwards by a hard link",
       tar({{.name = "a", .type = '1', .link = "../etc/passwd"}}),
       {"!layer.unsafe_path"}},
      {"upwards by pax", member(pax(pax_record("path", "../x"))) + member(after), {"!layer.unsafe_path"}},
      {"the root as a link", tar({{.name = ".", .type = '2', .link = "x"}}), {"!layer.unsafe_path"}},
      {"NUL in a pax name", member(pax(pax_record("path", nul))) + member(after), {"!layer.bad_header"}},
      {"a pax record without its end", member(pax("20 path=a\n")) + member(after), {"!layer.bad_header"}},
      {"a pax record without a key", member(pax("6 =ab\n")) + member(after), {"!layer.bad_header"}},
      {"pax text", member(pax("hello")) + member(after), {"!layer.bad_header"}},
      {"a pax size that is none",
       member(pax(pax_record("size", "-1"))) + member(after),
       {"!layer.bad_header"}},
      {"a pax header of over 1 MiB",
       member(pax(pax_record("comment", std::string(1U << 20U, 'x')))) + member(after),
       {"!layer.bad_header"}},
      {"too long a path",
       member(pax(pax_record("path", std::string(5000, 'x')))) + member(after),
       {"!layer.path_too_long"}},
      {"too long a link",
       member(pax(pax_record("linkpath", std::string(5000, 'x')))) + member({.name = "l", .type = '2'}),
       {"!layer.path_too_long"}},
      {"a link to nothing", tar({{.name = "l", .type = '2'}}), {"!layer.bad_header"}},
      {"a whiteout of nothing", tar({{.name = "d/.wh."}}), {"!layer.bad_whiteout"}},
      {"a whiteout of ..", tar({{.name = "d/.wh..."}}), {"!layer.bad_whiteout"}},
      {"a sparse file that is no gnu tar", member({.name = "s", .type = 'S'}), {"!layer.bad_header"}},
      {"content that is not there",
       header({.name = "f", .type = '0', .content = "12345"}),
       {"!layer.truncated"}},
      {"half a header", member(after) + std::string(100, 'x'), {"!layer.truncated"}},
      {"a pax header of nothing", member(pax(pax_record("path", "a"))), {"!layer.truncated"}},
  };
}

TEST(Tar, EveryDialectInPiecesOfAnySize) {
  for (const auto& c : cases()) {
    for (const std::size_t piece : {SIZE_MAX, std::size_t{1}, std::size_t{511}, std::size_t{513}}) {
      SCOPED_TRACE(fmt::format("{}, by {}", c.what, piece));
      const auto got = read(c.blob, piece);
      const bool refused = c.want.size() == 1 && c.want[0].starts_with('!');
      if (refused) {
        ASSERT_FALSE(got);
        EXPECT_EQ("!" + got.error().code, c.want[0]) << got.error().message;
      } else {
        ASSERT_TRUE(got) << got.error().message;
        EXPECT_EQ(describe(*got), c.want);
      }
    }
  }
}

// Cut anywhere: an error, or the entries so far; never more, never a crash.
TEST(Tar, EveryPrefixIsAnErrorOrTheEntriesSoFar) {
  std::string all;
  for (const auto& c : cases()) {
    const bool good = c.want.empty() || !c.want[0].starts_with('!');
    const bool open_end = c.what != "one end mark" && c.what != "what follows the end is no part of it";
    if (!good || !open_end || c.blob.size() > 8000) continue;
    all += c.blob.ends_with(end_of_tar()) ? c.blob.substr(0, c.blob.size() - end_of_tar().size()) : c.blob;
  }
  const auto whole = read(all);
  ASSERT_TRUE(whole) << whole.error().message;
  const auto want = describe(*whole);
  for (std::size_t n = 0; n < all.size(); ++n) {
    const auto got = read(std::string_view(all).substr(0, n));
    if (!got) {
      EXPECT_EQ(got.error().code, "layer.truncated") << n;
      continue;
    }
    const auto lines = describe(*got);
    ASSERT_LE(lines.size(), want.size());
    EXPECT_TRUE(std::equal(lines.begin(), lines.end(), want.begin())) << n;
  }
}

TEST(Tar, LimitsEndALayer) {
  const auto blob =
      tar({{.name = "a"}, {.name = "b"}, {.name = "c", .type = '0', .content = std::string(5000, 'x')}});
  struct Row {
    std::string code;
    void (*set)(LayerLimits&);
  };
  const Row rows[] = {
      {"layer.too_many_entries", [](LayerLimits& l) { l.max_entries = 2; }},
      {"layer.too_many_path_bytes", [](LayerLimits& l) { l.max_path_bytes = 2; }},
      {"layer.too_many_path_bytes", [](LayerLimits& l) { l.max_index_bytes = 2; }},
      {"layer.too_large", [](LayerLimits& l) { l.max_compressed_bytes = 2000; }},
      {"layer.too_large", [](LayerLimits& l) { l.max_uncompressed_bytes = 2000; }},
  };
  for (const auto& row : rows) {
    LayerLimits limits;
    row.set(limits);
    LayerReader reader(limits);
    auto done = reader.feed(bytes_of(blob));
    ASSERT_FALSE(done) << row.code;
    EXPECT_EQ(done.error().code, row.code);
    EXPECT_EQ(done.error().kind, Errc::too_large);
    // And it stays so.
    EXPECT_EQ(reader.feed({}).error().code, row.code);
    EXPECT_EQ(reader.finish().error().code, row.code);
  }
}

TEST(Tar, AMillionEntriesInOneFolder) {
  LayerReader reader;
  std::string block = header({.name = "folder/"});
  for (int i = 0; i < 1'000'000; ++i) {
    const auto name = std::to_string(i);
    block.replace(7, name.size(), name);
    put_checksum(block);
    ASSERT_TRUE(reader.feed(bytes_of(block)));
  }
  const auto layer = reader.finish();
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(layer->stats().entries, 1'000'000U);
  EXPECT_LT(layer->memory_bytes(), 32U << 20U);
  ImageBuilder builder;
  ASSERT_TRUE(builder.add(*layer));
  auto bytes = builder.finish({});
  ASSERT_TRUE(bytes);
  auto index = ImageIndex::from_bytes(std::move(*bytes));
  ASSERT_TRUE(index);
  CompletionQuery query;
  query.prefix = "/folder/77777";
  const auto some = index->complete(query);
  EXPECT_EQ(some.candidates.size(), 11U);  // itself and ten that go on
  query.prefix = "/folder/";
  const auto many = index->complete(query);
  EXPECT_EQ(many.candidates.size(), query.limit);
  EXPECT_TRUE(many.more);
  EXPECT_TRUE(index->stat("/folder/999999"));
  EXPECT_FALSE(index->stat("/folder/1000000"));
}

}  // namespace
}  // namespace oddjob::image::test
