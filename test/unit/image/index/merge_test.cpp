// Layers over each other: what a container of the image sees.
#include "tar_maker.hpp"

namespace oddjob::image::test {
namespace {

using Lines = std::vector<std::string>;
using Layer = std::vector<Member>;

Member dir(std::string name) { return {.name = std::move(name), .type = '5', .mode = 0755}; }
Member file(std::string name, std::string content = {}) {
  return {.name = std::move(name), .type = '0', .content = std::move(content)};
}
Member symlink(std::string name, std::string to) {
  return {.name = std::move(name), .type = '2', .link = std::move(to)};
}
Member hard(std::string name, std::string to) {
  return {.name = std::move(name), .type = '1', .link = std::move(to)};
}

struct Case {
  std::string what;
  std::vector<Layer> layers;
  Lines want;  // or "!code"
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"nothing", {}, {}},
      {"folders without an entry", {{file("a/b/c")}}, {"dir a", "dir a/b", "file a/b/c"}},
      {"a whiteout", {{file("d/a"), file("d/b")}, {file("d/.wh.a")}}, {"dir d", "file d/b"}},
      {"a whiteout of a folder", {{file("d/e/a"), file("d/f")}, {file("d/.wh.e")}}, {"dir d", "file d/f"}},
      {"a whiteout of nothing makes no folder", {{file("a")}, {file("no/such/.wh.x")}}, {"file a"}},
      {"a whiteout spares its own layer, before and after",
       {{file("d/a"), file("d/b")}, {file("d/a"), file("d/.wh.a"), file("d/.wh.b"), file("d/b")}},
       {"dir d", "file d/a", "file d/b"}},
      {"a whiteout of a folder spares what its own layer has in it",
       {{file("d/a"), file("d/b")}, {file("d/a"), file(".wh.d")}},
       {"dir d", "file d/a"}},
      {"gone, and back as a file",
       {{file("d/e/a")}, {file("d/.wh.e")}, {file("d/e")}},
       {"dir d", "file d/e"}},
      {"gone, and back as a folder: without its content",
       {{file("d/e/a")}, {file("d/.wh.e")}, {dir("d/e")}},
       {"dir d", "dir d/e"}},
      {"opaque",
       {{file("d/a"), file("d/e/b")}, {file("d/c"), file("d/.wh..wh..opq")}},
       {"dir d", "file d/c"}},
      {"opaque comes first as well",
       {{file("d/a"), file("d/e/b")}, {file("d/.wh..wh..opq"), file("d/c")}},
       {"dir d", "file d/c"}},
      {"opaque spares folders of its own layer, not their lower content",
       {{file("d/e/a")}, {file("d/e/b"), file("d/.wh..wh..opq")}},
       {"dir d", "dir d/e", "file d/e/b"}},
      {"the root is opaque", {{file("d/a"), file("x")}, {file(".wh..wh..opq"), file("y")}}, {"file y"}},
      {"a folder over a file", {{file("x")}, {dir("x"), file("x/a")}}, {"dir x", "file x/a"}},
      {"a file over a folder", {{file("x/a/b")}, {file("x")}}, {"file x"}},
      {"a file over a folder over a file",
       {{file("x/a/b")}, {file("x")}, {file("x/c")}},
       {"dir x", "file x/c"}},
      {"a link over a folder", {{file("x/a"), dir("y")}, {symlink("x", "y")}}, {"symlink x -> y", "dir y"}},
      {"a folder over a link",
       {{symlink("x", "y"), file("y/a")}, {dir("x")}},
       {"dir x", "dir y", "file y/a"}},
      {"a folder over a folder keeps its content", {{file("d/a")}, {dir("d")}}, {"dir d", "file d/a"}},
      {"the last of a name wins", {{file("a"), symlink("a", "b"), file("b")}}, {"symlink a -> b", "file b"}},
      {"below a link, within a layer",
       {{dir("usr/lib"), symlink("lib", "usr/lib"), file("lib/x")}},
       {"symlink lib -> usr/lib", "dir usr", "dir usr/lib", "file usr/lib/x"}},
      {"below a link, across layers",
       {{dir("usr/lib"), symlink("lib", "/usr/lib")}, {file("lib/x"), file("lib/y/z")}},
       {"symlink lib -> /usr/lib", "dir usr", "dir usr/lib", "file usr/lib/x", "dir usr/lib/y",
        "file usr/lib/y/z"}},
      {"a whiteout below a link",
       {{file("usr/lib/x"), symlink("lib", "usr/lib")}, {file("lib/.wh.x")}},
       {"symlink lib -> usr/lib", "dir usr", "dir usr/lib"}},
      {"a link upwards stays inside the root",
       {{symlink("up", "../../.."), file("up/x")}},
       {"symlink up -> ../../..", "file x"}},
      {"below a link to nothing: made there",
       {{symlink("l", "some/where"), file("l/x")}},
       {"symlink l -> some/where", "dir some", "dir some/where", "file some/where/x"}},
      {"a link that changes while entries go through it",
       {{dir("x"), dir("y"), symlink("l", "x"), file("l/a"), symlink("l", "y"), file("l/b")}},
       {"symlink l -> y", "dir x", "file x/a", "dir y", "file y/b"}},
      {"below a file: it gives way", {{file("f")}, {file("f/x")}}, {"dir f", "file f/x"}},
      {"below a circle of links",
       {{symlink("a", "b"), symlink("b", "a"), file("a/x")}},
       {"!image.link_cycle"}},
      {"a hard link", {{file("a", "12345"), hard("d/b", "a")}}, {"file a", "dir d", "file d/b"}},
      {"a hard link to a lower layer", {{file("a", "12345")}, {hard("b", "a")}}, {"file a", "file b"}},
      {"a hard link outlives its target",
       {{file("a")}, {hard("b", "a"), symlink("a", "c")}},
       {"symlink a -> c", "file b"}},
      {"a hard link to a link", {{symlink("a", "c"), hard("b", "a")}}, {"symlink a -> c", "symlink b -> c"}},
      {"a hard link below a link",
       {{file("x/a"), symlink("y", "x"), hard("y/b", "y/a")}},
       {"dir x", "file x/a", "file x/b", "symlink y -> x"}},
      {"a hard link to nothing is left out",
       {{file("d/c"), hard("d/b", "a"), hard("e", "d"), hard("f", "f")}},
       {"dir d", "file d/c"}},
      {"a hard link to what a whiteout took", {{file("a")}, {file(".wh.a"), hard("b", "a")}}, {}},
      {"names in order of bytes",
       {{file("b"), file("B"), file("\xc3\xa4"), file("a"), file("a.b"), file("a/b")}},
       {"file B", "dir a", "file a/b", "file a.b", "file b", "file \xc3\xa4"}},
  };
  return all;
}

