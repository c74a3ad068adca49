#include "cli/manifests.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/text.hpp"
#include "core/yaml.hpp"
#include "fs/files.hpp"

namespace oddjob::cli {
namespace {

constexpr std::size_t kMaxFiles = 20000;

bool is_manifest_name(const std::filesystem::path& path) {
  const auto extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

bool hidden(const std::filesystem::path& path) { return path.filename().string().starts_with('.'); }

}  // namespace

int Manifest::line(std::string_view path) const {
  std::string at = prefix + std::string(path);
  for (;;) {
    if (const auto found = lines.find(at); found != lines.end()) return found->second;
    if (at.empty()) return 0;
    const auto cut = at.find_last_of(".[");
    at.resize(cut == std::string::npos ? 0 : cut);
  }
}

Result<std::vector<Manifest>> read_manifests(const std::string& path) {
  const std::string name = path == "-" ? "/dev/stdin" : path;
  OJ_TRY(const auto text, fs::read_file(name, kMaxYamlBytes, "cli.file_unreadable"));
  OJ_TRY(auto documents, parse_located_yaml(text, path));
  std::vector<Manifest> out;
  for (auto& d : documents) {
    const auto* items = get_string(d.value, {"kind"}) == "List" ? find_array(d.value, {"items"}) : nullptr;
    if (items == nullptr) {
      out.push_back({path, std::move(d.value), "", std::move(d.lines)});
      continue;
    }
    for (std::size_t i = 0; i < items->size(); ++i)
      out.push_back({path, (*items)[i], fmt::format("items[{}].", i), d.lines});
  }
  return out;
}

Result<std::vector<std::string>> manifest_files(const std::string& path) {
  namespace stdfs = std::filesystem;
  std::error_code error;
  if (path == "-" || !stdfs::is_directory(path, error)) return std::vector{path};
  std::vector<std::string> out;
  stdfs::recursive_directory_iterator it(path, stdfs::directory_options::skip_permission_denied, error), end;
  for (; !error && it != end; it.increment(error)) {
    if (hidden(it->path())) {
      it.disable_recursion_pending();
      continue;
    }
    std::error_code ignored;
    if (!it->is_regular_file(ignored) || !is_manifest_name(it->path())) continue;
    out.push_back(it->path().string());
    if (out.size() > kMaxFiles)
      return fail(Errc::too_large, "cli.file_unreadable",
                  fmt::format("{} holds more than {} manifests", path, kMaxFiles));
  }
  if (error)
    return fail(Errc::unavailable, "cli.file_unreadable", fmt::format("{}: {}", path, error.message()));
  std::ranges::sort(out);
  return out;
}

WorkloadRef workload_reference(const json::value& workload) {
  return {*workload_kind_from_kind_name(get_string(workload, {"kind"})),
          std::string(get_string(workload, {"metadata", "namespace"}, "default")),
          std::string(get_string(workload, {"metadata", "name"}))};
}

Scene scene_of(const std::vector<Manifest>& manifests) {
  Scene out;
  for (const auto& m : manifests) {
    const auto kind = m.kind();
    if (workload_kind_from_kind_name(kind))
      out.workloads.push_back(m.object);
    else if (kind == "Service")
      out.facts.services.push_back(m.object);
    else if (kind == "PodDisruptionBudget")
      out.facts.disruption_budgets.push_back(m.object);
    else if (kind == "PersistentVolumeClaim")
      out.facts.volume_claims.push_back(m.object);
  }
  return out;
}

Result<json::value> choose_workload(const std::vector<json::value>& all, const std::string& name,
                                    std::string_view where) {
  if (all.empty())
    return fail(Errc::invalid_argument, "cli.no_workload",
                fmt::format("{} has no Deployment, StatefulSet, DaemonSet or CronJob", where));
  if (name.empty()) {
    if (all.size() == 1) return all.front();
    std::vector<std::string> names;
    for (const auto& w : all) names.push_back(to_string(workload_reference(w)));
    return fail(Errc::invalid_argument, "cli.no_workload", fmt::format("{} has several workloads", where),
                "name one of them: " + join(names, ", "));
  }
  OJ_TRY(const auto wanted, parse_workload(name, "default"));
  for (const auto& w : all)
    if (const auto r = workload_reference(w); r.kind == wanted.kind && r.name == wanted.name) return w;
  return fail(Errc::not_found, "cli.no_workload", fmt::format("{} has no {}", where, to_string(wanted)));
}

}  // namespace oddjob::cli
