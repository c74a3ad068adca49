// The Job around the pod.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/names.hpp"
#include "core/text.hpp"
#include "render/rules/rules.hpp"

namespace oddjob::render::rules_of {
namespace {

constexpr std::size_t kMaxName = 63;                  // a Job's name becomes a label of its pods
constexpr std::size_t kMaxAnnotations = 256U << 10U;  // keys and values together, by the API

void set(Context& c, std::string_view key, json::value value, std::string_view reason) {
  c.job_spec[key] = std::move(value);
  c.changed(fmt::format("spec.{}", key), "set", reason);
}

std::int64_t whole_seconds(Duration d) {
  return std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(d).count());
}

std::size_t size_of(const json::object& annotations) {
  std::size_t total = 0;
  for (const auto& [key, value] : annotations)
    total += key.size() + (value.is_string() ? value.as_string().size() : 0);
  return total;
}

Result<> check_size(const Context& c, const json::object& annotations, std::string_view of) {
  const std::size_t size = size_of(annotations);
  if (size <= kMaxAnnotations) return {};
  return fail(Errc::failed_precondition, "render.annotations_too_large",
              fmt::format("{}: annotations of the {} would be {} bytes, and the API allows {}",
                          to_string(c.ref), of, size, kMaxAnnotations));
}

}  // namespace

// "oj-<workload>-<short id>". Dots of the workload's name become dashes, so
// that the name is a label and the pod's host name is one too.
Result<> job_name(Context& c) {
  const std::string& id = c.identity.run_id;
  const std::string tail = short_run_id(id);
  if (id.empty() || !is_label_value(id) || !is_dns_label(tail)) {
    return fail(Errc::invalid_argument, "render.name",
                fmt::format("\"{}\" can't be part of a Job's name: a run id is lower-case letters and digits",
                            printable(id, 100)));
  }
  constexpr std::string_view kHead = "oj-";
  std::string middle = c.ref.name.substr(0, kMaxName - kHead.size() - 1 - tail.size());
  std::ranges::replace(middle, '.', '-');
  while (middle.ends_with('-')) middle.pop_back();
  c.job_name = fmt::format("{}{}-{}", kHead, middle, tail);
  if (!is_dns_label(c.job_name)) {
    return fail(
        Errc::invalid_argument, "render.name",
        fmt::format("{}: \"{}\" is not a valid name of a Job", to_string(c.ref), printable(c.job_name, 100)));
  }
  return {};
}

Result<> run_once(Context& c) {
  set(c, "suspend", true, "OddJob releases the Job once it is recorded.");
  set(c, "completions", 1, "A run runs once.");
  set(c, "parallelism", 1, "A run runs once.");
  set(c, "backoffLimit", c.request.retries,
      c.request.retries == 0 ? "A failed command is not started again."
                             : "Retries were asked for on this run.");
  return {};
}

// By default the Job controller replaces a pod that is being evicted, even
// while the old one still runs: the command would run twice.
Result<> pod_failures(Context& c) {
  if (c.server_has(29)) {
    set(c, "podReplacementPolicy", "Failed",
        "A pod that is still ending is never run beside its replacement.");
  }
  if (!c.server_has(26)) return {};
  const bool retried = c.request.retries > 0;
  json::object rule{
      {"action", retried ? "Count" : "FailJob"},
      {"onPodConditions", json::array{json::object{{"type", "DisruptionTarget"}, {"status", "True"}}}}};
  set(c, "podFailurePolicy", json::object{{"rules", json::array{std::move(rule)}}},
      retried
          ? "A disruption (eviction, preemption) uses up one of the retries that were asked for."
          : "A disruption (eviction, preemption) ends the run: the command may have had effects already.");
  return {};
}

Result<> time_limits(Context& c) {
  c.timeout = c.request.timeout.value_or(std::min(c.policy.default_timeout, c.policy.max_timeout));
  set(c, "activeDeadlineSeconds", whole_seconds(c.timeout),
      c.request.timeout ? "The timeout asked for on this run." : "The policy's timeout: every run has one.");
  set(c, "ttlSecondsAfterFinished", whole_seconds(c.policy.ttl),
      "The Job is cleaned up some time after its end (ttl).");
  return {};
}

Result<> job_metadata(Context& c) {
  c.job_labels = {{names::kManagedByLabel, names::kManager},
                  {names::kRunIdLabel, c.identity.run_id},
                  {names::kWorkloadLabel, c.labels.at(names::kWorkloadLabel)}};
  // Queues and cost reports look at the Job.
  for (const std::string& key : c.kept_labels) c.job_labels[key] = c.labels.at(key);

  json::array argv;
  for (const std::string& word : c.request.command) argv.emplace_back(to_valid_utf8(word));
  c.job_annotations = {{names::kWorkloadAnnotation, to_string(c.ref)},
                       {names::kContainerAnnotation, c.main().name},
                       {names::kRequesterAnnotation, to_valid_utf8(c.identity.requester)}};
  if (!c.identity.reason.empty())
    c.job_annotations[names::kReasonAnnotation] = to_valid_utf8(c.identity.reason);
  if (const auto& used = c.request.from_template)
    c.job_annotations[names::kTemplateAnnotation] = fmt::format("{}@{}", used->name, used->digest);
  std::string command = canonical_json(argv);
  if (size_of(c.job_annotations) + names::kCommandAnnotation.size() + command.size() + 128 <=
      kMaxAnnotations) {
    c.job_annotations[names::kCommandAnnotation] = std::move(command);
  } else {
    c.warn("the command is too long for an annotation; it stands in the pod only");
  }
  OJ_CHECK(check_size(c, c.job_annotations, "Job"));
  return check_size(c, c.annotations, "pod");
}

}  // namespace oddjob::render::rules_of
