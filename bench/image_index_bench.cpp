// The figures of the image index; bench/image_index.py runs it and says what is
// promised.
//
//   image_index_bench inflate BLOB       milliseconds to inflate a layer and drop it
//   image_index_bench index BLOB         milliseconds to read it, merge it and make the index's bytes
//   image_index_bench tree FOLDER... OUT an index of the paths below these folders
//   image_index_bench synthetic N OUT    an index of about N paths, written to OUT
//   image_index_bench complete INDEX     completions over an index: p50, p99, worst
//
// inflate and index print "MILLISECONDS PEAK_RSS_KIB" and, with index, "PATHS BYTES".
// Times are the processor's: a busy machine does not change them.
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <vector>

#include "image/index/image_index.hpp"
#include "image/index/inflater.hpp"
#include "image/index/layer_reader.hpp"

namespace {

using namespace oddjob;
using namespace oddjob::image;

double now_ms() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}
double ms_since(double start) { return now_ms() - start; }

long peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

template <class F>
Result<> for_pieces(const char* path, F f) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Errc::not_found, "bench.unreadable", std::string("cannot read ") + path);
  std::vector<char> piece(64U << 10U);
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0) {
    OJ_CHECK(f(std::as_bytes(std::span(piece.data(), static_cast<std::size_t>(in.gcount())))));
  }
  return {};
}

Result<> inflate(const char* path) {
  const auto start = now_ms();
  Inflater inflater(27);
  OJ_CHECK(for_pieces(path, [&](std::span<const std::byte> piece) -> Result<> {
    inflater.give(piece);
    for (;;) {
      OJ_TRY(const auto out, inflater.next());
      if (out.empty()) return {};
    }
  }));
  fmt::print("{:.2f} {}\n", ms_since(start), peak_kib());
  return {};
}

Result<> index(const char* path) {
  const auto start = now_ms();
  LayerReader reader;
  OJ_CHECK(for_pieces(path, [&](std::span<const std::byte> piece) { return reader.feed(piece); }));
  OJ_TRY(const LayerIndex layer, reader.finish());
  ImageBuilder builder;
  OJ_CHECK(builder.add(layer));
  BuildStats stats;
  OJ_TRY(const auto bytes, builder.finish({}, &stats));
  fmt::print("{:.2f} {} {} {}\n", ms_since(start), peak_kib(), stats.paths, bytes.size());
  return {};
}

// What the index of these layers costs, and of what.
Result<BuildStats> write(const LayerIndex& layer, const char* out) {
  ImageBuilder builder;
  const auto start = now_ms();
  OJ_CHECK(builder.add(layer));
  BuildStats stats;
  OJ_TRY(const auto bytes, builder.finish({}, &stats));
  std::ofstream(out, std::ios::binary) << bytes;
  const auto each = [&](std::uint64_t n) {
    return static_cast<double>(n) / static_cast<double>(std::max<std::uint64_t>(stats.paths, 1));
  };
  fmt::print(
      "{} paths in {} directories merged and written in {:.0f} ms, peak {} MiB\n"
      "{:.2f} bytes a path: names, links, attributes {:.2f}, sizes {:.2f}, directories {:.2f}, dictionary "
      "{:.2f}\n",
      stats.paths, stats.directories, ms_since(start), peak_kib() / 1024, each(stats.bytes),
      each(stats.name_bytes), each(stats.size_bytes), each(stats.directory_bytes),
      each(stats.dictionary_bytes));
  return stats;
}

