// A run as text for people. Pure.
#pragma once

#include <string>

#include "core/json.hpp"

namespace oddjob::cli {

// The command as a shell would take it.
std::string command_line(const json::value& run);
// "Name: value" lines; who may approve it and who has, where it needs that.
std::string describe(const json::value& run);
// What rendering changed, with the reasons.
std::string describe_changes(const json::value& run);
// "1 of 2"; empty where none are needed.
std::string approvals_text(const json::value& run);
// "team sre or users bob, carl"
std::string approvers_text(const json::value& run);

}  // namespace oddjob::cli
