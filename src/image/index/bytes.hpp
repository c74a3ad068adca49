// Numbers in the room's files: LEB128 varints and little-endian words, read with
// bounds checks from bytes that may be anything.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

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
