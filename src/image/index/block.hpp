// One block of an index: the entries of consecutive directories, or a part of
// one, in columns, compressed (docs/formats/image-index.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "image/index/bytes.hpp"
#include "image/index/dictionary.hpp"
#include "image/index/index_format.hpp"

namespace oddjob::image {

inline constexpr std::uint32_t kNoDirectory = UINT32_MAX;

class BlockBuilder {
 public:
  struct Entry {
    std::string_view name;
    std::uint32_t attribute_id = 0;
    const format::Attribute* attribute = nullptr;
    std::uint32_t directory = kNoDirectory;  // where has_directory()
    std::string_view link;                   // of symlinks
    std::uint64_t size = 0;                  // of files
  };
  // The next entry; `first_of_directory` starts names afresh.
  void add(const Entry& entry, bool first_of_directory);
  [[nodiscard]] bool full() const noexcept;
  [[nodiscard]] std::uint32_t entries() const noexcept { return entries_; }
  // The builder is empty afterwards. A block is `columns` compressed, its length
  // before it (varint), and `sizes` behind it.
  struct Parts {
    std::string columns;
    std::string sizes;
  };
  Parts finish();

 private:
  std::uint32_t entries_ = 0;
  std::size_t names_bytes_ = 0;
  std::uint32_t last_directory_ = 0;
  std::string last_name_;
  std::string shared_, attributes_, directories_, widths_, names_, links_;
  BitWriter sizes_;
};

class Block {
 public:
  struct Entry {
    std::uint64_t size = 0;
    std::uint32_t name_at = 0;
    std::uint32_t link_at = 0;
    std::uint32_t attribute = 0;
    std::uint32_t directory = kNoDirectory;
    std::uint16_t name_size = 0;
    std::uint16_t link_size = 0;
  };

  // `bytes` may be anything; a block that is damaged has no entries. Otherwise
  // there are exactly `count`, their attributes are below attributes.size(), and
  // their names neither empty nor with '/' or NUL.
  static std::shared_ptr<const Block> decode(std::string_view bytes, std::uint32_t count,
                                             std::span<const format::Attribute> attributes,
                                             const Decompressor& decompressor);

  [[nodiscard]] std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(entries_.size()); }
  [[nodiscard]] const Entry& operator[](std::uint32_t i) const { return entries_[i]; }
  [[nodiscard]] std::string_view name(const Entry& e) const {
    return std::string_view(text_).substr(e.name_at, e.name_size);
  }
  [[nodiscard]] std::string_view link(const Entry& e) const {
    return std::string_view(text_).substr(e.link_at, e.link_size);
  }

 private:
  bool read(std::string_view bytes, std::uint32_t count, std::span<const format::Attribute> attributes,
            const Decompressor& decompressor);

  std::vector<Entry> entries_;
  std::string text_;
};

}  // namespace oddjob::image
