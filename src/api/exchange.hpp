// What a handler gets, and what it gives.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "api/api.hpp"
#include "api/metrics.hpp"
#include "api/rate_limit.hpp"
#include "core/error.hpp"
#include "core/trace.hpp"
#include "net/async.hpp"
#include "net/http_server.hpp"
#include "runs/engine.hpp"
#include "store/store.hpp"

namespace oddjob::api {

// What all exchanges share. Loop thread only.
struct Services {
  runs::Engine& engine;
  store::Store& store;
  net::BlockingPool& db;
  auth::Authenticator& auth;
  ApiOptions options;
  Metrics metrics{options.version, options.commit};
  std::map<std::string, std::size_t, std::less<>> streams_by_user{};
  RateLimit requests{options.limits.requests_per_minute};
  RateLimit runs{options.limits.runs_per_minute};
  RateLimit strangers{options.limits.unauthenticated_per_minute};
  // Reading the whole chain may take long; it must not keep `db` from others.
  std::optional<net::BlockingPool> audit_reader{};
  bool draining = false;
  // Of /readyz, so that it cannot be used to make the disk busy.
  std::optional<std::chrono::steady_clock::time_point> pinged{};
  std::optional<Error> ping_error{};
};

struct Exchange {
  Services& services;
  const net::ServerRequest& request;
  net::ResponseWriter& out;
  runs::Caller caller;      // empty on open routes
  std::string parameter;    // of the path; several are joined by '/'
  bool aggregated = false;  // asked for below /apis: only the API server's front proxy may
  Trace trace{};            // the caller's, or a new one
  int status = 0;           // set by handlers that answer through `out` themselves
  // Of the time to answer, what was not ours. Handlers that know it set it.
  std::optional<runs::Waited> waited{};
};

// A response to send; nullopt where the handler has answered through `out`.
using Answer = Result<std::optional<net::ServerResponse>>;
using Handler = net::Task<Answer> (*)(Exchange&);

// ---- by resource ------------------------------------------------------------
net::Task<Answer> create_run(Exchange& x);
net::Task<Answer> list_runs(Exchange& x);
net::Task<Answer> get_run(Exchange& x);
net::Task<Answer> cancel_run(Exchange& x);
net::Task<Answer> approve_run(Exchange& x);
net::Task<Answer> deny_run(Exchange& x);
net::Task<Answer> get_log(Exchange& x);
net::Task<Answer> stream_run(Exchange& x);
net::Task<Answer> list_workloads(Exchange& x);
net::Task<Answer> list_files(Exchange& x);
net::Task<Answer> list_images(Exchange& x);
net::Task<Answer> list_templates(Exchange& x);
net::Task<Answer> get_template(Exchange& x);
net::Task<Answer> list_audit(Exchange& x);
net::Task<Answer> export_audit(Exchange& x);
net::Task<Answer> verify_audit(Exchange& x);
net::Task<Answer> audit_checkpoint(Exchange& x);
net::Task<Answer> get_version(Exchange& x);
net::Task<Answer> get_whoami(Exchange& x);
net::Task<Answer> get_login(Exchange& x);
net::Task<Answer> get_openapi(Exchange& x);
net::Task<Answer> get_metrics(Exchange& x);
net::Task<Answer> get_healthz(Exchange& x);
net::Task<Answer> get_readyz(Exchange& x);

}  // namespace oddjob::api
