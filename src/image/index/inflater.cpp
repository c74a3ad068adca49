#include "image/index/inflater.hpp"

#include <fmt/format.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>

namespace oddjob::image {
namespace {

// Large enough for igzip to work in it rather than in its own buffer, small
// enough to stay in a core's cache.
constexpr std::size_t kOutBytes = 256U << 10U;

// igzip's assembler reads some bytes past the end of its input, so it gets a copy
// with room behind it.
constexpr std::size_t kInBytes = 64U << 10U;
constexpr std::size_t kInSlop = 256;

std::unexpected<Error> corrupt(std::string_view why) {
  return fail(Errc::failed_precondition, "layer.corrupt",
              fmt::format("the layer's compressed data is damaged: {}", why), "push the image again");
}

std::uint32_t little_endian(std::span<const std::byte, 4> b) {
  std::uint32_t v = 0;
  for (int i = 3; i >= 0; --i) v = (v << 8U) | static_cast<std::uint32_t>(b[static_cast<std::size_t>(i)]);
  return v;
}

std::string_view igzip_reason(int code) {
  switch (code) {
    case ISAL_INVALID_BLOCK:
      return "an invalid deflate block";
    case ISAL_INVALID_SYMBOL:
      return "an invalid deflate symbol";
    case ISAL_INVALID_LOOKBACK:
      return "a deflate distance before the beginning";
    case ISAL_INVALID_WRAPPER:
      return "a gzip member does not begin as one";
    case ISAL_UNSUPPORTED_METHOD:
      return "a gzip member is not deflated";
    case ISAL_INCORRECT_CHECKSUM:
      return "a gzip checksum is wrong";
    default:
      return "an unknown error of igzip";
  }
}

}  // namespace

struct Inflater::Gzip {
  enum class Where : std::uint8_t { between, header, body };

  inflate_state state{};
  isal_gzip_header header{};
  Where where = Where::between;
  bool padding = false;  // zeros after a member: nothing else may follow
  std::unique_ptr<std::byte[]> staged = std::make_unique<std::byte[]>(kInBytes + kInSlop);

  void begin() {
    isal_inflate_reset(&state);  // leaves the input as it is
    state.crc_flag = ISAL_GZIP_NO_HDR_VER;
    isal_gzip_header_init(&header);
    where = Where::header;
  }
};

struct Inflater::Zstd {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  bool frame_open = false;

