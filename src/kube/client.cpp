#include "kube/client.hpp"

#include <charconv>

#include "core/text.hpp"
#include "kube/client_impl.hpp"
#include "kube/objects.hpp"
#include "kube/paths.hpp"
#include "kube/status.hpp"

// The verbs are plain functions that copy their arguments and hand over to a
// coroutine: a Task starts late, when views may be gone.
namespace oddjob::kube {
namespace {

// A call that fails before it starts.
template <class T>
net::Task<Result<T>> failed(Error e) {
  co_return fail(std::move(e));
}

net::Query write_query(const WriteOptions& o) {
  net::Query q;
  if (o.dry_run) q.add("dryRun", "All");
  if (!o.field_manager.empty()) q.add("fieldManager", o.field_manager);
  return q;
}

// "1", "28+" as managed clusters write it.
int leading_int(std::string_view s) {
  int n = 0;
  std::from_chars(s.data(), s.data() + s.size(), n);
  return n;
}

std::string_view content_type_of(PatchType t) {
  switch (t) {
    case PatchType::json_patch:
      return "application/json-patch+json";
    case PatchType::merge:
      return "application/merge-patch+json";
    case PatchType::strategic:
      return "application/strategic-merge-patch+json";
  }
  return "application/merge-patch+json";
}

std::string_view propagation_word(Propagation p) {
  switch (p) {
    case Propagation::background:
      return "Background";
    case Propagation::foreground:
      return "Foreground";
    case Propagation::orphan:
      return "Orphan";
  }
  return "Background";
}

Error needs_name(const Resource& r) {
  return {Errc::invalid_argument,
          "kube.invalid",
          fmt::format("a name is needed for one of the {}", r.plural),
          {}};
}

constexpr std::string_view kMetadataList =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
constexpr std::string_view kMetadata =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

}  // namespace

Client::Client(net::Loop& loop, Config config, ClientOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(config), std::move(options))) {}
Client::~Client() { impl_->close(); }

const Config& Client::config() const noexcept { return impl_->config; }
net::Loop& Client::loop() noexcept { return impl_->loop; }

net::Task<Result<json::value>> Client::get(const Resource& r, std::string_view ns, std::string_view name) {
  if (name.empty()) return failed<json::value>(needs_name(r));
  auto path = resource_path(r, ns, name);
  if (!path) return failed<json::value>(path.error());
  Call call;
  call.target = std::move(*path);
  return Impl::object(impl_, std::move(call));
}

net::Task<Result<ListResult>> Client::list(const Resource& r, ListOptions options) {
  return Impl::list(impl_, r, std::move(options));
}

net::Task<Result<std::string>> Client::list_pages(const Resource& r, ListOptions options, OnPage on_page) {
  return Impl::list_pages(impl_, r, std::move(options), std::move(on_page));
}

net::Task<Result<ListResult>> Client::Impl::list(Ptr self, Resource r, ListOptions options) {
  ListResult out;
  OnPage collect = [&out](std::vector<json::value> items, bool restart) {
    if (restart) out.items.clear();
    out.items.insert(out.items.end(), std::make_move_iterator(items.begin()),
                     std::make_move_iterator(items.end()));
  };
  auto listing = list_pages(std::move(self), std::move(r), std::move(options), collect);
  OJ_CO_TRY(out.resource_version, co_await std::move(listing));
  co_return out;
}

