#include "devcluster/cluster.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "core/digest.hpp"
#include "core/yaml.hpp"
#include "devcluster/api/access.hpp"
#include "devcluster/api/server.hpp"
#include "devcluster/controllers/controllers.hpp"
#include "devcluster/node.hpp"
#include "devcluster/pki.hpp"
#include "net/http_server.hpp"

namespace oddjob::devcluster {
namespace {

constexpr std::size_t kMaxBody = 3U << 20U;  // as a real API server's limit for a request
constexpr std::size_t kMaxBodyHeadroom = 64U << 10U;
constexpr Duration kPodTokenLife = std::chrono::hours(24 * 365);  // the node does not renew them

Result<> write_private(const std::filesystem::path& path, std::string_view content) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return fail(Errc::unavailable, "devcluster.start", fmt::format("cannot write {}", path.string()));
  ::fchmod(fd, 0600);
  const bool ok = ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  ::close(fd);
  if (!ok) return fail(Errc::unavailable, "devcluster.start", fmt::format("cannot write {}", path.string()));
  return {};
}

std::string kubeconfig(const std::string& server, const KeyPair& ca, const KeyPair& admin) {
  return to_yaml(json::object{
      {"apiVersion", "v1"},
      {"kind", "Config"},
      {"clusters",
       json::array{json::object{
           {"name", "oddjob-dev"},
           {"cluster", {{"server", server}, {"certificate-authority-data", base64_encode(ca.cert_pem)}}}}}},
      {"users", json::array{json::object{{"name", "admin"},
                                         {"user",
                                          {{"client-certificate-data", base64_encode(admin.cert_pem)},
                                           {"client-key-data", base64_encode(admin.key_pem)}}}}}},
      {"contexts",
       json::array{json::object{
           {"name", "oddjob-dev"},
           {"context", {{"cluster", "oddjob-dev"}, {"user", "admin"}, {"namespace", "default"}}}}}},
      {"current-context", "oddjob-dev"}});
}

// Above anything that an earlier process can have reached at this address.
std::int64_t first_revision() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(system_clock().now().time_since_epoch())
             .count() -
         1'700'000'000'000;
}

json::value node_object() {
  const auto pages = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)),
             size = static_cast<std::int64_t>(::sysconf(_SC_PAGE_SIZE));
  const json::object capacity{{"cpu", std::to_string(std::max(std::thread::hardware_concurrency(), 1U))},
                              {"memory", fmt::format("{}Ki", pages * size / 1024)},
                              {"pods", "1000"}};
  json::object condition{{"type", "Ready"},
                         {"status", "True"},
                         {"reason", "KubeletReady"},
                         {"message", "the dev cluster's node is ready"}};
  return json::object{
      {"metadata",
       {{"name", "dev"},
        {"labels",
         {{"kubernetes.io/hostname", "dev"},
          {"kubernetes.io/os", "linux"},
          {"kubernetes.io/arch", "amd64"}}}}},
      {"spec", json::object()},
      {"status",
       {{"capacity", capacity},
        {"allocatable", capacity},
        {"conditions", json::array{std::move(condition)}},
        {"addresses", json::array{json::object{{"type", "InternalIP"}, {"address", "127.0.0.1"}},
                                  json::object{{"type", "Hostname"}, {"address", "dev"}}}},
        {"nodeInfo",
         {{"kubeletVersion", "v1.36.0+oddjob-dev"},
          {"operatingSystem", "linux"},
          {"architecture", "amd64"},
          {"osImage", "processes"},
          {"kernelVersion", ""},
          {"containerRuntimeVersion", "process://1"}}}}}};
}

}  // namespace

struct Cluster::Impl {
  net::Loop& loop;
  ClusterOptions options;
  Storage storage;
  Registry registry{storage};
  Access access{storage};
  Controllers controllers{loop, registry};
  std::unique_ptr<Node> node;
  std::unique_ptr<ApiServer> api;
  std::unique_ptr<net::HttpServer> http;
  KeyPair ca;
  std::shared_ptr<int> alive = std::make_shared<int>();  // for what is posted to the loop

  Impl(net::Loop& l, ClusterOptions o)
      : loop(l), options(std::move(o)), storage(options.watch_history, first_revision()) {}

  void first_objects() {
    for (const auto* name : {"default", "kube-system", "kube-public", "kube-node-lease"})
      (void)registry.create(*registry.find("", "namespaces"), "",
                            json::object{{"metadata", {{"name", name}}}});
    const auto* nodes = registry.find("", "nodes");
    auto node_status = node_object();
    (void)registry.create(*nodes, "", node_status);
    WriteContext status;
    status.subresource = "status";
    (void)registry.modify(
        *nodes, "", "dev",
        [&](json::value& o) {
          ensure(o, {"status"}) = *find(node_status, {"status"});
          return true;
        },
        status);
    json::object all{
        {"apiGroups", json::array{"*"}}, {"resources", json::array{"*"}}, {"verbs", json::array{"*"}}};
    json::object urls{{"nonResourceURLs", json::array{"*"}}, {"verbs", json::array{"*"}}};
    (void)registry.create(*registry.find("rbac.authorization.k8s.io", "clusterroles"), "",
                          json::object{{"metadata", {{"name", "cluster-admin"}}},
                                       {"rules", json::array{std::move(all), std::move(urls)}}});
  }

