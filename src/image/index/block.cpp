#include "image/index/block.hpp"

#include <algorithm>
#include <bit>

namespace oddjob::image {
namespace {

constexpr std::size_t kMaxShared = 255;

std::size_t shared_prefix(std::string_view a, std::string_view b) {
  const std::size_t most = std::min({a.size(), b.size(), kMaxShared});
  std::size_t n = 0;
  while (n < most && a[n] == b[n]) ++n;
  return n;
}

// Up to the next NUL, which is taken too; nullopt-like flag in `ok`.
std::string_view take_text(std::string_view& from, bool& ok) {
  const auto end = from.find('\0');
  if (end == std::string_view::npos) return ok = false, std::string_view();
  const auto out = from.substr(0, end);
  from.remove_prefix(end + 1);
  return out;
}

}  // namespace

void BlockBuilder::add(const Entry& e, bool first_of_directory) {
  const std::size_t shared = first_of_directory || entries_ == 0 ? 0 : shared_prefix(last_name_, e.name);
  shared_.push_back(static_cast<char>(shared));
  put_varint(attributes_, e.attribute_id);
  names_.append(e.name.substr(shared));
  names_.push_back('\0');
  if (format::has_directory(*e.attribute)) {
    if (e.attribute->kind == EntryKind::directory) {
      put_varint(directories_, zigzag(static_cast<std::int64_t>(e.directory) - last_directory_));
      last_directory_ = e.directory;
    } else {
      put_varint(directories_, e.directory);
    }
  }
  if (e.attribute->kind == EntryKind::symlink) {
    links_.append(e.link);
    links_.push_back('\0');
  }
  if (e.attribute->kind == EntryKind::file) {
    // The highest bit is always set: the width says it.
    const auto width = static_cast<unsigned>(std::bit_width(e.size));
    widths_.push_back(static_cast<char>(width));
    if (width > 1) sizes_.put(e.size, width - 1);
  }
  last_name_ = e.name;
  names_bytes_ += e.name.size();
  ++entries_;
}

bool BlockBuilder::full() const noexcept {
  return entries_ >= format::kBlockEntries || names_bytes_ >= format::kBlockNames ||
         shared_.size() + attributes_.size() + directories_.size() + widths_.size() + names_.size() +
                 links_.size() >=
             format::kBlockBytes;
}

BlockBuilder::Parts BlockBuilder::finish() {
  Parts out;
  for (const auto* column : {&attributes_, &directories_, &widths_, &names_})
    put_varint(out.columns, column->size());
  for (auto* column : {&shared_, &attributes_, &directories_, &widths_, &names_, &links_}) {
    out.columns.append(*column);
    column->clear();
  }
  out.sizes = sizes_.take();
  last_name_.clear();
  entries_ = 0;
  names_bytes_ = 0;
  last_directory_ = 0;
  return out;
}

std::shared_ptr<const Block> Block::decode(std::string_view bytes, std::uint32_t count,
                                           std::span<const format::Attribute> attributes,
                                           const Decompressor& decompressor) {
  auto block = std::make_shared<Block>();
  if (!block->read(bytes, count, attributes, decompressor)) *block = Block();
  return block;
}

bool Block::read(std::string_view bytes, std::uint32_t count, std::span<const format::Attribute> attributes,
                 const Decompressor& decompressor) {
  ByteReader all(bytes);
  const auto frame = all.take(all.varint());
  if (!all.ok() || count > format::kMaxBlockEntries) return false;
  const auto columns = decompressor.decompress(frame);
  if (!columns.ok) return false;

  ByteReader in(columns.bytes);
  const auto attributes_size = in.varint();
  const auto directories_size = in.varint();
  const auto widths_size = in.varint();
  const auto names_size = in.varint();
  const auto shared = in.take(count);
  ByteReader attribute_ids(in.take(attributes_size));
  ByteReader directories(in.take(directories_size));
  ByteReader widths(in.take(widths_size));
  auto names = in.take(names_size);
  auto links = in.rest();
  BitReader sizes(all.rest());
  if (!in.ok()) return false;

  bool ok = true;
  std::uint64_t last_directory = 0;
  std::size_t last_at = 0;
  std::size_t last_size = 0;
  entries_.reserve(count);
  text_.reserve(names.size() * 2 + links.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    Entry e;
    const auto id = attribute_ids.varint();
    if (!attribute_ids.ok() || id >= attributes.size()) return false;
    const auto& attribute = attributes[id];
    e.attribute = static_cast<std::uint32_t>(id);
    const auto suffix = take_text(names, ok);
    const std::size_t common = static_cast<unsigned char>(shared[i]);
    const std::size_t length = common + suffix.size();
    if (!ok || common > last_size || length == 0 || length > kMaxPathBytes ||
        suffix.find('/') != std::string_view::npos)
      return false;
    e.name_at = static_cast<std::uint32_t>(text_.size());
    e.name_size = static_cast<std::uint16_t>(length);
    text_.append(text_, last_at, common);
    text_.append(suffix);
    last_at = e.name_at;
    last_size = length;
    if (format::has_directory(attribute)) {
      auto number = directories.varint();
      if (attribute.kind == EntryKind::directory) number = last_directory += unzigzag(number);
      e.directory = number < kNoDirectory ? static_cast<std::uint32_t>(number) : kNoDirectory;
    }
    if (attribute.kind == EntryKind::symlink) {
      const auto text = take_text(links, ok);
      if (!ok || text.size() > kMaxPathBytes) return false;
      e.link_at = static_cast<std::uint32_t>(text_.size());
      e.link_size = static_cast<std::uint16_t>(text.size());
      text_.append(text);
    }
    if (attribute.kind == EntryKind::file) {
      const auto width = widths.word<std::uint8_t>();
      if (width > 64) return false;
      if (width > 0) e.size = (std::uint64_t{1} << (width - 1U)) | sizes.take(width - 1U);
    }
    if (text_.size() > format::kMaxBlockNames) return false;
    entries_.push_back(e);
  }
  return directories.ok() && widths.ok() && sizes.ok();
}

}  // namespace oddjob::image
