#include "server/program.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "kube/config.hpp"
#include "server/config.hpp"
#include "server/logging.hpp"
#include "server/serve.hpp"
#ifdef ODDJOB_DEVCLUSTER
#include "server/dev.hpp"
#endif

namespace oddjob::server {
namespace {

// Everything that is wrong, so that nobody mends a file one start at a time.
int complain(const std::vector<Error>& problems) {
  for (const auto& e : problems) {
    fmt::print(stderr, "oddjobd: {}\n", e.message);
    if (!e.hint.empty()) fmt::print(stderr, "  hint: {}\n", e.hint);
  }
  return 1;
}

std::string keys_footer() {
  std::string out = "Configuration keys (each also by environment: listen.port is ODDJOBD_LISTEN_PORT):\n";
  for (const auto& key : config_keys())
    out += fmt::format("  {:<30} {}{}\n", key.path, key.meaning, key.live ? " (live)" : "");
  out += "(live): a change in the file is taken up by a running server\n";
  return out;
}

}  // namespace

int program(int argc, char** argv) {
  CLI::App app{"OddJob's server: runs one-off jobs in a Kubernetes cluster.", "oddjobd"};
  app.require_subcommand(1);
  app.set_version_flag("--version", fmt::format("oddjobd {} ({})", ODDJOB_VERSION, ODDJOB_COMMIT));
  std::string config_file, ready_file;

  auto* serve_command = app.add_subcommand("serve", "Serve a cluster, found by kubeconfig or as a pod in it");
  serve_command->add_option("--config", config_file, "YAML configuration file");
  serve_command->add_option("--ready-file", ready_file, "Write the server's URL here once it listens");
  serve_command->footer(keys_footer());

  auto* check_command =
      app.add_subcommand("check-config", "Say whether a configuration file is right, and where not");
  check_command->add_option("file", config_file, "YAML configuration file")->required();

  auto* schema_command =
      app.add_subcommand("config-schema", "Print the JSON schema of the configuration file");

  auto* version_command = app.add_subcommand("version", "Print the version");

#ifdef ODDJOB_DEVCLUSTER
  DevOptions dev_options;
  dev_options.directory = default_dev_directory();
  auto* dev_command =
      app.add_subcommand("dev", "A cluster, a server and sample workloads in one process, for a first try");
  dev_command->add_option("--directory", dev_options.directory, "Where everything is kept")
      ->capture_default_str();
  dev_command->add_option("--ready-file", dev_options.ready_file, "Write the URL here once everything is up");
  dev_command->add_option("--port", dev_options.port, "Port of the OddJob server; 0: a free one");
  dev_command->add_option("--cluster-port", dev_options.cluster_port,
                          "Port of the Kubernetes API; 0: a free one");
  dev_command->add_flag("--cluster-only", dev_options.cluster_only, "Only the Kubernetes API");
  dev_command->add_flag("!--no-confine", dev_options.confine,
                        "Run pods as plain processes, without bubblewrap");
  dev_command->add_flag("!--no-pods", dev_options.run_pods, "Do not run pods at all");
  dev_command->add_option("--log-level", dev_options.log_level, "trace, debug, info, warn or error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}));
#endif

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (version_command->parsed()) {
    fmt::print("oddjobd {} ({})\n", ODDJOB_VERSION, ODDJOB_COMMIT);
    return 0;
  }
  if (schema_command->parsed()) {
    fmt::print("{}", pretty_json(config_schema()));
    return 0;
  }
#ifdef ODDJOB_DEVCLUSTER
  if (dev_command->parsed()) {
    set_up_logging(dev_options.log_level, "text");
    return dev(dev_options);
  }
#endif
  const auto [config, problems] = check_config_file(config_file, kube::process_environment());
  if (!problems.empty()) return complain(problems);
  if (check_command->parsed()) {
    fmt::print("{} is right\n", config_file);
    return 0;
  }
  set_up_logging(config.log_level, config.log_format);
  return serve(config, config_file, ready_file);
}

}  // namespace oddjob::server