net::Task<Result<std::string>> Client::Impl::list_pages(Ptr self, Resource r, ListOptions options,
                                                        OnPage on_page) {
  OJ_CO_TRY(const std::string path, resource_path(r, options.name_space));
  std::string next;
  std::size_t count = 0;
  std::size_t empty_pages = 0;
  bool restarted = false;
  bool first = true;
  while (true) {
    net::Query query = list_query(options);
    if (options.page_size > 0) query.add("limit", std::to_string(options.page_size));
    if (!next.empty()) query.add("continue", next);
    Call call;
    call.target = with_query(path, query);
    if (options.metadata_only) call.accept = kMetadataList;
    auto asking = object(self, std::move(call));
    Result<json::value> page = co_await std::move(asking);
    if (!page) {
      // The snapshot that the pages come from is gone: begin again, once.
      if (page.error().code == "kube.expired" && !next.empty() && !restarted) {
        restarted = true;
        first = true;
        next.clear();
        count = 0;
        continue;
      }
      co_return fail(std::move(page).error());
    }
    json::value* items = find(*page, {"items"});
    if (items == nullptr || !(items->is_array() || items->is_null()))
      co_return fail(Errc::unavailable, "kube.not_json",
                     fmt::format("GET {}: the answer is not a list", path));
    std::vector<json::value> out;
    if (items->is_array()) {
      out.reserve(items->get_array().size());
      for (json::value& v : items->get_array()) {
        complete_object(v, r, options.metadata_only);
        out.push_back(std::move(v));
      }
    }
    count += out.size();
    if (count > options.max_items)
      co_return fail(Errc::too_large, "kube.list_too_large",
                     fmt::format("GET {}: the list has more than {} items", path, options.max_items),
                     "narrow it with a namespace or a selector");
    next = get_string(*page, {"metadata", "continue"});
    empty_pages = out.empty() ? empty_pages + 1 : 0;
    if (empty_pages > 100)
      co_return fail(Errc::unavailable, "kube.server_error",
                     fmt::format("GET {}: the server keeps sending empty pages", path));
    std::string version(get_string(*page, {"metadata", "resourceVersion"}));
    if (on_page) on_page(std::move(out), first);
    first = false;
    if (next.empty()) co_return version;
  }
}

net::Task<Result<json::value>> Client::create(const Resource& r, std::string_view ns, json::value object,
                                              WriteOptions options) {
  auto path = resource_path(r, ns);
  if (!path) return failed<json::value>(path.error());
  Call call;
  call.method = "POST";
  call.target = with_query(std::move(*path), write_query(options));
  call.traceparent = std::move(options.traceparent);
  call.body = json::serialize(object);
  call.content_type = "application/json";
  return Impl::object(impl_, std::move(call));
}

net::Task<Result<json::value>> Client::update(const Resource& r, std::string_view ns, std::string_view name,
                                              json::value object, WriteOptions options) {
  if (name.empty()) return failed<json::value>(needs_name(r));
  auto path = resource_path(r, ns, name);
  if (!path) return failed<json::value>(path.error());
  Call call;
  call.method = "PUT";
  call.target = with_query(std::move(*path), write_query(options));
  call.traceparent = std::move(options.traceparent);
  call.body = json::serialize(object);
  call.content_type = "application/json";
  return Impl::object(impl_, std::move(call));
}

net::Task<Result<json::value>> Client::patch(const Resource& r, std::string_view ns, std::string_view name,
                                             PatchType type, json::value patch, WriteOptions options,
                                             std::string_view subresource) {
  if (name.empty()) return failed<json::value>(needs_name(r));
  auto path = resource_path(r, ns, name, subresource);
  if (!path) return failed<json::value>(path.error());
  Call call;
  call.method = "PATCH";
  call.target = with_query(std::move(*path), write_query(options));
  call.traceparent = std::move(options.traceparent);
  call.body = json::serialize(patch);
  call.content_type = content_type_of(type);
  return Impl::object(impl_, std::move(call));
}

net::Task<Result<>> Client::remove(const Resource& r, std::string_view ns, std::string_view name,
                                   DeleteOptions options) {
  if (name.empty()) return failed<void>(needs_name(r));
  auto path = resource_path(r, ns, name);
  if (!path) return failed<void>(path.error());
  json::object body{{"kind", "DeleteOptions"}, {"apiVersion", "v1"}};
  body["propagationPolicy"] = propagation_word(options.propagation);
  if (options.grace_seconds) body["gracePeriodSeconds"] = *options.grace_seconds;
  json::object preconditions;
  if (!options.uid.empty()) preconditions["uid"] = options.uid;
  if (!options.resource_version.empty()) preconditions["resourceVersion"] = options.resource_version;
  if (!preconditions.empty()) body["preconditions"] = std::move(preconditions);
  Call call;
  call.method = "DELETE";
  call.target = std::move(*path);
  call.body = json::serialize(body);
  call.content_type = "application/json";
  return Impl::remove(impl_, std::move(call));
}

