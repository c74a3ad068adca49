// Audit records in words, for those who did not write the software. Pure.
#pragma once

#include <string>

#include "core/json.hpp"

namespace oddjob::cli {

// What an audit record (docs/formats/audit.md) says, as a clause that follows
// its actor: "asked to run `rake db:migrate` as deploy/payments runs, …". A type
// that is not known is shown with its detail.
std::string audit_words(const json::value& event);

}  // namespace oddjob::cli
