#include "cli/audit_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "fs/files.hpp"

namespace oddjob::cli {
namespace {

constexpr std::size_t kMaxCheckpoint = 64U << 10U;
constexpr std::size_t kMaxLine = 4U << 20U;  // a record's detail has at most 1 MiB

std::unexpected<Error> unwritable(const std::string& path, int error) {
  return fail(Errc::unavailable, "file.unwritable",
              fmt::format("cannot write {}: {}", path, std::strerror(error)));
}

}  // namespace

Result<> ChainReader::feed(std::string_view bytes) {
  for (;;) {
    const auto end = bytes.find('\n');
    if (rest_.size() + std::min(end, bytes.size()) > kMaxLine)
      return fail(Errc::too_large, "cli.audit_broken",
                  fmt::format("record {} is longer than {} bytes", records_ + 1, kMaxLine));
    if (end == std::string_view::npos) {
      rest_ += bytes;
      return {};
    }
    rest_ += bytes.substr(0, end);
    OJ_CHECK(line(rest_));
    rest_.clear();
    bytes.remove_prefix(end + 1);
  }
}

Result<> ChainReader::line(std::string_view text) {
  const auto broken = [&](std::string_view what) {
    return fail(Errc::failed_precondition, "cli.audit_broken",
                fmt::format("record {} {}", records_ + 1, what));
  };
  auto record = parse_json(text, "record");
  if (!record || !record->is_object()) return broken("is no JSON object");
  const auto seq = get_int(*record, {"seq"});
  const std::string hash(get_string(*record, {"hash"}));
  if (seq != records_ + 1)
    return broken(seq ? fmt::format("is missing: number {} stands in its place", *seq) : "has no number");
  if (get_string(*record, {"prev"}) != head_) return broken("does not follow the one before it");
  last_type_ = std::string(get_string(*record, {"type"}));
  record->get_object().erase("hash");
  if (sha256_hex(canonical_json(*record)) != hash) return broken("was altered");
  head_ = hash;
  if (++records_ == remembered_) hash_at_ = head_;
  return {};
}

Result<> ChainReader::finish(bool is_export) {
  if (!rest_.empty() || (is_export && last_type_ != "audit.exported"))
    return fail(
        Errc::unavailable, "cli.export_cut",
        fmt::format("the export ends early, after record {}: it lacks the record of the export itself",
                    records_),
        "ask for it again");
  return {};
}

Result<std::optional<Checkpoint>> read_checkpoint(const CheckpointFiles& files) {
  if (files.note.empty() != files.public_key.empty())
    return fail(
        Errc::invalid_argument, "cli.usage",
        "--checkpoint and --public-key go together: a checkpoint counts only with the key that signed it");
  if (files.note.empty()) return std::nullopt;
  OJ_TRY(const auto note, fs::read_file(files.note, kMaxCheckpoint, "file.unreadable"));
  OJ_TRY(const auto key, fs::read_file(files.public_key, kMaxCheckpoint, "file.unreadable"));
  OJ_TRY(auto checkpoint, open_checkpoint(note, key));
  return checkpoint;
}

Result<> hold_to(const Checkpoint& c, std::string_view hash) {
  const auto rewritten = [&](std::string_view what) {
    return fail(Errc::failed_precondition, "cli.audit_rewritten",
                fmt::format("{}, which the checkpoint of {} says there was", what, format_time(c.time)));
  };
  if (c.records == 0) return {};
  if (hash.empty()) return rewritten(fmt::format("there is no record {}", c.records));
  if (hash != c.hash) return rewritten(fmt::format("record {} or one before it is not the one", c.records));
  return {};
}

Result<NewFile> NewFile::create(std::string path) {
  std::string temporary = fmt::format("{}.{}.part", path, ::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return unwritable(path, errno);
  return NewFile(std::move(path), std::move(temporary), fd);
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)) {}

NewFile::~NewFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

Result<> NewFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return unwritable(path_, errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<> NewFile::commit() {
  if (::fsync(fd_) != 0 || std::rename(temporary_.c_str(), path_.c_str()) != 0)
    return unwritable(path_, errno);
  ::close(std::exchange(fd_, -1));
  return {};
}

}  // namespace oddjob::cli
