// Which files an interpreter runs, told by their names.
#pragma once

#include <span>
#include <string_view>

namespace oddjob::image {

// Extensions with their dot, of "node", "/usr/bin/python3.11", "php8.2"; empty
// for what is no known interpreter.
std::span<const std::string_view> script_extensions(std::string_view interpreter);
bool has_extension(std::string_view name, std::span<const std::string_view> extensions);

}  // namespace oddjob::image
