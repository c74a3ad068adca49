// What may be run: workloads that opted in.
#include <algorithm>

#include "api/answers.hpp"
#include "api/exchange.hpp"
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
  std::string after;
  if (q.has("cursor")) {
    OJ_CO_TRY(after, open_cursor(kCursorKind, q.get("cursor")));
  }
  OJ_CO_TRY(auto all, co_await x.services.engine.workloads(x.caller, std::move(ns)));
  std::ranges::sort(all, {}, &key);
  json::object body;
  json::array items;
  auto it = std::ranges::upper_bound(all, after, {}, &key);
  for (; it != all.end() && std::cmp_less(items.size(), limit); ++it) items.push_back(item(*it));
  if (it != all.end()) body["nextCursor"] = make_cursor(kCursorKind, key(*std::prev(it)));
  body["items"] = std::move(items);
  co_return json_response(200, body);
}

}  // namespace oddjob::api
