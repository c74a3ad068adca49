// The digest of a Job: what an approval is bound to, and what tells our Job
// from another of its name.
#include <array>

#include "core/digest.hpp"
#include "core/names.hpp"
#include "render/render.hpp"

namespace oddjob::render {
namespace {

// Set by the API server on every Job and on the pods' template.
constexpr auto kServersLabels = std::to_array<std::string_view>({
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
});

constexpr auto kDiffersByRun = std::to_array<std::string_view>({
    names::kRequesterAnnotation,
    names::kReasonAnnotation,
    names::kDigestAnnotation,
});

void forget_labels(json::value& metadata) {
  erase(metadata, {"labels", names::kRunIdLabel});
  for (const std::string_view key : kServersLabels) erase(metadata, {"labels", key});
}

}  // namespace

// Not a defence against API-server defaulting: a Job read back has fields that
// nobody wrote (dnsPolicy, terminationMessagePath, …), and so another digest.
// Compare that of the Job as rendered with the annotation of the one read back.
std::string job_digest(const json::value& job) {
  json::object bare;
  json::value metadata = json::object{};
  for (const std::string_view key : {"namespace", "labels", "annotations"}) {
    if (const json::value* found = find(job, {"metadata", key})) metadata.as_object()[key] = *found;
  }
  forget_labels(metadata);
  for (const std::string_view key : kDiffersByRun) erase(metadata, {"annotations", key});
  bare["metadata"] = std::move(metadata);
  for (const std::string_view key : {"apiVersion", "kind", "spec"}) {
    if (const json::value* found = find(job, {key})) bare[key] = *found;
  }
  if (json::value* spec = bare.if_contains("spec")) {
    // OddJob itself moves `suspend`; the selector is made from the Job's uid.
    erase(*spec, {"suspend"});
    erase(*spec, {"selector"});
    if (json::value* pod = find(*spec, {"template", "metadata"})) {
      forget_labels(*pod);
      erase(*pod, {"creationTimestamp"});
    }
  }
  return json_digest(bare);
}

}  // namespace oddjob::render
