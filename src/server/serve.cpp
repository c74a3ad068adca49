#include "server/serve.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <optional>

#include "api/api.hpp"
#include "audit/exporter.hpp"
#include "auth/front_proxy.hpp"
#include "core/text.hpp"
#include "fs/files.hpp"
#include "hooks/deliverer.hpp"
#include "hooks/message.hpp"
#include "net/http_server.hpp"
#include "runs/engine.hpp"
#include "server/certificate.hpp"
#include "server/images.hpp"
#include "server/reload.hpp"
#include "server/retention.hpp"
#include "store/store.hpp"

namespace oddjob::server {
namespace {

constexpr Duration kFilesEvery = std::chrono::seconds(10);
constexpr std::size_t kMaxPem = 1U << 20U;
constexpr std::size_t kMaxSecret = 64U << 10U;
constexpr Duration kConnectRetry = std::chrono::seconds(2);
// How many records at most wait for the disk together.
constexpr std::size_t kCommitTogether = 64;

// What may be shown of an error in the server's own log.
std::string describe(const Error& e) {
  return e.hint.empty() ? fmt::format("{} [{}]", e.message, e.code)
                        : fmt::format("{} [{}]; {}", e.message, e.code, e.hint);
}

runs::EngineLimits engine_limits(const ServerConfig& c) {
  runs::EngineLimits limits;
  limits.start_timeout = c.start_timeout;
  limits.max_active_runs = static_cast<std::size_t>(c.max_active_runs);
  limits.max_active_of_one = static_cast<std::size_t>(c.active_runs_per_subject);
  limits.max_log_bytes = static_cast<std::size_t>(c.max_log_bytes);
  limits.aliases = c.aliases;
  return limits;
}

api::ApiLimits api_limits(const ServerConfig& c) {
  api::ApiLimits limits;
  limits.max_streams_per_subject = static_cast<std::size_t>(c.max_streams_per_subject);
  limits.requests_per_minute = c.requests_per_minute;
  limits.runs_per_minute = c.runs_per_minute;
  limits.unauthenticated_per_minute = c.unauthenticated_per_minute;
  return limits;
}

// SQLite: one for a commit, the other one reads meanwhile. PostgreSQL has one connection for both.
unsigned database_threads(const ServerConfig& c) { return c.database_url.starts_with("sqlite:") ? 2 : 1; }

store::LogRetention log_retention(const ServerConfig& c) { return {c.log_max_age, c.log_max_bytes}; }

// Of this process and no other, and readable: where it runs comes first.
std::string replica_name() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host = {"oddjobd"};
  return printable(host.data(), 100) + "/" + new_uuid().substr(0, 8);
}

}  // namespace

struct Server::Impl {
  net::Loop& loop;
  ServerConfig config;
  kube::Config cluster_config;
  std::vector<auth::StaticToken> given_tokens;
  std::string config_file;
  // In the order of construction; destroyed in reverse.
  net::BlockingPool db{database_threads(config)};
  std::unique_ptr<store::Store> store;
  std::unique_ptr<kube::Client> client;
  std::unique_ptr<hooks::Deliverer> hooks;
  std::optional<CheckpointSigner> signer;  // none: no checkpoints
  std::unique_ptr<audit::Exporter> copies;
  std::unique_ptr<Retention> retention;
  std::unique_ptr<runs::Engine> engine;
  std::unique_ptr<runs::WorkloadImages> workload_images;
  std::unique_ptr<image::Service> images;  // null: none are indexed
  std::unique_ptr<auth::Authenticator> authenticator;
  std::unique_ptr<auth::FrontProxy> front_proxy;  // null: no aggregated API
  std::unique_ptr<api::Api> api;
  std::unique_ptr<net::HttpServer> http;
  std::optional<CertificateFiles> certificate;  // none: plain HTTP
  std::unique_ptr<Reloader> reloader;
  std::string replica;  // empty: there can be no others
  net::Notifier connected, stopped;
  net::CancelToken stopping;
  bool connect_ended = true, following_ended = true, looking_ahead = false;

  Impl(net::Loop& l, ServerConfig c, kube::Config k, std::vector<auth::StaticToken> t, std::string f)
      : loop(l),
        config(std::move(c)),
        cluster_config(std::move(k)),
        given_tokens(std::move(t)),
        config_file(std::move(f)) {}

