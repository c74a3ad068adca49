// What may be run: workloads that opted in.
#include <algorithm>

#include "api/answers.hpp"
#include "api/exchange.hpp"
#include "api/page.hpp"
#include "api/parameters.hpp"

namespace oddjob::api {
namespace {

constexpr std::int64_t kMaxPage = 1000;
constexpr std::string_view kCursorKind = "w1";

std::string key(const runs::WorkloadInfo& w) { return w.ref.name_space + "/" + to_string(w.ref); }

json::object item(const runs::WorkloadInfo& w) {
  json::object o{{"namespace", w.ref.name_space},
                 {"workload", to_string(w.ref)},
                 {"mayRun", w.may_run},
                 {"needsApproval", w.needs_approval}};
  if (!w.problem.empty()) o["problem"] = w.problem;
  o["allowed"] = w.team_summary;
  return o;
}

}  // namespace

net::Task<Answer> list_workloads(Exchange& x) {
  const auto& q = x.request.query;
  OJ_CO_CHECK(check_query(q, {"namespace", "limit", "cursor"}));
  OJ_CO_TRY(auto ns, name_space(q));
  OJ_CO_TRY(const auto limit, number(q, "limit", kMaxPage, 1, kMaxPage));
  OJ_CO_TRY(const auto after, start_after(q, kCursorKind));
  const auto warnings = x.services.engine.workload_warnings(ns);
  OJ_CO_TRY(auto all, co_await x.services.engine.workloads(x.caller, std::move(ns)));
  auto body = page_of(std::move(all), after, limit, kCursorKind, &key, &item);
  if (!warnings.empty()) body["warnings"] = json::array(warnings.begin(), warnings.end());
  co_return json_response(200, body);
}

}  // namespace oddjob::api
