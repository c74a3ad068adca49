// create, update, patch, delete, scale, reviews.
#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "devcluster/api/exchange.hpp"
#include "devcluster/api/patch.hpp"
#include "devcluster/api/selectors.hpp"

namespace oddjob::devcluster {
namespace {

std::string now_text() { return format_time(std::chrono::floor<std::chrono::seconds>(system_clock().now())); }

json::object success() {
  return {{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", json::object()}, {"status", "Success"}};
}

DeleteRequest delete_request(const net::ServerRequest& request, const json::value& options) {
  DeleteRequest d;
  d.dry_run = request.query.get("dryRun") == "All";
  d.propagation =
      std::string(get_string(options, {"propagationPolicy"}, request.query.get("propagationPolicy")));
  if (const auto* orphan = find(options, {"orphanDependents"}); orphan != nullptr && orphan->is_bool())
    d.propagation = orphan->get_bool() ? "Orphan" : "Background";
  d.uid = std::string(get_string(options, {"preconditions", "uid"}));
  d.resource_version = std::string(get_string(options, {"preconditions", "resourceVersion"}));
  if (const auto grace = get_int(options, {"gracePeriodSeconds"}))
    d.grace_seconds = static_cast<int>(*grace);
  else if (request.query.has("gracePeriodSeconds"))
    d.grace_seconds = std::atoi(std::string(request.query.get("gracePeriodSeconds")).c_str());
  if (const auto* dry = find_array(options, {"dryRun"}); dry != nullptr && !dry->empty()) d.dry_run = true;
  return d;
}

// Is this body an object of the kind that the path names?
Result<> acceptable(ApiServer::Exchange& x, json::value& body) {
  const auto& t = x.target;
  const auto kind = get_string(body, {"kind"}, t.resource->kind);
  if (kind != t.resource->kind)
    return fail(Errc::invalid_argument, "BadRequest",
                fmt::format("{} in version \"{}\" cannot be handled as a {}", printable(kind, 60), t.version,
                            t.resource->kind));
  const auto version = t.group.empty() ? t.version : t.group + "/" + t.version;
  const auto given = get_string(body, {"apiVersion"}, version);
  if (given != version)
    return fail(Errc::invalid_argument, "BadRequest",
                fmt::format("the API version in the data ({}) does not match the expected API version ({})",
                            printable(given, 100), version));
  return x.check_fields(body);
}

}  // namespace

net::Task<> ApiServer::write(Exchange& x) {
  const auto& t = x.target;
  auto body = x.body();
  if (!body) {
    co_await x.answer(body.error());
    co_return;
  }
  if (auto right = acceptable(x, *body); !right) {
    co_await x.answer(right.error());
    co_return;
  }
  const auto context = x.write_context();
  Result<json::value> done = fail(Errc::internal, "InternalError", "");
  if (t.subresource == "finalize") {
    done = registry_.modify(*t.resource, "", t.name, [&](json::value& o) {
      if (const auto* f = find(*body, {"spec", "finalizers"}))
        ensure(o, {"spec", "finalizers"}) = *f;
      else
        erase(o, {"spec", "finalizers"});
      return true;
    });
  } else if (x.verb == "create") {
    if (t.resource->namespaced && t.name_space.empty()) {
      done = fail(Errc::invalid_argument, "BadRequest", "namespace is required");
    } else {
      done = registry_.create(*t.resource, t.name_space, std::move(*body), context);
    }
  } else {
    if (const auto before =
            registry_.storage().get(t.resource->key(), t.resource->namespaced ? t.name_space : "", t.name))
      track_update(*before, *body, context.field_manager, t.subresource, now_text());
    done = registry_.update(*t.resource, t.name_space, t.name, std::move(*body), context);
  }
  if (!done) {
    co_await x.answer(done.error());
    co_return;
  }
  co_await x.answer_object(x.verb == "create" ? 201 : 200, *done, registry_);
}

Result<json::value> ApiServer::patched(Exchange& x, const json::value& live) {
  const auto type = x.request.headers.get("Content-Type");
  OJ_TRY(auto body, x.body());
  if (type.starts_with("application/json-patch+json")) return json_patch(live, body);
  if (type.starts_with("application/merge-patch+json")) return merge_patch(live, body);
  if (type.starts_with("application/strategic-merge-patch+json")) {
    if (x.target.resource->custom)
      return fail(Errc::invalid_argument, "UnsupportedMediaType",
                  "the body of the request was in an unknown format - accepted media types include: "
                  "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
    return strategic_merge(live, body);
  }
  if (type.starts_with("application/apply-patch+yaml")) {
    const auto manager = x.request.query.get("fieldManager");
    if (manager.empty())
      return fail(Errc::invalid_argument, "BadRequest",
                  "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for "
                  "apply patch");
    OJ_CHECK(acceptable(x, body));
    if (get_string(body, {"metadata", "name"}, x.target.name) != x.target.name)
      return fail(Errc::invalid_argument, "BadRequest", "metadata.name does not match the name on the URL");
    return server_side_apply(live, body, manager, x.request.query.flag("force"), now_text());
  }
  return fail(Errc::invalid_argument, "UnsupportedMediaType",
              fmt::format("unknown patch format '{}'", printable(type, 60)));
}

net::Task<> ApiServer::patch(Exchange& x) {
  const auto& t = x.target;
  const bool apply = x.request.headers.get("Content-Type").starts_with("application/apply-patch+yaml");
  const auto before =
      registry_.storage().get(t.resource->key(), t.resource->namespaced ? t.name_space : "", t.name);
  if (!before && !apply) {
    const Error missing = no_such_object(t);
    co_await x.answer(missing);
    co_return;
  }
  const json::value empty = json::object{{"metadata", {{"name", t.name}}}};
  auto next = patched(x, before ? *before : empty);
  if (!next) {
    co_await x.answer(next.error());
    co_return;
  }
  Result<json::value> done = fail(Errc::internal, "InternalError", "");
  if (auto right = x.check_fields(*next); !right) {
    co_await x.answer(right.error());
    co_return;
  }
  if (before) {
    if (!apply) track_update(*before, *next, x.write_context().field_manager, t.subresource, now_text());
    done = registry_.update(*t.resource, t.name_space, t.name, std::move(*next), x.write_context());
  } else {
    erase(*next, {"metadata", "resourceVersion"});
    done = registry_.create(*t.resource, t.name_space, std::move(*next), x.write_context());
  }
  if (!done) {
    co_await x.answer(done.error());
    co_return;
  }
  co_await x.answer_object(before ? 200 : 201, *done, registry_);
}

net::Task<> ApiServer::remove(Exchange& x) {
  const auto& t = x.target;
  json::value options = json::object();
  if (!trim(x.request.body).empty()) {
    auto body = x.body();
    if (!body) {
      co_await x.answer(body.error());
      co_return;
    }
    options = std::move(*body);
  }
  auto d = delete_request(x.request, options);
  // A real server's oldest trap, kept so that clients that fall into it do so here.
  if (d.propagation.empty() && t.resource->kind == "Job") {
    d.propagation = "Orphan";
    x.warnings.emplace_back(
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to "
        "remove them or set propagationPolicy=Orphan to suppress this warning");
  }
  if (d.propagation.empty()) d.propagation = "Background";
  if (d.propagation != "Background" && d.propagation != "Foreground" && d.propagation != "Orphan") {
    const Error bad{Errc::failed_precondition,
                    "Invalid",
                    fmt::format("DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid "
                                "value: \"{}\": must be one of Background, Foreground, Orphan",
                                printable(d.propagation, 40)),
                    {},
                    0};
    co_await x.answer(bad);
    co_return;
  }
  if (x.verb == "delete") {
    auto done = registry_.remove(*t.resource, t.name_space, t.name, d);
    if (!done) {
      co_await x.answer(done.error());
      co_return;
    }
    // Gone at once: a Status; kept by grace or finalizers: the object as it is now.
    const auto still =
        registry_.storage().get(t.resource->key(), t.resource->namespaced ? t.name_space : "", t.name);
    if (still && !d.dry_run) {
      co_await x.answer_object(200, *still, registry_);
    } else {
      json::value status = success();
      ensure(status, {"details"}) = json::object{{"name", t.name},
                                                 {"group", t.group},
                                                 {"kind", t.plural},
                                                 {"uid", get_string(*done, {"metadata", "uid"})}};
      co_await x.answer(200, status);
    }
    co_return;
  }
  const auto selector =
      Selector::parse(x.request.query.get("labelSelector"), x.request.query.get("fieldSelector"), t.resource);
  if (!selector) {
    co_await x.answer(selector.error());
    co_return;
  }
  json::array items;
  for (const auto& item :
       registry_.storage().list(t.resource->key(), t.resource->namespaced ? t.name_space : "")) {
    if (!selector->matches(*item)) continue;
    auto gone = registry_.remove(*t.resource, get_string(*item, {"metadata", "namespace"}),
                                 get_string(*item, {"metadata", "name"}), d);
    if (gone) items.push_back(std::move(*gone));
  }
  const json::value list =
      json::object{{"kind", t.resource->kind + "List"},
                   {"apiVersion", t.group.empty() ? t.version : t.group + "/" + t.version},
                   {"metadata", {{"resourceVersion", std::to_string(registry_.storage().revision())}}},
                   {"items", std::move(items)}};
  co_await x.answer(200, list);
}

net::Task<> ApiServer::scale(Exchange& x) {
  const auto& t = x.target;
  const auto scale_of = [](const json::value& o) -> json::value {
    std::string selector;
    if (const auto* labels = find_object(o, {"spec", "selector", "matchLabels"}))
      for (const auto& [key, value] : *labels)
        selector += (selector.empty() ? "" : ",") + std::string(key) + "=" +
                    std::string(value.is_string() ? sv(value.get_string()) : "");
    json::object metadata;
    for (const auto* key : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
      if (const auto* v = find(o, {"metadata", key})) metadata[key] = *v;
    return json::object{
        {"kind", "Scale"},
        {"apiVersion", "autoscaling/v1"},
        {"metadata", std::move(metadata)},
        {"spec", {{"replicas", get_int(o, {"spec", "replicas"}).value_or(0)}}},
        {"status", {{"replicas", get_int(o, {"status", "replicas"}).value_or(0)}, {"selector", selector}}}};
  };
  const auto before = registry_.storage().get(t.resource->key(), t.name_space, t.name);
  if (!before) {
    const Error missing = no_such_object(t);
    co_await x.answer(missing);
    co_return;
  }
  if (x.verb == "get") {
    const auto now = scale_of(*before);
    co_await x.answer(200, now);
    co_return;
  }
  Result<json::value> wanted = x.verb == "patch" ? patched(x, scale_of(*before)) : x.body();
  if (!wanted) {
    co_await x.answer(wanted.error());
    co_return;
  }
  const auto replicas = get_int(*wanted, {"spec", "replicas"}).value_or(0);
  const auto version = std::string(get_string(*wanted, {"metadata", "resourceVersion"}));
  WriteContext context;
  context.dry_run = x.write_context().dry_run;
  const auto done = registry_.modify(
      *t.resource, t.name_space, t.name,
      [&](json::value& o) {
        ensure(o, {"spec", "replicas"}) = replicas;
        if (!version.empty()) ensure(o, {"metadata", "resourceVersion"}) = version;
        track_update(*before, o, x.write_context().field_manager, "scale", now_text());
        return true;
      },
      context);
  if (!done) {
    co_await x.answer(done.error());
    co_return;
  }
  const auto now = scale_of(*done);
  co_await x.answer(200, now);
}

// https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
net::Task<> ApiServer::evict(Exchange& x) {
  const auto& t = x.target;
  const auto pod = registry_.storage().get("/pods", t.name_space, t.name);
  const auto body = x.body();
  if (!pod || !body) {
    const Error problem = pod ? body.error() : no_such_object(t);
    co_await x.answer(problem);
    co_return;
  }
  for (const auto& budget : registry_.storage().list("policy/poddisruptionbudgets", t.name_space)) {
    const auto* selector = find(*budget, {"spec", "selector"});
    if (selector == nullptr || !label_selector_matches(*selector, find_object(*pod, {"metadata", "labels"})))
      continue;
    if (get_int(*budget, {"status", "disruptionsAllowed"}).value_or(0) > 0) continue;
    const Error refused{Errc::rate_limited,
                        "TooManyRequests",
                        "Cannot evict pod as it would violate the pod's disruption budget.",
                        {},
                        0};
    co_await x.answer(refused);
    co_return;
  }
  const json::value none = json::object(), *options = find(*body, {"deleteOptions"});
  auto d = delete_request(x.request, options == nullptr ? none : *options);
  if (d.propagation.empty()) d.propagation = "Background";
  const auto done = registry_.remove(*t.resource, t.name_space, t.name, d);
  if (!done) {
    co_await x.answer(done.error());
    co_return;
  }
  const json::value status = success();
  co_await x.answer(201, status);
}

net::Task<> ApiServer::review(Exchange& x) {
  const auto& t = x.target;
  auto body = x.body();
  if (!body) {
    co_await x.answer(body.error());
    co_return;
  }
  json::value out = std::move(*body);
  const auto user_info = [](const User& user) {
    json::object o{{"username", user.name}, {"groups", json::value_from(user.groups)}};
    if (!user.uid.empty()) o["uid"] = user.uid;
    return o;
  };
  if (t.subresource == "token") {
    const auto account = registry_.storage().get("/serviceaccounts", t.name_space, t.name);
    if (!account) {
      const Error missing = no_such_object(t);
      co_await x.answer(missing);
      co_return;
    }
    const std::chrono::seconds life(std::clamp<std::int64_t>(
        get_int(out, {"spec", "expirationSeconds"}).value_or(3600), 1, std::int64_t{1} << 32));
    ensure(out, {"status"}) = json::object{
        {"token", access_.issue(t.name_space, t.name, get_string(*account, {"metadata", "uid"}), life)},
        {"expirationTimestamp",
         format_time(std::chrono::floor<std::chrono::seconds>(system_clock().now()) + life)}};
  } else if (t.plural == "tokenreviews") {
    const auto* user = access_.token_user(get_string(out, {"spec", "token"}));
    json::object status{{"authenticated", user != nullptr}};
    if (user != nullptr) {
      status["user"] = user_info(*user);
      if (const auto* audiences = find(out, {"spec", "audiences"}))
        status["audiences"] = *audiences;
      else
        status["audiences"] = json::array{"https://kubernetes.default.svc"};
    } else {
      status["error"] = "invalid bearer token";
    }
    ensure(out, {"status"}) = std::move(status);
  } else if (t.plural == "selfsubjectreviews") {
    ensure(out, {"status"}) = json::object{{"userInfo", user_info(x.user)}};
  } else if (t.plural == "selfsubjectaccessreviews" || t.plural == "subjectaccessreviews" ||
             t.plural == "localsubjectaccessreviews") {
    User user = x.user;
    if (t.plural != "selfsubjectaccessreviews") {
      user = {std::string(get_string(out, {"spec", "user"})), {}, {}};
      if (const auto* groups = find_array(out, {"spec", "groups"}))
        for (const auto& g : *groups)
          if (g.is_string()) user.groups.emplace_back(sv(g.get_string()));
    }
    Attributes a;
    if (const auto* q = find(out, {"spec", "resourceAttributes"})) {
      a = {std::string(get_string(*q, {"verb"})),
           std::string(get_string(*q, {"group"})),
           std::string(get_string(*q, {"resource"})),
           std::string(get_string(*q, {"subresource"})),
           std::string(get_string(*q, {"namespace"})),
           std::string(get_string(*q, {"name"})),
           {}};
    } else {
      a.verb = std::string(get_string(out, {"spec", "nonResourceAttributes", "verb"}));
      a.path = std::string(get_string(out, {"spec", "nonResourceAttributes", "path"}));
    }
    ensure(out, {"status"}) = json::object{{"allowed", access_.allowed(user, a)}};
  } else if (t.plural == "selfsubjectrulesreviews") {
    ensure(out, {"status"}) = access_.rules(x.user, get_string(out, {"spec", "namespace"}));
  } else {
    const Error missing = no_such_path();
    co_await x.answer(missing);
    co_return;
  }
  co_await x.answer(201, out);
}

}  // namespace oddjob::devcluster
