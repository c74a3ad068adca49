// Configuration of `oddjobd serve`: one YAML file, every key also by an
// environment variable (listen.port is ODDJOBD_LISTEN_PORT). docs/configuration.md
// lists the keys; `oddjobd check-config` says what is wrong and where.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "auth/issuer.hpp"
#include "auth/teams.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob::server {

// A webhook, as it is configured (docs/webhooks.md).
struct HookConfig {
  std::string name, url, secret_file, ca_file;
  std::vector<std::string> events;  // empty: all
  Duration timeout = std::chrono::seconds(10);
  friend bool operator==(const HookConfig&, const HookConfig&) = default;
};

struct ServerConfig {
  std::string listen_address = "127.0.0.1";                       // or unix:/path
  int listen_port = 8080;                                         // 0: any free one
  std::string tls_cert_file, tls_key_file;                        // both or none
  std::string database_url = "sqlite:/var/lib/oddjob/oddjob.db";  // may hold a password
  std::string database_password_file;
  Duration database_lease = std::chrono::seconds(10);
  Duration database_busy_timeout = std::chrono::seconds(2);
  std::string kubeconfig, kube_context;  // empty: as kubectl finds it, or the pod's own
  std::vector<std::string> namespaces;   // empty: the whole cluster
  std::string static_tokens_file;
  bool token_review = true;
  bool front_proxy = false;  // take callers by way of the API server (an APIService); needs TLS
  std::vector<std::string> token_review_audiences, admin_teams, auditor_teams;
  std::vector<auth::Issuer> issuers;  // auth.oidc
  std::vector<auth::NamedTeam> teams;
  std::vector<std::vector<std::string>> aliases;  // user names that are one person
  std::string pending_jobs = "suspended";         // or "deferred"
  std::vector<HookConfig> hooks;
  int max_active_runs = 1000;
  int max_streams_per_subject = 100;
  // By subject, or by address where there is none. 0: no bound.
  std::int64_t requests_per_minute = 6000, runs_per_minute = 600, unauthenticated_per_minute = 300;
  int active_runs_per_subject = 500;
  std::int64_t max_log_bytes = 1LL << 30;
  Duration start_timeout = std::chrono::minutes(15);
  Duration shutdown_delay{};
  Duration shutdown_grace = std::chrono::seconds(10);
  // Index of the paths in images, for completion. Bytes; rate 0: no bound.
  bool images_enabled = true, images_ahead = true;
  std::string images_directory;  // empty: beside the database
  std::int64_t images_max_index_bytes = 2LL << 30, images_max_image_bytes = 32LL << 30;
  std::int64_t images_background_rate = 32LL << 20;
  int images_concurrent_pulls = 2, images_concurrent_layers = 4;
  std::string images_platform;  // empty: linux and this machine's architecture
  std::string images_docker_config_file, images_ca_file, images_layout_directory;
  std::vector<std::string> images_layouts;  // REPOSITORY=FOLDER
  std::vector<std::string> images_plain_http_registries, images_insecure_tls_registries;
  // Copies of the audit elsewhere, and its signed checkpoints.
  std::string audit_file, audit_syslog, audit_syslog_ca_file;
  std::string audit_checkpoint_key_file, audit_checkpoint_name = "oddjob";
  // Logs of runs that have ended. 0: for ever, no bound.
  Duration log_max_age = std::chrono::days(30);
  std::int64_t log_max_bytes = 5LL << 30;
  std::string log_level = "info";   // trace debug info warn error
  std::string log_format = "text";  // text json
};

// What was read, and everything that is wrong with it; not to be used if anything is.
struct CheckedConfig {
  ServerConfig config;
  std::vector<Error> problems;
};

// `yaml` may be empty (all defaults); `where` names it in errors. Environment
// variables win over the file. Errors: "config.malformed", "config.unknown_key"
// (with the nearest known one), "config.bad_value", those of the YAML reader and
// of single values: each names the file and the line, or the variable, and the key.
CheckedConfig check_config(std::string_view yaml, std::string_view where,
                           const std::map<std::string, std::string>& environment);
// Reads the file ("config.unreadable"); an empty path means no file.
CheckedConfig check_config_file(const std::string& path,
                                const std::map<std::string, std::string>& environment);
// The same, with the first problem as the error.
Result<ServerConfig> parse_config(std::string_view yaml, std::string_view where,
                                  const std::map<std::string, std::string>& environment);
Result<ServerConfig> load_config(const std::string& path,
                                 const std::map<std::string, std::string>& environment);

// The file's JSON schema (draft 7), made of the same tables.
json::object config_schema();

// What becomes of a running configuration when `next` is read: the live keys
// are taken up, the others stay as they are.
struct ReloadPlan {
  ServerConfig config;
  std::vector<std::string> changed;        // keys that were taken up
  std::vector<std::string> needs_restart;  // keys that differ, and wait for a restart
};
ReloadPlan plan_reload(const ServerConfig& running, const ServerConfig& next);

// A row a key, for the documentation and for --help: "listen.port", what it means.
struct ConfigKey {
  std::string_view path, meaning;
  bool live = false;  // taken up without a restart
};
const std::vector<ConfigKey>& config_keys();
// "listen.tlsCertFile" -> "ODDJOBD_LISTEN_TLS_CERT_FILE"
std::string config_variable(std::string_view path);

}  // namespace oddjob::server
