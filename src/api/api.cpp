// From a request to its route: identity, errors, the line in the log.
#include "api/api.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "api/answers.hpp"
#include "api/discovery.hpp"
#include "api/exchange.hpp"
#include "api/router.hpp"
#include "core/aggregation.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::api {
namespace {

// Only to be read by people in the audit: a client may say what it likes.
std::string channel_of(const net::Headers& headers) {
  const auto agent = headers.get("User-Agent");
  if (agent.starts_with("oddjob")) return "cli";
  if (agent.starts_with("Mozilla/")) return "web";
  return "api";
}

// What stands there twice is as if it were not there.
Trace trace_of(const net::Headers& headers) {
  int count = 0;
  for (const auto& [name, value] : headers) count += ascii_lower(name) == "traceparent" ? 1 : 0;
  return trace_from(count == 1 ? headers.get("traceparent") : std::string_view());
}

// https://www.w3.org/TR/server-timing/: durations in milliseconds.
std::string server_timing(std::chrono::steady_clock::duration own, const runs::Waited& waited) {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  return fmt::format("oddjob;dur={:.1f}, database;dur={:.1f}, kubernetes;dur={:.1f}",
                     Milliseconds(own).count(), Milliseconds(waited.database).count(),
                     Milliseconds(waited.cluster).count());
}

// "127.0.0.1" of "127.0.0.1:51234", "[::1]" of "[::1]:80"; "unix" as it is.
std::string_view host_of(std::string_view peer) { return peer.substr(0, peer.rfind(':')); }

net::ServerResponse no_such_path(std::string_view path) {
  return problem_response(Error{Errc::not_found, "api.no_such_path",
                                "there is nothing at " + printable(path, 256), "see /api/v1/openapi.json",
                                0});
}

net::ServerResponse wrong_method(std::string_view method, const Match& m) {
  std::vector<std::string> names(m.allowed.begin(), m.allowed.end());
  const std::string allowed = join(names, ", ");
  auto r = problem_of_status(405, printable(method, 32) + " is not possible here, only " + allowed);
  r.headers.set("Allow", allowed);
  return r;
}

}  // namespace

struct Api::Impl {
  Impl(runs::Engine& engine, store::Store& store, net::BlockingPool& db, auth::Authenticator& auth,
       ApiOptions options)
      : services{engine, store, db, auth, std::move(options)} {}
  Services services;

  // A caller who asks too often is told which limit that is, and when it may ask again.
  struct Limit {
    RateLimit& buckets;
    std::string_view code, key, of_whom;  // "limits.runs"
  };
  Result<> charge(const Limit& limit, std::string_view who) {
    const auto wait = limit.buckets.take(who, std::chrono::steady_clock::now());
    if (wait == std::chrono::nanoseconds::zero()) return {};
    services.metrics.limited(limit.code.substr(limit.code.find('.') + 1));
    const auto seconds = static_cast<int>(std::chrono::ceil<std::chrono::seconds>(wait).count());
    Error e{Errc::rate_limited, std::string(limit.code),
            fmt::format("too many {} in a minute: limits.{} is {}", limit.of_whom, limit.key,
                        limit.buckets.per_minute()),
            fmt::format("try again in {} s", seconds), seconds};
    return fail(std::move(e));
  }

  // Below /apis the front proxy says who is calling, and nothing else counts.
  net::Task<Result<Subject>> subject_of(Exchange& x) {
    if (!x.aggregated) return services.auth.authenticate(x.request.headers.get("Authorization"));
    return by_front_proxy(x);
  }
  net::Task<Result<Subject>> by_front_proxy(Exchange& x) {
    auto asking =
        services.options.front_proxy->authenticate(x.request.unverified_client_chain_pem, x.request.headers);
    OJ_CO_TRY(auto subject, co_await std::move(asking));
    co_return services.auth.admit(std::move(subject));
  }

  // What fails here is charged to the address: who can show who they are is never
  // refused for what others behind the same proxy do.
  net::Task<Result<>> identify(Exchange& x) {
    auto asking = subject_of(x);
    auto subject = co_await std::move(asking);
    if (!subject) {
      if (subject.error().kind == Errc::unauthenticated) {
        const Limit strangers{services.strangers, "limits.unauthenticated", "unauthenticatedPerMinute",
                              "requests without a valid identity from this address"};
        OJ_CO_CHECK(charge(strangers, host_of(x.request.peer)));
      }
      co_return fail(std::move(subject).error());
    }
    x.caller.subject = std::move(*subject);
    const Limit requests{services.requests, "limits.requests", "requestsPerMinute", "requests"};
    OJ_CO_CHECK(charge(requests, x.caller.subject.user));
    co_return Result<>{};
  }

