// Saved runs: the JobTemplates of the cluster.
#include <algorithm>

#include "api/answers.hpp"
#include "api/exchange.hpp"
#include "api/page.hpp"
#include "api/parameters.hpp"
#include "core/text.hpp"

namespace oddjob::api {
namespace {

constexpr std::int64_t kMaxPage = 500;
constexpr std::string_view kCursorKind = "t1";

std::string key(const runs::TemplateInfo& t) { return t.value.name_space + "/" + t.value.name; }

json::object item(const runs::TemplateInfo& t) {
  auto o = templates::to_json(t.value);
  o["ready"] = t.resolution.ready;
  o["readyReason"] = t.resolution.reason;
  o["readyMessage"] = t.resolution.message;
  o["mayRun"] = t.may_run;
  o["approvalsNeeded"] = t.approvals;
  if (!t.problem.empty()) o["problem"] = t.problem;
  return o;
}

}  // namespace

net::Task<Answer> list_templates(Exchange& x) {
  const auto& q = x.request.query;
  OJ_CO_CHECK(check_query(q, {"namespace", "limit", "cursor"}));
  OJ_CO_TRY(auto ns, name_space(q));
  OJ_CO_TRY(const auto limit, number(q, "limit", 100, 1, kMaxPage));
  OJ_CO_TRY(const auto after, start_after(q, kCursorKind));
  OJ_CO_TRY(auto all, co_await x.services.engine.templates(x.caller, std::move(ns)));
  co_return json_response(200, page_of(std::move(all), after, limit, kCursorKind, &key, &item));
}

net::Task<Answer> get_template(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  const auto slash = x.parameter.find('/');
  auto ns = x.parameter.substr(0, slash), name = x.parameter.substr(slash + 1);
  if (!is_dns_label(ns) || !is_dns_subdomain(name))
    co_return fail(Errc::not_found, "template.not_found",
                   "there is no template " + printable(name, 100) + " in namespace " + printable(ns, 100));
  OJ_CO_TRY(const auto found,
            co_await x.services.engine.get_template(x.caller, std::move(ns), std::move(name)));
  auto body = item(found);
  body["problems"] = templates::problems_json(found.problems);
  co_return json_response(200, body);
}

}  // namespace oddjob::api
