// The index files on disk, by digest, within a size. Blocking calls: for a
// pool's thread. Thread-safe.
//
//   <folder>/layers/<algorithm>-<hex>       one layer (LayerIndex)
//   <folder>/images/<algorithm>-<hex>       one image (ImageIndex), by its manifest
//   <folder>/names/<sha256 of the question> which manifest a name led to (JSON)
//
// Everything here can be made again: a file that is damaged or of another
// version counts as absent, and may be deleted at any time.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"

namespace oddjob::image {

enum class FileKind { layer, image, name };

class IndexFiles {
 public:
  IndexFiles(std::string folder, std::uint64_t max_bytes);
  // Makes the folders (0700), looks at what is there, drops what is too much.
  // Error "image.store_unwritable".
  Result<> open();

  [[nodiscard]] std::string path(FileKind kind, std::string_view key) const;
  [[nodiscard]] bool has(FileKind kind, std::string_view key) const;
  // Somebody uses it now: it goes last.
  void touch(FileKind kind, std::string_view key);
  // A file at path() is new or was replaced. Older ones are dropped to make
  // room; names and what is pinned are not, nor is this one.
  void added(FileKind kind, std::string_view key);
  // Somebody will need it in a moment. As often unpinned as pinned.
  void pin(std::string_view key);
  void unpin(std::string_view key);
  void remove(FileKind kind, std::string_view key);

  struct Totals {
    std::uint64_t bytes = 0, images = 0, layers = 0, evicted = 0;
  };
  [[nodiscard]] Totals totals() const;
  struct Entry {
    std::string digest;
    std::uint64_t bytes = 0;
    Time last_used{};
  };
  [[nodiscard]] std::vector<Entry> images() const;

 private:
  struct File {
    FileKind kind;
    std::string key;
    std::uint64_t bytes = 0;
    Time used{};
  };
  void make_room(std::string_view keep);  // under the lock
  std::string folder_;
  std::uint64_t max_bytes_;
  mutable std::mutex mutex_;
  std::map<std::string, File> files_;  // by path
  std::multiset<std::string, std::less<>> pinned_;
  std::uint64_t bytes_ = 0, evicted_ = 0;
};

}  // namespace oddjob::image
