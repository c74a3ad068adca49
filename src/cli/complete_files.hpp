// What may stand behind `oddjob run WORKLOAD --`, as the server knows it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/complete.hpp"
#include "core/json.hpp"

namespace oddjob::cli {

// A word as a shell has it on its line, without its quotes; one that is open at
// the end counts as closed there. Nothing is expanded. Pure.
std::string unquoted(std::string_view word);

// The question for GET /api/v1/files, or nothing: the place is not inside a
// command, or names no workload. Pure.
std::optional<std::string> files_question(const Place& place, std::string_view name_space);
// The words of its answer; of one that is not ready: none. Pure.
std::vector<std::string> files_answer(const json::value& answer);

}  // namespace oddjob::cli
