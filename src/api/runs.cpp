// Runs: create, list, show, approve, deny, cancel, log.
#include <map>

#include "api/answers.hpp"
#include "api/exchange.hpp"
#include "api/parameters.hpp"
#include "core/text.hpp"
#include "core/words.hpp"
#include "render/render.hpp"

namespace oddjob::api {
namespace {

constexpr std::int64_t kPage = 50, kMaxPage = 500;
constexpr std::int64_t kLogBytes = 4 << 20, kMaxLogBytes = 16 << 20;
constexpr std::int64_t kMaxOffset = std::int64_t{1} << 53;

net::Task<Answer> dry_run(Exchange& x, RunRequest request) {
  OJ_CO_TRY(auto result, co_await x.services.engine.dry_run(x.caller, std::move(request)));
  const render::Rendered& r = result.rendered;
  json::array warnings(r.warnings.begin(), r.warnings.end());
  for (const auto& w : result.server_warnings) warnings.emplace_back(w);
  json::object body{{"job", r.job},
                    {"report", render::report_json(r)},
                    {"warnings", std::move(warnings)},
                    {"denials", json::array(result.denials.begin(), result.denials.end())},
                    {"digest", r.digest},
                    {"container", r.container},
                    {"image", r.image}};
  co_return json_response(200, body);
}

Result<store::RunFilter> run_filter(const net::Query& q, const Subject& caller) {
  store::RunFilter f;
  OJ_TRY(f.name_space, name_space(q));
  if (const auto w = q.get("workload"); !w.empty()) {
    OJ_TRY(const auto ref, parse_workload(w, f.name_space));
    f.workload = to_string(ref);
  }
  f.requester = q.get("requester");
  if (f.requester == "me") f.requester = caller.user;
  for (const auto& [name, value] : q) {
    if (name != "state") continue;
    const auto state = parse_run_state(value);
    if (!state) {
      return fail(
          Errc::invalid_argument, "api.bad_parameter",
          "query parameter state: there is no state \"" + value.substr(0, 64) + "\"",
          "requested, pending_approval, starting, running, succeeded, failed, timed_out, cancelled, lost, "
          "denied or expired");
    }
    f.states.push_back(*state);
  }
  return f;
}

// A body that is an object of these fields, all of them text that may be left out.
Result<std::map<std::string, std::string>> text_fields(const json::value& body,
                                                       std::initializer_list<std::string_view> known) {
  std::map<std::string, std::string> out;
  for (const auto name : known) out[std::string(name)];
  if (!body.is_object())
    return fail(Errc::invalid_argument, "request.malformed", "the body is not an object");
  for (const auto& [key, value] : body.get_object()) {
    const auto found = out.find(std::string(key));
    if (found == out.end()) {
      return fail(Errc::invalid_argument, "request.unknown_field",
                  "unknown field \"" + printable(std::string_view(key), 100) + "\"");
    }
    if (!value.is_string()) {
      return fail(Errc::invalid_argument, "request.malformed", "the field " + found->first + " is not text");
    }
    found->second = std::string(sv(value.get_string()));
  }
  return out;
}

Result<> check_reason(std::string_view reason) {
  if (reason.size() <= kMaxReasonBytes && reason.find('\0') == std::string_view::npos) return {};
  return fail(Errc::invalid_argument, "request.reason_too_long",
              "the reason is longer than " + std::to_string(kMaxReasonBytes) + " bytes, or has a NUL in it");
}

Result<bool> flag(const net::Query& q, std::string_view name) {
  const auto value = q.get(name);
  if (value.empty() || value == "false") return false;
  if (value == "true") return true;
  return fail(Errc::invalid_argument, "api.bad_parameter",
              "query parameter " + std::string(name) + " is true or false");
}

}  // namespace

net::Task<Answer> create_run(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {"dryRun"}));
  const auto dry = x.request.query.get("dryRun");
  if (x.request.query.has("dryRun") && dry != "All") {
    co_return fail(Errc::invalid_argument, "api.bad_parameter", "query parameter dryRun can only be All");
  }
  OJ_CO_TRY(auto key, idempotency_key(x.request.headers));
  OJ_CO_TRY(const auto body, json_body(x.request));
  OJ_CO_TRY(auto request, run_request_from_json(body));
  if (dry == "All") co_return co_await dry_run(x, std::move(request));

  OJ_CO_TRY(auto result, co_await x.services.engine.submit(x.caller, std::move(request), std::move(key)));
  if (!result.replayed) x.waited = result.waited;
  auto answer = json_response(result.replayed ? 200 : 201, to_json(result.run, false));
  answer.headers.set("Location", "/api/v1/runs/" + result.run.id);
  if (result.replayed) answer.headers.set("Idempotent-Replayed", "true");
  co_return answer;
}

