// The files behind load_config: reading, and finding an entry by the merge rule.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob::kube {

struct KubeconfigFile {
  std::string path;
  json::value document;  // an object; empty for an empty file
};

// Reads and checks the outer shape. An absent file is nullopt-like: `missing`.
struct ReadKubeconfig {
  KubeconfigFile file;
  bool missing = false;
};
Result<ReadKubeconfig> read_kubeconfig(const std::string& path);

// An entry of one of the named lists, with the file that holds it: relative
// paths are relative to that file.
struct Entry {
  const json::value* body = nullptr;  // null: in none of the files
  std::string file, list, name;
  // `<file>: cluster "x": <what>`
  [[nodiscard]] std::string where() const;
};
// The first file that has the entry wins whole; nothing is merged inside it.
// `list` is "clusters", `inner` "cluster". Errors: "kubeconfig.malformed".
Result<Entry> find_entry(const std::vector<KubeconfigFile>& files, std::string_view list,
                         std::string_view inner, std::string_view name);
std::vector<std::string> entry_names(const std::vector<KubeconfigFile>& files, std::string_view list);

// Typed fields of an entry; a missing or null one is empty. Errors name file, entry, field.
Result<std::string> string_field(const Entry& e, std::string_view key);
Result<bool> bool_field(const Entry& e, std::string_view key);
Result<std::vector<std::string>> strings_field(const Entry& e, std::string_view key);
// `key` as an absolute path, relative ones by the entry's file.
Result<std::string> path_field(const Entry& e, std::string_view key);
// PEM text by "<key>-data" (base64, wins) or by the file "<key>".
Result<std::string> pem_field(const Entry& e, std::string_view key);
std::string resolve_path(const Entry& e, std::string_view path);

}  // namespace oddjob::kube