  [[nodiscard]] Result<std::vector<auth::StaticToken>> tokens(const std::string& file) const {
    auto all = given_tokens;
    if (!file.empty()) {
      OJ_TRY(auto from_file, auth::load_static_tokens(file));
      all.insert(all.end(), from_file.begin(), from_file.end());
    }
    return all;
  }

  [[nodiscard]] Result<std::shared_ptr<auth::Oidc>> issuers() const {
    auto list = config.issuers;
    if (list.empty()) return nullptr;
    for (auto& issuer : list) {
      if (issuer.ca_file.empty()) continue;
      OJ_TRY(issuer.ca_pem, fs::read_file(issuer.ca_file, kMaxPem, "config.tls_unreadable"));
    }
    return std::make_shared<auth::Oidc>(loop, std::move(list));
  }

  [[nodiscard]] Result<net::ServerOptions> http_options() {
    net::ServerOptions options;
    options.address = config.listen_address;
    options.port = config.listen_port;
    if (!config.tls_cert_file.empty()) {
      certificate.emplace(config.tls_cert_file, config.tls_key_file);
      OJ_TRY(const auto pair, certificate->read());
      certificate->taken(pair);
      options.cert_pem = pair.cert_pem;
      options.key_pem = pair.key_pem;
      options.ask_client_cert = config.front_proxy;
    }
    return options;
  }

  [[nodiscard]] Result<std::vector<hooks::Hook>> hook_list() const {
    std::vector<hooks::Hook> out;
    for (const auto& c : config.hooks) {
      hooks::Hook hook;
      hook.name = c.name;
      hook.url = c.url;
      hook.events = c.events;
      hook.timeout = c.timeout;
      OJ_TRY(const auto secret, fs::read_file(c.secret_file, kMaxSecret, "config.secret_unreadable"));
      OJ_TRY(hook.secrets, hooks::parse_secrets(secret, c.secret_file));
      if (!c.ca_file.empty()) {
        OJ_TRY(hook.ca_pem, fs::read_file(c.ca_file, kMaxPem, "config.tls_unreadable"));
      }
      out.push_back(std::move(hook));
    }
    return out;
  }

  Result<> assemble_copies() {
    if (!config.audit_checkpoint_key_file.empty()) {
      const auto& path = config.audit_checkpoint_key_file;
      OJ_TRY(const auto pem, fs::read_file(path, kMaxPem, "config.secret_unreadable"));
      OJ_TRY(signer, CheckpointSigner::from_pem(pem, config.audit_checkpoint_name, path));
    }
    std::vector<std::unique_ptr<audit::Sink>> sinks;
    if (!config.audit_file.empty()) sinks.push_back(audit::make_file_sink(config.audit_file));
    if (!config.audit_syslog.empty()) {
      OJ_TRY(auto target, audit::parse_syslog_address(config.audit_syslog));
      if (!config.audit_syslog_ca_file.empty()) {
        OJ_TRY(target.ca_pem, fs::read_file(config.audit_syslog_ca_file, kMaxPem, "config.tls_unreadable"));
      }
      sinks.push_back(audit::make_syslog_sink(std::move(target)));
    }
    audit::ExporterOptions options;
    options.signer = signer ? &*signer : nullptr;
    options.replica = replica;
    // What other replicas record pokes nobody here.
    if (!replica.empty()) options.poll = std::chrono::seconds(1);
    copies = std::make_unique<audit::Exporter>(loop, *store, db, std::move(sinks), options);
    return {};
  }

