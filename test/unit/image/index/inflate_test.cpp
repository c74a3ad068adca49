// What a layer is compressed with: told by its first bytes, however many members
// or frames, and refused when damaged.
#include <fmt/format.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "tar_maker.hpp"

namespace oddjob::image::test {
namespace {

std::string gzip(std::string_view text, bool all_fields = false) {
  isal_zstream stream{};
  isal_deflate_init(&stream);
  std::string out(text.size() + 4096, '\0');
  std::string name = "layer.tar";
  std::string comment = "made by a test";
  std::string extra = "extra";
  isal_gzip_header head{};
  isal_gzip_header_init(&head);
  if (all_fields) {
    head.name = name.data();
    head.name_buf_len = static_cast<std::uint32_t>(name.size() + 1);
    head.comment = comment.data();
    head.comment_buf_len = static_cast<std::uint32_t>(comment.size() + 1);
    head.extra = reinterpret_cast<std::uint8_t*>(extra.data());
    head.extra_buf_len = head.extra_len = static_cast<std::uint32_t>(extra.size());
    head.hcrc = 1;
  }
  stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
  stream.avail_out = static_cast<std::uint32_t>(out.size());
  EXPECT_EQ(isal_write_gzip_header(&stream, &head), 0U);
  stream.gzip_flag = IGZIP_GZIP_NO_HDR;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<std::uint32_t>(text.size());
  EXPECT_EQ(isal_deflate(&stream), COMP_OK);
  EXPECT_EQ(stream.avail_in, 0U);
  return out.substr(0, out.size() - stream.avail_out);
}

std::string zstd(std::string_view text, int level = 3, int window_log = 0) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  if (window_log != 0) ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  std::string out(ZSTD_compressBound(text.size()), '\0');
  // As a stream, so that the window is not cut down to the size.
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  while (ZSTD_compressStream2(context, &to, &in, ZSTD_e_flush) != 0) {
  }
  while (ZSTD_compressStream2(context, &to, &in, ZSTD_e_end) != 0) {
  }
  ZSTD_freeCCtx(context);
  return out.substr(0, to.pos);
}

std::string skippable() { return std::string("\x50\x2a\x4d\x18\x03\0\0\0abc", 11); }

std::string some_tar() {
  std::string content;
  for (int i = 0; i < 20'000; ++i) content += std::to_string(i * 7919);
  return tar({{.name = "a", .type = '0', .content = content}, {.name = "b"}});
}

TEST(Inflate, EveryCompressionInPiecesOfAnySize) {
  const std::string plain = some_tar();
  const std::vector<std::string> want = describe(*read(plain));
  const std::string_view view = plain;
  struct Row {
    std::string what;
    std::string blob;
    Compression compression;
  };
  const Row rows[] = {
      {"plain", plain, Compression::none},
      {"gzip", gzip(plain), Compression::gzip},
      {"gzip with every header field", gzip(plain, true), Compression::gzip},
      {"gzip, members",
       gzip(view.substr(0, 700), true) + gzip(view.substr(700, 1)) + gzip("") + gzip(view.substr(701), true),
       Compression::gzip},
      {"gzip, padded with zeros", gzip(plain) + std::string(1000, '\0'), Compression::gzip},
      {"zstd", zstd(plain), Compression::zstd},
      {"zstd, frames, some to skip",
       skippable() + zstd(view.substr(0, 700)) + skippable() + zstd(view.substr(700)) + skippable(),
       Compression::zstd},
  };
  for (const auto& row : rows) {
    for (const std::size_t piece : {SIZE_MAX, std::size_t{1}, std::size_t{3}, std::size_t{4097}}) {
      SCOPED_TRACE(fmt::format("{}, by {}", row.what, piece));
      LayerReader reader;
      for (std::size_t at = 0; at < row.blob.size(); at += std::min(piece, row.blob.size())) {
        const auto done = reader.feed(bytes_of(std::string_view(row.blob).substr(at, piece)));
        ASSERT_TRUE(done) << done.error().message;
      }
      EXPECT_EQ(reader.compression(), row.compression);
      EXPECT_EQ(reader.compressed_bytes(), row.blob.size());
      EXPECT_EQ(reader.uncompressed_bytes(), plain.size());
      const auto layer = reader.finish();
      ASSERT_TRUE(layer) << layer.error().message;
      EXPECT_EQ(describe(*layer), want);
      EXPECT_EQ(layer->stats().compressed_bytes, row.blob.size());
      EXPECT_EQ(layer->stats().uncompressed_bytes, plain.size());
    }
  }
}

TEST(Inflate, EveryPrefixIsTruncated) {
  const std::string plain =
      tar({{.name = "a", .type = '0', .content = std::string(3000, 'x')}, {.name = "b"}});
  for (const auto& blob : {gzip(plain, true), zstd(plain)}) {
    for (std::size_t n = 4; n < blob.size(); ++n) {
      const auto got = read(std::string_view(blob).substr(0, n));
      ASSERT_FALSE(got) << n;
      EXPECT_EQ(got.error().code, "layer.truncated") << n;
    }
  }
}

// A changed byte: an error, or (in a header's time, say) no difference.
TEST(Inflate, EveryDamagedByteIsFoundOrDoesNotMatter) {
  const std::string plain =
      tar({{.name = "a", .type = '0', .content = std::string(3000, 'x')}, {.name = "b"}});
  const auto want = describe(*read(plain));
  for (const auto& blob : {gzip(plain), zstd(plain)}) {
    for (std::size_t n = 2; n < blob.size(); ++n) {
      std::string damaged = blob;
      damaged[n] = static_cast<char>(damaged[n] ^ 0x55);
      const auto got = read(damaged);
      if (!got) continue;
      EXPECT_EQ(describe(*got), want) << n;
    }
  }
}

TEST(Inflate, RefusesWhatIsNoLayer) {
  const std::string plain = some_tar();
  struct Row {
    std::string what;
    std::string blob;
    std::string code;
  };
  const Row rows[] = {
      {"garbage after a gzip member", gzip(plain) + "garbage, and more of it", "layer.corrupt"},
      {"a member after padding", gzip(plain) + std::string(10, '\0') + gzip(plain), "layer.corrupt"},
      {"garbage after a zstd frame", zstd(plain) + "garbage!", "layer.corrupt"},
      {"gzip of no known method", std::string("\x1f\x8b\x07\0\0\0\0\0\0\0", 10), "layer.corrupt"},
      {"a zstd window over the limit", zstd(std::string(1000, 'x'), 3, 29), "layer.window_too_large"},
      {"text", "This is no layer. " + std::string(600, '.'), "layer.bad_header"},
      {"three bytes", "abc", "layer.truncated"},
  };
  for (const auto& row : rows) {
    const auto got = read(row.blob, 1000);
    ASSERT_FALSE(got) << row.what;
    EXPECT_EQ(got.error().code, row.code) << row.what << ": " << got.error().message;
  }
}

// 2 GiB of zeros in a few hundred kilobytes: ended long before its end.
TEST(Inflate, ABombEndsEarly) {
  LayerLimits limits;
  limits.max_ratio = 100;
  LayerReader reader(limits);
  const std::string zeros(64U << 20U, '\0');
  std::string head = header({.name = "f"});
  head.replace(124, 11, "77777777777");
  put_checksum(head);
  ASSERT_TRUE(reader.feed(bytes_of(gzip(head))));
  const std::string piece = gzip(zeros);
  Result<> done;
  int fed = 0;
  for (; done && fed < 100; ++fed) done = reader.feed(bytes_of(piece));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, "layer.bomb");
  EXPECT_LT(fed, 20);
}

}  // namespace
}  // namespace oddjob::image::test
