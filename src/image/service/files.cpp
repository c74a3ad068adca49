#include "image/service/files.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "image/registry/reference.hpp"

namespace oddjob::image {
namespace {

namespace stdfs = std::filesystem;

constexpr std::string_view kFolders[] = {"layers", "images", "names"};

std::string_view folder_of(FileKind kind) { return kFolders[static_cast<int>(kind)]; }

// "sha256:ab" <-> "sha256-ab"; names are plain hex.
std::string file_name(std::string_view key) {
  std::string out(key);
  std::ranges::replace(out, ':', '-');
  return out;
}
std::string key_of(std::string name) {
  if (const auto dash = name.find('-'); dash != std::string::npos) name[dash] = ':';
  return name;
}

Time time_of(const timespec& t) {
  return Time(std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::seconds(t.tv_sec) +
                                                                    std::chrono::nanoseconds(t.tv_nsec)));
}

}  // namespace

IndexFiles::IndexFiles(std::string folder, std::uint64_t max_bytes)
    : folder_(std::move(folder)), max_bytes_(max_bytes) {}

std::string IndexFiles::path(FileKind kind, std::string_view key) const {
  return fmt::format("{}/{}/{}", folder_, folder_of(kind), file_name(key));
}

Result<> IndexFiles::open() {
  const std::lock_guard lock(mutex_);
  for (const auto kind : {FileKind::layer, FileKind::image, FileKind::name}) {
    const auto folder = folder_ + "/" + std::string(folder_of(kind));
    std::error_code error;
    stdfs::create_directories(folder, error);
    if (!error) stdfs::permissions(folder_, stdfs::perms::owner_all, error);
    if (error) {
      return fail(Errc::unavailable, "image.store_unwritable",
                  fmt::format("cannot make the folder {}: {}", folder, error.message()),
                  "images.directory must be writable for the server");
    }
    for (const auto& entry : stdfs::directory_iterator(folder, error)) {
      const auto name = entry.path().filename().string();
      struct stat info {};
      if (::stat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
      const auto key = key_of(name);
      // What a crash left half-written has a name of its own.
      if (name.find('.') != std::string::npos || (kind != FileKind::name && !is_digest(key))) {
        stdfs::remove(entry.path(), error);
        continue;
      }
      files_[entry.path().string()] = {kind, key, static_cast<std::uint64_t>(info.st_size),
                                       time_of(info.st_mtim)};
      bytes_ += static_cast<std::uint64_t>(info.st_size);
    }
  }
  make_room({});
  return {};
}

bool IndexFiles::has(FileKind kind, std::string_view key) const {
  const std::lock_guard lock(mutex_);
  return files_.contains(path(kind, key));
}

void IndexFiles::touch(FileKind kind, std::string_view key) {
  const auto file = path(kind, key);
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(file);
  if (found == files_.end()) return;
  // The time of the file is what a next start goes by; once a minute is enough.
  const auto now = system_clock().now();
  if (now - found->second.used > std::chrono::minutes(1)) ::utimensat(AT_FDCWD, file.c_str(), nullptr, 0);
  found->second.used = now;
}

void IndexFiles::added(FileKind kind, std::string_view key) {
  const auto file = path(kind, key);
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return;
  const std::lock_guard lock(mutex_);
  auto& entry = files_[file];
  bytes_ += static_cast<std::uint64_t>(info.st_size) - entry.bytes;
  entry = {kind, std::string(key), static_cast<std::uint64_t>(info.st_size), system_clock().now()};
  make_room(key);
}

void IndexFiles::pin(std::string_view key) {
  const std::lock_guard lock(mutex_);
  pinned_.emplace(key);
}

void IndexFiles::unpin(std::string_view key) {
  const std::lock_guard lock(mutex_);
  if (const auto found = pinned_.find(key); found != pinned_.end()) pinned_.erase(found);
}

void IndexFiles::remove(FileKind kind, std::string_view key) {
  const auto file = path(kind, key);
  const std::lock_guard lock(mutex_);
  ::unlink(file.c_str());
  if (const auto found = files_.find(file); found != files_.end()) {
    bytes_ -= found->second.bytes;
    files_.erase(found);
  }
}

void IndexFiles::make_room(std::string_view keep) {
  while (bytes_ > max_bytes_) {
    auto oldest = files_.end();
    for (auto it = files_.begin(); it != files_.end(); ++it) {
      if (it->second.kind == FileKind::name || it->second.key == keep || pinned_.contains(it->second.key))
        continue;
      if (oldest == files_.end() || it->second.used < oldest->second.used) oldest = it;
    }
    if (oldest == files_.end()) return;
    ::unlink(oldest->first.c_str());
    spdlog::debug("the index file {} made room for others", oldest->first);
    bytes_ -= oldest->second.bytes;
    ++evicted_;
    files_.erase(oldest);
  }
}

IndexFiles::Totals IndexFiles::totals() const {
  const std::lock_guard lock(mutex_);
  Totals out;
  out.bytes = bytes_;
  out.evicted = evicted_;
  for (const auto& [path, file] : files_) {
    out.images += file.kind == FileKind::image ? 1 : 0;
    out.layers += file.kind == FileKind::layer ? 1 : 0;
  }
  return out;
}

std::vector<IndexFiles::Entry> IndexFiles::images() const {
  const std::lock_guard lock(mutex_);
  std::vector<Entry> out;
  for (const auto& [path, file] : files_)
    if (file.kind == FileKind::image) out.push_back({file.key, file.bytes, file.used});
  return out;
}

}  // namespace oddjob::image
