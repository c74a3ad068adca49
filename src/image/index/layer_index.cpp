#include "image/index/layer_index.hpp"

#include <isa-l/crc64.h>
#include <sys/stat.h>
#include <zstd.h>

#include <algorithm>

#include "core/text.hpp"
#include "fs/files.hpp"
#include "image/index/bytes.hpp"

namespace oddjob::image {
namespace {

constexpr std::string_view kMagic = "OJLAYER\x01";
constexpr std::size_t kMaxFileBytes = 512U << 20U;
constexpr int kLevel = 3;

// Of an encoded entry's first byte.
constexpr unsigned kKindMask = 0x0F;
constexpr unsigned kNewOwner = 0x10;  // mode, uid and gid follow; else they are the entry's before
constexpr unsigned kHasSize = 0x20;

std::size_t shared_prefix(std::string_view a, std::string_view b) {
  const auto n = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin()).first - a.begin());
}

std::uint64_t checksum(std::string_view bytes) {
  return crc64_ecma_refl(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

std::unexpected<Error> corrupt(std::string_view what) {
  return fail(Errc::internal, "layer.index_corrupt",
              "the stored index of a layer is damaged: " + std::string(what),
              "delete the file: it is made again from the layer");
}

// What LayerEntry promises of a path, looked at from `from` on.
bool is_normal(std::string_view path, std::size_t from) {
  if (path.empty()) return true;
  if (path.find('\0', from) != std::string_view::npos) return false;
  auto at = from == 0 ? std::string_view::npos : path.rfind('/', from - 1);
  at = at == std::string_view::npos ? 0 : at + 1;
  for (;;) {
    const auto slash = std::min(path.find('/', at), path.size());
    const auto segment = path.substr(at, slash - at);
    if (segment.empty() || segment == "." || segment == "..") return false;
    if (slash == path.size()) return true;
    at = slash + 1;
  }
}

bool has_link(EntryKind kind) { return kind == EntryKind::symlink || kind == EntryKind::hard_link; }

}  // namespace

void LayerIndex::Writer::add(const LayerEntry& entry) {
  unsigned head = static_cast<unsigned>(entry.kind);
  const bool new_owner = entry.mode != mode_ || entry.uid != uid_ || entry.gid != gid_;
  if (new_owner) head |= kNewOwner;
  if (entry.size != 0) head |= kHasSize;
  encoded_.push_back(static_cast<char>(head));
  const std::size_t shared = shared_prefix(path_, entry.path);
  put_varint(encoded_, shared);
  put_varint(encoded_, entry.path.size() - shared);
  encoded_.append(entry.path.substr(shared));
  if (new_owner) {
    put_varint(encoded_, mode_ = entry.mode);
    put_varint(encoded_, uid_ = entry.uid);
    put_varint(encoded_, gid_ = entry.gid);
  }
  if (entry.size != 0) put_varint(encoded_, entry.size);
  if (has_link(entry.kind)) {
    put_varint(encoded_, entry.link.size());
    encoded_.append(entry.link);
  }
  path_.resize(shared);
  path_.append(entry.path.substr(shared));
  ++stats_.entries;
  stats_.path_bytes += entry.path.size() + (has_link(entry.kind) ? entry.link.size() : 0);
}

LayerIndex LayerIndex::Writer::finish(const LayerStats& about) {
  LayerIndex out;
  out.stats_ = about;
  out.stats_.entries = stats_.entries;
  out.stats_.path_bytes = stats_.path_bytes;
  out.encoded_ = std::move(encoded_);
  out.encoded_.shrink_to_fit();
  *this = Writer();
  return out;
}

Result<bool> LayerIndex::Cursor::next(LayerEntry& entry) {
  if (left_ == 0) return false;
  ByteReader in(rest_);
  const auto head = in.word<std::uint8_t>();
  const auto kind = static_cast<EntryKind>(head & kKindMask);
  const auto shared = in.varint();
  const auto suffix = in.take(in.varint());
  if ((head & kNewOwner) != 0) {
    mode_ = static_cast<std::uint16_t>(in.varint() & 07777U);
    uid_ = static_cast<std::uint32_t>(in.varint());
    gid_ = static_cast<std::uint32_t>(in.varint());
  }
  const auto size = (head & kHasSize) != 0 ? in.varint() : 0;
  const auto link = has_link(kind) ? in.take(in.varint()) : std::string_view();
  if (!in.ok() || kind > EntryKind::opaque || shared > path_.size() ||
      shared + suffix.size() > kMaxPathBytes || link.size() > kMaxPathBytes)
    return corrupt("an entry is out of bounds");
  path_.resize(static_cast<std::size_t>(shared));
  path_.append(suffix);
  if (!is_normal(path_, static_cast<std::size_t>(shared)) || link.find('\0') != std::string_view::npos)
    return corrupt("a path is none");
  rest_ = in.rest();
  --left_;
  entry = {.path = path_, .kind = kind, .mode = mode_, .uid = uid_, .gid = gid_, .size = size, .link = link};
  return true;
}

std::string LayerIndex::encode() const {
  std::string out(kMagic);
  put_word(out, stats_.entries);
  put_word(out, stats_.path_bytes);
  put_word(out, stats_.compressed_bytes);
  put_word(out, stats_.uncompressed_bytes);
  put_word(out, stats_.skipped_entries);
  put_word(out, static_cast<std::uint64_t>(encoded_.size()));
  const std::size_t head = out.size();
  out.resize(head + ZSTD_compressBound(encoded_.size()));
  const std::size_t n =
      ZSTD_compress(out.data() + head, out.size() - head, encoded_.data(), encoded_.size(), kLevel);
  out.resize(head + (ZSTD_isError(n) != 0 ? 0 : n));  // fails only without memory; decode() would then say so
  put_word(out, checksum(out));
  return out;
}

Result<LayerIndex> LayerIndex::decode(std::span<const std::byte> bytes, std::size_t max_memory_bytes) {
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (all.size() < kMagic.size() + 7 * sizeof(std::uint64_t)) return corrupt("it is too short");
  if (!all.starts_with(kMagic)) return corrupt("it does not begin as one");
  const auto body = all.substr(0, all.size() - sizeof(std::uint64_t));
  if (ByteReader(all.substr(body.size())).word<std::uint64_t>() != checksum(body))
    return corrupt("its checksum is wrong");
  ByteReader in(body.substr(kMagic.size()));
  LayerIndex out;
  out.stats_.entries = in.word<std::uint64_t>();
  out.stats_.path_bytes = in.word<std::uint64_t>();
  out.stats_.compressed_bytes = in.word<std::uint64_t>();
  out.stats_.uncompressed_bytes = in.word<std::uint64_t>();
  out.stats_.skipped_entries = in.word<std::uint64_t>();
  const auto length = in.word<std::uint64_t>();
  const auto frame = in.rest();
  if (length > max_memory_bytes)
    return fail(Errc::too_large, "layer.index_too_large",
                "the stored index of a layer unpacks to " + std::to_string(length) + " bytes");
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != length) return corrupt("its length is wrong");
  out.encoded_.resize(static_cast<std::size_t>(length));
  const std::size_t n = ZSTD_decompress(out.encoded_.data(), out.encoded_.size(), frame.data(), frame.size());
  if (ZSTD_isError(n) != 0 || n != length) return corrupt("it does not decompress");
  return out;
}

Result<LayerIndex> LayerIndex::load(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0 && errno == ENOENT)
    return fail(Errc::not_found, "layer.index_unreadable",
                "there is no stored layer index " + printable(path));
  OJ_TRY(const std::string bytes, fs::read_file(path, kMaxFileBytes, "layer.index_unreadable"));
  return decode(std::as_bytes(std::span(bytes)));
}

Result<> LayerIndex::save(const std::string& path) const { return fs::write_private_file(path, encode()); }

}  // namespace oddjob::image
