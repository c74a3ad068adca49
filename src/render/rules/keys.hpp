// Keys of labels and annotations. Internal.
#pragma once

#include <string_view>

namespace oddjob::render {

// `pattern`: a whole key, "domain/*" for every key of that domain, or
// "*.domain/*" for those of its subdomains too.
bool key_matches(std::string_view pattern, std::string_view key) noexcept;

// Is it a label by which a controller knows its own pods? Never kept: a Job
// that carries one is refused, or its pod adopted.
bool is_controller_label(std::string_view key) noexcept;

// Does the key speak to a service mesh?
bool is_mesh_key(std::string_view key) noexcept;

}  // namespace oddjob::render
