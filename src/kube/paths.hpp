// Addresses of the API: from a Resource to a path, and queries.
#pragma once

#include <string>
#include <string_view>

#include "kube/client.hpp"

namespace oddjob::kube {

// "/apis/batch/v1/namespaces/x/jobs[/name[/subresource]]". An empty namespace
// means all of them (or a cluster-scoped resource). Error "kube.invalid" for a
// name that cannot be one path segment.
Result<std::string> resource_path(const Resource& r, std::string_view ns, std::string_view name = {},
                                  std::string_view subresource = {});
std::string api_version_of(const Resource& r);  // "batch/v1"
std::string with_query(std::string path, const net::Query& query);
net::Query list_query(const ListOptions& options);

}  // namespace oddjob::kube
