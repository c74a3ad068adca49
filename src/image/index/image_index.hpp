// The paths of one image, ready for completion: a read-only, memory-mapped file
// (docs/formats/image-index.md) that ImageBuilder wrote.
//
// Paths in questions are those of the container: absolute, or relative to a
// working directory; "." and ".." and repeated '/' are understood, symlinks are
// followed inside the root (at most 40, then the path does not exist), as the
// kernel would. Answers are computed from the file alone: nothing is read from
// disk but its pages.
//
// Names can be any bytes but '/' and NUL. Names that are not UTF-8 or that
// contain control characters (C0, DEL, C1, line and bidi separators) are in
// the index and found by stat, list and walk, but complete and fuzzy never
// offer them: a terminal might obey them.
//
// The file may be hostile: open() checks its checksum and its tables, and what
// the checksum cannot show is checked as it is read. A damaged piece reads as
// empty; nothing crashes and every loop ends.
//
// Thread safety: const use from several threads is safe. Moving is cheap.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "image/index/image_builder.hpp"
#include "image/index/layer_index.hpp"

namespace oddjob::image {

// One path as it stands in the image.
struct PathInfo {
  std::string name;                  // last segment; empty for the root
  EntryKind kind = EntryKind::file;  // file, directory, symlink, a device or fifo
  std::uint16_t mode = 0;            // 07777
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;  // of regular files
  std::string link;        // of symlinks: the text
  // What it is after all links: both false where a link leads to nothing.
  bool is_dir = false;
  bool executable = false;  // a regular file with any of mode 0111
  bool printable = true;    // may be shown and offered as it is

  friend bool operator==(const PathInfo&, const PathInfo&) = default;
};

enum class WordKind : std::uint8_t {
  command,   // the first word: executables along PATH, or by path; then directories
  argument,  // any path; scripts of `interpreter` first
  any,       // any path, in the order of names
};

struct CompletionQuery {
  CompletionQuery() = default;
  std::string prefix;  // what is typed of the word so far; may be empty
  std::string cwd;     // absolute; empty: the image's working directory
  WordKind kind = WordKind::any;
  std::vector<std::string> path_dirs;  // for command; empty: the image's PATH
  std::string interpreter;             // for argument: "node", "/usr/bin/python3.11", …; or empty
  std::size_t limit = 200;             // at most this many candidates, 1 to 10,000
};

struct Candidate {
  // The whole word that `prefix` may become: what was typed of the directory,
  // unchanged, and the name; '/' at the end of a directory (so that completion
  // goes on inside), no space anywhere added.
  std::string text;
  bool is_dir = false;  // directories and links to them
  bool executable = false;
  bool is_link = false;
  std::uint64_t size = 0;  // of regular files and links to them

  friend bool operator==(const Candidate&, const Candidate&) = default;
};

struct Completion {
  std::vector<Candidate> candidates;  // best first; within a rank by bytes of the name
  bool more = false;                  // there are more than `limit`
};

struct FuzzyQuery {
  FuzzyQuery() = default;
  std::string pattern;      // a subsequence of the path; lower case matches either case
  std::string under = "/";  // only below this directory
  std::size_t limit = 50;   // 1 to 1,000
};

struct FuzzyMatch {
  std::string path;  // absolute
  int score = 0;     // higher is better
  bool is_dir = false;
  bool executable = false;
  std::vector<std::uint32_t> positions;  // byte offsets in `path` that matched, ascending

  friend bool operator==(const FuzzyMatch&, const FuzzyMatch&) = default;
};

struct Listing {
  std::vector<PathInfo> entries;  // by bytes of the name
  bool more = false;              // go on with `after` = the last name
};

struct IndexStats {
  std::uint64_t paths = 0;  // the root not counted
  std::uint64_t directories = 0;
  std::uint64_t bytes = 0;  // of the file
};

class ImageIndex {
 public:
  // Errors: "index.unreadable" (kind not_found if there is no such file);
  // "index.corrupt" (build it again); "index.version" (written by another
  // version: build it again).
  static Result<ImageIndex> open(const std::string& path);
  // The same over bytes in memory; for tests and small images.
  static Result<ImageIndex> from_bytes(std::string bytes);

  ImageIndex(ImageIndex&&) noexcept;
  ImageIndex& operator=(ImageIndex&&) noexcept;
  ~ImageIndex();

  [[nodiscard]] const ImageFacts& facts() const noexcept;
  [[nodiscard]] IndexStats stats() const noexcept;

  // Candidates for one word. Nothing known gives an empty list, never an error.
  //
  // command: a prefix without '/' is looked for along the path_dirs (the first
  //   directory that has a name wins), then among the directories of cwd; with
  //   '/' by path. Only executables and directories; executables first.
  // argument: scripts of the interpreter by extension, then directories, then
  //   executables, then the rest. Without a known interpreter: directories and
  //   files by name.
  // Names that begin with '.' come last, unless the prefix asks for them. At
  // most 4,096 names of a directory are looked at (`more` is set then); what
  // is typed narrows them.
  [[nodiscard]] Completion complete(const CompletionQuery& query) const;

  // Best matches first. An empty pattern matches nothing. Visits every path
  // below `under` once.
  [[nodiscard]] std::vector<FuzzyMatch> fuzzy(const FuzzyQuery& query) const;

  // What is at `path`; the last segment is not followed if it is a symlink
  // (PathInfo tells where it leads), unless the path ends in '/'. Error
  // "index.no_such_path" (kind not_found).
  [[nodiscard]] Result<PathInfo> stat(std::string_view path, std::string_view cwd = "/") const;

  // The entries of a directory, or of the one a link leads to, from the first
  // name greater than `after` on. Errors: "index.no_such_path",
  // "index.not_a_directory" (kind failed_precondition).
  [[nodiscard]] Result<Listing> list(std::string_view dir, std::string_view after = {},
                                     std::size_t limit = 1000, std::string_view cwd = "/") const;

  // Every path below `dir` (links not followed) in depth-first order, names by
  // bytes; `path` is absolute. `visit` returns false to stop. Errors as list.
  using Visitor = std::function<bool(std::string_view path, const PathInfo& info)>;
  Result<> walk(std::string_view dir, const Visitor& visit) const;

 private:
  struct Impl;
  explicit ImageIndex(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::image
