// Names that OddJob puts on, or reads from, objects of the cluster. Public: a
// change here is a change of the API.
#pragma once

#include <string_view>

namespace oddjob::names {

inline constexpr std::string_view kPrefix = "oddjob.dev/";
inline constexpr std::string_view kManagedByLabel = "app.kubernetes.io/managed-by";  // = kManager
inline constexpr std::string_view kManager = "oddjob";
inline constexpr std::string_view kRunIdLabel = "oddjob.dev/run-id";       // Job and pod
inline constexpr std::string_view kWorkloadLabel = "oddjob.dev/workload";  // "deploy.payments"; cut to 63
inline constexpr std::string_view kDigestAnnotation = "oddjob.dev/digest";
inline constexpr std::string_view kRequesterAnnotation = "oddjob.dev/requester";
inline constexpr std::string_view kReasonAnnotation = "oddjob.dev/reason";
inline constexpr std::string_view kCommandAnnotation = "oddjob.dev/command";        // JSON argv
inline constexpr std::string_view kWorkloadAnnotation = "oddjob.dev/workload-ref";  // "deploy/payments"
inline constexpr std::string_view kTemplateAnnotation =
    "oddjob.dev/template";  // "backfill@sha256:…", where one was used
inline constexpr std::string_view kContainerAnnotation =
    "oddjob.dev/main-container";  // on the Job and its pod
// Kueue starts and stops a Job that has it; docs/configuration.md, runs.pendingJobs.
inline constexpr std::string_view kQueueLabel = "kueue.x-k8s.io/queue-name";
// Selects everything OddJob made.
inline constexpr std::string_view kManagedSelector = "app.kubernetes.io/managed-by=oddjob,oddjob.dev/run-id";

}  // namespace oddjob::names
