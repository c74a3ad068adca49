#include "core/audit.hpp"

#include "core/digest.hpp"

namespace oddjob {

json::object to_json(const AuditEvent& e) {
  return {{"seq", e.seq},    {"time", format_time_micro(e.time)},
          {"type", e.type},  {"actor", e.actor},
          {"run", e.run_id}, {"detail", e.detail},
          {"prev", e.prev},  {"hash", e.hash}};
}

std::string audit_hash(const AuditEvent& e) {
  auto content = to_json(e);
  content.erase("hash");
  return sha256_hex(canonical_json(content));
}

}  // namespace oddjob