TEST(Merge, WhatAContainerSees) {
  for (const auto& c : cases()) {
    SCOPED_TRACE(c.what);
    auto index = index_of(c.layers);
    if (c.want.size() == 1 && c.want[0].starts_with('!')) {
      ASSERT_FALSE(index);
      EXPECT_EQ("!" + index.error().code, c.want[0]);
      continue;
    }
    ASSERT_TRUE(index) << index.error().message;
    EXPECT_EQ(paths_of(*index), c.want);
    EXPECT_EQ(index->stats().paths, c.want.size());
  }
}

TEST(Merge, KeepsModesOwnersAndSizes) {
  const Member root{.name = "./", .type = '5', .mode = 01777, .uid = 5, .gid = 6};
  const Member tool{
      .name = "bin/tool", .type = '0', .content = "12345", .mode = 04750, .uid = 1000, .gid = 100};
  auto index = index_of({{root, tool, hard("bin/again", "bin/tool")},
                         {{.name = "bin", .type = '5', .mode = 0700, .uid = 2, .gid = 3}}});
  ASSERT_TRUE(index);
  const auto top = index->stat("/");
  ASSERT_TRUE(top);
  EXPECT_EQ(top->mode, 01777);
  EXPECT_EQ(top->uid, 5U);
  EXPECT_TRUE(top->is_dir);
  for (const auto* path : {"/bin/tool", "/bin/again"}) {
    const auto info = index->stat(path);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->mode, 04750);
    EXPECT_EQ(info->uid, 1000U);
    EXPECT_EQ(info->gid, 100U);
    EXPECT_EQ(info->size, 5U);
    EXPECT_TRUE(info->executable);
  }
  const auto bin = index->stat("/bin");
  ASSERT_TRUE(bin);
  EXPECT_EQ(bin->mode, 0700);
  EXPECT_EQ(bin->gid, 3U);
  EXPECT_EQ(index->stat("/bin/.")->mode, 0700);
}

