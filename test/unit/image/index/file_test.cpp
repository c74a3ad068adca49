// The stored file: built once, opened by many, and damaged in every way.
#include <isa-l/crc64.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "image/index/index_format.hpp"
#include "tar_maker.hpp"

namespace oddjob::image::test {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "oddjob-index-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string at(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string index_bytes(int files) {
  ImageBuilder builder;
  std::vector<Member> members;
  for (int i = 0; i < files; ++i)
    members.push_back(
        {.name = "d" + std::to_string(i % 40) + "/e" + std::to_string(i % 7) + "/file-" + std::to_string(i),
         .mode = i % 3 == 0 ? 0755U : 0644U});
  members.push_back({.name = "link", .type = '2', .link = "d1/e1"});
  const auto layer = read(tar(members));
  EXPECT_TRUE(layer && builder.add(*layer));
  auto bytes = builder.finish({});
  EXPECT_TRUE(bytes);
  return *bytes;
}

TEST(File, BuildsOpensAndReplaces) {
  const Folder folder;
  const auto path = folder.at("a.index");
  EXPECT_EQ(ImageIndex::open(path).error().kind, Errc::not_found);
  const auto one = read(tar({{.name = "one"}}));
  const auto two = read(tar({{.name = "two"}}));
  ASSERT_TRUE(one && two);
  const LayerIndex* first[] = {&*one};
  ImageFacts facts;
  facts.digest = "sha256:abc";
  ASSERT_TRUE(build_index(first, facts, path));
  auto old = ImageIndex::open(path);
  ASSERT_TRUE(old);
  EXPECT_EQ(old->facts(), facts);
  const LayerIndex* both[] = {&*one, &*two};
  const auto stats = build_index(both, facts, path);
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->paths, 2U);
  EXPECT_EQ(stats->bytes, std::filesystem::file_size(path));
  // Who has the old one open keeps it.
  EXPECT_EQ(paths_of(*old), std::vector<std::string>{"file one"});
  EXPECT_EQ(paths_of(*ImageIndex::open(path)), (std::vector<std::string>{"file one", "file two"}));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.at("")), {}), 1);
}

TEST(File, TheSameImageIsTheSameBytes) { EXPECT_EQ(index_bytes(500), index_bytes(500)); }

// Large enough that its blocks share a dictionary; beyond that no two indexes differ.
TEST(File, AnIndexWithADictionaryIsReadAndItsDamageFound) {
  LayerIndex::Writer writer;
  for (std::uint64_t i = 0; i < 60'000; ++i) {
    const auto path =
        "app/lib/part-" + std::to_string(i % 97) + "/module-" + std::to_string(i * 7919 % 60'000) + ".js";
    writer.add(
        {.path = path, .kind = EntryKind::file, .mode = 0644, .uid = 0, .gid = 0, .size = i * i, .link = {}});
  }
  const auto layer = writer.finish();
  const auto made = [&](BuildStats* stats) {
    ImageBuilder builder;
    EXPECT_TRUE(builder.add(layer));
    return *builder.finish({}, stats);
  };
  BuildStats stats;
  const auto bytes = made(&stats);
  ASSERT_GT(stats.dictionary_bytes, 0U);
  EXPECT_EQ(bytes, made(nullptr));
  EXPECT_LT(stats.name_bytes + stats.size_bytes + stats.directory_bytes + stats.dictionary_bytes,
            stats.bytes);
  const auto index = ImageIndex::from_bytes(bytes);
  ASSERT_TRUE(index);
  for (std::uint64_t i = 0; i < 60'000; i += 101) {
    const auto path =
        "/app/lib/part-" + std::to_string(i % 97) + "/module-" + std::to_string(i * 7919 % 60'000) + ".js";
    const auto info = index->stat(path);
    ASSERT_TRUE(info) << path;
    EXPECT_EQ(info->size, i * i);
  }
  // The dictionary begins with its magic number; its tables come behind its number. The checksum is put
  // right.
  const auto at = bytes.find("\x37\xa4\x30\xec");
  ASSERT_NE(at, std::string::npos);
  std::string forged = bytes;
  std::fill_n(forged.begin() + static_cast<std::ptrdiff_t>(at) + 8, 64, '\xff');
  const std::uint64_t sum =
      crc64_ecma_refl(0, reinterpret_cast<const unsigned char*>(forged.data()) + format::kCheckedFrom,
                      forged.size() - format::kCheckedFrom);
  std::memcpy(forged.data() + format::kChecksumAt, &sum, sizeof sum);
  const auto refused = ImageIndex::from_bytes(std::move(forged));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "index.corrupt");
}

TEST(File, ALayerIsStoredAndLoaded) {
  const Folder folder;
  const auto layer = read(tar({{.name = "a"}, {.name = "b/.wh.c"}}));
  ASSERT_TRUE(layer);
  ASSERT_TRUE(layer->save(folder.at("layer")));
  const auto again = LayerIndex::load(folder.at("layer"));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *layer);
  EXPECT_EQ(LayerIndex::load(folder.at("gone")).error().kind, Errc::not_found);
}

