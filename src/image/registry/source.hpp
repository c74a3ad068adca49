// Where images come from: a registry, or a layout on disk.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "image/registry/manifest.hpp"
#include "net/async.hpp"

namespace oddjob::image {

// The bytes of one blob, in order. Not checked: the reader holds them to the
// descriptor (BlobCheck). Destroying it ends the transfer.
class Blob {
 public:
  Blob() = default;
  virtual ~Blob() = default;
  Blob(const Blob&) = delete;
  Blob& operator=(const Blob&) = delete;
  // Next bytes, at most about 1 MiB; empty at the end.
  virtual net::Task<Result<std::string>> read() = 0;
};

// A manifest or an index as it was given out; its digest is of these very bytes.
struct Document {
  std::string body, media_type, digest;
};

// One repository. The seam between where images are and how they are read.
class Source {
 public:
  Source() = default;
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  // `name`: a tag or a digest. What came for a digest has it, or the answer is
  // "image.digest_mismatch". Errors: "image.not_found" besides those of the source.
  virtual net::Task<Result<Document>> manifest(std::string name) = 0;
  virtual net::Task<Result<std::unique_ptr<Blob>>> blob(Descriptor d) = 0;
};

// A small blob, whole and checked. Error "image.too_large" where the descriptor
// promises more than max_bytes.
net::Task<Result<std::string>> read_blob(Source& source, Descriptor d, std::size_t max_bytes);

}  // namespace oddjob::image
