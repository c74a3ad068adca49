// Small files: configuration and key material.
#pragma once

#include <string>
#include <string_view>

#include "core/error.hpp"

namespace oddjob::fs {

// The whole file, at most max_bytes. The error's code is `code`; it names the file.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes, std::string_view code);
// Replaces the file in one step (a temporary file, fsync, rename), mode 0600.
// Error "file.unwritable".
Result<> write_private_file(const std::string& path, std::string_view content);

}  // namespace oddjob::fs
