// Audit events: one appended record each, chained by hash.
//
// hash(n) = SHA-256 over canonical JSON of {seq, time, type, actor, run, detail,
// prev} where prev = hash(n-1) (64 zeros for the first). The format is
// described in docs/formats/audit.md.
#pragma once

#include <cstdint>
#include <string>

#include "core/clock.hpp"
#include "core/json.hpp"

namespace oddjob {

struct AuditEvent {
  std::int64_t seq = 0;  // 1, 2, 3 … without a gap; given by the store
  Time time{};
  std::string type;        // "run.requested", "run.denied", "run.started", …
  std::string actor;       // user name, or "oddjob" for the server itself
  std::string run_id;      // may be empty
  json::object detail;     // no secret; what, from where, with what result
  std::string prev, hash;  // hex
};

json::object to_json(const AuditEvent& e);
// What `hash` must be for this event's content and `prev`.
std::string audit_hash(const AuditEvent& e);
inline constexpr std::string_view kAuditGenesis =
    "0000000000000000000000000000000000000000000000000000000000000000";

}  // namespace oddjob
