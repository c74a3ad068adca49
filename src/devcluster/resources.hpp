// The resource types that the dev cluster knows.
#pragma once

#include <string>
#include <vector>

#include "devcluster/registry.hpp"

namespace oddjob::devcluster {

std::vector<ResourceInfo> built_in_resources();
// What a CustomResourceDefinition (v1) defines; its stored version only.
ResourceInfo resource_of_crd(const json::value& crd);
std::vector<std::string> standard_verbs();

}  // namespace oddjob::devcluster
