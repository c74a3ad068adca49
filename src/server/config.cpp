#include "server/config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/json.hpp"
#include "core/text.hpp"
#include "core/yaml.hpp"
#include "fs/files.hpp"
#include "server/config/keys.hpp"

namespace oddjob::server {
namespace {

constexpr std::size_t kMaxConfigBytes = 1U << 20U;

// Gathers what is wrong, each problem with its place.
struct Reader {
  std::string_view where;
  const std::map<std::string, int, std::less<>>* lines = nullptr;
  ServerConfig config{};
  std::vector<Error> problems{};

  // The line of the path, or of what it stands in.
  [[nodiscard]] int line_of(std::string_view path) const {
    while (lines != nullptr) {
      if (const auto found = lines->find(path); found != lines->end()) return found->second;
      const auto cut = path.find_last_of(".[");
      if (cut == std::string_view::npos) break;
      path = path.substr(0, cut);
    }
    return 0;
  }

  [[nodiscard]] std::string place(std::string_view path) const {
    const int line = line_of(path);
    return line == 0 ? std::string(where) : fmt::format("{}:{}", where, line);
  }

  void read(const json::object& section, const std::string& prefix) {
    const auto& keys = config::keys();
    for (const auto& [name, value] : section) {
      const std::string path = prefix.empty() ? std::string(name) : prefix + "." + std::string(name);
      const auto key = std::ranges::find(keys, path, &config::Key::path);
      const bool is_section = prefix.empty() && std::ranges::any_of(keys, [&](const config::Key& k) {
                                return k.path.starts_with(path + ".");
                              });
      if (key != keys.end()) {
        key->value.set(config, value, [&](const std::string& below, Error e) {
          problems.push_back(
              std::move(e).with_context(fmt::format("{}: {}{}", place(path + below), path, below)));
        });
      } else if (is_section && value.is_object()) {
        read(value.get_object(), path);
      } else if (is_section) {
        problems.push_back(config::bad("a mapping of keys", value)
                               .error()
                               .with_context(fmt::format("{}: {}", place(path), path)));
      } else {
        problems.push_back(unknown(path));
      }
    }
  }

  [[nodiscard]] Error unknown(std::string_view path) const {
    std::vector<std::string_view> known;
    for (const auto& k : config::keys()) known.push_back(k.path);
    const auto near = closest(path, known);
    return {Errc::invalid_argument, "config.unknown_key",
            fmt::format("{}: unknown key '{}'", place(path), printable(path, 100)),
            near.empty() ? std::string{} : fmt::format("did you mean '{}'?", near), 0};
  }

  void read(const std::map<std::string, std::string>& environment) {
    for (const auto& key : config::keys()) {
      const auto name = config_variable(key.path);
      const auto found = environment.find(name);
      if (found == environment.end()) continue;
      const auto report = [&](const std::string& below, Error e) {
        problems.push_back(std::move(e).with_context("environment variable " + name + below));
      };
      if (!key.value.from_text) {
        report("", {Errc::invalid_argument,
                    "config.bad_value",
                    fmt::format("'{}' can stand in the file only", key.path),
                    {},
                    0});
      } else if (auto value = key.value.from_text(found->second); !value) {
        report("", std::move(value).error());
      } else {
        key.value.set(config, *value, report);
      }
    }
  }

  // What no key can say alone.
  void check_pairs() {
    if (config.tls_cert_file.empty() != config.tls_key_file.empty())
      problems.push_back(
          {Errc::invalid_argument,
           "config.bad_value",
           fmt::format("{}: listen.tlsCertFile and listen.tlsKeyFile go together; one of them is missing",
                       place("listen")),
           {},
           0});
    if (config.front_proxy && config.tls_cert_file.empty())
      problems.push_back(
          {Errc::invalid_argument,
           "config.bad_value",
           fmt::format("{}: auth.frontProxy needs listen.tlsCertFile and listen.tlsKeyFile: the API "
                       "server proves who it is by a client certificate",
                       place("auth")),
           {},
           0});
  }
};

}  // namespace

std::string config_variable(std::string_view path) {
  std::string out = "ODDJOBD_";
  for (const char c : path) {
    if (c == '.') {
      out += '_';
    } else if (c >= 'A' && c <= 'Z') {
      out += '_';
      out += c;
    } else {
      out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
  }
  return out;
}

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> rows = [] {
    std::vector<ConfigKey> out;
    for (const auto& k : config::keys()) out.push_back({k.path, k.meaning, k.reload == config::Reload::live});
    return out;
  }();
  return rows;
}

CheckedConfig check_config(std::string_view yaml, std::string_view where,
                           const std::map<std::string, std::string>& environment) {
  Reader reader{where};
  LocatedDocument document;
  if (!trim(yaml).empty()) {
    auto documents = parse_located_yaml(yaml, where);
    if (!documents) return {{}, {std::move(documents).error()}};
    if (documents->size() > 1)
      return {{},
              {{Errc::invalid_argument,
                "config.malformed",
                fmt::format("{}: expected one YAML document, found {}", where, documents->size()),
                {},
                0}}};
    // A file of nothing but comments is an empty one.
    if (!documents->empty()) document = std::move(documents->front());
    reader.lines = &document.lines;
    if (document.value.is_object()) {
      reader.read(document.value.get_object(), "");
    } else if (!document.value.is_null()) {
      reader.problems.push_back({Errc::invalid_argument,
                                 "config.malformed",
                                 fmt::format("{}: expected a mapping of keys", where),
                                 {},
                                 0});
    }
  }
  reader.read(environment);
  if (reader.problems.empty()) reader.check_pairs();
  return {std::move(reader.config), std::move(reader.problems)};
}

Result<ServerConfig> parse_config(std::string_view yaml, std::string_view where,
                                  const std::map<std::string, std::string>& environment) {
  auto checked = check_config(yaml, where, environment);
  if (!checked.problems.empty()) return fail(std::move(checked.problems.front()));
  return std::move(checked.config);
}

CheckedConfig check_config_file(const std::string& path,
                                const std::map<std::string, std::string>& environment) {
  if (path.empty()) return check_config("", "defaults", environment);
  const auto text = fs::read_file(path, kMaxConfigBytes, "config.unreadable");
  if (!text) return {{}, {text.error()}};
  return check_config(*text, path, environment);
}

Result<ServerConfig> load_config(const std::string& path,
                                 const std::map<std::string, std::string>& environment) {
  auto checked = check_config_file(path, environment);
  if (!checked.problems.empty()) return fail(std::move(checked.problems.front()));
  return std::move(checked.config);
}

}  // namespace oddjob::server
