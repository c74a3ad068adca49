#include "store/run_record.hpp"

#include <boost/json.hpp>

#include "core/json.hpp"
#include "core/text.hpp"

namespace oddjob::store {
namespace {

json::array strings(const std::vector<std::string>& v) { return json::array(v.begin(), v.end()); }

std::vector<std::string> strings_at(const json::object& o, std::string_view key) {
  std::vector<std::string> out;
  const json::value* v = o.if_contains(key);
  if (v == nullptr || !v->is_array()) return out;
  for (const auto& e : v->get_array()) {
    if (e.is_string()) out.emplace_back(sv(e.get_string()));
  }
  return out;
}

std::string string_at(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(sv(v->get_string())) : std::string();
}

std::optional<std::int64_t> int_at(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  if (v == nullptr || !v->is_int64()) return std::nullopt;
  return v->get_int64();
}

bool bool_at(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v != nullptr && v->is_bool() && v->get_bool();
}

std::optional<Time> time_at(const json::object& o, std::string_view key) {
  const auto us = int_at(o, key);
  if (!us) return std::nullopt;
  return Time(std::chrono::microseconds(*us));
}

std::string text_of(const json::value& v) {
  std::string text = json::serialize(v);
  return valid_utf8(text) ? text : to_valid_utf8(text);
}

Result<json::object> object_of(std::string_view text, std::string_view id) {
  auto v = parse_json(text, "record of run " + std::string(id));
  if (!v || !v->is_object()) {
    return fail(Errc::internal, "store.corrupt", "the record of run " + std::string(id) + " cannot be read",
                "restore the database from a backup");
  }
  return std::move(v->get_object());
}

}  // namespace

std::string clean_text(std::string s) {
  if (!valid_utf8(s)) s = to_valid_utf8(s);
  for (std::size_t at = 0; (at = s.find('\0', at)) != std::string::npos;) s.replace(at, 1, "\uFFFD");
  return s;
}

std::string run_document(const Run& r) {
  json::object o;
  o["requesterTeams"] = strings(r.requester_teams);
  o["requesterHow"] = to_string(r.requester_how);
  o["command"] = strings(r.command);
  o["container"] = r.container;
  o["image"] = r.image;
  o["reason"] = r.reason;
  o["request"] = r.request;
  o["jobName"] = r.job_name;
  o["jobUid"] = r.job_uid;
  o["digest"] = r.digest;
  o["progress"] = r.progress;
  if (r.exit_code) o["exitCode"] = *r.exit_code;
  o["resultReason"] = r.result_reason;
  o["message"] = r.message;
  o["cancelRequested"] = r.cancel_requested;
  o["cancelledBy"] = r.cancelled_by;
  o["logComplete"] = r.log_complete;
  if (r.approval.required > 0) {
    o["approval"] = {{"required", r.approval.required},
                     {"teams", strings(r.approval.teams)},
                     {"users", strings(r.approval.users)},
                     {"expiresUs", r.approval.expires.time_since_epoch().count()},
                     {"deferred", r.approval.deferred}};
  }
  if (r.break_glass) o["breakGlass"] = true;
  o["released"] = r.released;
  if (r.started) o["startedUs"] = r.started->time_since_epoch().count();
  if (r.finished) o["finishedUs"] = r.finished->time_since_epoch().count();
  return text_of(o);
}

std::string run_manifest(const Run& r) {
  json::object o{{"job", r.job}, {"report", r.report}};
  if (r.approval.required > 0) {
    o["policy"] = r.approval.policy;
    o["diff"] = r.approval.diff;
  }
  return text_of(o);
}

std::string approval_document(const Approval& a) {
  return text_of(json::object{{"teams", strings(a.teams)},
                              {"how", to_string(a.how)},
                              {"channel", a.channel},
                              {"from", a.from},
                              {"reason", a.reason}});
}

Result<> read_approval_document(std::string_view text, Approval& a) {
  OJ_TRY(const auto o, object_of(text, "approval"));
  a.teams = strings_at(o, "teams");
  a.how = parse_auth_method(string_at(o, "how")).value_or(AuthMethod::static_token);
  a.channel = string_at(o, "channel");
  a.from = string_at(o, "from");
  a.reason = string_at(o, "reason");
  return {};
}

Result<> read_run_document(std::string_view text, Run& r) {
  OJ_TRY(auto o, object_of(text, r.id));
  r.requester_teams = strings_at(o, "requesterTeams");
  r.requester_how = parse_auth_method(string_at(o, "requesterHow")).value_or(AuthMethod::internal);
  r.command = strings_at(o, "command");
  r.container = string_at(o, "container");
  r.image = string_at(o, "image");
  r.reason = string_at(o, "reason");
  if (auto* request = o.if_contains("request"); request != nullptr && request->is_object()) {
    r.request = std::move(request->get_object());
  }
  r.job_name = string_at(o, "jobName");
  r.job_uid = string_at(o, "jobUid");
  r.digest = string_at(o, "digest");
  r.progress = string_at(o, "progress");
  if (const auto code = int_at(o, "exitCode")) r.exit_code = static_cast<int>(*code);
  r.result_reason = string_at(o, "resultReason");
  r.message = string_at(o, "message");
  r.cancel_requested = bool_at(o, "cancelRequested");
  r.cancelled_by = string_at(o, "cancelledBy");
  r.log_complete = bool_at(o, "logComplete");
  if (const auto* found = o.if_contains("approval"); found != nullptr && found->is_object()) {
    const auto& approval = found->get_object();
    r.approval.required = static_cast<int>(int_at(approval, "required").value_or(0));
    r.approval.teams = strings_at(approval, "teams");
    r.approval.users = strings_at(approval, "users");
    r.approval.expires = time_at(approval, "expiresUs").value_or(Time{});
    r.approval.deferred = bool_at(approval, "deferred");
  }
  r.break_glass = bool_at(o, "breakGlass");
  // Records of before this field was there: their Jobs may have been released.
  r.released = !o.contains("released") || bool_at(o, "released");
  r.started = time_at(o, "startedUs");
  r.finished = time_at(o, "finishedUs");
  return {};
}

Result<> read_run_manifest(std::string_view text, Run& r) {
  OJ_TRY(auto o, object_of(text, r.id));
  if (auto* job = o.if_contains("job")) r.job = std::move(*job);
  if (auto* report = o.if_contains("report"); report != nullptr && report->is_array()) {
    r.report = std::move(report->get_array());
  }
  if (auto* policy = o.if_contains("policy"); policy != nullptr && policy->is_object()) {
    r.approval.policy = std::move(policy->get_object());
  }
  r.approval.diff = string_at(o, "diff");
  return {};
}

}  // namespace oddjob::store
