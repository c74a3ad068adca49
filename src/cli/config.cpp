#include "cli/config.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/text.hpp"
#include "core/yaml.hpp"
#include "fs/files.hpp"

namespace oddjob::cli {
namespace {

constexpr std::size_t kMaxConfigBytes = 1U << 20U;

std::string variable(const Environment& environment, const char* name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string{} : found->second;
}

std::unexpected<Error> malformed(std::string_view where, std::string what) {
  return fail(Errc::invalid_argument, "cli.config_malformed", fmt::format("{}: {}", where, what));
}

Result<CliContext> parse_context(const json::value& v, std::string_view where) {
  if (!v.is_object()) return malformed(where, "each of 'contexts' must be a mapping");
  CliContext c;
  for (const auto& [key, value] : v.get_object()) {
    if (!value.is_string())
      return malformed(where, fmt::format("'{}' of a context must be text", std::string_view(key)));
    const auto text = std::string(sv(value.get_string()));
    if (key == "name")
      c.name = text;
    else if (key == "server")
      c.server = text;
    else if (key == "token")
      c.token = text;
    else if (key == "tokenFile")
      c.token_file = text;
    else if (key == "caFile")
      c.ca_file = text;
    else if (key == "namespace")
      c.name_space = text;
    else if (key == "kubeconfig")
      c.kubeconfig = text;
    else if (key == "kubeContext")
      c.kube_context = text;
    else if (key == "via" && text == "kubernetes")
      c.via_kubernetes = true;
    else if (key == "via")
      return malformed(
          where, fmt::format("'via' of a context can only be 'kubernetes', not '{}'", printable(text, 60)));
    else if (key == "auth" && text == "kubeconfig")
      c.auth_kubeconfig = true;
    else if (key == "auth")
      return malformed(
          where, fmt::format("'auth' of a context can only be 'kubeconfig', not '{}'", printable(text, 60)));
    else
      return malformed(where,
                       fmt::format("unknown key '{}' in a context", printable(std::string_view(key), 60)));
  }
  if (c.name.empty()) return malformed(where, "a context has no 'name'");
  return c;
}

template <class Contexts>
auto find_in(Contexts& contexts, std::string_view name) -> decltype(&contexts.front()) {
  const auto found = std::ranges::find(contexts, name, &CliContext::name);
  return found == contexts.end() ? nullptr : &*found;
}

}  // namespace

const CliContext* CliConfig::find(std::string_view name) const { return find_in(contexts, name); }
CliContext* CliConfig::find(std::string_view name) { return find_in(contexts, name); }

Result<CliConfig> parse_cli_config(std::string_view yaml, std::string_view where) {
  CliConfig out;
  if (trim(yaml).empty()) return out;
  OJ_TRY(const auto document, parse_yaml(yaml, where));
  if (!document.is_object()) return malformed(where, "expected a mapping with 'contexts'");
  for (const auto& [key, value] : document.get_object()) {
    if (key == "currentContext" && value.is_string()) {
      out.current = std::string(sv(value.get_string()));
    } else if (key == "contexts" && value.is_array()) {
      for (const auto& item : value.get_array()) {
        OJ_TRY(auto context, parse_context(item, where));
        if (out.find(context.name) != nullptr)
          return malformed(where,
                           fmt::format("there are two contexts named '{}'", printable(context.name, 60)));
        out.contexts.push_back(std::move(context));
      }
    } else if (key == "currentContext" || key == "contexts") {
      return malformed(where, fmt::format("'{}' has the wrong type", std::string_view(key)));
    } else {
      return malformed(where, fmt::format("unknown key '{}'", printable(std::string_view(key), 60)));
    }
  }
  return out;
}

std::string format_cli_config(const CliConfig& config) {
  json::array contexts;
  for (const auto& c : config.contexts) {
    json::object o{{"name", c.name}};
    if (!c.server.empty() || !c.via_kubernetes) o["server"] = c.server;
    if (c.via_kubernetes) o["via"] = "kubernetes";
    if (!c.kubeconfig.empty()) o["kubeconfig"] = c.kubeconfig;
    if (!c.kube_context.empty()) o["kubeContext"] = c.kube_context;
    if (!c.token.empty()) o["token"] = c.token;
    if (!c.token_file.empty()) o["tokenFile"] = c.token_file;
    if (!c.ca_file.empty()) o["caFile"] = c.ca_file;
    if (!c.name_space.empty()) o["namespace"] = c.name_space;
    if (c.auth_kubeconfig) o["auth"] = "kubeconfig";
    contexts.push_back(std::move(o));
  }
  return to_yaml(json::object{{"currentContext", config.current}, {"contexts", std::move(contexts)}});
}

std::string config_path(const Environment& environment) {
  if (auto path = variable(environment, "ODDJOB_CONFIG"); !path.empty()) return path;
  if (auto base = variable(environment, "XDG_CONFIG_HOME"); base.starts_with('/'))
    return base + "/oddjob/config.yaml";
  return variable(environment, "HOME") + "/.config/oddjob/config.yaml";
}

Result<CliConfig> load_cli_config(const std::string& path) {
  if (!std::filesystem::exists(path)) return CliConfig{};
  OJ_TRY(const auto text, fs::read_file(path, kMaxConfigBytes, "cli.config_unreadable"));
  OJ_TRY(auto config, parse_cli_config(text, path));
  // As in a kubeconfig: relative to the file that says so.
  const auto folder = std::filesystem::path(path).parent_path();
  for (auto& c : config.contexts)
    for (auto* file : {&c.token_file, &c.ca_file, &c.kubeconfig})
      if (!file->empty() && !file->starts_with('/')) *file = (folder / *file).lexically_normal();
  return config;
}

Result<> save_cli_config(const std::string& path, const CliConfig& config) {
  std::error_code error;
  // A link stays one, as those who keep such files in git have it.
  const auto target = std::filesystem::weakly_canonical(path, error);
  const auto folder = target.parent_path();
  if (!folder.empty() && std::filesystem::create_directories(folder, error)) ::chmod(folder.c_str(), 0700);
  return fs::write_private_file(target.empty() ? path : target.string(), format_cli_config(config));
}

Result<Settings> merge_settings(const GlobalFlags& flags, const Environment& environment,
                                const CliConfig& config) {
  const auto first = [](std::initializer_list<std::string> values) {
    for (const auto& v : values)
      if (!v.empty()) return v;
    return std::string{};
  };
  Settings s;
  if (flags.via_kubernetes) {
    if (const auto& other = first({flags.server, flags.token_file, flags.ca_file}); !other.empty())
      return fail(
          Errc::invalid_argument, "cli.usage",
          "by way of Kubernetes the kubeconfig says where to go and as whom: --server, --token-file and "
          "--ca-file have no place there");
    s.via_kubernetes = true;
    s.kubeconfig = flags.kubeconfig;
    s.kube_context = flags.context;
    s.name_space = first({flags.name_space, variable(environment, "ODDJOB_NAMESPACE")});
    return s;
  }
  const std::string named = first({flags.context, variable(environment, "ODDJOB_CONTEXT")});
  s.context = first({named, config.current});
  const CliContext* context = s.context.empty() ? nullptr : config.find(s.context);
  if (!named.empty() && context == nullptr) {
    std::vector<std::string> known;
    for (const auto& c : config.contexts) known.push_back(c.name);
    return fail(Errc::invalid_argument, "cli.no_context",
                fmt::format("there is no context '{}'", printable(named, 100)),
                known.empty() ? "`oddjob context set NAME --server URL` makes one"
                              : "there are: " + join(known, ", "));
  }
  static const CliContext none;
  const CliContext& c = context != nullptr ? *context : none;
  const std::string server = first({flags.server, variable(environment, "ODDJOB_SERVER")});
  s.server = first({server, c.server});
  s.ca_file = first({flags.ca_file, variable(environment, "ODDJOB_CA_FILE"), c.ca_file});
  s.name_space = first({flags.name_space, variable(environment, "ODDJOB_NAMESPACE"), c.name_space});
  if (c.via_kubernetes && server.empty()) {
    s.via_kubernetes = true;
    s.kubeconfig = first({flags.kubeconfig, c.kubeconfig});
    s.kube_context = c.kube_context;
    return s;
  }
  // One source of identity: the first that is given, in the order above. A
  // context's token is for its own server only.
  if (!flags.token_file.empty()) {
    s.token_file = flags.token_file;
  } else if (auto token = variable(environment, "ODDJOB_TOKEN"); !token.empty()) {
    s.token = token;
  } else if (auto file = variable(environment, "ODDJOB_TOKEN_FILE"); !file.empty()) {
    s.token_file = file;
  } else if (server.empty() || server == c.server) {
    s.token = c.token;
    s.token_file = c.token_file;
    s.auth_kubeconfig = c.auth_kubeconfig;
  }
  if (s.server.empty())
    return fail(Errc::invalid_argument, "cli.no_server", "no OddJob server is configured",
                "`oddjob context set NAME --server URL`, or set ODDJOB_SERVER; to try OddJob: `oddjobd dev`");
  while (s.server.ends_with('/')) s.server.pop_back();
  return s;
}

Result<> use_kubeconfig(Settings& settings, const Environment& environment) {
  if (!settings.via_kubernetes) return {};
  kube::LoadOptions load;
  load.kubeconfig = settings.kubeconfig;
  load.context = settings.kube_context;
  load.environment = environment;
  OJ_TRY(settings.cluster, kube::load_config(load));
  settings.server = settings.cluster->server;
  if (settings.name_space.empty()) settings.name_space = settings.cluster->name_space;
  return {};
}

}  // namespace oddjob::cli
