// OddJob's REST API as Kubernetes sees it: an aggregated API, registered by an
// APIService. Paths there follow Kubernetes' conventions, because the API server
// reads its authorization (verb, resource, subresource) and its time limits from
// them. Pure; client and server share the one table.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace oddjob {

inline constexpr std::string_view kAggregatedGroup = "run.oddjob.dev";
inline constexpr std::string_view kAggregatedVersion = "v1alpha1";
inline constexpr std::string_view kAggregatedRoot = "/apis/run.oddjob.dev/v1alpha1";

// "/api/v1/runs/x/approve?a=b" -> "/apis/run.oddjob.dev/v1alpha1/runs/x/approve?a=b".
// What may last longer than a minute is below a subresource `log`: to the API
// server that is a long-running request, which it does not cut. A path that is
// not below /api/v1 stays as it is.
std::string to_aggregated(std::string_view target);
// The reverse, for a decoded path without a query: "/api/v1/…"; nullopt where
// there is nothing of that name.
std::optional<std::string> from_aggregated(std::string_view path);

}  // namespace oddjob
