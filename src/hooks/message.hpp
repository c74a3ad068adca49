// What a webhook is told: from an audit record and its run to a signed message
// (docs/webhooks.md). Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/audit.hpp"
#include "core/error.hpp"
#include "core/words.hpp"

namespace oddjob::hooks {

// All types of events, in the order of a run's life.
std::span<const std::string_view> event_types() noexcept;

// The type of event that a record is, empty if nobody is told of it. A request
// that broke the glass is "run.break_glass", not "run.requested".
std::string_view event_type(const AuditEvent& e) noexcept;

// The body. Holds no env values, no tokens, no log: only the fields that
// docs/webhooks.md names. The same record gives the same body, as long as the
// run's own fields are what they were.
std::string body_of(const AuditEvent& e, const Run& run);
// Stable for one record: a receiver knows a repeat by it.
std::string message_id(const AuditEvent& e);

// "v1,<base64 of HMAC-SHA256(secret, id.timestamp.body)>", one for each secret,
// separated by spaces. `timestamp`: seconds since 1970.
std::string signature(const std::vector<std::string>& secrets, std::string_view id, std::int64_t timestamp,
                      std::string_view body);

// A file of secrets, one a line: "whsec_<base64>", or any text. At least 16
// bytes each, one to five of them. Errors: "hooks.bad_secret", naming `where`
// and the line, never the secret.
Result<std::vector<std::string>> parse_secrets(std::string_view text, std::string_view where);

}  // namespace oddjob::hooks