  Result<> start() {
    std::error_code error;
    std::filesystem::create_directories(options.directory, error);
    if (error)
      return fail(Errc::unavailable, "devcluster.start",
                  fmt::format("cannot make {}: {}", options.directory.string(), error.message()));
    ::chmod(options.directory.c_str(), 0700);
    OJ_TRY(ca, make_ca("oddjob-dev-ca"));
    OJ_TRY(const auto serving, make_certificate(ca, "kube-apiserver", {},
                                                {"127.0.0.1", "::1", "localhost", "kubernetes",
                                                 "kubernetes.default", "kubernetes.default.svc"}));
    OJ_TRY(const auto admin, make_certificate(ca, "admin", {"system:masters"}, {}));
    controllers.start();
    // Every namespace has the CA, as a real cluster's root-ca-cert-publisher sees to.
    storage.on_event([this](const WatchEvent& e) {
      if (e.resource != "/namespaces" || e.type != WatchEvent::Type::added) return;
      loop.post([this, alive = std::weak_ptr(alive),
                 name = std::string(get_string(*e.object, {"metadata", "name"}))] {
        if (alive.expired()) return;
        (void)registry.create(
            *registry.find("", "configmaps"), name,
            json::object{
                {"metadata",
                 {{"name", "kube-root-ca.crt"},
                  {"annotations",
                   {{"kubernetes.io/description",
                     "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
                     "endpoints such as the internal service IP or kubernetes.default.svc."}}}}},
                {"data", {{"ca.crt", ca.cert_pem}}}});
      });
    });
    first_objects();
    if (options.run_pods) {
      NodeOptions node_options;
      node_options.directory = options.directory / "node";
      node_options.confine = options.confine;
      node_options.images = options.images;
      node_options.ca_pem = ca.cert_pem;
      node_options.issue_token = [this](std::string_view ns, std::string_view account) {
        const auto object = storage.get("/serviceaccounts", ns, account);
        return access.issue(ns, account, object ? get_string(*object, {"metadata", "uid"}) : "",
                            kPodTokenLife);
      };
      node = std::make_unique<Node>(loop, registry, std::move(node_options));
    }
    api = std::make_unique<ApiServer>(registry, access, node.get());
    net::ServerOptions http_options;
    http_options.address = options.address;
    http_options.port = options.port;
    http_options.cert_pem = serving.cert_pem;
    http_options.key_pem = serving.key_pem;
    http_options.client_ca_pem = ca.cert_pem;
    http_options.max_body = kMaxBody + kMaxBodyHeadroom;
    http = std::make_unique<net::HttpServer>(
        loop, std::move(http_options),
        [this](const net::ServerRequest& request, net::ResponseWriter& out) {
          return api->handle(request, out);
        },
        [](int status, std::string_view message) {
          const Errc kind = status == 413   ? Errc::too_large
                            : status >= 500 ? Errc::internal
                                            : Errc::invalid_argument;
          net::ServerResponse r;
          r.status = status;
          r.headers.add("Content-Type", "application/json");
          r.body = json::serialize(status_of({kind,
                                              status == 413   ? "RequestEntityTooLarge"
                                              : status >= 500 ? "InternalError"
                                                              : "BadRequest",
                                              std::string(message),
                                              {},
                                              0})) +
                   "\n";
          return r;
        });
    if (auto started = http->start(); !started)
      return fail(std::move(started.error()).with_context("dev cluster"));
    if (node) node->start();
    const auto server = fmt::format("https://{}:{}", options.address, http->port());
    OJ_CHECK(write_private(options.directory / "ca.crt", ca.cert_pem));
    return write_private(options.directory / "kubeconfig", kubeconfig(server, ca, admin));
  }
};

Cluster::Cluster(net::Loop& loop, ClusterOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(options))) {}
Cluster::~Cluster() = default;
Result<> Cluster::start() { return impl_->start(); }

net::Task<> Cluster::stop() {
  if (impl_->http) co_await impl_->http->shutdown(std::chrono::milliseconds(500));
  co_await impl_->controllers.stop();
  if (impl_->node) co_await impl_->node->stop();
}

std::string Cluster::kubeconfig_path() const { return (impl_->options.directory / "kubeconfig").string(); }
std::string Cluster::server_url() const {
  return fmt::format("https://{}:{}", impl_->options.address, impl_->http->port());
}
bool Cluster::confined() const noexcept { return impl_->node && impl_->node->confined(); }

}  // namespace oddjob::devcluster
