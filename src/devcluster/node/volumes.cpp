#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>

#include "core/digest.hpp"
#include "core/quantity.hpp"
#include "core/text.hpp"
#include "devcluster/node/container.hpp"

namespace oddjob::devcluster {
namespace {

namespace fs = std::filesystem;

// More are not looked at: measuring must not hold the loop up.
constexpr std::size_t kMaxMeasuredFiles = 10000;

std::unexpected<Error> config_error(std::string message) {
  return fail(Errc::failed_precondition, "CreateContainerConfigError", std::move(message));
}

Result<> put_file(const fs::path& folder, std::string_view name, std::string_view content,
                  std::int64_t mode) {
  const fs::path relative(name);
  if (relative.is_absolute() || relative.lexically_normal().string().starts_with(".."))
    return config_error(fmt::format("the path \"{}\" leaves the volume", printable(name, 200)));
  const auto path = folder / relative;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file)
    return config_error(fmt::format("the volume's file \"{}\" was not written", printable(name, 200)));
  ::chmod(path.c_str(), static_cast<mode_t>(mode));
  return {};
}

// The data of a ConfigMap or Secret as files.
Result<> fill_from(Storage& storage, std::string_view ns, const json::value& source, std::string_view name,
                   bool secret, const fs::path& folder, std::int64_t mode) {
  const auto object = storage.get(secret ? "/secrets" : "/configmaps", ns, name);
  if (!object) {
    if (get_bool(source, {"optional"})) return {};
    return config_error(fmt::format("{} \"{}\" not found", secret ? "secret" : "configmap", name));
  }
  const auto put = [&](std::string_view key, std::string_view path, std::int64_t file_mode) -> Result<> {
    const auto* plain = find(*object, {"data", key});
    const auto* binary = find(*object, {"binaryData", key});
    const auto* value = plain != nullptr ? plain : binary;
    if (value == nullptr || !value->is_string())
      return config_error(
          fmt::format("references non-existent {} key: {}", secret ? "secret" : "config", key));
    std::string bytes(sv(value->get_string()));
    if (secret || plain == nullptr) {
      OJ_TRY(bytes, base64_decode(bytes));
    }
    return put_file(folder, path, bytes, file_mode);
  };
  if (const auto* items = find_array(source, {"items"})) {
    for (const auto& item : *items)
      OJ_CHECK(
          put(get_string(item, {"key"}), get_string(item, {"path"}), get_int(item, {"mode"}).value_or(mode)));
    return {};
  }
  for (const auto* part : {"data", "binaryData"})
    if (const auto* data = find_object(*object, {part}))
      for (const auto& [key, value] : *data) OJ_CHECK(put(key, key, mode));
  return {};
}

std::string labels_file(const json::value& pod, std::string_view field) {
  std::string out;
  if (const auto* map = find_object(pod, {"metadata", field}))
    for (const auto& [key, value] : *map)
      out += fmt::format("{}{}={}", out.empty() ? "" : "\n", std::string_view(key), json::serialize(value));
  return out;
}

Result<> fill_downward(const json::value& pod, const json::value& source, const fs::path& folder,
                       std::int64_t mode) {
  const auto* items = find_array(source, {"items"});
  if (items == nullptr) return {};
  for (const auto& item : *items) {
    const auto field = get_string(item, {"fieldRef", "fieldPath"});
    std::string content =
        field == "metadata.labels" || field == "metadata.annotations" ? labels_file(pod, field.substr(9))
        : field == "metadata.name"      ? std::string(get_string(pod, {"metadata", "name"}))
        : field == "metadata.namespace" ? std::string(get_string(pod, {"metadata", "namespace"}))
        : field == "metadata.uid"       ? std::string(get_string(pod, {"metadata", "uid"}))
                                        : std::string{};
    OJ_CHECK(put_file(folder, get_string(item, {"path"}), content, mode));
  }
  return {};
}

// Fills the folder of one volume; or names another folder to mount instead.
Result<fs::path> make_volume(Storage& storage, const NodeOptions& options, const fs::path& base,
                             const json::value& pod, const json::value& volume) {
  const auto ns = get_string(pod, {"metadata", "namespace"});
  const fs::path folder = base / std::string(get_string(volume, {"name"}));
  std::error_code error;
  fs::create_directories(folder, error);
  if (const auto* source = find(volume, {"configMap"})) {
    OJ_CHECK(fill_from(storage, ns, *source, get_string(*source, {"name"}), false, folder,
                       get_int(*source, {"defaultMode"}).value_or(0644)));
  } else if (const auto* secret = find(volume, {"secret"})) {
    OJ_CHECK(fill_from(storage, ns, *secret, get_string(*secret, {"secretName"}), true, folder,
                       get_int(*secret, {"defaultMode"}).value_or(0644)));
  } else if (const auto* downward = find(volume, {"downwardAPI"})) {
    OJ_CHECK(fill_downward(pod, *downward, folder, 0644));
  } else if (const auto* projected = find(volume, {"projected"})) {
    const auto mode = get_int(*projected, {"defaultMode"}).value_or(0644);
    if (const auto* sources = find_array(*projected, {"sources"})) {
      for (const auto& s : *sources) {
        if (const auto* map = find(s, {"configMap"}))
          OJ_CHECK(fill_from(storage, ns, *map, get_string(*map, {"name"}), false, folder, mode));
        if (const auto* sec = find(s, {"secret"}))
          OJ_CHECK(fill_from(storage, ns, *sec, get_string(*sec, {"name"}), true, folder, mode));
        if (const auto* down = find(s, {"downwardAPI"})) OJ_CHECK(fill_downward(pod, *down, folder, mode));
        if (const auto* token = find(s, {"serviceAccountToken"}); token != nullptr && options.issue_token)
          OJ_CHECK(put_file(
              folder, get_string(*token, {"path"}, "token"),
              options.issue_token(ns, get_string(pod, {"spec", "serviceAccountName"}, "default")), 0600));
      }
    }
  } else if (const auto* claim = find(volume, {"persistentVolumeClaim"})) {
    const auto name = get_string(*claim, {"claimName"});
    if (!storage.get("/persistentvolumeclaims", ns, name))
      return config_error(fmt::format("persistentvolumeclaim \"{}\" not found", name));
    const auto kept = options.directory / "claims" / fmt::format("{}_{}", ns, name);
    fs::create_directories(kept, error);
    return kept;
  } else if (const auto* host = find(volume, {"hostPath"})) {
    return fs::path(std::string(get_string(*host, {"path"})));
  }
  return folder;
}

}  // namespace

