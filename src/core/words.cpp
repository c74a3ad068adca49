#include "core/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob {
namespace {

struct KindRow {
  WorkloadKind kind;
  std::string_view name, abbreviation, api, plural, group;
  std::array<std::string_view, 4> accepted;
};
constexpr std::array<KindRow, 4> kKinds = {{
    {WorkloadKind::deployment,
     "Deployment",
     "deploy",
     "apps/v1",
     "deployments",
     "apps",
     {"deploy", "deployment", "deployments", ""}},
    {WorkloadKind::stateful_set,
     "StatefulSet",
     "sts",
     "apps/v1",
     "statefulsets",
     "apps",
     {"sts", "statefulset", "statefulsets", ""}},
    {WorkloadKind::daemon_set,
     "DaemonSet",
     "ds",
     "apps/v1",
     "daemonsets",
     "apps",
     {"ds", "daemonset", "daemonsets", ""}},
    {WorkloadKind::cron_job,
     "CronJob",
     "cronjob",
     "batch/v1",
     "cronjobs",
     "batch",
     {"cj", "cronjob", "cronjobs", ""}},
}};

const KindRow& row(WorkloadKind k) noexcept {
  for (const auto& r : kKinds)
    if (r.kind == k) return r;
  return kKinds.front();
}

template <class Enum, std::size_t N>
struct Names {
  std::array<std::pair<Enum, std::string_view>, N> rows;
  [[nodiscard]] constexpr std::string_view name(Enum e) const noexcept {
    for (const auto& [value, text] : rows)
      if (value == e) return text;
    return "";
  }
  [[nodiscard]] constexpr std::optional<Enum> parse(std::string_view s) const noexcept {
    for (const auto& [value, text] : rows)
      if (text == s) return value;
    return std::nullopt;
  }
};

constexpr Names<RunState, 11> kStates = {{{{RunState::requested, "requested"},
                                           {RunState::pending_approval, "pending_approval"},
                                           {RunState::starting, "starting"},
                                           {RunState::running, "running"},
                                           {RunState::succeeded, "succeeded"},
                                           {RunState::failed, "failed"},
                                           {RunState::timed_out, "timed_out"},
                                           {RunState::cancelled, "cancelled"},
                                           {RunState::lost, "lost"},
                                           {RunState::denied, "denied"},
                                           {RunState::expired, "expired"}}}};
constexpr Names<SidecarMode, 3> kSidecars = {
    {{{SidecarMode::drop, "drop"}, {SidecarMode::native, "native"}, {SidecarMode::keep, "keep"}}}};
constexpr Names<InitMode, 2> kInits = {{{{InitMode::run, "run"}, {InitMode::skip, "skip"}}}};
constexpr Names<AuthMethod, 5> kMethods = {{{{AuthMethod::static_token, "static_token"},
                                             {AuthMethod::token_review, "token_review"},
                                             {AuthMethod::front_proxy, "front_proxy"},
                                             {AuthMethod::oidc, "oidc"},
                                             {AuthMethod::internal, "internal"}}}};

constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";

}  // namespace

std::string_view kind_name(WorkloadKind k) noexcept { return row(k).name; }
std::string_view kind_short(WorkloadKind k) noexcept { return row(k).abbreviation; }
std::string_view api_version(WorkloadKind k) noexcept { return row(k).api; }
std::string_view resource_name(WorkloadKind k) noexcept { return row(k).plural; }

std::optional<WorkloadKind> workload_kind_from_kind_name(std::string_view kind) noexcept {
  for (const auto& r : kKinds)
    if (r.name == kind) return r.kind;
  return std::nullopt;
}

Result<WorkloadRef> parse_workload(std::string_view text, std::string_view name_space) {
  WorkloadRef out;
  out.name_space = std::string(name_space);
  std::string_view name = text;
  const auto slash = text.find('/');
  if (slash != std::string_view::npos) {
    auto kind = ascii_lower(text.substr(0, slash));
    name = text.substr(slash + 1);
    const auto dot = kind.find('.');
    const std::string group = dot == std::string::npos ? "" : kind.substr(dot + 1);
    kind = kind.substr(0, dot);
    const auto found = std::ranges::find_if(kKinds, [&](const KindRow& r) {
      return std::ranges::find(r.accepted, kind) != r.accepted.end() && !kind.empty() &&
             (group.empty() || group == r.group || group == fmt::format("v1.{}", r.group));
    });
    if (found == kKinds.end())
      return fail(Errc::invalid_argument, "workload.unknown_kind",
                  fmt::format("'{}': a run is made from a Deployment, StatefulSet, DaemonSet or CronJob",
                              printable(text, 200)),
                  "write deploy/NAME, sts/NAME, ds/NAME or cronjob/NAME");
    out.kind = found->kind;
  }
  if (!is_dns_subdomain(name))
    return fail(Errc::invalid_argument, "workload.malformed",
                fmt::format("'{}' is not a workload", printable(text, 200)),
                "write KIND/NAME, such as deploy/payments");
  out.name = std::string(name);
  return out;
}

