// Who are you, who am I, are you well.
#include "api/answers.hpp"
#include "api/exchange.hpp"
#include "api/openapi_document.hpp"
#include "api/parameters.hpp"

namespace oddjob::api {
namespace {

constexpr auto kPingEvery = std::chrono::seconds(1);

json::array strings(const std::vector<std::string>& v) { return json::array(v.begin(), v.end()); }

}  // namespace

net::Task<Answer> get_version(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  const auto& o = x.services.options;
  json::object body{{"version", o.version}, {"commit", o.commit}, {"apiVersion", "v1"}};
  co_return json_response(200, body);
}

net::Task<Answer> get_whoami(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  const Subject& s = x.caller.subject;
  json::object body{{"user", s.user},
                    {"teams", strings(s.teams)},
                    {"method", to_string(s.how)},
                    {"admin", s.admin},
                    {"auditor", s.auditor}};
  co_return json_response(200, body);
}

net::Task<Answer> get_login(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  json::array issuers;
  for (const auto& l : x.services.auth.logins()) {
    json::object o{{"issuer", l.issuer}, {"clientId", l.client_id}, {"scopes", strings(l.scopes)}};
    if (!l.ca_pem.empty()) o["caPem"] = l.ca_pem;
    if (!l.client_secret.empty()) o["clientSecret"] = l.client_secret;
    if (!l.parameters.empty()) {
      json::object& parameters = o["parameters"].emplace_object();
      for (const auto& [name, value] : l.parameters) parameters[name] = value;
    }
    issuers.emplace_back(std::move(o));
  }
  json::object body{{"issuers", std::move(issuers)}};
  co_return json_response(200, body);
}

net::Task<Answer> get_openapi(Exchange& /*x*/) {
  co_return text_response(200, std::string(openapi_document()), "application/json");
}

net::Task<Answer> get_healthz(Exchange& /*x*/) { co_return text_response(200, "ok\n"); }

net::Task<Answer> get_readyz(Exchange& x) {
  Services& s = x.services;
  if (s.draining)
    co_return fail(Errc::unavailable, "server.stopping", "not ready: this server is about to end",
                   "another one answers, or this one again soon");
  if (!s.engine.ready()) {
    co_return fail(Errc::unavailable, "server.not_ready", "not ready: " + s.engine.not_ready_reason());
  }
  const auto now = std::chrono::steady_clock::now();
  if (!s.pinged || now - *s.pinged >= kPingEvery) {
    s.pinged = now;
    auto work = [&s] { return s.store.ping(); };
    auto result = co_await s.db.offload(work);
    s.ping_error = result ? std::nullopt : std::optional(std::move(result).error());
  }
  if (s.ping_error) {
    Error e = *s.ping_error;
    e.kind = Errc::unavailable;
    co_return fail(std::move(e).with_context("not ready"));
  }
  co_return text_response(200, "ready\n");
}

}  // namespace oddjob::api
