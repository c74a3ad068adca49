#include "fs/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace oddjob::fs {
namespace {

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::unexpected<Error> unwritable(const std::string& path, int error) {
  return fail(Errc::unavailable, "file.unwritable",
              fmt::format("cannot write {}: {}", path, std::strerror(error)));
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max_bytes, std::string_view code) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0)
    return fail(Errc::invalid_argument, std::string(code),
                fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  std::string out;
  char buffer[16384];
  for (;;) {
    const auto n = ::read(file.fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return fail(Errc::invalid_argument, std::string(code),
                  fmt::format("cannot read {}: {}", path, std::strerror(errno)));
    if (n == 0) return out;
    out.append(buffer, static_cast<std::size_t>(n));
    if (out.size() > max_bytes)
      return fail(Errc::too_large, std::string(code),
                  fmt::format("{} is larger than {} bytes", path, max_bytes));
  }
}

Result<> write_private_file(const std::string& path, std::string_view content) {
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  {
    const Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (file.fd < 0) return unwritable(path, errno);
    while (!content.empty()) {
      const auto n = ::write(file.fd, content.data(), content.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        const int error = errno;
        ::unlink(temporary.c_str());
        return unwritable(path, error);
      }
      content.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fsync(file.fd) != 0) return unwritable(path, errno);
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return unwritable(path, errno);
  return {};
}

}  // namespace oddjob::fs
