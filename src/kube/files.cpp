#include "kube/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace oddjob::kube {

std::string errno_text(int error) {
  if (error == EFBIG) return "larger than allowed";
  return std::generic_category().message(error);
}

FileRead read_file(const std::string& path, std::size_t max_bytes) {
  FileRead out;
  // O_NONBLOCK: a FIFO in the place of a file must not hang the process.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    out.error = errno;
    return out;
  }
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    out.error = errno;
  } else if (S_ISDIR(st.st_mode)) {
    out.error = EISDIR;
  }
  char chunk[16384];
  while (out.error == 0) {
    const ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n < 0) {
      if (errno == EINTR) continue;
      out.error = errno;
    } else if (n == 0) {
      break;
    } else if (out.bytes.size() + static_cast<std::size_t>(n) > max_bytes) {
      out.error = EFBIG;
    } else {
      out.bytes.append(chunk, static_cast<std::size_t>(n));
    }
  }
  ::close(fd);
  if (out.error != 0) out.bytes.clear();
  return out;
}

}  // namespace oddjob::kube
