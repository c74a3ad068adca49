#include "hooks/message.hpp"

#include <fmt/format.h>

#include <array>

#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::hooks {
namespace {

constexpr auto kTypes =
    std::to_array<std::string_view>({"run.requested", "run.break_glass", "run.approved", "run.denied",
                                     "run.expired", "run.started", "run.tampered", "run.finished"});
// Of the record's detail: what may be told, and nothing else.
constexpr auto kTold =
    std::to_array<std::string_view>({"reason", "message", "state", "exitCode", "job", "approvals", "required",
                                     "complete", "channel", "identifiedBy"});
constexpr std::string_view kEncoded = "whsec_";
constexpr std::size_t kMinSecret = 16, kMaxSecrets = 5;
constexpr std::size_t kMaxArgument = 2048, kMaxArguments = 64;

json::array command_of(const Run& run) {
  json::array out;
  for (const auto& word : run.command) {
    if (out.size() == kMaxArguments) {
      out.emplace_back("…");
      break;
    }
    out.emplace_back(printable(word, kMaxArgument));
  }
  return out;
}

}  // namespace

std::span<const std::string_view> event_types() noexcept { return kTypes; }

std::string_view event_type(const AuditEvent& e) noexcept {
  if (e.run_id.empty()) return {};
  if (e.type == "run.requested") {
    const auto* broken = e.detail.if_contains("breakGlass");
    if (broken != nullptr && broken->is_bool() && broken->get_bool()) return "run.break_glass";
  }
  for (const auto t : kTypes)
    if (e.type == t) return t;
  return {};
}

std::string message_id(const AuditEvent& e) { return "evt_" + e.hash.substr(0, 32); }

std::string body_of(const AuditEvent& e, const Run& run) {
  json::object about{{"id", run.id},
                     {"namespace", run.workload.name_space},
                     {"workload", to_string(run.workload)},
                     {"requester", run.requester},
                     {"command", command_of(run)},
                     {"reason", run.reason},
                     {"image", run.image},
                     {"job", run.job_name},
                     {"digest", run.digest},
                     {"requestedAt", format_time(run.created)}};
  if (run.approval.required > 0) {
    about["approval"] = json::object{{"required", run.approval.required},
                                     {"approverTeams", json::value_from(run.approval.teams)},
                                     {"approverUsers", json::value_from(run.approval.users)},
                                     {"expiresAt", format_time(run.approval.expires)}};
  }
  json::object detail;
  for (const auto key : kTold)
    if (const auto* v = e.detail.if_contains(key)) detail[key] = *v;
  return json::serialize(json::object{{"type", event_type(e)},
                                      {"time", format_time_micro(e.time)},
                                      {"seq", e.seq},
                                      {"actor", e.actor},
                                      {"run", std::move(about)},
                                      {"detail", std::move(detail)}});
}

std::string signature(const std::vector<std::string>& secrets, std::string_view id, std::int64_t timestamp,
                      std::string_view body) {
  const auto content = fmt::format("{}.{}.{}", id, timestamp, body);
  std::string out;
  for (const auto& secret : secrets) {
    if (!out.empty()) out += ' ';
    out += "v1," + base64_encode(hmac_sha256(secret, content));
  }
  return out;
}

Result<std::vector<std::string>> parse_secrets(std::string_view text, std::string_view where) {
  const auto bad = [&](int line, std::string_view what) {
    return fail(Errc::invalid_argument, "hooks.bad_secret", fmt::format("{}, line {}: {}", where, line, what),
                "one secret a line, such as whsec_ and 32 random bytes in base64");
  };
  std::vector<std::string> out;
  int number = 0;
  for (const auto& raw : split(text, '\n')) {
    ++number;
    const auto line = trim(raw);
    if (line.empty()) continue;
    auto secret = line.starts_with(kEncoded) ? base64_decode(line.substr(kEncoded.size()))
                                             : Result<std::string>(std::string(line));
    if (!secret) return bad(number, "what follows whsec_ is not base64");
    if (secret->size() < kMinSecret) return bad(number, fmt::format("shorter than {} bytes", kMinSecret));
    if (out.size() == kMaxSecrets) return bad(number, fmt::format("more than {} secrets", kMaxSecrets));
    out.push_back(std::move(*secret));
  }
  if (out.empty()) return bad(1, "there is no secret in it");
  return out;
}

}  // namespace oddjob::hooks
