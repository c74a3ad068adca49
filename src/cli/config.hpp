// Which server to talk to, as whom, in which namespace: the configuration file,
// the environment, the flags. Pure but for load/save.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob::cli {

using Environment = std::map<std::string, std::string>;

// One entry of `contexts`. Holds a secret in `token`.
struct CliContext {
  std::string name, server, token, token_file, ca_file, name_space;
  bool auth_kubeconfig = false;  // send the bearer token of the kubeconfig's user
};

// ~/.config/oddjob/config.yaml:
//   currentContext: prod
//   contexts: [{name: prod, server: https://…, tokenFile: …, caFile: …, namespace: …, auth: kubeconfig}]
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
  std::string context, server, token_file, ca_file, name_space;
};

// What a command uses in the end: flags, then environment (ODDJOB_SERVER,
// ODDJOB_TOKEN, ODDJOB_TOKEN_FILE, ODDJOB_CA_FILE, ODDJOB_CONTEXT,
// ODDJOB_NAMESPACE), then the context. Errors: "cli.no_server", "cli.no_context"
// (with the known ones).
struct Settings {
  std::string context, server, token, token_file, ca_file, name_space;
  bool auth_kubeconfig = false;
};
Result<Settings> merge_settings(const GlobalFlags& flags, const Environment& environment,
                                const CliConfig& config);

}  // namespace oddjob::cli
