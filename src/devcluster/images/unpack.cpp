#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <fstream>
#include <memory>

#include "core/json.hpp"
#include "core/text.hpp"
#include "devcluster/images/layout.hpp"

namespace oddjob::devcluster {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq";

std::unexpected<Error> broken(const fs::path& where, std::string_view what) {
  return fail(Errc::failed_precondition, "devcluster.layout",
              fmt::format("the image layout {}: {}", where.string(), what));
}

Result<json::value> read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file && text.empty()) return broken(path, "cannot be read");
  return parse_json(text, path.string(), 4U << 20U);
}

bool is_sha256(std::string_view digest) {
  return digest.size() == 71 && digest.starts_with("sha256:") &&
         digest.substr(7).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

fs::path blob(const fs::path& folder, std::string_view digest) {
  return folder / "blobs" / "sha256" / std::string(digest.substr(7));
}

// "./a/b/" -> "a/b"; nullopt where it would leave the root.
std::optional<fs::path> inside(std::string_view name) {
  fs::path out;
  for (const auto& part : split(name, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return std::nullopt;
    out /= part;
  }
  return out;
}

// What an earlier layer has there is hidden by this one.
bool whiteout(const fs::path& root, const fs::path& relative) {
  const auto name = relative.filename().string();
  std::error_code error;
  if (name == kOpaque) {
    for (const auto& e : fs::directory_iterator(root / relative.parent_path(), error))
      fs::remove_all(e.path(), error);
    return true;
  }
  if (!name.starts_with(kWhiteout)) return false;
  fs::remove_all(root / relative.parent_path() / name.substr(kWhiteout.size()), error);
  return true;
}

Result<> unpack_layer(const fs::path& file, const fs::path& root) {
  const std::unique_ptr<archive, int (*)(archive*)> in(archive_read_new(), &archive_read_free);
  const std::unique_ptr<archive, int (*)(archive*)> out(archive_write_disk_new(), &archive_write_free);
  archive_read_support_format_tar(in.get());
  archive_read_support_filter_gzip(in.get());
  archive_read_support_filter_zstd(in.get());
  archive_write_disk_set_options(out.get(), ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
                                                ARCHIVE_EXTRACT_UNLINK | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                                ARCHIVE_EXTRACT_SECURE_NODOTDOT);
  if (archive_read_open_filename(in.get(), file.c_str(), 65536) != ARCHIVE_OK)
    return broken(file, archive_error_string(in.get()));
  archive_entry* entry = nullptr;
  int result = ARCHIVE_OK;
  while ((result = archive_read_next_header(in.get(), &entry)) == ARCHIVE_OK) {
    const auto relative = inside(archive_entry_pathname(entry));
    if (!relative) return broken(file, "a path in it leaves the root");
    if (relative->empty() || whiteout(root, *relative)) continue;
    const auto type = archive_entry_filetype(entry);
    if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK && archive_entry_hardlink(entry) == nullptr)
      continue;
    // The owner is whoever runs the dev cluster, who must be able to remove it again.
    if (type == AE_IFDIR) archive_entry_set_perm(entry, archive_entry_perm(entry) | 0700);
    archive_entry_set_pathname(entry, (root / *relative).c_str());
    if (const char* link = archive_entry_hardlink(entry)) {
      const auto target = inside(link);
      if (!target) return broken(file, "a link in it leaves the root");
      archive_entry_set_hardlink(entry, (root / *target).c_str());
    }
    if (archive_read_extract2(in.get(), entry, out.get()) < ARCHIVE_WARN)
      return broken(file, archive_error_string(in.get()));
  }
  if (result != ARCHIVE_EOF) return broken(file, archive_error_string(in.get()));
  return {};
}

std::vector<std::string> texts(const json::value& v, KeyPath path) {
  std::vector<std::string> out;
  if (const auto* list = find_array(v, path))
    for (const auto& item : *list)
      if (item.is_string()) out.emplace_back(sv(item.get_string()));
  return out;
}

}  // namespace

Result<std::optional<LocalImage>> unpack_image(const fs::path& folder, std::string_view reference,
                                               const fs::path& unpacked) {
  std::error_code error;
  if (!fs::exists(folder / "oci-layout", error)) return std::nullopt;
  LocalImage out;
  if (is_sha256(reference)) {
    out.digest = reference;
    if (!fs::exists(blob(folder, reference), error)) return std::nullopt;
  } else {
    OJ_TRY(const auto index, read(folder / "index.json"));
    if (const auto* all = find_array(index, {"manifests"}))
      for (const auto& e : *all)
        if (get_string(e, {"annotations", kRefName}) == reference) out.digest = get_string(e, {"digest"});
    if (out.digest.empty()) return std::nullopt;
    if (!is_sha256(out.digest)) return broken(folder, "a digest is malformed");
  }
  OJ_TRY(const auto manifest, read(blob(folder, out.digest)));
  const auto config_digest = get_string(manifest, {"config", "digest"});
  if (!is_sha256(config_digest)) return broken(folder, "the manifest has no config");
  OJ_TRY(const auto config, read(blob(folder, config_digest)));
  out.settings.working_dir = get_string(config, {"config", "WorkingDir"}, "/");
  out.settings.env = texts(config, {"config", "Env"});
  out.settings.entrypoint = texts(config, {"config", "Entrypoint"});
  out.settings.command = texts(config, {"config", "Cmd"});
  out.root = unpacked / out.digest.substr(7);
  if (fs::exists(out.root, error)) return out;
  const auto partial = fs::path(out.root.string() + ".part");
  fs::remove_all(partial, error);
  fs::create_directories(partial, error);
  if (const auto* layers = find_array(manifest, {"layers"})) {
    for (const auto& l : *layers) {
      const auto digest = get_string(l, {"digest"});
      if (!is_sha256(digest)) return broken(folder, "a layer's digest is malformed");
      OJ_CHECK(unpack_layer(blob(folder, digest), partial));
    }
  }
  fs::rename(partial, out.root, error);
  if (error) return broken(folder, error.message());
  return out;
}

}  // namespace oddjob::devcluster
