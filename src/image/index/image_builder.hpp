// Merges layers into the paths that a container of the image sees, and writes
// them as one file for ImageIndex.
//
// What is merged, and how, is what unpacking does (OCI image-spec, and umoci
// where the specification is silent): layers from the lowest up, entries in
// their order; whiteouts and opaque markers hide only what lower layers had; a
// directory over a directory keeps its content, anything else replaces what was
// there; an entry below a path that is a symlink lands where the link leads,
// inside the root; directories without an entry of their own have mode 0755.
// A hard link becomes what its target is at that moment.
//
// Thread safety: none; one builder belongs to one caller.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "image/index/layer_index.hpp"

namespace oddjob::image {

// What the index remembers of the image beside its paths. Every field may be empty.
struct ImageFacts {
  ImageFacts() = default;
  std::string digest;                   // of the manifest: "sha256:…"
  std::string platform;                 // "linux/amd64"
  std::string working_dir;              // config.WorkingDir; empty means "/"
  std::vector<std::string> path_dirs;   // PATH of config.Env, split; empty: the usual six directories
  std::vector<std::string> entrypoint;  // config.Entrypoint
  std::vector<std::string> command;     // config.Cmd

  friend bool operator==(const ImageFacts&, const ImageFacts&) = default;
};

struct BuildLimits {
  BuildLimits() = default;
  std::uint64_t max_paths = 4'000'000;           // of all layers together: "image.too_many_paths"
  std::uint64_t max_memory_bytes = 1ULL << 30U;  // of the tree being merged: "image.too_large"
  // Path segments walked, through links too; an ordinary image takes about
  // three a path. "image.too_complex"
  std::uint64_t max_steps = 200'000'000;
};

struct BuildStats {
  std::uint64_t paths = 0;  // the root not counted
  std::uint64_t directories = 0;
  std::uint64_t bytes = 0;       // of the index file, and of those:
  std::uint64_t name_bytes = 0;  // names, links, attributes and widths of sizes, compressed
  std::uint64_t size_bytes = 0;  // sizes
  std::uint64_t directory_bytes = 0;
  std::uint64_t dictionary_bytes = 0;
  std::uint64_t broken_links = 0;  // hard links to nothing: left out
};

class ImageBuilder {
 public:
  explicit ImageBuilder(const BuildLimits& limits = BuildLimits());
  ~ImageBuilder();
  ImageBuilder(ImageBuilder&&) noexcept;
  ImageBuilder& operator=(ImageBuilder&&) noexcept;

  // The next layer up. It may be dropped afterwards, so that no two layers need
  // be in memory at once. Errors: the limits'; "image.link_cycle" when an entry
  // stands below a symlink that leads nowhere but to symlinks (over 255 of them);
  // "image.path_too_long" when an entry lands at a path over kMaxPathBytes;
  // "layer.index_corrupt". After an error the builder is of no use.
  Result<> add(const LayerIndex& layer);

  // The finished index as bytes; ImageIndex::from_bytes takes them. The builder
  // may not be used afterwards. Errors: "image.too_large".
  Result<std::string> finish(const ImageFacts& facts, BuildStats* stats = nullptr);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// add() for each of `layers`, lowest first, then finish() into a file that is
// written beside `path`, synced and renamed over it, mode 0600. Readers that
// have the old file open keep it. Errors: theirs, and "file.unwritable".
Result<BuildStats> build_index(std::span<const LayerIndex* const> layers, const ImageFacts& facts,
                               const std::string& path, const BuildLimits& limits = BuildLimits());

}  // namespace oddjob::image