TEST(Merge, LimitsEndAnImage) {
  BuildLimits few;
  few.max_paths = 3;
  EXPECT_EQ(index_of({{file("a"), file("b"), file("c"), file("d")}}, {}, few).error().code,
            "image.too_many_paths");
  BuildLimits small;
  small.max_memory_bytes = 2000;
  EXPECT_EQ(index_of({{file("a"), file("b"), file("c"), file("d")}}, {}, small).error().code,
            "image.too_large");
  // Many entries, each behind a link that takes long to follow.
  Layer layer{dir("d"), symlink("l", "d/../d/../d/../d/../d")};
  for (int i = 0; i < 100; ++i) layer.push_back(file("l/x" + std::to_string(i) + "/y"));
  BuildLimits steps;
  steps.max_steps = 500;
  EXPECT_EQ(index_of({layer}, {}, steps).error().code, "image.too_complex");
  EXPECT_TRUE(index_of({layer}));
}

// A path may not grow over the limit by the links it goes through.
TEST(Merge, PathsThatGrowThroughLinksAreRefused) {
  std::string steps;
  for (int k = 0; k < 40; ++k) steps += "/x";
  Layer layer{dir("l0")};
  for (int i = 1; i < 100; ++i)
    layer.push_back(symlink("l" + std::to_string(i), "l" + std::to_string(i - 1) + steps));
  layer.push_back(file("l99/f"));
  const auto index = index_of({layer});
  ASSERT_FALSE(index);
  EXPECT_EQ(index.error().code, "image.path_too_long");
}

// Deeper than any call stack would like: nothing here recurses.
TEST(Merge, DeepTreesAndLongChainsOfLinks) {
  std::string deep;
  while (deep.size() < 4000) deep += "d/";
  Layer layer{pax(pax_record("path", deep + "f")), file("cut")};
  for (int i = 0; i < 20'000; ++i)
    layer.push_back(symlink("chain" + std::to_string(i), "chain" + std::to_string(i + 1)));
  layer.push_back(file("chain20000"));
  auto index = index_of({layer});
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_TRUE(index->stat("/" + deep + "f"));
  // The kernel follows 40 links.
  EXPECT_TRUE(index->stat("/chain0"));
  Member tool = file("chain20000");
  tool.mode = 0755;
  layer.back() = tool;
  index = index_of({layer});
  ASSERT_TRUE(index);
  EXPECT_TRUE(index->stat("/chain19960")->executable);
  EXPECT_FALSE(index->stat("/chain19959")->executable);
}

TEST(Merge, ALayerIsTheSameAfterItWasStored) {
  for (const auto& c : cases()) {
    for (const auto& members : c.layers) {
      const auto layer = read(tar(members));
      ASSERT_TRUE(layer);
      const auto stored = layer->encode();
      const auto again = LayerIndex::decode(bytes_of(stored));
      ASSERT_TRUE(again) << again.error().message;
      EXPECT_EQ(*again, *layer);
      EXPECT_EQ(describe(*again), describe(*layer));
    }
  }
}

}  // namespace
}  // namespace oddjob::image::test