TEST(File, EveryCutAndEveryChangedByteIsFound) {
  const std::string good = index_bytes(300);
  for (std::size_t n = 0; n < good.size(); n += n < 200 ? 1 : 37) {
    EXPECT_FALSE(ImageIndex::from_bytes(good.substr(0, n))) << n;
    std::string damaged = good;
    damaged[n] = static_cast<char>(damaged[n] ^ 0x10);
    const auto got = ImageIndex::from_bytes(damaged);
    ASSERT_FALSE(got) << n;
    EXPECT_TRUE(got.error().code == "index.corrupt" || got.error().code == "index.version")
        << got.error().code;
  }
  const auto layer = read(tar({{.name = "a"}, {.name = "b/c"}}))->encode();
  for (std::size_t n = 0; n < layer.size(); ++n) {
    std::string damaged = layer;
    damaged[n] = static_cast<char>(damaged[n] ^ 0x10);
    EXPECT_EQ(LayerIndex::decode(bytes_of(damaged)).error().code, "layer.index_corrupt") << n;
    EXPECT_FALSE(LayerIndex::decode(bytes_of(std::string_view(layer).substr(0, n))));
  }
}

// Behind a checksum that was made right: no crash, no endless loop.
TEST(File, AForgedFileDoesNoHarm) {
  const std::string good = index_bytes(2000);
  std::mt19937 random(20240607);
  for (int round = 0; round < 3000; ++round) {
    std::string forged = good;
    for (unsigned k = 0; k <= random() % 8; ++k) {
      const auto at = format::kCheckedFrom + random() % (forged.size() - format::kCheckedFrom);
      forged[at] = static_cast<char>(random());
    }
    const std::uint64_t sum =
        crc64_ecma_refl(0, reinterpret_cast<const unsigned char*>(forged.data()) + format::kCheckedFrom,
                        forged.size() - format::kCheckedFrom);
    std::memcpy(forged.data() + format::kChecksumAt, &sum, sizeof sum);
    const auto index = ImageIndex::from_bytes(std::move(forged));
    if (!index) continue;
    CompletionQuery query;
    query.prefix = "/d1/e1/";
    (void)index->complete(query);
    FuzzyQuery fuzzy;
    fuzzy.pattern = "file";
    (void)index->fuzzy(fuzzy);
    std::uint64_t seen = 0;
    (void)index->walk("/", [&](std::string_view path, const PathInfo&) {
      if (seen++ % 64 == 0) (void)index->stat(path);
      return true;
    });
    EXPECT_LE(seen, index->stats().paths);
  }
}

TEST(File, ManyThreadsAskAtOnce) {
  auto index = ImageIndex::from_bytes(index_bytes(20'000));
  ASSERT_TRUE(index);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < 2000; i += 3) {
        CompletionQuery query;
        query.prefix =
            "/d" + std::to_string(i % 40) + "/e" + std::to_string(i % 7) + "/file-" + std::to_string(i);
        const auto found = index->complete(query).candidates;
        if (found.empty() || found[0].text != query.prefix) ++wrong;
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

// What was indexed is what is found: every path by stat and by completion of each
// of its prefixes, against a plain map.
TEST(File, AgreesWithAMapOfPaths) {
  std::mt19937 random(7);
  std::map<std::string, bool> model;
  std::vector<Member> members;
  const std::string letters = "abAB.-_0\xc3";
  for (int i = 0; i < 3000; ++i) {
    std::string path;
    const auto depth = 1 + random() % 4;
    for (unsigned k = 0; k < depth; ++k) {
      if (!path.empty()) path += '/';
      const auto size = 1 + random() % (k + 1 == depth ? 6 : 2);
      for (unsigned c = 0; c < size; ++c) path += letters[random() % letters.size()];
      if (path.ends_with("..") || path == "." || path.ends_with("/.")) path += 'x';
    }
    if (path.size() > 95) continue;
    // Only what fits what is there: no file above a path, no folder at a file's.
    bool fits = !model.contains(path);
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      const auto at = model.find(path.substr(0, slash));
      fits = fits && (at == model.end() || at->second);
    }
    if (!fits) continue;
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1))
      model[path.substr(0, slash)] = true;
    model[path] = false;
    members.push_back({.name = path});
  }
  auto index = index_of({members});
  ASSERT_TRUE(index);
  std::vector<std::string> walked;
  ASSERT_TRUE(index->walk("/", [&](std::string_view path, const PathInfo& info) {
    walked.emplace_back(path.substr(1));
    EXPECT_EQ(info.is_dir, model.at(walked.back()));
    return true;
  }));
  ASSERT_EQ(walked.size(), model.size());
  for (const auto& [path, is_dir] : model) {
    const auto info = index->stat("/" + path);
    ASSERT_TRUE(info) << path;
    EXPECT_EQ(info->is_dir, is_dir);
    EXPECT_FALSE(index->stat("/" + path + "\x01"));
  }
}

}  // namespace
}  // namespace oddjob::image::test
