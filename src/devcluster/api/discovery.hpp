// What kubectl asks to find its way: API groups, resources, version, OpenAPI.
#pragma once

#include <optional>
#include <string_view>

#include "core/json.hpp"
#include "devcluster/registry.hpp"

namespace oddjob::devcluster {

// The answer to GET `path`, or nullopt where it is no discovery path.
std::optional<json::value> discovery(Registry& registry, std::string_view path);

}  // namespace oddjob::devcluster