  Zstd() = default;
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
  ~Zstd() { ZSTD_freeDCtx(context); }
};

Inflater::Inflater(int max_window_log) : max_window_log_(max_window_log) {}
Inflater::~Inflater() = default;
Inflater::Inflater(Inflater&& other) noexcept { *this = std::move(other); }
Inflater& Inflater::operator=(Inflater&& other) noexcept {
  max_window_log_ = other.max_window_log_;
  compression_ = other.compression_;
  ended_ = other.ended_;
  magic_ = other.magic_;
  magic_size_ = other.magic_size_;
  // A view into the array that was just copied.
  magic_left_ = std::span(magic_).subspan(magic_size_ - other.magic_left_.size(), other.magic_left_.size());
  rest_ = other.rest_;
  out_ = std::move(other.out_);
  gzip_ = std::move(other.gzip_);
  zstd_ = std::move(other.zstd_);
  return *this;
}

void Inflater::give(std::span<const std::byte> blob) noexcept { rest_ = blob; }
void Inflater::end_of_blob() noexcept { ended_ = true; }

bool Inflater::decide() {
  const auto n = std::min(kMagicBytes - magic_size_, rest_.size());
  std::copy_n(rest_.begin(), n, magic_.begin() + static_cast<std::ptrdiff_t>(magic_size_));
  magic_size_ += n;
  rest_ = rest_.subspan(n);
  if (magic_size_ < kMagicBytes && !ended_) return false;
  if (magic_size_ == 0) return false;
  magic_left_ = std::span(magic_).first(magic_size_);
  const auto word = little_endian(magic_);
  if ((word & 0xFFFFU) == 0x8B1FU) {
    compression_ = Compression::gzip;
    gzip_ = std::make_unique<Gzip>();
  } else if (magic_size_ == kMagicBytes &&
             (word == ZSTD_MAGICNUMBER || (word & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START)) {
    compression_ = Compression::zstd;
    zstd_ = std::make_unique<Zstd>();
    ZSTD_DCtx_setParameter(zstd_->context, ZSTD_d_windowLogMax, max_window_log_);
  } else {
    compression_ = Compression::none;
    return true;
  }
  out_ = std::make_unique_for_overwrite<std::byte[]>(kOutBytes);
  return true;
}

Result<std::span<const std::byte>> Inflater::next() {
  if (compression_ == Compression::undecided && !decide()) return std::span<const std::byte>();
  for (;;) {
    // The magic number is inflated like any other piece of the blob.
    std::span<const std::byte> after;
    const bool from_magic = !magic_left_.empty();
    if (from_magic) {
      after = rest_;
      rest_ = magic_left_;
    }
    Result<std::span<const std::byte>> out = std::span<const std::byte>();
    switch (compression_) {
      case Compression::gzip:
        out = next_gzip();
        break;
      case Compression::zstd:
        out = next_zstd();
        break;
      default:
        out = std::exchange(rest_, {});
        break;
    }
    if (!out) return out;
    if (!from_magic) return out;
    magic_left_ = rest_;
    rest_ = after;
    if (!out->empty()) return out;
  }
}

Result<std::span<const std::byte>> Inflater::next_gzip() {
  auto& g = *gzip_;
  auto& s = g.state;
  for (;;) {
    if (s.avail_in == 0 && !rest_.empty()) {
      const auto n = std::min(rest_.size(), kInBytes);
      std::copy_n(rest_.begin(), n, g.staged.get());
      rest_ = rest_.subspan(n);
      s.next_in = reinterpret_cast<std::uint8_t*>(g.staged.get());
      s.avail_in = static_cast<std::uint32_t>(n);
    }
    if (g.where == Gzip::Where::between) {
      // Some writers pad a blob with zeros; anything else must be a member.
      for (; s.block_state == ISAL_BLOCK_FINISH && s.avail_in != 0 && *s.next_in == 0;
           --s.avail_in, ++s.next_in)
        g.padding = true;
      if (s.avail_in == 0) {
        if (rest_.empty()) return std::span<const std::byte>();
        continue;
      }
      if (g.padding) return corrupt("something follows the padding after a gzip member");
      g.begin();
    }
    if (g.where == Gzip::Where::header) {
      // Read apart from the body: isal_inflate() forgets a header's flags when it is cut in two.
      const int code = isal_read_gzip_header(&s, &g.header);
      if (code == ISAL_DECOMP_OK) {
        g.where = Gzip::Where::body;
      } else if (code != ISAL_END_INPUT) {
        return corrupt(igzip_reason(code));
      } else if (rest_.empty()) {
        return std::span<const std::byte>();
      }
      continue;
    }
    s.next_out = reinterpret_cast<std::uint8_t*>(out_.get());
    s.avail_out = kOutBytes;
    const auto before = s.avail_in;
    const int code = isal_inflate(&s);
    if (code != ISAL_DECOMP_OK) return corrupt(igzip_reason(code));
    const std::size_t made = kOutBytes - s.avail_out;
    if (s.block_state == ISAL_BLOCK_FINISH) g.where = Gzip::Where::between;
    if (made != 0) return std::span<const std::byte>(out_.get(), made);
    if (g.where == Gzip::Where::between || s.avail_in < before || (s.avail_in == 0 && !rest_.empty()))
      continue;
    if (s.avail_in != 0) return corrupt("igzip makes no progress");
    return std::span<const std::byte>();
  }
}

Result<std::span<const std::byte>> Inflater::next_zstd() {
  auto& z = *zstd_;
  for (;;) {
    ZSTD_inBuffer in{rest_.data(), rest_.size(), 0};
    ZSTD_outBuffer out{out_.get(), kOutBytes, 0};
    // With a frame open, libzstd may still have output to flush although no input is left.
    if (in.size == 0 && !z.frame_open) return std::span<const std::byte>();
    const std::size_t hint = ZSTD_decompressStream(z.context, &out, &in);
    rest_ = rest_.subspan(in.pos);
    if (ZSTD_isError(hint) != 0) {
      if (ZSTD_getErrorCode(hint) == ZSTD_error_frameParameter_windowTooLarge)
        return fail(Errc::too_large, "layer.window_too_large",
                    fmt::format("the layer needs a zstd window of over {} MiB",
                                (1ULL << static_cast<unsigned>(max_window_log_)) >> 20U),
                    "compress it without --long or --ultra");
      return corrupt(ZSTD_getErrorName(hint));
    }
    z.frame_open = hint != 0;
    if (out.pos != 0) return std::span<const std::byte>(out_.get(), out.pos);
    if (rest_.empty()) return std::span<const std::byte>();
    if (in.pos == 0) return corrupt("zstd makes no progress");
  }
}

Result<> Inflater::finish() const {
  const bool whole = compression_ == Compression::gzip   ? gzip_->where == Gzip::Where::between
                     : compression_ == Compression::zstd ? !zstd_->frame_open
                                                         : true;
  if (whole) return {};
  return fail(Errc::failed_precondition, "layer.truncated",
              "the layer ends in the middle of its compressed data", "push the image again");
}

}  // namespace oddjob::image