  net::Task<Answer> run(const Route& route, Exchange& x) {
    if (!x.aggregated && route.access == Access::open && route.kind != Kind::probe) {
      const Limit strangers{services.strangers, "limits.unauthenticated", "unauthenticatedPerMinute",
                            "requests without an identity from this address"};
      OJ_CO_CHECK(charge(strangers, host_of(x.request.peer)));
    }
    if (x.aggregated || route.access == Access::identity) {
      OJ_CO_CHECK(co_await identify(x));
      if (route.handler == &create_run) {
        const Limit runs{services.runs, "limits.runs", "runsPerMinute", "runs asked for"};
        OJ_CO_CHECK(charge(runs, x.caller.subject.user));
      }
      x.caller.channel = channel_of(x.request.headers);
      x.caller.from = x.aggregated ? auth::forwarded_from(x.request.headers) : std::string();
      if (x.caller.from.empty()) x.caller.from = x.request.peer;
      x.caller.traceparent = to_traceparent(child_of(x.trace));
    }
    co_return co_await route.handler(x);
  }

  // As run(), but an exception becomes an error.
  net::Task<Answer> run_safely(const Route& route, Exchange& x) {
    std::string what;
    try {
      co_return co_await run(route, x);
    } catch (const std::exception& e) {
      what = e.what();
    }
    co_return fail(Errc::internal, "internal", "exception: " + what);
  }

  static net::ServerResponse problem_of(const Error& e, const Exchange& x) {
    if (e.code == "api.content_type") {
      auto r = problem_of_status(415, e.message);
      r.headers.set("Accept", "application/json");
      return r;
    }
    if (e.kind != Errc::internal) return problem_response(e);
    const std::string reference = hex_encode(random_bytes(6));
    spdlog::error("request {} ({} {}) failed [{}]: {}", reference, x.request.method,
                  printable(x.request.path, 256), e.code,
                  printable(e.message, 4096) + " trace=" + x.trace.trace_id);
    return problem_response(e, reference);
  }
};

Api::Api(runs::Engine& engine, store::Store& store, net::BlockingPool& db, auth::Authenticator& auth,
         ApiOptions options)
    : impl_(std::make_unique<Impl>(engine, store, db, auth, std::move(options))) {}
Api::~Api() = default;

void Api::set_limits(const ApiLimits& limits) {
  auto& s = impl_->services;
  s.options.limits = limits;
  s.requests.set(limits.requests_per_minute);
  s.runs.set(limits.runs_per_minute);
  s.strangers.set(limits.unauthenticated_per_minute);
}

void Api::drain() { impl_->services.draining = true; }

net::Task<> Api::handle(const net::ServerRequest& request, net::ResponseWriter& out) {
  const auto begin = std::chrono::steady_clock::now();
  Services& services = impl_->services;
  const bool aggregating = services.options.front_proxy != nullptr;
  const auto behind = aggregating ? from_aggregated(request.path) : std::nullopt;
  Match m = match(request.method, behind ? *behind : request.path);
  Exchange x{
      services, request, out, {}, std::move(m.parameter), behind.has_value(), trace_of(request.headers), 0};

  std::optional<net::ServerResponse> response;
  if (aggregating && !behind) response = discovery(request);
  if (response) {
    // Kubernetes' own questions, which need no identity.
  } else if (m.route != nullptr) {
    auto answer = co_await impl_->run_safely(*m.route, x);
    if (answer) {
      response = std::move(*answer);
    } else if (out.begun()) {
      spdlog::error("stream {} was cut [{}]: {}", printable(request.path, 256), answer.error().code,
                    printable(answer.error().message, 4096));
      out.abort();
    } else {
      response = Impl::problem_of(answer.error(), x);
    }
  } else {
    response = m.allowed.empty() ? no_such_path(request.path) : wrong_method(request.method, m);
  }
  if (response) {
    x.status = response->status;
    if (x.waited) {
      const auto own = std::chrono::steady_clock::now() - begin - x.waited->cluster - x.waited->database;
      services.metrics.submit(own, *x.waited);
      response->headers.set("Server-Timing", server_timing(own, *x.waited));
    }
    (void)co_await out.send(std::move(*response));
  }

  const auto took = std::chrono::steady_clock::now() - begin;
  const std::string_view route = m.route != nullptr ? m.route->pattern : "none";
  // The API server asks every few seconds whether we are there.
  const bool asked_by_machine = m.route == nullptr && x.status == 200;
  // Methods of unknown routes are not labels: anybody could make any number.
  services.metrics.request(route, m.route != nullptr ? m.route->method : "other", x.status);
  if (m.route == nullptr || m.route->kind != Kind::stream) services.metrics.duration(route, took);
  const bool quiet =
      asked_by_machine || (m.route != nullptr && m.route->kind == Kind::probe && x.status < 400);
  // The path without its query: what is asked for may be private.
  spdlog::log(quiet ? spdlog::level::debug : spdlog::level::info, "{} {} {} {} {:.1f} ms from {} trace={}",
              printable(request.method, 32), printable(request.path, 256), x.status,
              x.caller.subject.user.empty() ? "-" : printable(x.caller.subject.user, 128),
              std::chrono::duration<double, std::milli>(took).count(), request.peer, x.trace.trace_id);
}

net::ServerResponse Api::problem(int status, std::string_view message) {
  return problem_of_status(status, message);
}

}  // namespace oddjob::api