  Result<> assemble() {
    store::StoreOptions store_options;
    store_options.url = config.database_url;
    store_options.password_file = config.database_password_file;
    store_options.alone = true;
    store_options.busy_timeout = config.database_busy_timeout;
    OJ_TRY(store, store::Store::open(store_options));
    // On PostgreSQL each commit is by itself, and nobody has to wait for another's.
    if (!store->shared())
      db.gather([s = store.get()](net::BlockingPool::Calls calls) { s->together(calls); }, kCommitTogether);
    replica = store->shared() ? replica_name() : std::string();

    client = std::make_unique<kube::Client>(loop, cluster_config);
    runs::EngineOptions engine_options;
    static_cast<runs::EngineLimits&>(engine_options) = engine_limits(config);
    engine_options.namespaces = config.namespaces;
    engine_options.replica = replica;
    engine_options.lease = config.database_lease;
    OJ_TRY(auto told, hook_list());
    hooks::DelivererOptions hook_options;
    hook_options.replica = replica;
    // What other replicas record pokes nobody here.
    if (!replica.empty()) hook_options.poll = std::chrono::seconds(1);
    hooks = std::make_unique<hooks::Deliverer>(loop, *store, db, std::move(told), hook_options);
    OJ_CHECK(assemble_copies());
    engine_options.on_record = [this] {
      hooks->poke();
      copies->poke();
    };
    RetentionOptions retention_options;
    retention_options.rule = log_retention(config);
    retention_options.replica = replica;
    retention_options.on_record = engine_options.on_record;
    retention = std::make_unique<Retention>(loop, *store, db, std::move(retention_options));
    engine_options.defer_pending = config.pending_jobs == "deferred";
    engine_options.known = [this](const Subject& s) {
      return authenticator ? authenticator->known(s) : std::optional(s);
    };
    engine = std::make_unique<runs::Engine>(loop, *client, *store, db, engine_options);

    auth::AuthOptions auth_options;
    OJ_TRY(auth_options.static_tokens, tokens(config.static_tokens_file));
    auth_options.token_review = config.token_review;
    auth_options.token_review_audiences = config.token_review_audiences;
    auth_options.admin_teams = config.admin_teams;
    auth_options.auditor_teams = config.auditor_teams;
    auth_options.teams = config.teams;
    OJ_TRY(auth_options.oidc, issuers());
    authenticator = std::make_unique<auth::Authenticator>(std::move(auth_options), client.get());

    api::ApiOptions api_options;
    api_options.version = ODDJOB_VERSION;
    api_options.commit = ODDJOB_COMMIT;
    api_options.limits = api_limits(config);
    api_options.figures = [this] { return figures(); };
    OJ_CHECK(assemble_images());
    api_options.images = images.get();
    api_options.checkpoint_signer = signer ? &*signer : nullptr;
    api_options.workload_images = workload_images.get();
    assemble_front_proxy();
    api_options.front_proxy = front_proxy.get();
    api = std::make_unique<api::Api>(*engine, *store, db, *authenticator, std::move(api_options));

    OJ_TRY(auto options, http_options());
    reloader = std::make_unique<Reloader>(config, config_file,
                                          [this](const ServerConfig& next) { return take(next); });
    hooks->start();
    copies->start();
    retention->start();
    http = std::make_unique<net::HttpServer>(
        loop, std::move(options),
        [this](const net::ServerRequest& request, net::ResponseWriter& out) {
          return api->handle(request, out);
        },
        &api::Api::problem);
    OJ_CHECK(http->start());
    if (front_proxy) front_proxy->start();
    return {};
  }

  void assemble_front_proxy() {
    if (!config.front_proxy) return;
    auth::FrontProxy::Options options;
    options.on_authority = [this](const std::string& ca_pem) {
      if (auto named = http->name_client_authorities(ca_pem); !named)
        spdlog::error("the front proxy's CA is not asked for: {}", describe(named.error()));
    };
    front_proxy = std::make_unique<auth::FrontProxy>(*client, std::move(options));
  }

  // The live keys, all or none.
  Result<> take(const ServerConfig& next) {
    OJ_TRY(auto all_tokens, tokens(next.static_tokens_file));
    authenticator->replace_static_tokens(std::move(all_tokens));
    authenticator->replace_roles(next.admin_teams, next.auditor_teams, next.teams);
    engine->set_limits(engine_limits(next));
    api->set_limits(api_limits(next));
    retention->set(log_retention(next));
    if (next.log_level != config.log_level) spdlog::set_level(spdlog::level::from_str(next.log_level));
    config = next;
    return {};
  }