// Real folders, as if they were an image's.
Result<> tree(std::span<char*> folders, const char* out) {
  namespace stdfs = std::filesystem;
  LayerIndex::Writer writer;
  for (const std::string top : folders) {
    std::error_code ignored;
    for (stdfs::recursive_directory_iterator
             i(top, stdfs::directory_options::skip_permission_denied, ignored),
         end;
         i != end; i.increment(ignored)) {
      const std::string path = i->path();
      struct stat about {};
      if (::lstat(path.c_str(), &about) != 0 || path.size() >= kMaxPathBytes) continue;
      LayerEntry e;
      const auto relative = path.substr(path.find_first_not_of('/'));
      std::string link;
      e.path = relative;
      e.mode = static_cast<std::uint16_t>(about.st_mode & 07777U);
      e.uid = about.st_uid;
      e.gid = about.st_gid;
      if (S_ISDIR(about.st_mode)) {
        e.kind = EntryKind::directory;
      } else if (S_ISLNK(about.st_mode)) {
        e.kind = EntryKind::symlink;
        link = stdfs::read_symlink(path, ignored).string();
        e.link = link;
      } else if (S_ISREG(about.st_mode)) {
        e.kind = EntryKind::file;
        e.size = static_cast<std::uint64_t>(about.st_size);
      } else {
        continue;
      }
      writer.add(e);
    }
  }
  OJ_CHECK(write(writer.finish(), out));
  return {};
}

