// The audit chain in the database (docs/formats/audit.md).
#pragma once

#include <vector>

#include "core/audit.hpp"
#include "core/clock.hpp"
#include "store/database.hpp"

namespace oddjob::store {

inline constexpr std::size_t kMaxAuditDetail = 1U << 20U;

class AuditChain {
 public:
  AuditChain(Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // Inside a write(): waits until nobody else appends, and keeps others waiting
  // until the end of the transaction.
  void lock();
  // Inside a write(): gives the event its place and its hash, and inserts it.
  // Errors: "store.audit_too_large", "store.corrupt" (the head is gone).
  Result<AuditEvent> append(AuditEvent e);

  Result<std::vector<AuditEvent>> list(const AuditFilter& f, int limit);
  Result<AuditVerdict> verify();

 private:
  Database& db_;
  const Clock& clock_;
};

}  // namespace oddjob::store