Result<std::vector<Mount>> prepare_mounts(Storage& storage, const NodeOptions& options, const fs::path& base,
                                          const json::value& pod, const json::value& container) {
  std::vector<Mount> out;
  const auto* mounts = find_array(container, {"volumeMounts"});
  const auto* volumes = find_array(pod, {"spec", "volumes"});
  if (mounts == nullptr) return out;
  for (const auto& mount : *mounts) {
    const auto name = get_string(mount, {"name"});
    const json::value* volume = nullptr;
    if (volumes != nullptr)
      for (const auto& v : *volumes)
        if (get_string(v, {"name"}) == name) volume = &v;
    if (volume == nullptr) return config_error(fmt::format("volume \"{}\" not found", name));
    OJ_TRY(auto source, make_volume(storage, options, base, pod, *volume));
    if (const auto sub = get_string(mount, {"subPath"}); !sub.empty()) {
      const fs::path relative(sub);
      if (relative.is_absolute() || relative.lexically_normal().string().starts_with(".."))
        return config_error(fmt::format("subPath \"{}\" leaves the volume", printable(sub, 200)));
      source /= relative;
      std::error_code error;
      if (!fs::exists(source, error)) fs::create_directories(source, error);
    }
    Mount m{source, std::string(get_string(mount, {"mountPath"})), get_bool(mount, {"readOnly"})};
    // Files made from API objects are the node's; so is the host.
    if (find(*volume, {"configMap"}) != nullptr || find(*volume, {"secret"}) != nullptr ||
        find(*volume, {"projected"}) != nullptr || find(*volume, {"downwardAPI"}) != nullptr ||
        find(*volume, {"hostPath"}) != nullptr)
      m.read_only = true;
    out.push_back(std::move(m));
  }
  return out;
}

std::string overfull_volume(const fs::path& base, const json::value& pod) {
  const auto* volumes = find_array(pod, {"spec", "volumes"});
  if (volumes == nullptr) return {};
  for (const auto& v : *volumes) {
    const auto limit_text = get_string(v, {"emptyDir", "sizeLimit"});
    const auto limit = parse_quantity(limit_text);
    if (limit_text.empty() || !limit || limit->milli == 0) continue;
    const auto name = get_string(v, {"name"});
    std::error_code error;
    std::uintmax_t used = 0;
    std::size_t files = 0;
    // The pod writes while this reads: what goes meanwhile is skipped.
    for (fs::recursive_directory_iterator
             at(base / name, fs::directory_options::skip_permission_denied, error),
         end;
         !error && at != end && files < kMaxMeasuredFiles; at.increment(error), ++files) {
      std::error_code ignored;
      if (at->is_regular_file(ignored)) used += at->file_size(ignored);
    }
    if (static_cast<Quantity::Int>(used) * 1000 > limit->milli)
      return fmt::format("Usage of EmptyDir volume \"{}\" exceeds the limit \"{}\". ", name, limit_text);
  }
  return {};
}

}  // namespace oddjob::devcluster
