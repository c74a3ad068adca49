#include "api/router.hpp"

#include <array>

namespace oddjob::api {
namespace {

constexpr std::array kRoutes = {
    Route{"POST", "/api/v1/runs", &create_run},
    Route{"GET", "/api/v1/runs", &list_runs},
    Route{"GET", "/api/v1/runs/{id}", &get_run},
    Route{"POST", "/api/v1/runs/{id}/cancel", &cancel_run},
    Route{"POST", "/api/v1/runs/{id}/approve", &approve_run},
    Route{"POST", "/api/v1/runs/{id}/deny", &deny_run},
    Route{"GET", "/api/v1/runs/{id}/log", &get_log},
    Route{"GET", "/api/v1/runs/{id}/stream", &stream_run, Access::identity, Kind::stream},
    Route{"GET", "/api/v1/workloads", &list_workloads},
    Route{"GET", "/api/v1/files", &list_files},
    Route{"GET", "/api/v1/images", &list_images},
    Route{"GET", "/api/v1/templates", &list_templates},
    Route{"GET", "/api/v1/templates/{namespace}/{name}", &get_template},
    Route{"GET", "/api/v1/audit", &list_audit},
    Route{"GET", "/api/v1/audit/export", &export_audit, Access::identity, Kind::stream},
    Route{"GET", "/api/v1/audit/verify", &verify_audit},
    Route{"GET", "/api/v1/audit/checkpoint", &audit_checkpoint},
    Route{"GET", "/api/v1/whoami", &get_whoami},
    Route{"GET", "/api/v1/version", &get_version, Access::open},
    Route{"GET", "/api/v1/login", &get_login, Access::open},
    Route{"GET", "/api/v1/openapi.json", &get_openapi, Access::open},
    Route{"GET", "/metrics", &get_metrics, Access::open, Kind::probe},
    Route{"GET", "/healthz", &get_healthz, Access::open, Kind::probe},
    Route{"GET", "/readyz", &get_readyz, Access::open, Kind::probe},
};

// Segment by segment; a parameter takes any segment that is not empty.
bool fits(std::string_view pattern, std::string_view path, std::string& parameter) {
  while (true) {
    const auto a = pattern.find('/'), b = path.find('/');
    const auto want = pattern.substr(0, a), have = path.substr(0, b);
    if (want.starts_with('{')) {
      if (have.empty()) return false;
      if (!parameter.empty()) parameter += '/';
      parameter += have;
    } else if (want != have) {
      return false;
    }
    if ((a == std::string_view::npos) != (b == std::string_view::npos)) return false;
    if (a == std::string_view::npos) return true;
    pattern.remove_prefix(a + 1);
    path.remove_prefix(b + 1);
  }
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

Match match(std::string_view method, std::string_view path) {
  Match m;
  for (const auto& r : kRoutes) {
    std::string parameter;
    if (!fits(r.pattern, path, parameter)) continue;
    m.allowed.push_back(r.method);
    if (r.method == method) {
      m.route = &r;
      m.parameter = std::move(parameter);
    }
  }
  return m;
}

}  // namespace oddjob::api
