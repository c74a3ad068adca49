// Small files that hold configuration or credentials, read whole within a bound.
#pragma once

#include <string>

#include "core/error.hpp"

namespace oddjob::kube {

inline constexpr std::size_t kMaxCredentialFile = 1U << 20U;

struct FileRead {
  std::string bytes;
  int error = 0;  // errno; EFBIG when over the limit; 0: read
};
FileRead read_file(const std::string& path, std::size_t max_bytes);
// "Permission denied" and the like, thread-safe.
std::string errno_text(int error);

}  // namespace oddjob::kube
