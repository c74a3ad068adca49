// What objects of lists and watches have in common.
#pragma once

#include <string>

#include "kube/client.hpp"

namespace oddjob::kube {

// Fills in apiVersion and kind, which items of a list lack and metadata-only
// objects have as PartialObjectMetadata. With `metadata_only`, drops what a
// server that does not know the short form has sent besides.
void complete_object(json::value& v, const Resource& r, bool metadata_only);
// "namespace/name", or "name".
std::string object_key(std::string_view ns, std::string_view name);
std::string object_key(const json::value& v);

}  // namespace oddjob::kube
