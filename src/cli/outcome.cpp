#include "cli/outcome.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cli/command.hpp"
#include "core/clock.hpp"
#include "core/text.hpp"
#include "core/words.hpp"

namespace oddjob::cli {
namespace {

// "timed out", "pending approval".
std::string state_words(const json::value& run) {
  auto state = printable(get_string(run, {"state"}), 40);
  std::ranges::replace(state, '_', ' ');
  return state;
}

}  // namespace

int exit_code_of(const json::value& run) {
  const auto state = get_string(run, {"state"});
  const auto code = get_int(run, {"exitCode"});
  if (state == "succeeded") return static_cast<int>(code.value_or(0));
  // Zero would say that all is well.
  return code && *code > 0 && *code <= 255 ? static_cast<int>(*code) : kOwnFailure;
}

std::string final_line(const json::value& run) {
  const auto state = state_words(run);
  std::string out = fmt::format("run {} {}", short_run_id(get_string(run, {"id"})), state);
  std::vector<std::string> parts;
  if (const auto code = get_int(run, {"exitCode"})) parts.push_back(fmt::format("exit code {}", *code));
  const auto reason = get_string(run, {"resultReason"});
  if (!reason.empty() && reason != "Completed" && reason != "Error") parts.emplace_back(reason);
  if (!parts.empty()) out += ": " + join(parts, ", ");
  const auto start = parse_time(get_string(run, {"startedAt"})),
             end = parse_time(get_string(run, {"finishedAt"}));
  if (start && end)
    out += fmt::format(
        " after {}",
        human_duration(std::max(std::chrono::duration_cast<Duration>(*end - *start), Duration::zero())));
  const auto message = get_string(run, {"message"});
  if (!message.empty() && state != "succeeded" && !(state == "failed" && reason == "Error"))
    out += fmt::format("\n  {}", printable(message, 2000));
  return out;
}

std::string progress_line(const json::value& run) {
  const auto state = state_words(run);
  const auto progress = printable(get_string(run, {"progress"}), 500);
  const auto id = short_run_id(get_string(run, {"id"}));
  return progress.empty() ? fmt::format("run {}: {}", id, state)
                          : fmt::format("run {}: {}: {}", id, state, progress);
}

}  // namespace oddjob::cli
