// How to reach and speak to one API server: kubeconfig files, or the service
// account of the pod we run in.
// https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob::kube {

// An exec credential plugin (client.authentication.k8s.io/v1 and v1beta1).
struct ExecPlugin {
  std::string api_version, command;
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;
  std::string install_hint;
  bool provide_cluster_info = false;
  json::value cluster_config;  // the cluster's extension for plugins, passed on as it is
};

// Everything resolved: files read (CA, certificates), relative paths made
// absolute. Token files and exec plugins are kept as such: they are read again
// when they change or expire. Holds secrets: never print it.
struct Config {
  std::string server;  // https://host:port[/prefix]
  std::string ca_pem;  // empty: system trust store
  std::string client_cert_pem, client_key_pem;
  std::string token, token_file, username, password;
  std::optional<ExecPlugin> exec;
  std::string proxy_url;  // empty: environment
  std::string tls_server_name;
  bool insecure_skip_tls_verify = false;
  std::string impersonate_user;
  std::vector<std::string> impersonate_groups;
  std::string name_space = "default";
  std::string context;  // name; "in-cluster" for the pod's own
  std::string impersonate_uid;
  std::map<std::string, std::vector<std::string>> impersonate_extra;
};

struct LoadOptions {
  std::string kubeconfig;                          // --kubeconfig; overrides everything
  std::string context;                             // --context
  std::map<std::string, std::string> environment;  // KUBECONFIG, HOME, KUBERNETES_SERVICE_HOST, …
};

// --kubeconfig, else each file of $KUBECONFIG (first wins per entry, as
// kubectl merges), else ~/.kube/config, else in-cluster. Errors, each naming
// file and entry: "kubeconfig.malformed", "kubeconfig.not_found",
// "kubeconfig.no_context", "kubeconfig.no_cluster", "kubeconfig.no_user",
// "kubeconfig.file_unreadable", "kubeconfig.bad_exec", "kubeconfig.auth_provider"
// (the removed plugins of old kubectl versions).
Result<Config> load_config(const LoadOptions& options);
Result<Config> in_cluster_config(const std::map<std::string, std::string>& environment,
                                 std::string_view root = "/var/run/secrets/kubernetes.io/serviceaccount");
// The process's environment, for LoadOptions.
std::map<std::string, std::string> process_environment();

}  // namespace oddjob::kube