net::Task<Answer> list_runs(Exchange& x) {
  const auto& q = x.request.query;
  OJ_CO_CHECK(check_query(q, {"namespace", "workload", "requester", "state", "approvable", "limit", "cursor"},
                          {"state"}));
  OJ_CO_TRY(const auto limit, number(q, "limit", kPage, 1, kMaxPage));
  OJ_CO_TRY(auto filter, run_filter(q, x.caller.subject));
  std::string cursor(q.get("cursor"));
  OJ_CO_TRY(const auto only, flag(q, "approvable"));
  OJ_CO_TRY(const auto page, co_await x.services.engine.list(x.caller, std::move(filter), std::move(cursor),
                                                             static_cast<int>(limit), only));
  json::object body;
  json::array items;
  for (const auto& r : page.runs) items.push_back(to_json(r, false));
  body["items"] = std::move(items);
  if (!page.next_cursor.empty()) body["nextCursor"] = page.next_cursor;
  co_return json_response(200, body);
}

net::Task<Answer> get_run(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  OJ_CO_TRY(const auto run, co_await x.services.engine.get(x.caller, x.parameter));
  auto body = to_json(run, true);
  if (run.state == RunState::pending_approval) {
    body["approval"].as_object()["mayApprove"] = x.services.engine.may_approve(x.caller, run);
  } else if (is_final(run.state) && run.log_bytes > 0) {
    OJ_CO_TRY(const auto dropped, co_await x.services.engine.dropped_log(run.id));
    if (dropped) body["logDropped"] = json::object{{"at", format_time(dropped->at)}, {"by", dropped->by}};
  }
  co_return json_response(200, body);
}

net::Task<Answer> cancel_run(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  if (!x.request.body.empty()) {
    OJ_CO_TRY(const auto body, json_body(x.request));
    if (!body.is_object() || !body.get_object().empty()) {
      co_return fail(Errc::invalid_argument, "request.unknown_field",
                     "a cancel takes no fields: send no body, or {}");
    }
  }
  OJ_CO_TRY(const auto run, co_await x.services.engine.cancel(x.caller, x.parameter));
  co_return json_response(200, to_json(run, false));
}

net::Task<Answer> approve_run(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  OJ_CO_TRY(const auto body, json_body(x.request));
  OJ_CO_TRY(auto words, text_fields(body, {"digest", "reason"}));
  auto& digest = words["digest"];
  auto& reason = words["reason"];
  if (digest.empty()) {
    co_return fail(Errc::invalid_argument, "request.digest_missing",
                   "an approval names the digest of what it approves: the field digest",
                   "it stands in the run that you looked at");
  }
  OJ_CO_CHECK(check_reason(reason));
  OJ_CO_TRY(const auto run,
            co_await x.services.engine.approve(x.caller, x.parameter, std::move(digest), std::move(reason)));
  co_return json_response(200, to_json(run, false));
}

net::Task<Answer> deny_run(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  OJ_CO_TRY(const auto body, json_body(x.request));
  OJ_CO_TRY(auto words, text_fields(body, {"reason"}));
  auto& reason = words["reason"];
  OJ_CO_CHECK(check_reason(reason));
  OJ_CO_TRY(const auto run, co_await x.services.engine.deny(x.caller, x.parameter, std::move(reason)));
  co_return json_response(200, to_json(run, false));
}

net::Task<Answer> get_log(Exchange& x) {
  const auto& q = x.request.query;
  OJ_CO_CHECK(check_query(q, {"offset", "limit"}));
  OJ_CO_TRY(const auto offset, number(q, "offset", 0, 0, kMaxOffset));
  OJ_CO_TRY(const auto limit, number(q, "limit", kLogBytes, 1, kMaxLogBytes));
  // The run first: what it says to be complete is then there to be read.
  OJ_CO_TRY(const auto run, co_await x.services.engine.get(x.caller, x.parameter));
  OJ_CO_TRY(auto data, co_await x.services.engine.read_log(run.id, offset, static_cast<std::size_t>(limit)));
  const auto end = offset + static_cast<std::int64_t>(data.size());
  const bool complete = run.log_complete && (data.empty() || end >= run.log_bytes);
  auto answer = text_response(200, std::move(data));
  answer.headers.set("Oddjob-Log-Offset", std::to_string(end));
  answer.headers.set("Oddjob-Log-Complete", complete ? "true" : "false");
  co_return answer;
}

}  // namespace oddjob::api
