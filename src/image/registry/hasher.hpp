// Digests of what comes in pieces, and the check of a blob against what its
// descriptor promises. Plain values; any thread, one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "image/registry/manifest.hpp"

namespace oddjob::image {

class Hasher {
 public:
  // `algorithm`: "sha256" or "sha512".
  explicit Hasher(std::string_view algorithm);
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void update(std::string_view bytes);
  // "sha256:<hex>"; nothing may follow.
  std::string finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Size and digest of what is read, held to a descriptor. Errors (failed_precondition):
// "image.size_mismatch" as soon as more comes than promised, or at the end
// when less came; "image.digest_mismatch" at the end.
class BlobCheck {
 public:
  explicit BlobCheck(const Descriptor& d);
  Result<> update(std::string_view bytes);
  Result<> finish();

 private:
  std::string digest_;
  std::int64_t size_, seen_ = 0;
  Hasher hasher_;
};

}  // namespace oddjob::image
