// Keys of labels and annotations. Internal.
#pragma once

#include <string_view>

namespace oddjob::render {

// `pattern`: a whole key, "domain/*" for every key of that domain, or
// "*.domain/*" for those of its subdomains too.
bool key_matches(std::string_view pattern, std::string_view key) noexcept;

// Does the key speak to a service mesh?
bool is_mesh_key(std::string_view key) noexcept;

}  // namespace oddjob::render