  [[nodiscard]] std::vector<api::Figure> figures() const {
    const auto since = reloader->success_time().time_since_epoch();
    std::vector<api::Figure> out{
        {"oddjob_config_last_reload_successful", "1 if the configuration could be read the last time.",
         reloader->successful() ? 1.0 : 0.0},
        {"oddjob_config_last_reload_success_timestamp_seconds", "When the configuration was taken up last.",
         std::chrono::duration<double>(since).count()}};
    const auto kept = retention->state();
    out.push_back({"oddjob_logs_dropped_by_age_total", "Logs dropped by retention.logMaxAge.",
                   static_cast<double>(kept.by_age), true});
    out.push_back({"oddjob_logs_dropped_by_size_total", "Logs dropped by retention.logMaxBytes.",
                   static_cast<double>(kept.by_size), true});
    out.push_back({"oddjob_log_retention_failing", "1 while logs that are due cannot be dropped.",
                   kept.failing ? 1.0 : 0.0});
    if (kept.kept_bytes)
      out.push_back({"oddjob_log_archive_bytes",
                     "Logs that are kept, compressed, as of the last look; of the replica that looks.",
                     static_cast<double>(*kept.kept_bytes)});
    const auto told = hooks->stats();
    const auto webhooks = [&](const char* what, const char* help, std::uint64_t count) {
      out.push_back(
          {fmt::format("oddjob_webhook_messages_{}_total", what), help, static_cast<double>(count), true});
    };
    webhooks("delivered", "Messages that a webhook's receiver took.", told.delivered);
    webhooks("failed", "Attempts that failed; they are repeated.", told.failed);
    webhooks("abandoned", "Messages that were given up.", told.abandoned);
    const auto states = copies->states();
    out.push_back({"oddjob_audit_copies_failing", "Copies of the audit that take no records.",
                   static_cast<double>(std::ranges::count(states, true, &audit::Exporter::State::failing))});
    for (const auto& copy : states) {
      out.push_back({fmt::format("oddjob_audit_{}_record", copy.name),
                     "The last audit record that this copy has.", static_cast<double>(copy.place)});
      out.push_back({fmt::format("oddjob_audit_{}_failing", copy.name), "1 while this copy takes no records.",
                     copy.failing ? 1.0 : 0.0});
    }
    return out;
  }

  // A renewed certificate is served without a restart. One that cannot be used,
  // a file half written or a key that is not there yet, leaves the old one.
  Result<> renew_certificate() {
    if (!certificate) return {};
    OJ_TRY(const auto pair, certificate->changed());
    if (!pair) return {};
    OJ_CHECK(http->use_certificate(pair->cert_pem, pair->key_pem));
    certificate->taken(*pair);
    spdlog::info("the renewed certificate of {} is served from now on", config.tls_cert_file);
    return {};
  }

  // Files that others change: the configuration, static tokens, the certificate.
  net::Task<> follow_files() {
    std::string told;
    while (!stopping.cancelled()) {
      const auto seen = stopped.ticket();
      co_await stopped.wait_beyond(seen, kFilesEvery);
      if (stopping.cancelled()) break;
      reloader->reload_if_changed();
      const auto renewed = renew_certificate();
      if (!renewed && renewed.error().message != told)
        spdlog::warn("kept the old certificate: {}", describe(renewed.error()));
      told = renewed ? std::string() : renewed.error().message;
    }
    following_ended = true;
    stopped.notify_all();
  }

  // A folder that cannot be written is no reason not to run anything.
  Result<> assemble_images() {
    if (!config.images_enabled) return {};
    OJ_TRY(auto options, image_options(config, kube::process_environment()));
    workload_images = std::make_unique<runs::WorkloadImages>(*client, config.namespaces);
    images = std::make_unique<image::Service>(loop, std::move(options));
    if (auto started = images->start(); !started) {
      spdlog::warn("no files of images will be completed: {}", describe(started.error()));
      images.reset();
    }
    return {};
  }

  net::Task<> look_ahead() {
    looking_ahead = true;
    co_await index_ahead(*engine, *workload_images, *images, stopping);
    looking_ahead = false;
    connected.notify_all();
  }

  // Until the cluster answers: a server that starts before its API server must
  // not need a restart.
  net::Task<> connect() {
    connect_ended = false;
    while (!stopping.cancelled()) {
      auto started = co_await engine->start();
      if (started) {
        spdlog::info("the cluster at {} is in view; runs are accepted", cluster_config.server);
        if (images && config.images_ahead) loop.spawn("index images", look_ahead());
        break;
      }
      spdlog::warn("the cluster at {} is not in view: {}", cluster_config.server, describe(started.error()));
      co_await net::sleep_for(kConnectRetry);
    }
    connect_ended = true;
    connected.notify_all();
  }
};

Server::Server(net::Loop& loop, ServerConfig config, kube::Config cluster,
               std::vector<auth::StaticToken> tokens, std::string config_file)
    : impl_(std::make_unique<Impl>(loop, std::move(config), std::move(cluster), std::move(tokens),
                                   std::move(config_file))) {}
