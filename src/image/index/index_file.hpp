// An index as it lies in memory: its tables checked, its blocks unpacked when
// they are looked at. Thread safety: const use from several threads is safe.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "image/index/block.hpp"
#include "image/index/image_builder.hpp"
#include "image/index/index_format.hpp"

namespace oddjob::image {

class IndexFile {
 public:
  // Errors: as ImageIndex::open.
  static Result<std::unique_ptr<IndexFile>> open(const std::string& path);
  static Result<std::unique_ptr<IndexFile>> from_bytes(std::string bytes);
  ~IndexFile();
  IndexFile(const IndexFile&) = delete;
  IndexFile& operator=(const IndexFile&) = delete;

  struct Directory {
    std::uint32_t first = 0;   // entry
    std::uint32_t count = 0;   // of entries
    std::uint32_t parent = 0;  // of the root: the root
  };
  // Requires number < directories().
  [[nodiscard]] Directory directory(std::uint32_t number) const;

  // One entry and the block that holds it.
  struct Found {
    std::shared_ptr<const Block> block;
    std::uint32_t at = 0;  // in block
    [[nodiscard]] const Block::Entry& entry() const { return (*block)[at]; }
    [[nodiscard]] std::string_view name() const { return block->name(entry()); }
  };

  // Goes through the entries of a directory in order.
  class Walk {
   public:
    Walk(const IndexFile& file, std::uint32_t first, std::uint32_t end)
        : file_(&file), next_(first), end_(end) {}
    // False at the end, and where a block is damaged.
    bool next();
    [[nodiscard]] const Found& found() const noexcept { return found_; }
    [[nodiscard]] const Block::Entry& entry() const { return found_.entry(); }
    [[nodiscard]] std::string_view name() const { return found_.name(); }

   private:
    const IndexFile* file_;
    std::uint32_t next_;
    std::uint32_t end_;
    std::uint32_t block_ = 0;
    std::uint32_t block_first_ = 0;
    Found found_;
  };
  // From the first name of the directory that is not less than `from`.
  [[nodiscard]] Walk walk(const Directory& directory, std::string_view from = {}) const;
  [[nodiscard]] bool find(const Directory& directory, std::string_view name, Found& out) const;

  // The directory that an entry of directory `in` is, or leads to; kNoDirectory
  // if neither, or if the file is damaged there.
  [[nodiscard]] std::uint32_t directory_of(const Block::Entry& entry, std::uint32_t in) const;

  [[nodiscard]] const format::Attribute& attribute(const Block::Entry& e) const {
    return attributes_[e.attribute];
  }
  [[nodiscard]] const format::Attribute& root_attribute() const { return attributes_[root_attribute_]; }
  [[nodiscard]] const ImageFacts& facts() const noexcept { return facts_; }
  [[nodiscard]] std::uint32_t paths() const noexcept { return paths_; }
  [[nodiscard]] std::uint32_t directories() const noexcept { return directories_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return all_.size(); }

 private:
  IndexFile() = default;
  Result<> check();
  Result<> check_directories() const;
  [[nodiscard]] std::uint32_t block_of(std::uint32_t entry) const;
  [[nodiscard]] std::uint32_t first_of_block(std::uint32_t block) const;
  [[nodiscard]] std::shared_ptr<const Block> block(std::uint32_t number) const;
  // The entry with this number; nullopt-like false where its block is damaged.
  [[nodiscard]] bool entry(std::uint32_t number, Found& out) const;
  [[nodiscard]] std::uint32_t lower_bound(const Directory& directory, std::string_view name) const;

  std::string owned_;
  void* mapped_ = nullptr;
  std::string_view all_;
  std::string_view block_table_, groups_, directory_table_, blocks_;
  std::unique_ptr<const Decompressor> decompressor_;
  std::vector<format::Attribute> attributes_;
  ImageFacts facts_;
  std::uint32_t paths_ = 0;
  std::uint32_t directories_ = 0;
  std::uint32_t block_count_ = 0;
  std::uint32_t root_attribute_ = 0;

  // Blocks that were unpacked last, each in the one place its number allows.
  static constexpr std::size_t kCached = 64;
  struct Cached {
    std::uint32_t number = UINT32_MAX;
    std::shared_ptr<const Block> block;
  };
  mutable std::mutex mutex_;
  mutable std::array<Cached, kCached> cache_;
};

}  // namespace oddjob::image
