// Numbers in the room's files: LEB128 varints and little-endian words, read with
// bounds checks from bytes that may be anything.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace oddjob::image {

inline void put_varint(std::string& out, std::uint64_t v) {
  while (v >= 0x80) {
    out.push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out.push_back(static_cast<char>(v));
}

// Small numbers of either sign as small numbers without one.
inline std::uint64_t zigzag(std::int64_t v) noexcept {
  return (static_cast<std::uint64_t>(v) << 1U) ^ static_cast<std::uint64_t>(v >> 63);
}
inline std::uint64_t unzigzag(std::uint64_t v) noexcept { return (v >> 1U) ^ (~(v & 1U) + 1U); }

template <class T>
void put_word(std::string& out, T v) {  // little-endian
  for (std::size_t i = 0; i < sizeof v; ++i)
    out.push_back(static_cast<char>(static_cast<std::uint64_t>(v) >> (8 * i)));
}

// Numbers of any width, one behind the other, the lowest bits first.
class BitWriter {
 public:
  // Requires bits <= 64; of `v` only the lowest ones are taken.
  void put(std::uint64_t v, unsigned bits) {
    for (unsigned done = 0; done < bits; ++done, ++count_) {
      if (count_ % 8 == 0) bytes_.push_back('\0');
      const auto bit = static_cast<unsigned char>((v >> done) & 1U);
      bytes_.back() = static_cast<char>(static_cast<unsigned char>(bytes_.back()) | (bit << (count_ % 8)));
    }
  }
  // The bytes so far, the last one filled up with zeros; it begins anew.
  std::string take() {
    count_ = 0;
    return std::exchange(bytes_, {});
  }

 private:
  std::string bytes_;
  std::size_t count_ = 0;
};

class BitReader {
 public:
  explicit BitReader(std::string_view bytes) : bytes_(bytes) {}
  // Requires bits <= 64. Past the end: zeros, and ok() is false.
  std::uint64_t take(unsigned bits) noexcept {
    std::uint64_t v = 0;
    for (unsigned got = 0; got < bits;) {
      if (at_ / 8 >= bytes_.size()) return ok_ = false, 0;
      const auto shift = static_cast<unsigned>(at_ % 8);
      const unsigned n = std::min(8 - shift, bits - got);
      const auto byte = static_cast<unsigned char>(bytes_[at_ / 8]);
      v |= static_cast<std::uint64_t>((byte >> shift) & ((1U << n) - 1)) << got;
      got += n;
      at_ += n;
    }
    return v;
  }
  [[nodiscard]] bool ok() const noexcept { return ok_; }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;  // in bits
  bool ok_ = true;
};

// Takes pieces off the front. After a read past the end, ok() is false and every
// answer is zero or empty.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : p_(bytes.data()), end_(p_ + bytes.size()) {}

  std::uint64_t varint() noexcept {
    std::uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (p_ == end_) break;
      const auto b = static_cast<unsigned char>(*p_++);
      v |= static_cast<std::uint64_t>(b & 0x7FU) << shift;
      if (b < 0x80) return v;
    }
    return bad();
  }
  template <class T>
  T word() noexcept {
    if (left() < sizeof(T)) return static_cast<T>(bad());
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      v |= static_cast<std::uint64_t>(static_cast<unsigned char>(p_[i])) << (8 * i);
    p_ += sizeof(T);
    return static_cast<T>(v);
  }
  std::string_view take(std::uint64_t n) noexcept {
    if (n > left()) return bad(), std::string_view();
    const std::string_view out(p_, static_cast<std::size_t>(n));
    p_ += n;
    return out;
  }
  [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - p_); }
  [[nodiscard]] std::string_view rest() const noexcept { return {p_, left()}; }
  [[nodiscard]] bool ok() const noexcept { return ok_; }

 private:
  std::uint64_t bad() noexcept {
    ok_ = false;
    p_ = end_;
    return 0;
  }
  const char* p_;
  const char* end_;
  bool ok_ = true;
};

}  // namespace oddjob::image
