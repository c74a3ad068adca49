// Which server to talk to, as whom, in which namespace: the configuration file,
// the environment, the flags. Pure but for load/save.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "kube/config.hpp"

namespace oddjob::cli {

using Environment = std::map<std::string, std::string>;

// One entry of `contexts`. Holds a secret in `token`.
struct CliContext {
  std::string name, server, token, token_file, ca_file, name_space;
  bool auth_kubeconfig = false;  // send the bearer token of the kubeconfig's user
  // By way of the kubeconfig's API server, as its user; there is no `server` then.
  bool via_kubernetes = false;
  std::string kubeconfig, kube_context;  // with it; empty: as kubectl finds them
};

// ~/.config/oddjob/config.yaml:
//   currentContext: prod
//   contexts: [{name: prod, server: https://…, tokenFile: …, caFile: …, namespace: …, auth: kubeconfig}
//              {name: here, via: kubernetes, kubeconfig: …, kubeContext: …, namespace: …}]
struct CliConfig {
  std::string current;
  std::vector<CliContext> contexts;
  [[nodiscard]] const CliContext* find(std::string_view name) const;
  [[nodiscard]] CliContext* find(std::string_view name);
};

// Strict: unknown keys and wrong types are errors ("cli.config_malformed"),
// which name file and key and never a token.
Result<CliConfig> parse_cli_config(std::string_view yaml, std::string_view where);
std::string format_cli_config(const CliConfig& config);

// $ODDJOB_CONFIG, else $XDG_CONFIG_HOME/oddjob/config.yaml, else ~/.config/oddjob/config.yaml.
std::string config_path(const Environment& environment);
// An absent file is an empty configuration; paths in it are relative to its folder.
// Error "cli.config_unreadable".
Result<CliConfig> load_cli_config(const std::string& path);
// In one step (temporary file, rename), 0600, folders made 0700. Error "file.unwritable".
Result<> save_cli_config(const std::string& path, const CliConfig& config);

struct GlobalFlags {
  // `context` is one of the kubeconfig where via_kubernetes is set.
  std::string context, server, token_file, ca_file, name_space, kubeconfig;
  bool via_kubernetes = false;
};

// What a command uses in the end: flags, then environment (ODDJOB_SERVER,
// ODDJOB_TOKEN, ODDJOB_TOKEN_FILE, ODDJOB_CA_FILE, ODDJOB_CONTEXT,
// ODDJOB_NAMESPACE), then the context. By way of Kubernetes the kubeconfig says
// the rest: see use_kubeconfig(). Errors: "cli.no_server", "cli.no_context"
// (with the known ones), "cli.usage" (flags that exclude each other).
struct Settings {
  std::string context, server, token, token_file, ca_file, name_space;
  bool auth_kubeconfig = false;
  bool via_kubernetes = false;
  std::string kubeconfig, kube_context;
  std::optional<kube::Config> cluster;  // by way of this, where via_kubernetes is set
};
Result<Settings> merge_settings(const GlobalFlags& flags, const Environment& environment,
                                const CliConfig& config);
// Reads the kubeconfig where the settings ask for it: server, identity and, where
// nobody said another, namespace. Errors: those of kube::load_config.
Result<> use_kubeconfig(Settings& settings, const Environment& environment);

}  // namespace oddjob::cli
