#include "cli/audit_words.hpp"

#include <fmt/format.h>

#include "cli/run_text.hpp"
#include "core/text.hpp"

namespace oddjob::cli {
namespace {

using Detail = const json::value&;

std::string text(Detail d, std::string_view key, std::size_t most = 500) {
  return printable(get_string(d, {key}), most);
}
std::string number(Detail d, std::string_view key) { return std::to_string(get_int(d, {key}).value_or(0)); }
// ", key words" where there is something to say.
std::string with(std::string_view before, std::string value, std::string_view after = "") {
  return value.empty() ? std::string() : fmt::format("{}{}{}", before, value, after);
}
std::string identified(Detail d) {
  auto how = text(d, "identifiedBy");
  if (how == "static_token") how = "a static token";
  if (how == "token_review") how = "a Kubernetes token";
  if (how == "front_proxy") how = "the API server's front proxy";
  if (how == "oidc") how = "OpenID Connect";
  return (how.empty() ? std::string("identified") : "identified by " + how) +
         with(" over ", text(d, "channel")) + with(" from ", text(d, "from"));
}
std::string brief_digest(Detail d) { return text(d, "digest", 200).substr(0, 19) + "…"; }
std::string state_words(Detail d) {
  auto s = text(d, "state", 40);
  for (auto& c : s)
    if (c == '_') c = ' ';
  return s;
}

// "; from the template backfill, generation 3, sha256:…, with since=2026-01-01", where it was one.
std::string from_template(Detail d) {
  const auto name = get_string(d, {"template", "name"});
  if (name.empty()) return {};
  std::string out = fmt::format("; from the template {}, generation {}, {}…", printable(name, 253),
                                get_int(d, {"template", "generation"}).value_or(0),
                                printable(get_string(d, {"template", "digest"}), 200).substr(0, 19));
  std::string values;
  if (const auto* params = find_object(d, {"params"}))
    for (const auto& [key, value] : *params)
      if (value.is_string())
        values += fmt::format("{}{}={}", values.empty() ? "" : ", ", printable(std::string_view(key), 63),
                              printable(sv(value.get_string()), 200));
  return out + with(", with ", std::move(values));
}

std::string requested(Detail d) {
  std::string out = fmt::format("asked to run `{}` as {} in namespace {} runs",
                                printable(command_line(d), 1000), text(d, "workload"), text(d, "namespace"));
  out += with(", because: ", text(d, "reason"));
  out += from_template(d);
  out += "; " + identified(d);
  if (get_bool(d, {"breakGlass"})) {
    out += "; BROKE THE GLASS: started without the approval that the workload asks for";
  } else if (const auto n = get_int(d, {"approval", "required"})) {
    out += fmt::format("; it needs {} approval{} by {}, until {}", *n, *n == 1 ? "" : "s",
                       printable(get_string(d, {"approval", "approvers"}), 500),
                       printable(get_string(d, {"approval", "expiresAt"}), 40));
  }
  return out + "; the Job to be made has digest " + brief_digest(d);
}

std::string starting(Detail d) {
  std::string by;
  if (const auto* list = find_array(d, {"approvedBy"}))
    for (const auto& name : *list)
      if (name.is_string()) by += (by.empty() ? "" : ", ") + printable(sv(name.get_string()), 100);
  return "asked the policy again, which allows it, and starts the Job with digest " + brief_digest(d) +
         with("; approved by ", std::move(by));
}

std::string finished(Detail d) {
  std::string out = "recorded its end: " + state_words(d);
  if (const auto code = get_int(d, {"exitCode"})) out += fmt::format(", exit code {}", *code);
  const auto reason = text(d, "reason");
  if (reason != "Completed" && reason != "Error") out += with(" (", reason, ")");
  out += with("; ", text(d, "message"));
  return out + fmt::format("; log of {} bytes, {}", number(d, "logBytes"),
                           get_bool(d, {"logComplete"}) ? "complete" : "NOT complete");
}

std::string denied(Detail d, bool by_oddjob) {
  if (by_oddjob) return "did not start it: " + text(d, "message");
  return "denied it: " + text(d, "reason") + "; " + identified(d);
}

std::string approved(Detail d) {
  return fmt::format("approved the Job with digest {} ({} of {} approvals{}){}; {}", brief_digest(d),
                     number(d, "approvals"), number(d, "required"),
                     get_bool(d, {"complete"}) ? ", so it may start" : "",
                     with(", because: ", text(d, "reason")), identified(d));
}

}  // namespace

std::string audit_words(const json::value& event) {
  const auto type = get_string(event, {"type"});
  const bool by_oddjob = get_string(event, {"actor"}) == "oddjob";
  static const json::value kNone = json::object{};
  const auto* found = find(event, {"detail"});
  Detail d = found != nullptr ? *found : kNone;
  if (type == "run.requested") return requested(d);
  if (type == "run.refused")
    return fmt::format("was refused on {} in namespace {}: {}; {}",
                       text(d, "template").empty() ? text(d, "workload") : "template " + text(d, "template"),
                       text(d, "namespace"), text(d, "message"), identified(d));
  if (type == "run.job_created")
    return fmt::format("made the Job {} in namespace {}, suspended, so that nothing runs yet", text(d, "job"),
                       text(d, "namespace"));
  if (type == "run.approved") return approved(d);
  if (type == "run.approval_refused")
    return fmt::format("tried to {} it and was refused: {}; {}", text(d, "what"), text(d, "message"),
                       identified(d));
  if (type == "run.denied") return denied(d, by_oddjob);
  if (type == "run.expired") return "ended the wait: " + text(d, "message");
  if (type == "run.tampered")
    return fmt::format("FOUND TAMPERING with Job {}: {}", text(d, "job"), text(d, "message"));
  if (type == "run.starting") return starting(d);
  if (type == "run.started")
    return fmt::format("saw the command run, in pod {} on node {}", text(d, "pod"), text(d, "node"));
  if (type == "run.cancel_requested")
    return fmt::format("asked to cancel it while it was {}; {}", state_words(d), identified(d));
  if (type == "run.ending")
    return fmt::format("decided its end: {} ({}); {}", state_words(d), text(d, "reason"), text(d, "message"));
  if (type == "run.finished") return finished(d);
  if (type == "run.log_dropped")
    return fmt::format("dropped its log of {} bytes, by {}", number(d, "logBytes"), text(d, "key"));
  if (type == "hook.abandoned")
    return fmt::format("gave up telling the webhook {} of record {}: {}", text(d, "hook"), number(d, "seq"),
                       text(d, "message"));
  if (type == "audit.exported") return "exported the whole audit" + with(" from ", text(d, "from"));
  return fmt::format("{} {}", printable(type, 100), printable(json::serialize(d), 1000));
}

}  // namespace oddjob::cli
