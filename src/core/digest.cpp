#include "core/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace oddjob {

namespace {
constexpr std::size_t kMostEntropy = 256;  // that getentropy(3) gives at once
}

std::string hex_encode(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto b = static_cast<unsigned char>(c);
    out += kDigits[b >> 4U];
    out += kDigits[b & 15U];
  }
  return out;
}

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), hash.data(), &size, EVP_sha256(), nullptr) != 1) std::abort();
  return hex_encode({reinterpret_cast<const char*>(hash.data()), size});
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), mac.data(), &size) == nullptr)
    std::abort();
  return {reinterpret_cast<const char*>(mac.data()), size};
}

std::string json_digest(const json::value& v) { return "sha256:" + sha256_hex(canonical_json(v)); }

std::string base64_encode(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int n =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(n));
  return out;
}

std::string base64url_encode(std::string_view bytes) {
  std::string out = base64_encode(bytes);
  while (out.ends_with('=')) out.pop_back();
  for (char& c : out) {
    if (c == '+') c = '-';
    if (c == '/') c = '_';
  }
  return out;
}

Result<std::string> base64_decode(std::string_view text) {
  std::string clean;
  clean.reserve(text.size() + 3);
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
    clean += c == '-' ? '+' : c == '_' ? '/' : c;
  }
  std::size_t padding = 0;
  while (clean.ends_with('=') && padding < 2) {
    clean.pop_back();
    ++padding;
  }
  const auto bad = [] { return fail(Errc::invalid_argument, "base64.malformed", "not base64"); };
  if (clean.find('=') != std::string::npos || clean.size() % 4 == 1) return bad();
  if (padding != 0 && (clean.size() + padding) % 4 != 0) return bad();
  const std::size_t fill = (4 - clean.size() % 4) % 4;
  clean.append(fill, '=');
  std::string out(clean.size() / 4 * 3, '\0');
  const int n =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(clean.data()), static_cast<int>(clean.size()));
  if (n < 0) return bad();
  out.resize(static_cast<std::size_t>(n) - fill);
  return out;
}

bool equal_constant_time(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string random_bytes(std::size_t n) {
  // The kernel's generator itself: OpenSSL's is seeded by it, which takes a millisecond in a new process.
  std::string out(n, '\0');
  for (std::size_t done = 0; done < n;) {
    const auto size = std::min<std::size_t>(n - done, kMostEntropy);
    if (::getentropy(out.data() + done, size) != 0) std::abort();
    done += size;
  }
  return out;
}

}  // namespace oddjob
