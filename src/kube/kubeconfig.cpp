#include "kube/kubeconfig.hpp"

#include <cerrno>
#include <filesystem>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "core/yaml.hpp"
#include "kube/files.hpp"

namespace oddjob::kube {
namespace {

std::unexpected<Error> malformed(std::string message, std::string hint = {}) {
  return fail(Errc::invalid_argument, "kubeconfig.malformed", std::move(message), std::move(hint));
}

const json::value* field(const Entry& e, std::string_view key) {
  const json::value* v = e.body == nullptr ? nullptr : find(*e.body, {key});
  return v == nullptr || v->is_null() ? nullptr : v;
}

std::unexpected<Error> wrong_type(const Entry& e, std::string_view key, std::string_view wanted) {
  return malformed(fmt::format("{}: {} must be {}", e.where(), key, wanted));
}

Result<std::string> checked_pem(const Entry& e, std::string_view key, std::string pem) {
  if (pem.find("-----BEGIN ") == std::string::npos)
    return malformed(fmt::format("{}: {} holds no PEM block", e.where(), key));
  return pem;
}

}  // namespace

Result<ReadKubeconfig> read_kubeconfig(const std::string& path) {
  ReadKubeconfig out;
  out.file.path = path;
  FileRead read = read_file(path, kMaxYamlBytes);
  if (read.error == ENOENT || read.error == ENOTDIR) {
    out.missing = true;
    return out;
  }
  if (read.error != 0)
    return fail(Errc::invalid_argument, "kubeconfig.file_unreadable",
                fmt::format("cannot read kubeconfig {}: {}", path, errno_text(read.error)));
  auto documents = parse_yaml_documents(read.bytes, path);
  // The parser's message names line and column; it must not quote the text,
  // which may be a token. It is ours, and says only where.
  if (!documents) return malformed("kubeconfig " + documents.error().message);
  if (documents->size() > 1)
    return malformed(fmt::format("kubeconfig {} holds more than one document", path));
  out.file.document = documents->empty() ? json::value(json::object{}) : std::move(documents->front());
  if (out.file.document.is_null()) out.file.document = json::object{};
  if (!out.file.document.is_object())
    return malformed(fmt::format("kubeconfig {} is not a YAML mapping", path),
                     "is this a kubeconfig? it begins with `apiVersion: v1` and `kind: Config`");
  const auto kind = get_string(out.file.document, {"kind"}, "Config");
  const auto version = get_string(out.file.document, {"apiVersion"}, "v1");
  if (kind != "Config" || version != "v1")
    return malformed(fmt::format("kubeconfig {} is a {} {}, not a v1 Config", path, printable(version, 60),
                                 printable(kind, 60)));
  for (const std::string_view list : {"clusters", "contexts", "users"}) {
    const json::value* v = find(out.file.document, {list});
    if (v != nullptr && !v->is_null() && !v->is_array())
      return malformed(fmt::format("kubeconfig {}: {} must be a list", path, list));
  }
  const json::value* current = find(out.file.document, {"current-context"});
  if (current != nullptr && !current->is_null() && !current->is_string())
    return malformed(fmt::format("kubeconfig {}: current-context must be a string", path));
  return out;
}

std::string Entry::where() const {
  std::string_view noun = list;
  if (!noun.empty()) noun.remove_suffix(1);
  return fmt::format("kubeconfig {}: {} \"{}\"", file, noun, printable(name, 200));
}

Result<Entry> find_entry(const std::vector<KubeconfigFile>& files, std::string_view list,
                         std::string_view inner, std::string_view name) {
  Entry out;
  out.list = list;
  out.name = name;
  static const json::value empty_body = json::object{};
  for (const auto& f : files) {
    const json::array* entries = find_array(f.document, {list});
    if (entries == nullptr) continue;
    std::size_t index = 0;
    for (const json::value& v : *entries) {
      ++index;
      if (!v.is_object() || find(v, {"name"}) == nullptr || !find(v, {"name"})->is_string())
        return malformed(fmt::format("kubeconfig {}: entry {} of {} has no name", f.path, index, list));
      if (get_string(v, {"name"}) != name) continue;
      out.file = f.path;
      if (out.body != nullptr) return malformed(out.where() + " is there twice");
      const json::value* body = find(v, {inner});
      if (body == nullptr || body->is_null()) {
        out.body = &empty_body;
      } else if (body->is_object()) {
        out.body = body;
      } else {
        return malformed(fmt::format("{}: {} must be a mapping", out.where(), inner));
      }
    }
    if (out.body != nullptr) break;
  }
  return out;
}

std::vector<std::string> entry_names(const std::vector<KubeconfigFile>& files, std::string_view list) {
  std::vector<std::string> names;
  for (const auto& f : files) {
    const json::array* entries = find_array(f.document, {list});
    if (entries == nullptr) continue;
    for (const json::value& v : *entries) {
      std::string name(get_string(v, {"name"}));
      if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(std::move(name));
    }
  }
  return names;
}

Result<std::string> string_field(const Entry& e, std::string_view key) {
  const json::value* v = field(e, key);
  if (v == nullptr) return std::string();
  if (!v->is_string())
    return wrong_type(e, key, v->is_number() || v->is_bool() ? "a string (put it in quotes)" : "a string");
  return std::string(sv(v->get_string()));
}

Result<bool> bool_field(const Entry& e, std::string_view key) {
  const json::value* v = field(e, key);
  if (v == nullptr) return false;
  if (!v->is_bool()) return wrong_type(e, key, "true or false");
  return v->get_bool();
}

Result<std::vector<std::string>> strings_field(const Entry& e, std::string_view key) {
  std::vector<std::string> out;
  const json::value* v = field(e, key);
  if (v == nullptr) return out;
  if (!v->is_array()) return wrong_type(e, key, "a list of strings");
  for (const json::value& item : v->get_array()) {
    if (!item.is_string()) return wrong_type(e, key, "a list of strings");
    out.emplace_back(sv(item.get_string()));
  }
  return out;
}

std::string resolve_path(const Entry& e, std::string_view path) {
  const std::filesystem::path p(path);
  if (p.is_absolute()) return std::string(path);
  std::error_code ec;
  const auto base = std::filesystem::absolute(std::filesystem::path(e.file), ec).parent_path();
  return (base / p).lexically_normal().string();
}

Result<std::string> path_field(const Entry& e, std::string_view key) {
  OJ_TRY(std::string path, string_field(e, key));
  return path.empty() ? path : resolve_path(e, path);
}

Result<std::string> pem_field(const Entry& e, std::string_view key) {
  const std::string data_key = std::string(key) + "-data";
  OJ_TRY(const std::string data, string_field(e, data_key));
  if (!data.empty()) {
    auto pem = base64_decode(data);
    if (!pem) return malformed(fmt::format("{}: {} is not base64", e.where(), data_key));
    return checked_pem(e, data_key, std::move(*pem));
  }
  OJ_TRY(const std::string path, path_field(e, key));
  if (path.empty()) return path;
  FileRead read = read_file(path, kMaxCredentialFile);
  if (read.error != 0)
    return fail(Errc::invalid_argument, "kubeconfig.file_unreadable",
                fmt::format("{}: cannot read {} {}: {}", e.where(), key, path, errno_text(read.error)));
  return checked_pem(e, key, std::move(read.bytes));
}

}  // namespace oddjob::kube