Server::~Server() = default;

net::Task<Result<>> Server::start() {
  // Before anything else runs on this loop, so blocking here harms nobody.
  OJ_CO_CHECK(impl_->assemble());
  impl_->loop.spawn("connect to the cluster", impl_->connect());
  impl_->following_ended = false;
  impl_->loop.spawn("follow files", impl_->follow_files());
  co_return Result<>{};
}

net::Task<bool> Server::wait_ready(Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!impl_->engine->ready()) {
    const auto left = std::chrono::duration_cast<Duration>(deadline - std::chrono::steady_clock::now());
    if (left <= Duration::zero()) co_return false;
    const auto seen = impl_->connected.ticket();
    if (impl_->engine->ready()) break;
    co_await impl_->connected.wait_beyond(seen, std::min(left, Duration(100)));
  }
  co_return true;
}

void Server::reload() {
  if (auto renewed = impl_->renew_certificate(); !renewed)
    spdlog::error("kept the old certificate: {}", describe(renewed.error()));
  impl_->reloader->reload();
}

net::Task<> Server::stop() {
  // A load balancer needs a while to see that nobody should be sent here any more.
  impl_->api->drain();
  if (impl_->config.shutdown_delay > Duration::zero()) co_await net::sleep_for(impl_->config.shutdown_delay);
  impl_->stopping.cancel();
  impl_->stopped.notify_all();
  co_await impl_->http->shutdown(impl_->config.shutdown_grace);
  if (impl_->front_proxy) co_await impl_->front_proxy->stop();
  if (impl_->images) co_await impl_->images->stop();
  // Those who tell of the audit end first: the engine gives back this server's leases, theirs among them, and another
  // server would tell again what these are telling, and have not noted yet.
  co_await impl_->hooks->stop();
  co_await impl_->copies->stop();
  co_await impl_->retention->stop();
  co_await impl_->engine->stop();
  // What was taken under the name that the engine had at first goes too.
  if (!impl_->replica.empty()) {
    auto leave = [impl = impl_.get()] { return impl->store->leave(impl->replica); };
    (void)co_await impl_->db.offload(leave);
  }
  const auto deadline = std::chrono::steady_clock::now() + kConnectRetry * 2;
  while (!(impl_->connect_ended && impl_->following_ended && !impl_->looking_ahead) &&
         std::chrono::steady_clock::now() < deadline) {
    const auto seen = impl_->connected.ticket();
    co_await impl_->connected.wait_beyond(seen, Duration(100));
  }
}

std::string Server::url() const {
  if (impl_->config.listen_address.starts_with("unix:")) return impl_->config.listen_address;
  return fmt::format("{}://{}:{}", impl_->config.tls_cert_file.empty() ? "http" : "https",
                     impl_->config.listen_address, impl_->http->port());
}

namespace {

net::Task<> until_told(Server& server, int& code, std::string ready_file) {
  auto started = co_await server.start();
  if (!started) {
    spdlog::error("oddjobd did not start: {}", describe(started.error()));
    code = 1;
    co_return;
  }
  spdlog::info("oddjobd {} listens on {}", ODDJOB_VERSION, server.url());
  if (!ready_file.empty()) {
    if (auto written = fs::write_private_file(ready_file, server.url() + "\n"); !written) {
      spdlog::error("{}", describe(written.error()));
      code = 1;
    }
  }
  const std::vector<int> wanted = {SIGTERM, SIGINT, SIGHUP};
  while (code == 0) {
    const int signal = co_await net::wait_signal(wanted);
    if (signal != SIGHUP) {
      spdlog::info("signal {}: shutting down", signal);
      break;
    }
    server.reload();
  }
  co_await server.stop();
}

}  // namespace

int serve(const ServerConfig& config, const std::string& config_file, const std::string& ready_file) {
  kube::LoadOptions load;
  load.kubeconfig = config.kubeconfig;
  load.context = config.kube_context;
  load.environment = kube::process_environment();
  auto cluster = kube::load_config(load);
  if (!cluster) {
    spdlog::error("oddjobd did not start: {}", describe(cluster.error()));
    return 1;
  }
  int code = 0;
  net::Loop loop;
  {
    Server server(loop, config, std::move(*cluster), {}, config_file);
    loop.block_on(until_told(server, code, ready_file));
  }
  return code;
}

}  // namespace oddjob::server