std::string to_string(const WorkloadRef& w) { return fmt::format("{}/{}", kind_short(w.kind), w.name); }
std::string_view to_string(AuthMethod m) noexcept { return kMethods.name(m); }
std::optional<AuthMethod> parse_auth_method(std::string_view s) noexcept { return kMethods.parse(s); }
std::string_view to_string(SidecarMode m) noexcept { return kSidecars.name(m); }
std::string_view to_string(InitMode m) noexcept { return kInits.name(m); }
std::optional<SidecarMode> parse_sidecar_mode(std::string_view s) noexcept { return kSidecars.parse(s); }
std::optional<InitMode> parse_init_mode(std::string_view s) noexcept { return kInits.parse(s); }
std::string_view to_string(RunState s) noexcept { return kStates.name(s); }
std::optional<RunState> parse_run_state(std::string_view s) noexcept { return kStates.parse(s); }
bool is_final(RunState s) noexcept { return s >= RunState::succeeded; }

namespace {

json::object approval_json(const Run& r, bool full) {
  json::array given;
  for (const auto& a : r.approvals) {
    json::object one{{"subject", a.subject},
                     {"teams", json::value_from(a.teams)},
                     {"identifiedBy", to_string(a.how)},
                     {"channel", a.channel},
                     {"digest", a.digest},
                     {"at", format_time(a.at)}};
    if (!a.reason.empty()) one["reason"] = a.reason;
    given.push_back(std::move(one));
  }
  json::object o{{"required", r.approval.required},
                 {"approverTeams", json::value_from(r.approval.teams)},
                 {"approverUsers", json::value_from(r.approval.users)},
                 {"expiresAt", format_time(r.approval.expires)},
                 {"approvals", std::move(given)}};
  if (full) {
    o["policy"] = r.approval.policy;
    o["diff"] = r.approval.diff;
  }
  return o;
}

}  // namespace

json::object to_json(const Run& r, bool full) {
  json::object o{{"id", r.id},
                 {"state", to_string(r.state)},
                 {"namespace", r.workload.name_space},
                 {"workload", to_string(r.workload)},
                 {"requester", r.requester},
                 {"requesterTeams", json::value_from(r.requester_teams)},
                 {"command", json::value_from(r.command)},
                 {"container", r.container},
                 {"image", r.image},
                 {"reason", r.reason},
                 {"jobName", r.job_name}};
  if (!r.job_uid.empty()) o["jobUid"] = r.job_uid;
  o["digest"] = r.digest;
  if (!r.progress.empty()) o["progress"] = r.progress;
  if (r.exit_code) o["exitCode"] = *r.exit_code;
  if (!r.result_reason.empty()) o["resultReason"] = r.result_reason;
  if (!r.message.empty()) o["message"] = r.message;
  if (r.cancel_requested) o["cancelRequested"] = true;
  if (!r.cancelled_by.empty()) o["cancelledBy"] = r.cancelled_by;
  if (r.break_glass) o["breakGlass"] = true;
  if (r.approval.required > 0) o["approval"] = approval_json(r, full);
  o["logBytes"] = r.log_bytes;
  o["logComplete"] = r.log_complete;
  o["createdAt"] = format_time(r.created);
  if (r.started) o["startedAt"] = format_time(*r.started);
  if (r.finished) o["finishedAt"] = format_time(*r.finished);
  for (const auto* key : {"template", "params"})
    if (const auto* value = r.request.if_contains(key)) o[key] = *value;
  o["request"] = r.request;
  if (full) {
    o["job"] = r.job;
    o["report"] = r.report;
  }
  return o;
}

std::string new_run_id(Time now) {
  // 45 bits of milliseconds (until the year 3084), 55 bits of randomness.
  auto millis = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
  std::string out(20, 'a');
  for (std::size_t i = 9; i-- > 0;) {
    // Base32 in which the order of characters is the order of values.
    static constexpr std::string_view kSorted = "234567abcdefghijklmnopqrstuvwxyz";
    out[i] = kSorted[millis & 31U];
    millis >>= 5U;
  }
  const auto noise = random_bytes(11);
  for (std::size_t i = 0; i < 11; ++i) out[9 + i] = kBase32[static_cast<unsigned char>(noise[i]) & 31U];
  return out;
}

bool is_run_id(std::string_view s) noexcept {
  return s.size() == 20 && s.find_first_not_of(kBase32) == std::string_view::npos;
}

std::string short_run_id(std::string_view id) {
  return std::string(id.size() <= 8 ? id : id.substr(id.size() - 8));
}

std::string new_uuid() {
  auto b = random_bytes(16);
  b[6] = static_cast<char>((static_cast<unsigned char>(b[6]) & 0x0FU) | 0x40U);
  b[8] = static_cast<char>((static_cast<unsigned char>(b[8]) & 0x3FU) | 0x80U);
  const auto h = hex_encode(b);
  return fmt::format("{}-{}-{}-{}-{}", h.substr(0, 8), h.substr(8, 4), h.substr(12, 4), h.substr(16, 4),
                     h.substr(20));
}

}  // namespace oddjob