// A big application: packages in packages, names of words.
Result<> synthetic(std::size_t paths, const char* out) {
  static constexpr std::string_view kParts[] = {
      "al", "ber", "cor", "dat", "en",  "fi", "gra", "hel", "in", "jo", "ka", "lo", "mi",  "net",
      "or", "pa",  "qu",  "re",  "ser", "ta", "un",  "vi",  "wo", "xa", "ya", "zo", "ing", "tion"};
  static constexpr std::string_view kExtensions[] = {".js", ".js",  ".js", ".d.ts", ".json",
                                                     ".md", ".map", ".py", ".so",   ".txt"};
  // Three of ten are the same one.
  constexpr double kExtensionBits = 0.3 * 1.737 + 0.7 * 3.322;
  std::map<unsigned, unsigned> folder_sizes;
  std::mt19937 random(1);
  const auto word = [&] {
    std::string w;
    for (unsigned n = 2 + random() % 3; n > 0; --n) w += kParts[random() % std::size(kParts)];
    return w;
  };
  std::vector<std::string> words;
  for (int i = 0; i < 20'000; ++i) words.push_back(word());
  const auto any = [&] { return words[random() % words.size()]; };
  LayerIndex::Writer writer;
  const auto add = [&](const std::string& path, EntryKind kind, unsigned mode) {
    writer.add({.path = path,
                .kind = kind,
                .mode = static_cast<std::uint16_t>(mode),
                .uid = 0,
                .gid = 0,
                .size = kind == EntryKind::file ? random() % 65536 : 0,
                .link = {}});
  };
  for (int i = 0; i < 2000; ++i) add("usr/bin/" + any() + "-" + any(), EntryKind::file, 0755);
  while (writer.entries() < paths) {
    const std::string package = "app/node_modules/" + any() + "-" + any();
    add(package, EntryKind::directory, 0755);
    for (unsigned d = 1 + random() % 8; d > 0; --d) {
      const std::string folder = package + "/" + (d % 2 == 0 ? "lib/" : "dist/") + any();
      add(folder, EntryKind::directory, 0755);
      const unsigned files = 1 + random() % 40;
      ++folder_sizes[files];
      for (unsigned f = files; f > 0; --f) {
        add(folder + "/" + any() + (random() % 2 == 0 ? "-" + any() : "") +
                std::string(kExtensions[random() % std::size(kExtensions)]),
            EntryKind::file, 0644);
      }
    }
  }
  OJ_TRY(const auto stats, write(writer.finish(), out));
  // What no format can do without: which words, which extension, which size. A folder's names are a set,
  // so their order says nothing.
  const double word_bits = std::log2(20'000);
  double bits = 0;
  for (const auto& [files, times] : folder_sizes) {
    const double n = files;
    bits += times *
            (word_bits + n * (1 + 1.5 * word_bits + kExtensionBits + 16) - std::lgamma(n + 1) / std::log(2));
  }
  fmt::print("what these names and sizes have of chance: {:.2f} bytes a path\n",
             bits / 8 / static_cast<double>(stats.paths));
  return {};
}

void report(std::string_view what, std::vector<double>& microseconds) {
  std::sort(microseconds.begin(), microseconds.end());
  const auto at = [&](double share) {
    return microseconds[static_cast<std::size_t>(share * static_cast<double>(microseconds.size() - 1))];
  };
  fmt::print("{:<44} p50 {:8.1f} us   p99 {:8.1f} us   worst {:8.1f} us\n", what, at(0.5), at(0.99), at(1));
}

Result<> complete(const char* path) {
  const auto opening = now_ms();
  OJ_TRY(const ImageIndex index, ImageIndex::open(path));
  fmt::print("{} paths, {:.2f} bytes a path, opened and checked in {:.2f} ms\n", index.stats().paths,
             static_cast<double>(index.stats().bytes) / static_cast<double>(index.stats().paths),
             ms_since(opening));
  // Any path of the image, typed to any length.
  std::vector<std::string> paths;
  std::mt19937 random(2);
  const std::uint64_t every = std::max<std::uint64_t>(index.stats().paths / 20'000, 1);
  std::uint64_t seen = 0;
  OJ_CHECK(index.walk("/", [&](std::string_view p, const PathInfo&) {
    if (seen++ % every == 0) paths.emplace_back(p);
    return true;
  }));
  std::shuffle(paths.begin(), paths.end(), random);
  const auto run = [&](std::string_view what, const std::vector<CompletionQuery>& queries) {
    std::vector<double> times;
    times.reserve(queries.size());
    for (const auto& q : queries) {
      const auto start = now_ms();
      const auto found = index.complete(q);
      times.push_back(ms_since(start) * 1000);
      if (found.candidates.empty()) fmt::print("nothing for {}\n", q.prefix);
    }
    report(what, times);
  };
  std::vector<CompletionQuery> any;
  std::vector<CompletionQuery> scripts;
  std::vector<CompletionQuery> commands;
  for (const auto& p : paths) {
    CompletionQuery q;
    q.prefix = p.substr(0, 1 + random() % p.size());
    any.push_back(q);
    q.kind = WordKind::argument;
    q.interpreter = "node";
    q.prefix = p.substr(0, p.rfind('/') + 1);
    scripts.push_back(q);
    q.kind = WordKind::command;
    q.prefix = std::string(1, static_cast<char>('a' + random() % 16));
    if (commands.size() < 2000) commands.push_back(q);
  }
  run("a path, typed to any length", any);
  run("a whole folder, scripts first", scripts);
  run("the first word, one letter along PATH", commands);
  std::vector<double> times;
  for (const auto* pattern : {"server", "nodindex", "lib/al", "e", "zzzz"}) {
    FuzzyQuery q;
    q.pattern = pattern;
    const auto start = now_ms();
    (void)index.fuzzy(q);
    times.push_back(ms_since(start) * 1000);
  }
  report("fuzzy over every path", times);
  fmt::print("peak {} MiB\n", peak_kib() / 1024);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  Result<> done = fail(Errc::invalid_argument, "bench.usage",
                       "inflate BLOB | index BLOB | tree FOLDER... OUT | synthetic N OUT | complete INDEX");
  if (what == "inflate" && argc == 3) done = inflate(argv[2]);
  if (what == "index" && argc == 3) done = index(argv[2]);
  if (what == "tree" && argc >= 4)
    done = tree(std::span(argv, static_cast<std::size_t>(argc) - 1).subspan(2), argv[argc - 1]);
  if (what == "synthetic" && argc == 4) done = synthetic(std::stoul(argv[2]), argv[3]);
  if (what == "complete" && argc == 3) done = complete(argv[2]);
  if (done) return 0;
  fmt::print(stderr, "{}: {}\n", done.error().code, done.error().message);
  return 1;
}
