#include "image/index/tar_reader.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"

namespace oddjob::image {
namespace {

// Of a pax header or a GNU long name, as in Go.
constexpr std::uint64_t kMaxSpecial = 1U << 20U;
// No file is larger than this; with its padding it must not overflow.
constexpr std::uint64_t kMaxFileSize = 1ULL << 62U;

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

std::unexpected<Error> bad_header(std::string what) {
  return fail(Errc::failed_precondition, "layer.bad_header",
              "the layer's tar cannot be read: " + std::move(what), "push the image again");
}

std::uint64_t padding(std::uint64_t size) { return (kTarBlock - size % kTarBlock) % kTarBlock; }

// Types that have no content, whatever their size says.
bool header_only(char type) { return type >= '1' && type <= '6'; }

}  // namespace

Result<> TarReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    switch (state_) {
      case State::ended:
        return {};
      case State::content: {
        const auto n = std::min<std::uint64_t>(skip_, bytes.size());
        bytes.remove_prefix(static_cast<std::size_t>(n));
        skip_ -= n;
        if (skip_ == 0) state_ = State::header;
        break;
      }
      case State::collect: {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(collect_left_, bytes.size()));
        collected_.append(bytes.substr(0, n));
        bytes.remove_prefix(n);
        collect_left_ -= n;
        if (collect_left_ == 0) OJ_CHECK(collected());
        break;
      }
      case State::header:
      case State::sparse_map: {
        if (block_.empty() && bytes.size() >= kTarBlock) {
          OJ_CHECK(block(TarBlock(bytes.data(), kTarBlock)));
          bytes.remove_prefix(kTarBlock);
          break;
        }
        const auto n = std::min(kTarBlock - block_.size(), bytes.size());
        block_.append(bytes.substr(0, n));
        bytes.remove_prefix(n);
        if (block_.size() < kTarBlock) break;
        const auto done = block(TarBlock(block_.data(), kTarBlock));
        block_.clear();
        OJ_CHECK(done);
        break;
      }
    }
  }
  return {};
}

Result<> TarReader::block(TarBlock b) {
  if (state_ == State::sparse_map) {
    if (!sparse_map_continues(b)) pass_over(header_.size);
    return {};
  }
  if (is_zero_block(b)) {
    if (empty_block_) state_ = State::ended;
    empty_block_ = true;
    return {};
  }
  if (empty_block_) return bad_header("a lone empty block stands between two entries");
  return header(b);
}

void TarReader::pass_over(std::uint64_t size) {
  skip_ = size + padding(size);
  state_ = skip_ == 0 ? State::header : State::content;
}

Result<> TarReader::header(TarBlock b) {
  OJ_CHECK(parse_tar_header(b, header_));
  if (header_.size > kMaxFileSize)
    return bad_header(fmt::format("the size of {}", printable(header_.name, 200)));
  switch (header_.type) {
    case 'x':
    case 'g':
    case 'L':
    case 'K':
      if (header_.size > kMaxSpecial)
        return bad_header(
            fmt::format("a header of {} bytes for one entry (at most {})", header_.size, kMaxSpecial));
      pending_ = pending_ || header_.type != 'g';
      collecting_ = header_.type;
      collected_.clear();
      collect_left_ = header_.size;
      state_ = State::collect;
      return header_.size == 0 ? collected() : Result<>();
    default:
      return entry();
  }
}

Result<> TarReader::collected() {
  skip_ = padding(collected_.size());
  state_ = skip_ == 0 ? State::header : State::content;
  const auto text = std::string_view(collected_).substr(0, collected_.find('\0'));
  switch (collecting_) {
    case 'x': {
      OJ_TRY(pax_, parse_pax(collected_));
      break;
    }
    case 'L':
      long_name_ = text;
      break;
    case 'K':
      long_link_ = text;
      break;
    default:
      break;  // global pax headers are about every entry, and no engine applies them
  }
  return {};
}

