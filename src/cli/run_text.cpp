#include "cli/run_text.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/clock.hpp"
#include "core/text.hpp"
#include "policy/approvals.hpp"

namespace oddjob::cli {
namespace {

std::vector<std::string> words(const json::value& v, KeyPath path) {
  std::vector<std::string> out;
  if (const auto* list = find_array(v, path))
    for (const auto& w : *list)
      if (w.is_string()) out.emplace_back(sv(w.get_string()));
  return out;
}

std::string exit_text(const json::value& run) {
  const auto code = get_int(run, {"exitCode"});
  return code ? std::to_string(*code) : "";
}

}  // namespace

std::string command_line(const json::value& run) { return quote_posix_words(words(run, {"command"})); }

std::string approvals_text(const json::value& run) {
  const auto required = get_int(run, {"approval", "required"});
  if (!required) return {};
  const auto* given = find_array(run, {"approval", "approvals"});
  return fmt::format("{} of {}", given != nullptr ? given->size() : 0, *required);
}

std::string approvers_text(const json::value& run) {
  return policy::who_may_approve(words(run, {"approval", "approverTeams"}),
                                 words(run, {"approval", "approverUsers"}));
}

std::string describe(const json::value& run) {
  std::string out;
  const auto row = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) out += fmt::format("{:<12} {}\n", fmt::format("{}:", name), printable(value, 2000));
  };
  row("Run", get_string(run, {"id"}));
  row("State", get_string(run, {"state"}));
  row("Progress", get_string(run, {"progress"}));
  row("Exit code", exit_text(run));
  row("Result", get_string(run, {"resultReason"}));
  row("Message", get_string(run, {"message"}));
  row("Workload", fmt::format("{} in {}", get_string(run, {"workload"}), get_string(run, {"namespace"})));
  row("Command", command_line(run));
  row("Reason", get_string(run, {"reason"}));
  row("Requester", get_string(run, {"requester"}));
  if (get_bool(run, {"breakGlass"}))
    row("Glass", "broken: started without the approval it would have needed");
  if (get_int(run, {"approval", "required"})) {
    row("Approvals", approvals_text(run));
    if (const auto* given = find_array(run, {"approval", "approvals"}))
      for (const auto& a : *given) {
        const auto reason = get_string(a, {"reason"});
        out += fmt::format("             {} at {} by {}{}\n", printable(get_string(a, {"subject"}), 100),
                           get_string(a, {"at"}), printable(get_string(a, {"channel"}), 40),
                           reason.empty() ? "" : fmt::format(": {}", printable(reason, 500)));
      }
    row("Approvers", approvers_text(run) + ", not the requester");
    row("Expires", get_string(run, {"approval", "expiresAt"}));
  }
  row("Cancelled by", get_string(run, {"cancelledBy"}));
  row("Container", get_string(run, {"container"}));
  row("Image", get_string(run, {"image"}));
  row("Job", get_string(run, {"jobName"}));
  row("Digest", get_string(run, {"digest"}));
  row("Created", get_string(run, {"createdAt"}));
  row("Started", get_string(run, {"startedAt"}));
  row("Finished", get_string(run, {"finishedAt"}));
  const auto bytes = get_int(run, {"logBytes"}).value_or(0);
  if (const auto dropped = get_string(run, {"logDropped", "at"}); !dropped.empty())
    row("Log",
        fmt::format("{} bytes, dropped at {} by {}", bytes, dropped, get_string(run, {"logDropped", "by"})));
  else
    row("Log", fmt::format("{} bytes{}", bytes, get_bool(run, {"logComplete"}) ? ", complete" : ""));
  return out;
}

std::string describe_changes(const json::value& run) {
  const auto* report = find_array(run, {"report"});
  if (report == nullptr || report->empty()) return {};
  std::string out = "Changes from the workload:\n";
  for (const auto& item : *report) {
    if (const auto warning = get_string(item, {"warning"}); !warning.empty())
      out += fmt::format("  warning: {}\n", printable(warning, 500));
    else
      out += fmt::format("  {} {}: {}\n", get_string(item, {"action"}),
                         printable(get_string(item, {"path"}), 200),
                         printable(get_string(item, {"reason"}), 500));
  }
  return out;
}

}  // namespace oddjob::cli
