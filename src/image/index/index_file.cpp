#include "image/index/index_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <isa-l/crc64.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/text.hpp"
#include "image/index/bytes.hpp"
#include "image/index/index_writer.hpp"

namespace oddjob::image {
namespace {

std::unexpected<Error> corrupt(std::string_view what) {
  return fail(Errc::internal, "index.corrupt", fmt::format("the index of an image is damaged: {}", what),
              "delete the file: it is made again from the image");
}

std::uint32_t word_at(std::string_view bytes, std::size_t at) {
  return ByteReader(bytes.substr(at, sizeof(std::uint32_t))).word<std::uint32_t>();
}

}  // namespace

IndexFile::~IndexFile() {
  if (mapped_ != nullptr) ::munmap(mapped_, all_.size());
}

Result<std::unique_ptr<IndexFile>> IndexFile::open(const std::string& path) {
  const auto unreadable = [&](int error) {
    return fail(error == ENOENT ? Errc::not_found : Errc::unavailable, "index.unreadable",
                fmt::format("cannot read the image index {}: {}", printable(path), std::strerror(error)));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return unreadable(errno);
  std::unique_ptr<IndexFile> file(new IndexFile());
  struct stat about {};
  const int failed = ::fstat(fd, &about) != 0 ? errno : 0;
  const auto size = static_cast<std::uint64_t>(about.st_size);
  const bool possible = failed == 0 && S_ISREG(about.st_mode) && size >= format::kHeaderBytes &&
                        size <= 2 * format::kMaxFileBytes;
  void* mapped = possible ? ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0) : nullptr;
  const int map_error = errno;
  ::close(fd);
  if (failed != 0) return unreadable(failed);
  if (!possible) return corrupt("its length is wrong");
  if (mapped == MAP_FAILED) return unreadable(map_error);
  file->mapped_ = mapped;
  file->all_ = {static_cast<const char*>(mapped), static_cast<std::size_t>(size)};
  OJ_CHECK(file->check());
  return file;
}

Result<std::unique_ptr<IndexFile>> IndexFile::from_bytes(std::string bytes) {
  std::unique_ptr<IndexFile> file(new IndexFile());
  file->owned_ = std::move(bytes);
  file->all_ = file->owned_;
  OJ_CHECK(file->check());
  return file;
}

Result<> IndexFile::check() {
  if (all_.size() < format::kHeaderBytes) return corrupt("it is too short");
  if (!all_.starts_with(format::kMagic)) return corrupt("it does not begin as one");
  if (static_cast<std::uint8_t>(all_[format::kVersionAt]) != format::kVersion)
    return fail(Errc::failed_precondition, "index.version",
                fmt::format("the image index is of version {}, this program reads version {}",
                            static_cast<unsigned>(static_cast<unsigned char>(all_[format::kVersionAt])),
                            format::kVersion));
  ByteReader in(all_.substr(format::kChecksumAt, format::kHeaderBytes - format::kChecksumAt));
  const auto sum = in.word<std::uint64_t>();
  const auto size = in.word<std::uint64_t>();
  paths_ = in.word<std::uint32_t>();
  directories_ = in.word<std::uint32_t>();
  block_count_ = in.word<std::uint32_t>();
  const auto attribute_count = in.word<std::uint32_t>();
  root_attribute_ = in.word<std::uint32_t>();
  const auto facts_size = in.word<std::uint32_t>();
  const auto directory_bytes = in.word<std::uint32_t>();
  const auto block_bytes = in.word<std::uint32_t>();
  const auto dictionary_bytes = in.word<std::uint32_t>();
  if (size != all_.size()) return corrupt("its length is wrong");
  const auto checked = all_.substr(format::kCheckedFrom);
  if (crc64_ecma_refl(0, reinterpret_cast<const unsigned char*>(checked.data()), checked.size()) != sum)
    return corrupt("its checksum is wrong");

  ByteReader sections(all_.substr(format::kHeaderBytes));
  const std::uint64_t group_count =
      (static_cast<std::uint64_t>(directories_) + format::kGroup - 1) / format::kGroup;
  const auto facts = sections.take(facts_size);
  ByteReader attributes(sections.take(static_cast<std::uint64_t>(attribute_count) * format::kAttributeBytes));
  block_table_ = sections.take((static_cast<std::uint64_t>(block_count_) + 1) * format::kBlockEntryBytes);
  groups_ = sections.take(group_count * format::kGroupEntryBytes);
  directory_table_ = sections.take(directory_bytes);
  const auto dictionary = sections.take(dictionary_bytes);
  blocks_ = sections.take(block_bytes);
  if (!sections.ok() || sections.left() != 0 || directories_ == 0 || root_attribute_ >= attribute_count)
    return corrupt("its parts do not add up");
  if (dictionary.size() <= format::kMaxDictionaryBytes) decompressor_ = Decompressor::make(dictionary);
  if (decompressor_ == nullptr) return corrupt("its dictionary cannot be read");

  attributes_.reserve(attribute_count);
  for (std::uint32_t i = 0; i < attribute_count; ++i) {
    const auto kind = attributes.word<std::uint8_t>();
    const auto leads = attributes.word<std::uint8_t>();
    format::Attribute a;
    a.mode = static_cast<std::uint16_t>(attributes.word<std::uint16_t>() & 07777U);
    a.uid = attributes.word<std::uint32_t>();
    a.gid = attributes.word<std::uint32_t>();
    if (kind > static_cast<std::uint8_t>(EntryKind::fifo) ||
        leads > static_cast<std::uint8_t>(format::Leads::other))
      return corrupt("an attribute is out of range");
    a.kind = static_cast<EntryKind>(kind);
    a.leads = static_cast<format::Leads>(leads);
    attributes_.push_back(a);
  }
  for (std::uint32_t i = 0; i <= block_count_; ++i) {
    const auto first = first_of_block(i);
    const auto offset = word_at(block_table_, i * format::kBlockEntryBytes + 4);
    const bool last = i == block_count_;
    if ((i == 0 && (first != 0 || offset != 0)) || (last && (first != paths_ || offset != blocks_.size())) ||
        (!last &&
         (first_of_block(i + 1) <= first || first_of_block(i + 1) - first > format::kMaxBlockEntries ||
          word_at(block_table_, (i + 1) * format::kBlockEntryBytes + 4) < offset)))
      return corrupt("its table of blocks is out of order");
  }
  OJ_CHECK(check_directories());
  auto about = facts_from_json(facts);
  if (!about) return corrupt("its facts cannot be read");
  facts_ = std::move(*about);
  return {};
}

// Once, so that directory() can trust the table.
Result<> IndexFile::check_directories() const {
  ByteReader in(directory_table_);
  std::uint64_t first = 0;
  for (std::uint32_t number = 0; number < directories_; ++number) {
    if (number % format::kGroup == 0) {
      const std::size_t at = number / format::kGroup * format::kGroupEntryBytes;
      if (word_at(groups_, at) != first || word_at(groups_, at + 4) != directory_table_.size() - in.left())
        return corrupt("its table of directories is out of order");
    }
    first += in.varint();
    const auto up = in.varint();
    if (!in.ok() || first > paths_ || up > number || (up == 0 && number != 0))
      return corrupt("its table of directories is out of bounds");
  }
  if (first != paths_ || in.left() != 0) return corrupt("its directories do not add up");
  return {};
}

IndexFile::Directory IndexFile::directory(std::uint32_t number) const {
  const std::size_t group = number / format::kGroup * format::kGroupEntryBytes;
  ByteReader in(directory_table_.substr(word_at(groups_, group + 4)));
  Directory out;
  out.first = word_at(groups_, group);
  std::uint32_t up = 0;
  for (std::uint32_t i = 0;; ++i) {
    out.count = static_cast<std::uint32_t>(in.varint());
    up = static_cast<std::uint32_t>(in.varint());
    if (i == number % format::kGroup) break;
    out.first += out.count;
  }
  out.parent = number - up;
  return out;
}

std::uint32_t IndexFile::first_of_block(std::uint32_t block) const {
  return word_at(block_table_, block * format::kBlockEntryBytes);
}

std::uint32_t IndexFile::block_of(std::uint32_t entry) const {
  std::uint32_t low = 0;
  std::uint32_t high = block_count_;
  while (high - low > 1) {
    const auto middle = low + (high - low) / 2;
    (first_of_block(middle) <= entry ? low : high) = middle;
  }
  return low;
}

std::shared_ptr<const Block> IndexFile::block(std::uint32_t number) const {
  auto& slot = cache_[number % kCached];
  {
    const std::lock_guard lock(mutex_);
    if (slot.number == number) return slot.block;
  }
  const auto at = word_at(block_table_, number * format::kBlockEntryBytes + 4);
  const auto end = word_at(block_table_, (number + 1) * format::kBlockEntryBytes + 4);
  auto made = Block::decode(blocks_.substr(at, end - at), first_of_block(number + 1) - first_of_block(number),
                            attributes_, *decompressor_);
  const std::lock_guard lock(mutex_);
  slot = {number, made};
  return made;
}

bool IndexFile::entry(std::uint32_t number, Found& out) const {
  const auto b = block_of(number);
  out.block = block(b);
  out.at = number - first_of_block(b);
  return out.at < out.block->size();
}

// Over whole blocks first: one that is unpacked answers for all its entries.
std::uint32_t IndexFile::lower_bound(const Directory& directory, std::string_view name) const {
  std::uint32_t low = directory.first;
  std::uint32_t high = directory.first + directory.count;
  Found found;
  while (low < high) {
    std::uint32_t middle = low + (high - low) / 2;
    if (!entry(middle, found)) return directory.first + directory.count;
    const std::uint32_t block_first = middle - found.at;
    const std::uint32_t from = std::max(low, block_first);
    const std::uint32_t to = std::min(high, block_first + found.block->size());
    const auto less = [&](std::uint32_t i) {
      return found.block->name((*found.block)[i - block_first]) < name;
    };
    if (!less(from)) {
      high = from;
    } else if (less(to - 1)) {
      low = to;
    } else {
      std::uint32_t a = from;    // less
      std::uint32_t b = to - 1;  // not less
      while (b - a > 1) {
        const auto m = a + (b - a) / 2;
        (less(m) ? a : b) = m;
      }
      return b;
    }
  }
  return low;
}

IndexFile::Walk IndexFile::walk(const Directory& directory, std::string_view from) const {
  const auto first = from.empty() ? directory.first : lower_bound(directory, from);
  return {*this, first, directory.first + directory.count};
}

bool IndexFile::Walk::next() {
  if (next_ >= end_) return false;
  if (found_.block == nullptr || next_ - block_first_ >= found_.block->size()) {
    block_ = found_.block == nullptr ? file_->block_of(next_) : block_ + 1;
    if (block_ >= file_->block_count_) return false;
    block_first_ = file_->first_of_block(block_);
    found_.block = file_->block(block_);
  }
  found_.at = next_ - block_first_;
  if (found_.at >= found_.block->size()) {
    next_ = end_;
    return false;
  }
  ++next_;
  return true;
}

bool IndexFile::find(const Directory& directory, std::string_view name, Found& out) const {
  if (directory.count == 0) return false;
  const auto at = lower_bound(directory, name);
  return at < directory.first + directory.count && entry(at, out) && out.name() == name;
}

std::uint32_t IndexFile::directory_of(const Block::Entry& e, std::uint32_t in) const {
  const auto number = e.directory;
  if (number >= directories_) return kNoDirectory;
  if (attribute(e).kind != EntryKind::directory) return number;
  return number != 0 && directory(number).parent == in ? number : kNoDirectory;
}

}  // namespace oddjob::image
