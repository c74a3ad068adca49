// A block there and back, with and without a dictionary, and sizes of every width.
#include <gtest/gtest.h>

#include <limits>

#include "image/index/block.hpp"

namespace oddjob::image::test {
namespace {

const std::vector<format::Attribute> kAttributes = {
    {.kind = EntryKind::file, .mode = 0644},
    {.kind = EntryKind::directory, .mode = 0755},
    {.kind = EntryKind::symlink, .leads = format::Leads::directory, .mode = 0777},
};

std::string packed(BlockBuilder::Parts parts, std::string_view dictionary = {}) {
  Compressor compressor(dictionary);
  const auto frame = compressor.compress(parts.columns);
  EXPECT_TRUE(frame);
  std::string out;
  put_varint(out, frame->size());
  return out.append(*frame).append(parts.sizes);
}

BlockBuilder::Entry file(std::string_view name, std::uint64_t size) {
  return {.name = name,
          .attribute_id = 0,
          .attribute = kAttributes.data(),
          .directory = 0,
          .link = {},
          .size = size};
}

TEST(Block, KeepsSizesOfEveryWidth) {
  std::vector<std::uint64_t> sizes = {0, 1, 2, 3, std::numeric_limits<std::uint64_t>::max()};
  for (unsigned bit = 2; bit < 64; ++bit)
    for (const auto s : {(1ULL << bit) - 1, 1ULL << bit, (1ULL << bit) + 1}) sizes.push_back(s);
  BlockBuilder builder;
  for (std::size_t i = 0; i < sizes.size(); ++i) builder.add(file("f" + std::to_string(i), sizes[i]), i == 0);
  const auto block = Block::decode(packed(builder.finish()), static_cast<std::uint32_t>(sizes.size()),
                                   kAttributes, *Decompressor::make({}));
  ASSERT_EQ(block->size(), sizes.size());
  for (std::uint32_t i = 0; i < block->size(); ++i) EXPECT_EQ((*block)[i].size, sizes[i]) << i;
}

TEST(Block, KeepsFilesFoldersAndLinks) {
  BlockBuilder builder;
  builder.add(file("a", 7), true);
  builder.add({.name = "abc", .attribute_id = 1, .attribute = &kAttributes[1], .directory = 5, .link = {}},
              false);
  builder.add(
      {.name = "abd", .attribute_id = 2, .attribute = &kAttributes[2], .directory = 5, .link = "../abc"},
      false);
  const auto bytes = packed(builder.finish());
  EXPECT_EQ(builder.entries(), 0U);
  const auto block = Block::decode(bytes, 3, kAttributes, *Decompressor::make({}));
  ASSERT_EQ(block->size(), 3U);
  EXPECT_EQ(block->name((*block)[1]), "abc");
  EXPECT_EQ((*block)[1].directory, 5U);
  EXPECT_EQ(block->link((*block)[2]), "../abc");
  EXPECT_EQ((*block)[2].directory, 5U);
}

TEST(Block, OneThatIsCutOrDamagedHasNoEntries) {
  BlockBuilder builder;
  for (int i = 0; i < 20; ++i) builder.add(file("name-" + std::to_string(i), 1000), i == 0);
  auto parts = builder.finish();
  const auto decoded = [&](const BlockBuilder::Parts& p, std::uint32_t count) {
    return Block::decode(packed(p), count, kAttributes, *Decompressor::make({}))->size();
  };
  EXPECT_EQ(decoded(parts, 20), 20U);
  EXPECT_EQ(decoded(parts, 21), 0U);
  EXPECT_EQ(decoded({parts.columns, parts.sizes.substr(0, parts.sizes.size() - 1)}, 20), 0U)
      << "sizes are cut";
  EXPECT_EQ(decoded({parts.columns.substr(0, parts.columns.size() / 2), parts.sizes}, 20), 0U);
  // The widths are 10, behind four lengths, 20 shared, 20 attributes and no directory.
  auto wide = parts;
  ASSERT_EQ(wide.columns[4 + 20 + 20], 10);
  wide.columns[4 + 20 + 20] = 65;
  EXPECT_EQ(decoded(wide, 20), 0U) << "a number of 65 bits";
}

// Names of a kind, as an image has them, enough for a dictionary to be made.
std::vector<std::string> many_columns() {
  std::vector<std::string> out;
  unsigned state = 1;
  const auto next = [&state](unsigned below) {
    return (state = state * 1664525U + 1013904223U) / 65536U % below;
  };
  const std::string_view words[] = {"settings", "payments", "handler", "invoice",
                                    "refund",   "report",   "nightly"};
  for (int b = 0; b < 80; ++b) {
    BlockBuilder builder;
    for (bool first = true; !builder.full(); first = false) {
      std::string name(words[next(7)]);
      name.append("-").append(words[next(7)]).append(std::to_string(next(100000))).append(".js");
      builder.add(file(name, next(9000)), first);
    }
    out.push_back(builder.finish().columns);
  }
  return out;
}

TEST(Dictionary, IsMadeWhereItPaysAndIsTheSameEachTime) {
  const auto blocks = many_columns();
  const auto dictionary = train_dictionary(blocks);
  ASSERT_FALSE(dictionary.empty());
  EXPECT_LE(dictionary.size(), format::kMaxDictionaryBytes);
  EXPECT_EQ(dictionary, train_dictionary(blocks));
  EXPECT_TRUE(train_dictionary({}).empty());
  EXPECT_TRUE(train_dictionary(std::span(blocks).first(10)).empty());
  // Nothing but zeros: nothing to learn, and no error.
  EXPECT_NO_THROW((void)train_dictionary(std::vector<std::string>(100, std::string(6000, '\0'))));

  Compressor with(dictionary);
  Compressor without({});
  std::size_t sum_with = 0;
  std::size_t sum_without = 0;
  const auto reader = Decompressor::make(dictionary);
  ASSERT_NE(reader, nullptr);
  for (const auto& b : blocks) {
    const auto frame = with.compress(b);
    ASSERT_TRUE(frame);
    sum_with += frame->size();
    const auto back = reader->decompress(*frame);
    ASSERT_TRUE(back.ok);
    EXPECT_EQ(back.bytes, b);
    sum_without += without.compress(b)->size();
  }
  EXPECT_LT(sum_with + dictionary.size(), sum_without);
}

TEST(Dictionary, OneThatIsDamagedIsSaid) {
  auto dictionary = train_dictionary(many_columns());
  // Behind the magic and the number come the tables: cut, they are none.
  EXPECT_EQ(Decompressor::make(std::string_view(dictionary).substr(0, 40)), nullptr);
  // Some bytes that are no such dictionary are one of plain content: harmless.
  EXPECT_NE(Decompressor::make("some bytes"), nullptr);
  EXPECT_FALSE(Decompressor::make(dictionary)->decompress("no frame").ok);
  EXPECT_FALSE(Decompressor::make({})->decompress({"\x28\xb5\x2f\xfd\x04", 5}).ok);
}

}  // namespace
}  // namespace oddjob::image::test
