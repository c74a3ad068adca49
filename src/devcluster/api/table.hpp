// Server-side printing: the columns that `kubectl get` shows (meta.k8s.io/v1 Table).
#pragma once

#include <memory>
#include <vector>

#include "core/clock.hpp"
#include "core/json.hpp"
#include "devcluster/registry.hpp"

namespace oddjob::devcluster {

// `include`: what goes into each row's object: "Metadata" (default), "Object", "None".
json::object table_of(const ResourceInfo& r, const json::value* crd,
                      const std::vector<std::shared_ptr<const json::value>>& items, std::string_view include,
                      std::string_view resource_version, Time now, bool with_header = true);

// PartialObjectMetadata of an object.
json::object metadata_of(const json::value& object);

}  // namespace oddjob::devcluster
