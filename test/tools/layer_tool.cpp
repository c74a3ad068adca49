// Shows what the layer reader and the merge make of real layers, for tests that
// compare with other tools.
//
//   layer_tool layer BLOB            the layer's entries, in order
//   layer_tool merge BLOB...         the paths of an image of these layers, lowest first
//   layer_tool build OUT BLOB...     the same, written as an index
//   layer_tool store OUT BLOB           one layer, written as a layer index
//   layer_tool complete INDEX KIND PREFIX [CWD [INTERPRETER]]
//
// layer and merge print one line an entry: kind, mode (octal), uid, gid, size,
// path (hexadecimal), link (hexadecimal), separated by tabs. Exit status 1 and
// "CODE: message" on standard error when something is refused.
#include <cstdio>
#include <fstream>
#include <vector>

#include "core/digest.hpp"
#include "fmt/format.h"
#include "image/index/image_index.hpp"
#include "image/index/layer_reader.hpp"

namespace {

using namespace oddjob;
using namespace oddjob::image;

constexpr std::string_view kKinds[] = {"file", "dir",      "symlink",  "char",  "block",
                                       "fifo", "hardlink", "whiteout", "opaque"};

Result<LayerIndex> read_layer(const char* path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Errc::not_found, "tool.unreadable", std::string("cannot read ") + path);
  LayerReader reader;
  std::vector<char> piece(64U << 10U);
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0) {
    OJ_CHECK(reader.feed(std::as_bytes(std::span(piece.data(), static_cast<std::size_t>(in.gcount())))));
  }
  return reader.finish();
}

void print(EntryKind kind, unsigned mode, unsigned uid, unsigned gid, std::uint64_t size,
           std::string_view path, std::string_view link) {
  fmt::print("{}\t{:o}\t{}\t{}\t{}\t{}\t{}\n", kKinds[static_cast<int>(kind)], mode, uid, gid, size,
             hex_encode(path), hex_encode(link));
}

Result<> show_layer(const char* path) {
  OJ_TRY(const LayerIndex layer, read_layer(path));
  LayerIndex::Cursor cursor(layer);
  LayerEntry e;
  for (;;) {
    OJ_TRY(const bool more, cursor.next(e));
    if (!more) return {};
    print(e.kind, e.mode, e.uid, e.gid, e.size, e.path, e.link);
  }
}

Result<std::string> merge(std::span<char*> paths) {
  ImageBuilder builder;
  for (const char* path : paths) {
    OJ_TRY(const LayerIndex layer, read_layer(path));
    OJ_CHECK(builder.add(layer));
  }
  return builder.finish(ImageFacts());
}

Result<> show_merged(std::span<char*> paths) {
  OJ_TRY(auto bytes, merge(paths));
  OJ_TRY(const ImageIndex index, ImageIndex::from_bytes(std::move(bytes)));
  return index.walk("/", [](std::string_view path, const PathInfo& i) {
    print(i.kind, i.mode, i.uid, i.gid, i.size, path.substr(1), i.link);
    return true;
  });
}

Result<> build(const char* out, std::span<char*> paths) {
  OJ_TRY(const auto bytes, merge(paths));
  std::ofstream(out, std::ios::binary) << bytes;
  OJ_TRY(const ImageIndex index, ImageIndex::open(out));
  const auto stats = index.stats();
  fmt::print("{} paths, {} directories, {} bytes, {:.3f} bytes a path\n", stats.paths, stats.directories,
             stats.bytes,
             static_cast<double>(stats.bytes) / static_cast<double>(std::max<std::uint64_t>(stats.paths, 1)));
  return {};
}

Result<> store(const char* out, const char* path) {
  OJ_TRY(const LayerIndex layer, read_layer(path));
  return layer.save(out);
}

Result<> complete(std::span<char*> args) {
  OJ_TRY(const ImageIndex index, ImageIndex::open(args[0]));
  CompletionQuery query;
  const std::string_view kind = args[1];
  query.kind = kind == "command"    ? WordKind::command
               : kind == "argument" ? WordKind::argument
                                    : WordKind::any;
  query.prefix = args[2];
  if (args.size() > 3) query.cwd = args[3];
  if (args.size() > 4) query.interpreter = args[4];
  for (const auto& c : index.complete(query).candidates) fmt::print("{}\n", c.text);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> args(argv + 1, static_cast<std::size_t>(argc - 1));
  const std::string_view what = args.empty() ? "" : args[0];
  Result<> done = fail(Errc::invalid_argument, "tool.usage",
                       "layer BLOB | merge BLOB... | build OUT BLOB... | complete INDEX KIND PREFIX");
  if (what == "layer" && args.size() == 2) done = show_layer(args[1]);
  if (what == "merge" && args.size() >= 2) done = show_merged(args.subspan(1));
  if (what == "build" && args.size() >= 3) done = build(args[1], args.subspan(2));
  if (what == "store" && args.size() == 3) done = store(args[1], args[2]);
  if (what == "complete" && args.size() >= 4) done = complete(args.subspan(1));
  if (done) return 0;
  fmt::print(stderr, "{}: {}\n", done.error().code, done.error().message);
  return 1;
}
