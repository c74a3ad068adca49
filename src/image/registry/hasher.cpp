#include "image/registry/hasher.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <cstdlib>

#include "core/digest.hpp"

namespace oddjob::image {

struct Hasher::Impl {
  std::string algorithm;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(context); }
};

Hasher::Hasher(std::string_view algorithm) : impl_(std::make_unique<Impl>()) {
  impl_->algorithm = algorithm;
  const auto* kind = algorithm == "sha512" ? EVP_sha512() : EVP_sha256();
  if (impl_->context == nullptr || EVP_DigestInit_ex(impl_->context, kind, nullptr) != 1) std::abort();
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::string_view bytes) {
  if (EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()) != 1) std::abort();
}

std::string Hasher::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  if (EVP_DigestFinal_ex(impl_->context, hash.data(), &size) != 1) std::abort();
  return impl_->algorithm + ":" + hex_encode({reinterpret_cast<const char*>(hash.data()), size});
}

BlobCheck::BlobCheck(const Descriptor& d)
    : digest_(d.digest), size_(d.size), hasher_(d.digest.substr(0, d.digest.find(':'))) {}

Result<> BlobCheck::update(std::string_view bytes) {
  seen_ += static_cast<std::int64_t>(bytes.size());
  if (seen_ > size_) {
    return fail(
        Errc::failed_precondition, "image.size_mismatch",
        fmt::format("the blob {} is larger than the {} bytes that the manifest promises", digest_, size_));
  }
  hasher_.update(bytes);
  return {};
}

Result<> BlobCheck::finish() {
  if (seen_ != size_) {
    return fail(Errc::failed_precondition, "image.size_mismatch",
                fmt::format("the blob {} has {} bytes, the manifest promises {}", digest_, seen_, size_));
  }
  if (const auto got = hasher_.finish(); got != digest_) {
    return fail(Errc::failed_precondition, "image.digest_mismatch",
                fmt::format("what came as the blob {} has the digest {}", digest_, got),
                "the registry, or something in between, gives out broken data");
  }
  return {};
}

}  // namespace oddjob::image
