#include "devcluster/api/server.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "core/yaml.hpp"
#include "devcluster/api/discovery.hpp"
#include "devcluster/api/exchange.hpp"
#include "devcluster/api/schema.hpp"
#include "devcluster/api/table.hpp"

namespace oddjob::devcluster {
namespace {

int code_of(const Error& e) {
  if (e.code == "Invalid") return 422;
  if (e.code == "UnsupportedMediaType") return 415;
  if (e.code == "MethodNotAllowed") return 405;
  return http_status(e.kind);
}

std::string verb_of(const net::ServerRequest& r, const ApiServer::Target& t) {
  if (r.method == "POST") return "create";
  if (r.method == "PUT") return "update";
  if (r.method == "PATCH") return "patch";
  if (r.method == "DELETE") return t.name.empty() ? "deletecollection" : "delete";
  if (r.query.flag("watch")) return "watch";
  return t.name.empty() ? "list" : "get";
}

}  // namespace

json::object status_of(const Error& e) {
  json::object out{{"kind", "Status"},
                   {"apiVersion", "v1"},
                   {"metadata", json::object()},
                   {"status", "Failure"},
                   {"message", to_valid_utf8(e.message)},
                   {"reason", e.code},
                   {"code", code_of(e)}};
  if (!e.hint.empty()) {
    if (auto details = parse_json(e.hint, "details")) out["details"] = std::move(*details);
  }
  return out;
}

std::optional<ApiServer::Target> parse_target(const Registry& registry, std::string_view path) {
  auto parts = split(path.substr(1), '/');
  if (!parts.empty() && parts.back().empty()) parts.pop_back();
  ApiServer::Target t;
  std::size_t at = 0;
  if (parts.size() >= 3 && parts[0] == "api") {
    t.version = parts[1];
    at = 2;
  } else if (parts.size() >= 4 && parts[0] == "apis") {
    t.group = parts[1];
    t.version = parts[2];
    at = 3;
  } else {
    return std::nullopt;
  }
  // /namespaces/NS/RESOURCE..., but /namespaces/NS[/status|/finalize] is the namespace itself.
  if (parts[at] == "namespaces" && parts.size() >= at + 3 &&
      !(t.group.empty() && (parts[at + 2] == "status" || parts[at + 2] == "finalize"))) {
    t.name_space = parts[at + 1];
    at += 2;
  }
  t.plural = parts[at];
  if (parts.size() > at + 1) t.name = parts[at + 1];
  if (parts.size() > at + 2) t.subresource = parts[at + 2];
  if (parts.size() > at + 3) return std::nullopt;
  t.resource = registry.find(t.group, t.plural);
  if (t.resource != nullptr && t.resource->version != t.version) t.resource = nullptr;
  if (t.resource != nullptr && !t.resource->namespaced && t.plural == "namespaces") t.name_space.clear();
  return t;
}

std::shared_ptr<const json::value> crd_of(Registry& registry, const ResourceInfo& r) {
  return r.custom ? registry.storage().get("apiextensions.k8s.io/customresourcedefinitions", "",
                                           r.plural + "." + r.group)
                  : nullptr;
}

ApiServer::Exchange::Form ApiServer::Exchange::form() const {
  const auto accept = request.headers.get("Accept");
  if (accept.find("as=Table") != std::string_view::npos && accept.find("v=v1;") != std::string_view::npos)
    return Form::table;
  if (accept.find("as=Table;v=v1") != std::string_view::npos) return Form::table;
  if (accept.find("as=PartialObjectMetadata") != std::string_view::npos) return Form::metadata;
  return Form::object;
}

WriteContext ApiServer::Exchange::write_context() const {
  WriteContext c;
  c.dry_run = request.query.get("dryRun") == "All";
  c.subresource = target.subresource;
  c.field_manager = std::string(request.query.get("fieldManager"));
  if (c.field_manager.empty())
    c.field_manager =
        std::string(request.headers.get("User-Agent").substr(0, request.headers.get("User-Agent").find('/')));
  c.user = user.name;
  return c;
}

Result<json::value> ApiServer::Exchange::body() const {
  const auto type = request.headers.get("Content-Type");
  if (type.find("protobuf") != std::string_view::npos) return from_protobuf(request.body);
  if (type.find("cbor") != std::string_view::npos)
    return fail(Errc::invalid_argument, "UnsupportedMediaType",
                "the dev cluster takes JSON, YAML and protobuf, not CBOR");
  const bool yaml = type.find("yaml") != std::string_view::npos;
  auto value =
      yaml ? parse_yaml(request.body, "the request body") : parse_json(request.body, "the request body");
  if (!value) return fail(Errc::invalid_argument, "BadRequest", value.error().message);
  return value;
}

Result<> ApiServer::Exchange::check_fields(json::value& object) {
  const auto* r = target.resource;
  const auto* type = r == nullptr || r->custom ? nullptr : find_schema(r->kind);
  if (type == nullptr) return {};
  const auto refuse = [&](std::string_view why) {
    return fail(
        Errc::invalid_argument, "BadRequest",
        fmt::format("{} in version \"{}\" cannot be handled as a {}: {}", r->kind, r->version, r->kind, why));
  };
  const auto unknown = prune(*type, object);
  if (!unknown) return refuse(unknown.error().message);
  if (unknown->empty()) return {};
  std::vector<std::string> parts;
  for (const auto& path : *unknown)
    parts.push_back(fmt::format("unknown field \"{}\"", printable(path, 200)));
  const auto mode = request.query.get("fieldValidation");
  if (mode == "Strict") return refuse("strict decoding error: " + join(parts, ", "));
  if (mode != "Ignore") warnings.insert(warnings.end(), parts.begin(), parts.end());
  return {};
}

Error no_such_object(const ApiServer::Target& t) {
  json::object details{{"name", t.name}, {"kind", t.plural}};
  if (!t.group.empty()) details["group"] = t.group;
  return {Errc::not_found, "NotFound",
          fmt::format("{}{}{} \"{}\" not found", t.plural, t.group.empty() ? "" : ".", t.group, t.name),
          json::serialize(details), 0};
}

Error no_such_path() {
  return {Errc::not_found, "NotFound", "the server could not find the requested resource", {}, 0};
}

net::Task<> ApiServer::Exchange::answer(int status, const json::value& body) {
  net::ServerResponse response;
  response.status = status;
  response.headers.add("Content-Type", "application/json");
  for (const auto& w : warnings) {
    std::string quoted;
    for (const char c : printable(w, 400))
      quoted += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    response.headers.add("Warning", fmt::format("299 - \"{}\"", quoted));
  }
  response.body = json::serialize(body) + "\n";
  co_await out.send(std::move(response));
}

net::Task<> ApiServer::Exchange::answer(const Error& e) {
  const json::value body = status_of(e);
  co_await answer(code_of(e), body);
}

net::Task<> ApiServer::Exchange::answer_object(int status, const json::value& object, Registry& registry) {
  json::value body;
  if (form() == Form::metadata) {
    body = metadata_of(object);
  } else if (form() == Form::table && target.resource != nullptr && request.method == "GET") {
    const auto crd = crd_of(registry, *target.resource);
    body = table_of(*target.resource, crd.get(), {std::make_shared<const json::value>(object)},
                    request.query.get("includeObject"), get_string(object, {"metadata", "resourceVersion"}),
                    system_clock().now());
  } else {
    body = object;
  }
  co_await answer(status, body);
}

net::Task<> ApiServer::handle(const net::ServerRequest& request, net::ResponseWriter& out) {
  Exchange x{request, out, {}, {}, {}, {}};
  if (request.path == "/healthz" || request.path == "/livez" || request.path == "/readyz") {
    net::ServerResponse ok;
    ok.headers.add("Content-Type", "text/plain");
    ok.body = "ok";
    co_await out.send(std::move(ok));
    co_return;
  }
  auto user = access_.authenticate(request.headers.get("Authorization"), request.client_cert_pem);
  if (!user) {
    if (request.path == "/version") {
      const auto version = *discovery(registry_, "/version");
      co_await x.answer(200, version);
    } else {
      co_await x.answer(user.error());
    }
    co_return;
  }
  x.user = std::move(*user);
  if (auto allowed = impersonate(x); !allowed) {
    co_await x.answer(allowed.error());
    co_return;
  }
  if (request.method == "GET" && request.path == "/openapi/v2") {
    // An empty document: kubectl 1.27 wants one before it turns to v3.
    net::ServerResponse empty;
    const bool binary = request.headers.get("Accept").find("protobuf") != std::string_view::npos;
    empty.headers.add("Content-Type", binary ? "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
                                             : "application/json");
    empty.body =
        binary
            ? "\x0a\x03"
              "2.0"
            : R"({"swagger":"2.0","info":{"title":"Kubernetes","version":"v1.36.0"},"paths":{},"definitions":{}})";
    co_await out.send(std::move(empty));
    co_return;
  }
  if (request.method == "GET") {
    if (const auto found = discovery(registry_, request.path)) {
      co_await x.answer(200, *found);
      co_return;
    }
  }
  const Error missing = no_such_path();
  auto target = parse_target(registry_, request.path);
  if (!target) {
    co_await x.answer(missing);
    co_return;
  }
  x.target = std::move(*target);
  x.verb = verb_of(request, x.target);
  Attributes a{
      x.verb, x.target.group, x.target.plural, x.target.subresource, x.target.name_space, x.target.name, {}};
  if (x.target.plural == "namespaces" && x.target.group.empty()) a.name_space = x.target.name;
  if (!access_.allowed(x.user, a)) {
    co_await x.answer(Access::forbidden(x.user, a));
    co_return;
  }
  if (x.target.resource == nullptr) {
    if ((x.target.group == "authentication.k8s.io" || x.target.group == "authorization.k8s.io") &&
        request.method == "POST")
      co_await review(x);
    else
      co_await x.answer(missing);
    co_return;
  }
  co_await resource_request(x);
}

// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
Result<> ApiServer::impersonate(Exchange& x) {
  User as;
  as.name = std::string(x.request.headers.get("Impersonate-User"));
  for (const auto& [name, value] : x.request.headers)
    if (ascii_lower(name) == "impersonate-group") as.groups.push_back(value);
  if (as.name.empty()) {
    if (as.groups.empty()) return {};
    return fail(Errc::invalid_argument, "BadRequest", "requested impersonating groups without a user");
  }
  std::vector<Attributes> asked{{"impersonate", "", "users", "", "", as.name, ""}};
  for (const auto& group : as.groups) asked.push_back({"impersonate", "", "groups", "", "", group, ""});
  if (as.name.starts_with("system:serviceaccount:")) {
    const auto parts = split(as.name, ':');
    if (parts.size() == 4) {
      asked.front() = {"impersonate", "", "serviceaccounts", "", parts[2], parts[3], ""};
      if (as.groups.empty()) as.groups = {"system:serviceaccounts", "system:serviceaccounts:" + parts[2]};
    }
  }
  for (const auto& a : asked)
    if (!access_.allowed(x.user, a)) return std::unexpected(Access::forbidden(x.user, a));
  if (std::ranges::find(as.groups, "system:authenticated") == as.groups.end())
    as.groups.emplace_back("system:authenticated");
  x.user = std::move(as);
  return {};
}

net::Task<> ApiServer::resource_request(Exchange& x) {
  const auto& t = x.target;
  const auto& r = *t.resource;
  if (t.subresource == "log" && r.kind == "Pod" && x.request.method == "GET") {
    co_await log(x);
  } else if (t.subresource == "token" && r.kind == "ServiceAccount" && x.request.method == "POST") {
    co_await review(x);
  } else if (t.subresource == "scale" && r.has_scale) {
    co_await scale(x);
  } else if (t.subresource == "eviction" && r.kind == "Pod" && x.request.method == "POST") {
    co_await evict(x);
  } else if (r.kind == "Pod" &&
             (t.subresource == "exec" || t.subresource == "attach" || t.subresource == "portforward")) {
    const Error missing{Errc::unsupported,
                        "NotImplemented",
                        fmt::format("the dev cluster has no {}: its pods are local processes", t.subresource),
                        {},
                        0};
    co_await x.answer(missing);
  } else if (!t.subresource.empty() && !(t.subresource == "status" && r.has_status) &&
             !(t.subresource == "finalize" && r.kind == "Namespace")) {
    const Error missing = no_such_path();
    co_await x.answer(missing);
  } else if (t.name.empty() ? x.verb == "update" || x.verb == "patch" : x.verb == "create") {
    const Error wrong{Errc::invalid_argument,
                      "MethodNotAllowed",
                      "the server does not allow this method on the requested resource",
                      {},
                      0};
    co_await x.answer(wrong);
  } else if (x.verb == "get") {
    if (const auto found = registry_.storage().get(r.key(), r.namespaced ? t.name_space : "", t.name)) {
      co_await x.answer_object(200, *found, registry_);
    } else {
      const Error missing = no_such_object(t);
      co_await x.answer(missing);
    }
  } else if (x.verb == "list") {
    co_await list(x);
  } else if (x.verb == "watch") {
    co_await watch(x);
  } else if (x.verb == "create" || x.verb == "update") {
    co_await write(x);
  } else if (x.verb == "patch") {
    co_await patch(x);
  } else {
    co_await remove(x);
  }
}

}  // namespace oddjob::devcluster
