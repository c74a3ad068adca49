#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "audit/sink.hpp"
#include "core/text.hpp"
#include "fs/files.hpp"

namespace oddjob::audit {
namespace {

// A record's detail has at most 1 MiB, which escapes may make longer.
constexpr off_t kMaxLine = 8 << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

class FileSink final : public Sink {
 public:
  explicit FileSink(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] const std::string& name() const override { return name_; }

  Result<std::optional<AuditEvent>> last() override {
    OJ_CHECK(open());
    struct stat s {};
    if (::fstat(file_.get(), &s) != 0) return broken("read");
    const off_t from = std::max<off_t>(0, s.st_size - kMaxLine);
    std::string tail(static_cast<std::size_t>(s.st_size - from), '\0');
    if (::pread(file_.get(), tail.data(), tail.size(), from) != static_cast<ssize_t>(tail.size()))
      return broken("read");
    // What follows the last newline was not finished when the server died.
    const auto end = tail.rfind('\n');
    const auto whole = end == std::string::npos ? 0 : end + 1;
    if (whole == 0 && from > 0) return foreign("its last line has no end");
    if (whole < tail.size() && ::ftruncate(file_.get(), from + static_cast<off_t>(whole)) != 0)
      return broken("write");
    if (whole == 0) return std::nullopt;
    const auto begin = end == 0 ? std::string::npos : tail.rfind('\n', end - 1);
    const auto at = begin == std::string::npos ? 0 : begin + 1;
    const auto record = parse_json(std::string_view(tail).substr(at, end - at), "record");
    AuditEvent e;
    if (record) {
      e.seq = get_int(*record, {"seq"}).value_or(0);
      e.hash = std::string(get_string(*record, {"hash"}));
    }
    if (e.seq <= 0 || e.hash.empty()) return foreign("its last line is no record of the audit");
    return e;
  }

  Result<> take(std::span<const AuditEvent> events) override {
    OJ_CHECK(open());
    if (torn_ && ::ftruncate(file_.get(), *torn_) != 0) return broken("write");
    torn_.reset();
    struct stat before {};
    if (::fstat(file_.get(), &before) != 0) return broken("read");
    std::string lines;
    for (const auto& e : events) lines += json::serialize(to_json(e)) + "\n";
    if (!write_all(lines)) {
      // Half a batch must not stand there when it comes again.
      const int error = errno;
      if (::ftruncate(file_.get(), before.st_size) != 0) torn_ = before.st_size;
      errno = error;
      return broken("write");
    }
    return {};
  }

  Result<> take_checkpoint(std::string_view note) override {
    return fs::write_private_file(path_ + ".checkpoint", note);
  }

 private:
  bool write_all(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::write(file_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return ::fdatasync(file_.get()) == 0;
  }

  // The file of this name, which may be a new one since the last time.
  Result<> open() {
    struct stat held {
    }, named{};
    if (file_.get() >= 0 && ::fstat(file_.get(), &held) == 0 && ::stat(path_.c_str(), &named) == 0 &&
        held.st_ino == named.st_ino && held.st_dev == named.st_dev)
      return {};
    torn_.reset();
    file_ = Descriptor(::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file_.get() < 0) return broken("open");
    return {};
  }

  [[nodiscard]] std::unexpected<Error> broken(std::string_view what) const {
    return fail(Errc::unavailable, "audit.file",
                fmt::format("cannot {} the audit's copy {}: {}", what, path_, std::strerror(errno)));
  }
  [[nodiscard]] std::unexpected<Error> foreign(std::string_view why) const {
    return fail(Errc::failed_precondition, "audit.file",
                fmt::format("{} is no copy of the audit: {}", path_, why), "move it away; a new one begins");
  }

  std::string path_, name_ = "file";
  Descriptor file_;
  std::optional<off_t> torn_;  // the length to cut it back to before anything is written
};

}  // namespace

std::unique_ptr<Sink> make_file_sink(std::string path) { return std::make_unique<FileSink>(std::move(path)); }

}  // namespace oddjob::audit
