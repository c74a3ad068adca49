#include "image/registry/layout.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "core/json.hpp"
#include "core/text.hpp"
#include "fs/files.hpp"
#include "image/registry/hasher.hpp"
#include "image/registry/reference.hpp"

namespace oddjob::image {
namespace {

constexpr std::size_t kPiece = 256U << 10U, kMaxMarker = 4096;

// Only of well-formed digests, so the name stays inside the layout.
std::string blob_path(const std::string& folder, std::string_view digest) {
  const auto colon = digest.find(':');
  return fmt::format("{}/blobs/{}/{}", folder, digest.substr(0, colon), digest.substr(colon + 1));
}

class FileBlob : public Blob {
 public:
  FileBlob(int fd, std::string path, net::BlockingPool& pool)
      : fd_(fd), path_(std::move(path)), pool_(pool) {}
  ~FileBlob() override { ::close(fd_); }
  FileBlob(const FileBlob&) = delete;
  FileBlob& operator=(const FileBlob&) = delete;

  net::Task<Result<std::string>> read() override {
    auto work = [this]() -> Result<std::string> {
      std::string out(kPiece, '\0');
      for (;;) {
        const auto n = ::read(fd_, out.data(), out.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(Errc::unavailable, "image.unreadable", "cannot read " + path_);
        out.resize(static_cast<std::size_t>(n));
        return out;
      }
    };
    co_return co_await pool_.offload(work);
  }

 private:
  int fd_;
  std::string path_;
  net::BlockingPool& pool_;
};

class Layout : public Source {
 public:
  Layout(std::string folder, net::BlockingPool& pool) : folder_(std::move(folder)), pool_(pool) {}

  net::Task<Result<Document>> manifest(std::string name) override {
    auto work = [this, &name] { return find(name); };
    co_return co_await pool_.offload(work);
  }

  net::Task<Result<std::unique_ptr<Blob>>> blob(Descriptor d) override {
    const auto path = blob_path(folder_, d.digest);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
      co_return fail(Errc::not_found, "image.not_found",
                     fmt::format("the layout {} has no blob {}", folder_, d.digest));
    std::unique_ptr<Blob> out = std::make_unique<FileBlob>(fd, path, pool_);
    co_return out;
  }

 private:
  Result<Document> find(const std::string& name) const {
    Document out;
    out.digest = name;
    if (!is_digest(name)) {
      OJ_TRY(const auto text, fs::read_file(folder_ + "/index.json", kMaxManifest, "image.bad_layout"));
      OJ_TRY(const auto parsed,
             parse_manifest(text, "application/vnd.oci.image.index.v1+json", "index.json of " + folder_));
      const auto& entries = std::get<Index>(parsed).manifests;
      const Descriptor* found = entries.size() == 1 && entries[0].ref_name.empty() ? entries.data() : nullptr;
      for (const auto& d : entries)
        if (d.ref_name == name) found = &d;
      if (found == nullptr) return missing(name);
      out.digest = found->digest;
      out.media_type = found->media_type;
    }
    const auto body = fs::read_file(blob_path(folder_, out.digest), kMaxManifest, "image.unreadable");
    if (!body) return missing(name);
    out.body = *body;
    Hasher hasher(out.digest.substr(0, out.digest.find(':')));
    hasher.update(out.body);
    if (const auto got = hasher.finish(); got != out.digest) {
      return fail(Errc::failed_precondition, "image.digest_mismatch",
                  fmt::format("the blob {} of the layout {} has the digest {}", out.digest, folder_, got));
    }
    return out;
  }

  [[nodiscard]] std::unexpected<Error> missing(std::string_view name) const {
    return fail(Errc::not_found, "image.not_found",
                fmt::format("the layout {} has no image {}", folder_, printable(name, 150)));
  }

  std::string folder_;
  net::BlockingPool& pool_;
};

}  // namespace

Result<std::unique_ptr<Source>> open_layout(const std::string& folder, net::BlockingPool& pool) {
  OJ_TRY(const auto marker, fs::read_file(folder + "/oci-layout", kMaxMarker, "image.bad_layout"));
  const auto parsed = parse_json(marker, "oci-layout", kMaxMarker);
  if (!parsed || !get_string(*parsed, {"imageLayoutVersion"}).starts_with("1.")) {
    return fail(Errc::failed_precondition, "image.bad_layout",
                fmt::format("{} is not an OCI image layout of version 1", folder));
  }
  std::unique_ptr<Source> out = std::make_unique<Layout>(folder, pool);
  return out;
}

}  // namespace oddjob::image
