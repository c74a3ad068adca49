#include "image/index/tar_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/text.hpp"
#include "image/index/layer_index.hpp"

namespace oddjob::image {
namespace {

std::unexpected<Error> bad_header(std::string_view what) {
  return fail(Errc::failed_precondition, "layer.bad_header",
              fmt::format("the layer's tar cannot be read: {}", what), "push the image again");
}

// A field of the header, by offset and length.
std::string_view field(TarBlock b, std::size_t at, std::size_t n) { return {b.data() + at, n}; }

std::string_view until_nul(std::string_view s) { return s.substr(0, s.find('\0')); }

// Octal digits, or base-256 when the first bit is set. nullopt: neither.
std::optional<std::int64_t> number(std::string_view f) {
  const auto first = static_cast<unsigned char>(f[0]);
  if ((first & 0x80U) != 0) {
    // Two's complement, big-endian, without the marker bit; the second bit is the sign.
    const unsigned invert = (first & 0x40U) != 0 ? 0xFFU : 0x00U;
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < f.size(); ++i) {
      unsigned c = static_cast<unsigned char>(f[i]) ^ invert;
      if (i == 0) c &= 0x7FU;
      if ((v >> 56U) != 0) return std::nullopt;
      v = (v << 8U) | c;
    }
    if ((v >> 63U) != 0) return std::nullopt;
    return invert != 0 ? static_cast<std::int64_t>(~v) : static_cast<std::int64_t>(v);
  }
  const auto blank = [](char c) { return c == ' ' || c == '\0'; };
  while (!f.empty() && blank(f.front())) f.remove_prefix(1);
  while (!f.empty() && blank(f.back())) f.remove_suffix(1);
  f = until_nul(f);
  std::int64_t v = 0;
  if (f.empty()) return v;
  if (f[0] == '-') return std::nullopt;
  const auto [end, error] = std::from_chars(f.data(), f.data() + f.size(), v, 8);
  if (error != std::errc() || end != f.data() + f.size()) return std::nullopt;
  return v;
}

// The sum of all bytes, those of the checksum itself counted as blanks; some
// old writers summed signed bytes.
bool checksum_is_right(TarBlock b) {
  const auto wanted = number(field(b, 148, 8));
  if (!wanted) return false;
  std::uint32_t plain = 0;
  std::uint32_t high = 0;  // bytes that differ between the two sums
  for (const char c : b) {
    const auto u = static_cast<unsigned char>(c);
    plain += u;
    high += u >> 7U;
  }
  for (std::size_t i = 148; i < 156; ++i) {
    const auto u = static_cast<unsigned char>(b[i]);
    plain += ' ' - static_cast<std::uint32_t>(u);
    high -= u >> 7U;
  }
  const auto unsigned_sum = static_cast<std::int64_t>(plain);
  return *wanted == unsigned_sum || *wanted == unsigned_sum - 256 * static_cast<std::int64_t>(high);
}

bool is_ascii(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

bool is_zero_block(TarBlock block) noexcept {
  return block[0] == '\0' && std::memcmp(block.data(), block.data() + 1, kTarBlock - 1) == 0;
}

Result<> parse_tar_header(TarBlock b, TarHeader& out) {
  if (!checksum_is_right(b)) return bad_header("a header's checksum is wrong");
  const auto magic = field(b, 257, 6);
  const bool ustar = magic == std::string_view("ustar\0", 6);
  const bool star = ustar && field(b, 508, 4) == std::string_view("tar\0", 4);
  out.gnu = field(b, 257, 8) == std::string_view("ustar  \0", 8);
  out.type = b[156];

  const auto name = until_nul(field(b, 0, 100));
  std::string_view prefix;
  if (ustar) {
    prefix = until_nul(field(b, 345, star ? 131 : 155));
  } else if (out.gnu) {
    // Old Go wrote GNU headers with a prefix, where GNU tar has two times.
    const auto atime = field(b, 345, 12);
    const auto ctime = field(b, 357, 12);
    const bool times = (atime[0] == '\0' || number(atime)) && (ctime[0] == '\0' || number(ctime));
    const auto text = until_nul(field(b, 345, 155));
    if (!times && is_ascii(text)) prefix = text;
  }
  out.name.assign(prefix);
  if (!prefix.empty()) out.name.push_back('/');
  out.name.append(name);
  out.link.assign(until_nul(field(b, 157, 100)));

  const auto mode = number(field(b, 100, 8));
  const auto uid = number(field(b, 108, 8));
  const auto gid = number(field(b, 116, 8));
  const auto size = number(field(b, 124, 12));
  if (!mode || !uid || !gid || !size)
    return bad_header(fmt::format("a number in the header of {} is none", printable(out.name, 200)));
  if (*size < 0) return bad_header(fmt::format("the size of {} is negative", printable(out.name, 200)));
  out.mode = static_cast<std::uint16_t>(*mode & 07777);
  out.uid = static_cast<std::uint32_t>(*uid);
  out.gid = static_cast<std::uint32_t>(*gid);
  out.size = static_cast<std::uint64_t>(*size);
  out.real_size = 0;
  out.sparse_continues = false;
  if (out.type == 'S') {
    const auto real = number(field(b, 483, 12));
    if (!out.gnu || !real || *real < 0)
      return bad_header(fmt::format("the sparse header of {}", printable(out.name, 200)));
    out.real_size = static_cast<std::uint64_t>(*real);
    out.sparse_continues = b[482] != '\0';
  }
  return {};
}

namespace {

template <class T>
Result<> pax_number(std::string_view key, std::string_view text, std::optional<T>& out) {
  std::int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || v < 0)
    return bad_header(fmt::format("a pax record {} of {}", key, printable(text, 40)));
  out = static_cast<T>(v);
  return {};
}

}  // namespace

Result<PaxRecords> parse_pax(std::string_view data) {
  PaxRecords out;
  std::string_view major, minor;
  bool has_map = false;
  std::optional<std::string> sparse_name;
  std::optional<std::uint64_t> sparse_size;
  std::optional<std::uint64_t> real_size;
  while (!data.empty()) {
    // "LENGTH KEY=VALUE\n", LENGTH counts all of it.
    std::size_t length = 0;
    const auto [end, error] = std::from_chars(data.data(), data.data() + data.size(), length);
    const auto digits = static_cast<std::size_t>(end - data.data());
    if (error != std::errc() || length > data.size() || digits + 3 > length || data[digits] != ' ' ||
        data[length - 1] != '\n')
      return bad_header("a pax record is none");
    const auto record = data.substr(digits + 1, length - digits - 2);
    data.remove_prefix(length);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return bad_header("a pax record has no key");
    const auto key = record.substr(0, equals);
    const auto value = record.substr(equals + 1);
    const bool name = key == "path" || key == "linkpath" || key == "GNU.sparse.name";
    if (name && value.find('\0') != std::string_view::npos)
      return fail(Errc::failed_precondition, "layer.bad_header",
                  "a name in the layer's tar has a NUL: " + printable(value, 200));
    // An empty value takes back what an earlier record said.
    if (key == "path") {
      out.path = value.empty() ? std::nullopt : std::optional<std::string>(value);
    } else if (key == "linkpath") {
      out.link = value.empty() ? std::nullopt : std::optional<std::string>(value);
    } else if (key == "GNU.sparse.name") {
      sparse_name = value.empty() ? std::nullopt : std::optional<std::string>(value);
    } else if (key == "GNU.sparse.major") {
      major = value;
    } else if (key == "GNU.sparse.minor") {
      minor = value;
    } else if (key == "GNU.sparse.map" || key == "GNU.sparse.offset") {
      has_map = has_map || !value.empty();
    } else if (value.empty()) {
      if (key == "size") out.size.reset();
    } else if (key == "size") {
      OJ_CHECK(pax_number(key, value, out.size));
    } else if (key == "uid") {
      OJ_CHECK(pax_number(key, value, out.uid));
    } else if (key == "gid") {
      OJ_CHECK(pax_number(key, value, out.gid));
    } else if (key == "GNU.sparse.size") {
      OJ_CHECK(pax_number(key, value, sparse_size));
    } else if (key == "GNU.sparse.realsize") {
      OJ_CHECK(pax_number(key, value, real_size));
    }
  }
  const bool known_version =
      (major == "0" && (minor == "0" || minor == "1")) || (major == "1" && minor == "0");
  if (known_version || (major.empty() && minor.empty() && has_map)) {
    out.sparse_name = std::move(sparse_name);
    out.sparse_size = sparse_size ? sparse_size : real_size;
  }
  return out;
}

Result<> normalise_path(std::string_view path, std::string& out) {
  out.clear();
  const auto whole = path;
  while (!path.empty()) {
    const auto slash = std::min(path.find('/'), path.size());
    const auto segment = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (segment.empty() || segment == ".") continue;
    if (segment == "..")
      return fail(Errc::failed_precondition, "layer.unsafe_path",
                  fmt::format("a path of the layer leads upwards: {}", printable(whole, 200)),
                  "build the image again with another tool");
    if (!out.empty()) out.push_back('/');
    out.append(segment);
    if (out.size() > kMaxPathBytes)
      return fail(
          Errc::failed_precondition, "layer.path_too_long",
          fmt::format("a path of the layer has over {} bytes: {}", kMaxPathBytes, printable(whole, 200)));
  }
  return {};
}

}  // namespace oddjob::image
