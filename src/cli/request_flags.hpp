// The flags that make a request; shared by `run` and `render`.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "core/words.hpp"

namespace oddjob::cli {

struct RequestFlags {
  std::string workload, container, cpu, memory, timeout, reason, sidecars, init_containers;
  std::vector<std::string> env;  // NAME=VALUE, or NAME: from our own environment
  std::string service_account;
  std::vector<std::string> params;  // NAME=VALUE, of a template
  int retries = 0;
  bool image_tag_as_written = false, break_glass = false;
};
void add_request_flags(CLI::App& command, RequestFlags& flags);
void add_param_flag(CLI::App& command, RequestFlags& flags);
// "backfill" of "template/backfill" (also jobtemplate/ and jt/); nullopt: it names no template.
std::optional<std::string> template_name(std::string_view text);
// NAME=VALUE each. Error "cli.param", also for a name that is given twice.
Result<std::map<std::string, std::string, std::less<>>> parse_params(const std::vector<std::string>& words);
// A workload `template/NAME` asks for that template. Errors name the flag: "cli.no_command",
// "cli.no_workload", "cli.env", and those of validate().
Result<RunRequest> make_request(const RequestFlags& flags, const Invocation& invocation,
                                std::string name_space);

}  // namespace oddjob::cli