// A header of something: what came before it is applied, and it is kept.
Result<> TarReader::entry() {
  auto& h = header_;
  std::uint64_t size = h.size;  // as a file has it, holes included
  if (pending_) {
    if (pax_.path) h.name = *pax_.path;
    if (pax_.link) h.link = *pax_.link;
    if (pax_.uid) h.uid = *pax_.uid;
    if (pax_.gid) h.gid = *pax_.gid;
    if (pax_.size) size = h.size = *pax_.size;
    if (!long_name_.empty()) h.name = long_name_;
    if (!long_link_.empty()) h.link = long_link_;
    if (pax_.sparse_name) h.name = *pax_.sparse_name;
    if (pax_.sparse_size) size = *pax_.sparse_size;
    pending_ = false;
    pax_ = {};
    long_name_.clear();
    long_link_.clear();
  }
  if (h.size > kMaxFileSize) return bad_header(fmt::format("the size of {}", printable(h.name, 200)));
  if (header_only(h.type)) {
    pass_over(0);
  } else if (h.sparse_continues) {
    state_ = State::sparse_map;
  } else {
    pass_over(h.size);
  }
  h.real_size = h.type == 'S' ? h.real_size : size;
  switch (h.type) {
    case '\0':
      return emit(h.name.ends_with('/') ? EntryKind::directory : EntryKind::file);
    case '0':
    case '7':
    case 'S':
      return emit(EntryKind::file);
    case '1':
      return emit(EntryKind::hard_link);
    case '2':
      return emit(EntryKind::symlink);
    case '3':
      return emit(EntryKind::character_device);
    case '4':
      return emit(EntryKind::block_device);
    case '5':
      return emit(EntryKind::directory);
    case '6':
      return emit(EntryKind::fifo);
    default:
      ++skipped_;
      return {};
  }
}

Result<> TarReader::emit(EntryKind kind) {
  OJ_CHECK(normalise_path(header_.name, path_));
  LayerEntry e{.path = path_,
               .kind = kind,
               .mode = header_.mode,
               .uid = header_.uid,
               .gid = header_.gid,
               .size = kind == EntryKind::file ? header_.real_size : 0,
               .link = {}};
  const auto slash = path_.rfind('/');
  const auto name = std::string_view(path_).substr(slash == std::string::npos ? 0 : slash + 1);
  if (name.starts_with(kWhiteout)) {
    const auto directory = std::string_view(path_).substr(0, slash == std::string::npos ? 0 : slash);
    if (name.starts_with(kMeta) && name != kOpaque) {  // aufs kept notes of its own under such names
      ++skipped_;
      return {};
    }
    OJ_CHECK(whiteout(e, directory, name));
  } else if (path_.empty() && kind != EntryKind::directory) {
    return fail(Errc::failed_precondition, "layer.unsafe_path",
                "the layer would replace the image's root directory by something else");
  } else if (kind == EntryKind::symlink) {
    if (header_.link.empty())
      return bad_header(fmt::format("the link {} leads nowhere", printable(path_, 200)));
    if (header_.link.size() > kMaxPathBytes)
      return fail(
          Errc::failed_precondition, "layer.path_too_long",
          fmt::format("the target of the link {} has over {} bytes", printable(path_, 200), kMaxPathBytes));
    e.link = header_.link;
  } else if (kind == EntryKind::hard_link) {
    OJ_CHECK(normalise_path(header_.link, link_));
    if (link_.empty())
      return bad_header(fmt::format("the hard link {} leads nowhere", printable(path_, 200)));
    e.link = link_;
  }
  writer_.add(e);
  if (writer_.entries() > limits_.max_entries)
    return fail(Errc::too_large, "layer.too_many_entries",
                fmt::format("the layer has over {} entries", limits_.max_entries));
  if (writer_.path_bytes() > limits_.max_path_bytes || writer_.memory_bytes() > limits_.max_index_bytes)
    return fail(Errc::too_large, "layer.too_many_path_bytes",
                fmt::format("the paths of the layer are longer than an index may hold ({} bytes)",
                            limits_.max_path_bytes));
  return {};
}

// ".wh.NAME" takes NAME away, ".wh..wh..opq" all that the layers below have in the directory.
Result<> TarReader::whiteout(LayerEntry& e, std::string_view directory, std::string_view name) {
  e.mode = 0;
  e.uid = e.gid = 0;
  e.size = 0;
  if (name == kOpaque) {
    e.kind = EntryKind::opaque;
    e.path = directory;
    return {};
  }
  const auto gone = name.substr(kWhiteout.size());
  if (gone.empty() || gone == "." || gone == "..")
    return fail(Errc::failed_precondition, "layer.bad_whiteout",
                fmt::format("the whiteout {} names nothing", printable(path_, 200)),
                "build the image again with another tool");
  e.kind = EntryKind::whiteout;
  link_.assign(directory);
  if (!link_.empty()) link_.push_back('/');
  link_.append(gone);
  e.path = link_;
  return {};
}

Result<LayerIndex> TarReader::finish(LayerStats about) {
  const bool between = state_ == State::ended || (state_ == State::header && block_.empty() && !pending_);
  if (!between)
    return fail(Errc::failed_precondition, "layer.truncated",
                "the layer's tar ends in the middle of an entry", "push the image again");
  about.skipped_entries = skipped_;
  return writer_.finish(about);
}

}  // namespace oddjob::image
