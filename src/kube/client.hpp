// A Kubernetes client: verbs over JSON objects, errors as Status objects say
// them, retries where the API says retrying is right.
// https://kubernetes.io/docs/reference/using-api/api-concepts/
//
// Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "kube/config.hpp"
#include "net/async.hpp"
#include "net/http_client.hpp"

namespace oddjob::kube {

// A resource type: group ("" for core), version, plural, whether namespaced.
struct Resource {
  std::string group, version, plural;
  bool namespaced = true;
  std::string kind;
};
namespace resources {
extern const Resource pods, services, events, namespaces, config_maps, secrets, service_accounts, deployments,
    stateful_sets, daemon_sets, replica_sets, jobs, cron_jobs, pod_disruption_budgets, token_reviews,
    subject_access_reviews, self_subject_access_reviews, resource_quotas, limit_ranges;
}
const Resource& workload_resource(std::string_view kind);  // by Kind; for the four workloads

struct ListOptions {
  ListOptions() {}         // NOLINT(modernize-use-equals-default)
  std::string name_space;  // empty: all namespaces
  std::string label_selector, field_selector;
  std::int64_t page_size = 500;
  bool metadata_only = false;       // apiVersion, kind (the real ones) and metadata, nothing else
  std::size_t max_items = 1000000;  // over it: "kube.list_too_large"
};
struct ListResult {
  std::vector<json::value> items;  // kind and apiVersion filled in
  std::string resource_version;
};

// Options have constructors of their own: GCC 12 destroys a temporary aggregate,
// a default argument too, twice inside a co_await expression.
struct WriteOptions {
  WriteOptions() {}  // NOLINT(modernize-use-equals-default)
  bool dry_run = false;
  std::string field_manager = "oddjob";
  std::string traceparent;  // sent with it (W3C Trace Context); empty: none
};
enum class PatchType { json_patch, merge, strategic };
enum class Propagation { background, foreground, orphan };
struct DeleteOptions {
  DeleteOptions() {}  // NOLINT(modernize-use-equals-default)
  Propagation propagation = Propagation::background;
  std::string uid, resource_version;  // preconditions; empty: none
  std::optional<int> grace_seconds;
};
struct LogOptions {
  LogOptions() {}  // NOLINT(modernize-use-equals-default)
  std::string container;
  bool follow = false, timestamps = false, previous = false;
  std::string since_time;  // RFC 3339; the server has whole seconds only
  std::optional<std::int64_t> limit_bytes;
};

struct ClientOptions {
  Duration call_timeout = std::chrono::seconds(30);  // one call, its retries included
  Duration min_backoff = std::chrono::milliseconds(100);
  Duration max_backoff = std::chrono::seconds(5);
  int max_attempts = 6;                              // 429 with Retry-After: as often as time allows
  std::size_t max_body = 64U << 20U;                 // of one answer; a list's page
  Duration exec_timeout = std::chrono::seconds(30);  // of a credential plugin
  std::string user_agent = "oddjob";
};

// Errors of all verbs: the API server's Status, mapped: 400/422 -> invalid_argument
// or failed_precondition ("kube.invalid"), 401 "kube.unauthorized", 403
// "kube.forbidden" (the server's message, which names the missing permission;
// quota denials are "kube.quota", Pod Security and webhooks "kube.admission"),
// 404 "kube.not_found", 409 "kube.already_exists" / "kube.conflict", 410
// "kube.expired", 429 "kube.too_many_requests" (after retries), 5xx
// "kube.server_error", not JSON "kube.not_json" (names content type and first
// words), transport errors as net gives them. GETs and lists are retried on
// 429 (Retry-After), 503 and connection failures, with backoff and jitter,
// within the call's deadline; writes only on 429 and on failures to connect
// (that is, where nothing was sent). Besides: "kube.exec_failed" and
// "kube.token_unreadable" (no credentials to send), "kube.client_closed".
// Credentials go to https servers and to the machine itself, never in the clear.
//
// A Client may be destroyed while calls are under way: they end with
// "kube.client_closed". Calling it after that is the caller's error.
class Client {
 public:
  Client(net::Loop& loop, Config config, ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  net::Task<Result<json::value>> get(const Resource& r, std::string_view ns, std::string_view name);
  net::Task<Result<ListResult>> list(const Resource& r, ListOptions options);
  // The same, page by page, for lists that need not be held whole. `on_page`
  // gets `restart` true for the first page, and again when the server no longer
  // has the snapshot being read: what came before is then void. Returns the
  // list's resource version.
  using OnPage = std::function<void(std::vector<json::value> items, bool restart)>;
  net::Task<Result<std::string>> list_pages(const Resource& r, ListOptions options, OnPage on_page);
  net::Task<Result<json::value>> create(const Resource& r, std::string_view ns, json::value object,
                                        WriteOptions options = {});
  net::Task<Result<json::value>> update(const Resource& r, std::string_view ns, std::string_view name,
                                        json::value object, WriteOptions options = {});
  net::Task<Result<json::value>> patch(const Resource& r, std::string_view ns, std::string_view name,
                                       PatchType type, json::value patch, WriteOptions options = {},
                                       std::string_view subresource = {});
  // not_found is success: the object is gone.
  net::Task<Result<>> remove(const Resource& r, std::string_view ns, std::string_view name,
                             DeleteOptions options = {});
  // A pod's log as a byte stream.
  net::Task<Result<net::HttpStream>> log(std::string_view ns, std::string_view pod, LogOptions options);
  // One raw exchange under the server's address, with credentials; `target` is
  // path and query. For discovery and tests.
  net::Task<Result<net::HttpResponse>> raw(std::string_view method, std::string_view target,
                                           std::string body = {}, std::string content_type = {});
  // Opens a watch stream; see watch.hpp, which is what callers want.
  net::Task<Result<net::HttpStream>> open_watch(const Resource& r, const ListOptions& options,
                                                std::string_view resource_version,
                                                std::chrono::seconds timeout,
                                                Duration idle_timeout = {});  // 0: timeout + 40 s
  // {major, minor} of the server, cached. Error as raw().
  struct Version {
    int major = 0, minor = 0;
    std::string git;
  };
  net::Task<Result<Version>> version();

  [[nodiscard]] const Config& config() const noexcept;
  net::Loop& loop() noexcept;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // calls under way share it
};

}  // namespace oddjob::kube
