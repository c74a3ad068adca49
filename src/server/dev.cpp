#include "server/dev.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <thread>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "core/yaml.hpp"
#include "devcluster/cluster.hpp"
#include "fs/files.hpp"
#include "kube/client.hpp"
#include "runs/template_watch.hpp"
#include "server/sample_images.hpp"
#include "server/samples.hpp"
#include "server/serve.hpp"

namespace oddjob::server {
namespace {

constexpr Duration kUp = std::chrono::seconds(30);

// The dev cluster on a thread of its own, so that a busy cluster does not slow
// the server down, nor the other way round.
class ClusterThread {
 public:
  explicit ClusterThread(devcluster::ClusterOptions options) : cluster_(loop_, std::move(options)) {}
  ClusterThread(const ClusterThread&) = delete;
  ClusterThread& operator=(const ClusterThread&) = delete;
  ~ClusterThread() {
    if (!thread_.joinable()) return;
    loop_.spawn("stop the dev cluster", end(cluster_, loop_));
    thread_.join();
  }
  Result<> start() {
    OJ_CHECK(cluster_.start());
    thread_ = std::thread([this] { loop_.run(); });
    return {};
  }
  [[nodiscard]] const devcluster::Cluster& cluster() const { return cluster_; }

 private:
  static net::Task<> end(devcluster::Cluster& cluster, net::Loop& loop) {
    co_await cluster.stop();
    loop.stop();
  }
  net::Loop loop_;
  devcluster::Cluster cluster_;
  std::thread thread_;
};

struct Person {
  std::string name, token;
  Subject subject;
};

std::vector<Person> people() {
  std::vector<Person> out;
  const auto add = [&](std::string name, std::vector<std::string> teams, bool admin) {
    Person p{name, hex_encode(random_bytes(24)), {}};
    p.subject.user = std::move(name);
    p.subject.teams = std::move(teams);
    p.subject.admin = admin;
    out.push_back(std::move(p));
  };
  add("ann", {"payments"}, false);
  add("bob", {}, false);
  add("admin", {}, true);
  return out;
}

std::string cli_config(const std::vector<Person>& all, const std::string& url) {
  json::array contexts;
  for (const auto& p : all)
    contexts.push_back({{"name", p.name}, {"server", url}, {"token", p.token}, {"namespace", "default"}});
  return to_yaml(json::object{{"currentContext", "ann"}, {"contexts", std::move(contexts)}});
}

net::Task<Result<>> apply_samples(kube::Client& client) {
  static const kube::Resource kDefinitions{"apiextensions.k8s.io", "v1", "customresourcedefinitions", false,
                                           "CustomResourceDefinition"};
  OJ_CO_TRY(auto crd, parse_yaml(template_crd(), "the definition of JobTemplate"));
  auto defined = co_await client.create(kDefinitions, "", std::move(crd));
  if (!defined && defined.error().code != "kube.already_exists") co_return fail(defined.error());
  OJ_CO_TRY(const auto documents, parse_yaml_documents(sample_workloads(), "sample workloads"));
  for (const auto& document : documents) {
    const auto kind = get_string(document, {"kind"});
    const auto& resource = kind == "Deployment"    ? kube::resources::deployments
                           : kind == "JobTemplate" ? runs::kJobTemplates
                           : kind == "ConfigMap"   ? kube::resources::config_maps
                           : kind == "Secret"      ? kube::resources::secrets
                                                   : kube::resources::services;
    auto made = co_await client.create(resource, "default", document);
    if (!made && made.error().code != "kube.already_exists") co_return fail(made.error());
  }
  co_return Result<>{};
}

// So that the first `oddjob run` finds running pods whose image it can pin.
net::Task<> wait_available(kube::Client& client) {
  const auto deadline = std::chrono::steady_clock::now() + kUp;
  while (std::chrono::steady_clock::now() < deadline) {
    auto found = co_await client.get(kube::resources::deployments, "default", "payments");
    if (found && get_int(*found, {"status", "availableReplicas"}).value_or(0) > 0) co_return;
    co_await net::sleep_for(Duration(50));
  }
}

void print_welcome(const DevOptions& options, const std::string& url, const devcluster::Cluster& cluster) {
  fmt::print(
      "\nOddJob is up: {}\n"
      "  its pods run as local processes, {}\n\n"
      "In another terminal:\n\n"
      "  export ODDJOB_CONFIG={}/oddjob.yaml KUBECONFIG={}\n"
      "  oddjob workloads\n"
      "  source <(oddjob completion bash)                      # zsh and fish too\n"
      "  oddjob run deploy/payments -- sh scripts/backfill.sh  # or sh scr<TAB>\n"
      "  oddjob run template/backfill --param since=2026-01-01\n"
      "  oddjob --context bob run deploy/payments -- true      # refused: bob is in no team\n"
      "  oddjob run deploy/ledger --reason fix -- true         # waits until somebody else approves\n"
      "  oddjob --context bob pending                          # and bob does: oddjob approve RUN\n"
      "  kubectl get deploy,jobs,pods\n\n"
      "Ctrl-C ends it. What is in the cluster is not kept; runs and audit are.\n",
      url, cluster.confined() ? "confined by bubblewrap" : "not confined (bubblewrap does not work here)",
      options.directory, cluster.kubeconfig_path());
  std::cout.flush();
}

net::Task<int> run_all(net::Loop& loop, const DevOptions& options, const devcluster::Cluster& cluster,
                       kube::Config kubeconfig) {
  const auto all = people();
  std::vector<auth::StaticToken> tokens;
  for (const auto& p : all) tokens.push_back({sha256_hex(p.token), p.subject});

  ServerConfig config;
  config.listen_port = options.port;
  config.images_layout_directory = options.directory + "/images";
  config.database_url = "sqlite:" + options.directory + "/oddjob.db";
  config.shutdown_grace = std::chrono::seconds(3);

  kube::Client client(loop, kubeconfig);
  if (auto made = co_await apply_samples(client); !made) {
    spdlog::error("the sample workloads were not created: {}", made.error().message);
    co_return 1;
  }
  Server server(loop, config, kubeconfig, std::move(tokens));
  if (auto started = co_await server.start(); !started) {
    spdlog::error("the server did not start: {}", started.error().message);
    co_return 1;
  }
  if (!co_await server.wait_ready(kUp)) {
    spdlog::error("the server did not get the cluster in view");
    co_return 1;
  }
  co_await wait_available(client);
  int code = 0;
  auto written = fs::write_private_file(options.directory + "/oddjob.yaml", cli_config(all, server.url()));
  if (written && !options.ready_file.empty())
    written = fs::write_private_file(options.ready_file, server.url() + "\n");
  if (!written) {
    spdlog::error("{}", written.error().message);
    code = 1;
  } else {
    print_welcome(options, server.url(), cluster);
    const std::vector<int> ends = {SIGTERM, SIGINT};
    co_await net::wait_signal(ends);
  }
  co_await server.stop();
  co_return code;
}

net::Task<int> cluster_alone(const DevOptions& options, const devcluster::Cluster& cluster) {
  fmt::print("The dev cluster is up: {}\n  export KUBECONFIG={}\n", cluster.server_url(),
             cluster.kubeconfig_path());
  std::cout.flush();
  if (!options.ready_file.empty()) {
    if (auto written = fs::write_private_file(options.ready_file, cluster.server_url() + "\n"); !written) {
      spdlog::error("{}", written.error().message);
      co_return 1;
    }
  }
  const std::vector<int> ends = {SIGTERM, SIGINT};
  co_await net::wait_signal(ends);
  co_return 0;
}

}  // namespace

std::string default_dev_directory() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::string(state) + "/oddjob/dev";
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : ".") + "/.local/state/oddjob/dev";
}

