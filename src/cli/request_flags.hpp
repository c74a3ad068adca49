// The flags that make a request; shared by `run` and `render`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "core/words.hpp"

namespace oddjob::cli {

struct RequestFlags {
  std::string workload, container, cpu, memory, timeout, reason, sidecars, init_containers;
  std::vector<std::string> env;  // NAME=VALUE, or NAME: from our own environment
  int retries = 0;
  bool image_tag_as_written = false, break_glass = false;
};
void add_request_flags(CLI::App& command, RequestFlags& flags);
// Errors name the flag: "cli.no_command", "cli.no_workload", "cli.env", and those of validate().
Result<RunRequest> make_request(const RequestFlags& flags, const Invocation& invocation,
                                std::string name_space);

}  // namespace oddjob::cli
