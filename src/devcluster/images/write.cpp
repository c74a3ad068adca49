#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <fstream>
#include <memory>

#include "core/digest.hpp"
#include "core/json.hpp"
#include "devcluster/images/layout.hpp"

namespace oddjob::devcluster {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kConfig = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view kLayer = "application/vnd.oci.image.layer.v1.tar+gzip";
constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";

std::unexpected<Error> broken(std::string_view what) {
  return fail(Errc::unavailable, "devcluster.layout",
              fmt::format("the image layout was not written: {}", what));
}

la_ssize_t append(archive* /*a*/, void* into, const void* bytes, std::size_t n) {
  static_cast<std::string*>(into)->append(static_cast<const char*>(bytes), n);
  return static_cast<la_ssize_t>(n);
}

// The same files give the same bytes: no times, no names of users.
Result<std::string> tar(const std::vector<TreeFile>& files, bool compressed) {
  std::string out;
  const std::unique_ptr<archive, int (*)(archive*)> a(archive_write_new(), &archive_write_free);
  archive_write_set_format_pax_restricted(a.get());
  if (compressed) {
    archive_write_add_filter_gzip(a.get());
    archive_write_set_filter_option(a.get(), "gzip", "timestamp", nullptr);
  }
  archive_write_set_bytes_in_last_block(a.get(), 1);
  if (archive_write_open(a.get(), &out, nullptr, &append, nullptr) != ARCHIVE_OK) return broken("no memory");
  for (const auto& f : files) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> e(archive_entry_new(),
                                                                     &archive_entry_free);
    archive_entry_set_pathname(e.get(), f.path.c_str());
    archive_entry_set_perm(e.get(), static_cast<mode_t>(f.mode));
    archive_entry_set_mtime(e.get(), 0, 0);
    if (f.kind == TreeFile::Kind::directory) {
      archive_entry_set_filetype(e.get(), AE_IFDIR);
    } else if (f.kind == TreeFile::Kind::link) {
      archive_entry_set_filetype(e.get(), AE_IFLNK);
      archive_entry_set_symlink(e.get(), f.content.c_str());
    } else {
      archive_entry_set_filetype(e.get(), AE_IFREG);
      archive_entry_set_size(e.get(), static_cast<la_int64_t>(f.content.size()));
    }
    if (archive_write_header(a.get(), e.get()) != ARCHIVE_OK) return broken(archive_error_string(a.get()));
    if (f.kind == TreeFile::Kind::file && !f.content.empty() &&
        archive_write_data(a.get(), f.content.data(), f.content.size()) < 0)
      return broken(archive_error_string(a.get()));
  }
  if (archive_write_close(a.get()) != ARCHIVE_OK) return broken(archive_error_string(a.get()));
  return out;
}

Result<> put(const fs::path& path, std::string_view bytes) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) return broken("cannot write " + path.string());
  return {};
}

Result<json::object> put_blob(const fs::path& folder, std::string_view bytes, std::string_view media_type) {
  const auto hex = sha256_hex(bytes);
  OJ_CHECK(put(folder / "blobs" / "sha256" / hex, bytes));
  return json::object{{"mediaType", media_type}, {"digest", "sha256:" + hex}, {"size", bytes.size()}};
}

json::array texts(const std::vector<std::string>& v) { return json::array(v.begin(), v.end()); }

}  // namespace

Result<> write_layout(const fs::path& folder, const std::string& tag,
                      const std::vector<std::vector<TreeFile>>& layers, const ImageSettings& settings) {
  json::array descriptors, diff_ids;
  for (const auto& files : layers) {
    OJ_TRY(const auto plain, tar(files, false));
    OJ_TRY(const auto compressed, tar(files, true));
    diff_ids.emplace_back("sha256:" + sha256_hex(plain));
    OJ_TRY(auto descriptor, put_blob(folder, compressed, kLayer));
    descriptors.push_back(std::move(descriptor));
  }
#if defined(__aarch64__)
  const char* architecture = "arm64";
#else
  const char* architecture = "amd64";
#endif
  const json::object config{{"architecture", architecture},
                            {"os", "linux"},
                            {"config",
                             {{"WorkingDir", settings.working_dir},
                              {"Env", texts(settings.env)},
                              {"Entrypoint", texts(settings.entrypoint)},
                              {"Cmd", texts(settings.command)}}},
                            {"rootfs", {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}}}};
  OJ_TRY(auto config_descriptor, put_blob(folder, json::serialize(config), kConfig));
  const json::object manifest{{"schemaVersion", 2},
                              {"mediaType", kManifest},
                              {"config", std::move(config_descriptor)},
                              {"layers", std::move(descriptors)}};
  OJ_TRY(auto entry, put_blob(folder, json::serialize(manifest), kManifest));
  entry["platform"] = json::object{{"os", "linux"}, {"architecture", architecture}};
  entry["annotations"] = json::object{{kRefName, tag}};

  json::array entries;
  std::ifstream old(folder / "index.json", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(old), {}};
  if (const auto parsed = parse_json(text, "index.json"))
    if (const auto* all = find_array(*parsed, {"manifests"}))
      for (const auto& e : *all)
        if (get_string(e, {"annotations", kRefName}) != tag) entries.push_back(e);
  entries.push_back(std::move(entry));
  const json::object index{{"schemaVersion", 2},
                           {"mediaType", "application/vnd.oci.image.index.v1+json"},
                           {"manifests", std::move(entries)}};
  OJ_CHECK(put(folder / "index.json", json::serialize(index)));
  return put(folder / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
}

}  // namespace oddjob::devcluster