int dev(const DevOptions& given) {
  DevOptions options = given;
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  options.directory = std::filesystem::absolute(options.directory, error).string();
  if (error || ::chmod(options.directory.c_str(), 0700) != 0) {
    spdlog::error("cannot make the directory {}", options.directory);
    return 1;
  }
  devcluster::ClusterOptions cluster_options;
  cluster_options.directory = options.directory;
  cluster_options.port = options.cluster_port;
  cluster_options.confine = options.confine;
  cluster_options.run_pods = options.run_pods;
  if (!options.cluster_only) {
    cluster_options.images = options.directory + "/images";
    if (auto written = write_sample_images(cluster_options.images.string()); !written) {
      spdlog::error("{}", written.error().message);
      return 1;
    }
  }
  ClusterThread cluster(std::move(cluster_options));
  if (auto started = cluster.start(); !started) {
    spdlog::error("the dev cluster did not start: {}", started.error().message);
    return 1;
  }
  net::Loop loop;
  if (options.cluster_only) return loop.block_on(cluster_alone(options, cluster.cluster()));
  kube::LoadOptions load;
  load.kubeconfig = cluster.cluster().kubeconfig_path();
  auto kubeconfig = kube::load_config(load);
  if (!kubeconfig) {
    spdlog::error("{}", kubeconfig.error().message);
    return 1;
  }
  return loop.block_on(run_all(loop, options, cluster.cluster(), std::move(*kubeconfig)));
}

}  // namespace oddjob::server