net::Task<Result<>> Client::Impl::remove(Ptr self, Call call) {
  const std::string what = call.what();
  auto asking = exchange(std::move(self), std::move(call));
  OJ_CO_TRY(const net::HttpResponse response, co_await std::move(asking));
  if (response.status < 200 || response.status >= 300) {
    Error e = error_from_answer(what, response.status, response.headers, response.body);
    if (e.code != "kube.not_found") co_return fail(std::move(e));
  }
  co_return Result<>();
}

net::Task<Result<net::HttpStream>> Client::log(std::string_view ns, std::string_view pod,
                                               LogOptions options) {
  if (pod.empty()) return failed<net::HttpStream>(needs_name(resources::pods));
  auto path = resource_path(resources::pods, ns, pod, "log");
  if (!path) return failed<net::HttpStream>(path.error());
  net::Query q;
  if (!options.container.empty()) q.add("container", options.container);
  if (options.follow) q.add("follow", "true");
  if (options.timestamps) q.add("timestamps", "true");
  if (options.previous) q.add("previous", "true");
  if (!options.since_time.empty()) q.add("sinceTime", options.since_time);
  if (options.limit_bytes) q.add("limitBytes", std::to_string(*options.limit_bytes));
  Call call;
  call.target = with_query(std::move(*path), q);
  call.accept = "*/*";
  return Impl::stream(impl_, std::move(call));
}

net::Task<Result<net::HttpStream>> Client::open_watch(const Resource& r, const ListOptions& options,
                                                      std::string_view resource_version,
                                                      std::chrono::seconds timeout, Duration idle_timeout) {
  auto path = resource_path(r, options.name_space);
  if (!path) return failed<net::HttpStream>(path.error());
  net::Query q = list_query(options);
  q.add("watch", "true");
  q.add("allowWatchBookmarks", "true");
  if (!resource_version.empty()) q.add("resourceVersion", std::string(resource_version));
  q.add("timeoutSeconds", std::to_string(timeout.count()));
  Call call;
  call.target = with_query(std::move(*path), q);
  if (options.metadata_only) call.accept = kMetadata;
  // The server ends the stream at its timeout; one that is silent for longer
  // than that is a connection that nobody holds any more.
  call.idle_timeout = idle_timeout.count() > 0 ? idle_timeout : Duration(timeout) + std::chrono::seconds(40);
  return Impl::stream(impl_, std::move(call));
}

net::Task<Result<net::HttpResponse>> Client::raw(std::string_view method, std::string_view target,
                                                 std::string body, std::string content_type) {
  if (!target.starts_with('/'))
    return failed<net::HttpResponse>({Errc::invalid_argument,
                                      "kube.invalid",
                                      fmt::format("\"{}\" is not a path", printable(target, 200)),
                                      {}});
  Call call;
  call.method = method;
  call.target = target;
  call.body = std::move(body);
  call.content_type = std::move(content_type);
  if (!call.body.empty() && call.content_type.empty()) call.content_type = "application/json";
  return Impl::exchange(impl_, std::move(call));
}

net::Task<Result<Client::Version>> Client::version() { return Impl::version(impl_); }

net::Task<Result<Client::Version>> Client::Impl::version(Ptr self) {
  // A control plane is upgraded under a running server, so not for ever.
  if (self->version_ && Steady::now() - self->version_at < std::chrono::minutes(10))
    co_return *self->version_;
  Call call;
  call.target = "/version";
  auto asking = object(self, std::move(call));
  OJ_CO_TRY(const json::value v, co_await std::move(asking));
  Version out;
  out.major = leading_int(get_string(v, {"major"}));
  out.minor = leading_int(get_string(v, {"minor"}));
  out.git = get_string(v, {"gitVersion"});
  if (out.major == 0)
    co_return fail(Errc::unavailable, "kube.not_json",
                   "GET /version: the answer names no Kubernetes version");
  self->version_ = out;
  self->version_at = Steady::now();
  co_return out;
}

}  // namespace oddjob::kube
