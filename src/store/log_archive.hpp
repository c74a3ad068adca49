// Archived logs: zstd chunks and one cursor a pod (docs/formats/log-archive.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/audit_chain.hpp"
#include "store/database.hpp"

namespace oddjob::store {

// Of one append_log call, uncompressed.
inline constexpr std::size_t kMaxLogAppend = 16U << 20U;
// Of one stored chunk, uncompressed; longer appends become several.
inline constexpr std::size_t kMaxLogChunk = 256U << 10U;
// Of one read_log call.
inline constexpr std::size_t kMaxLogRead = 16U << 20U;

class LogArchive {
 public:
  explicit LogArchive(Database& db) : db_(db) {}

  // Inside a write(): the empty log of a new run.
  void create(std::string_view run_id);
  // Inside a read() or write(); nullopt if there is no such run.
  std::optional<std::int64_t> length(std::string_view run_id);

  Result<> append(std::string_view run_id, const LogChunk& chunk, std::string_view owner);
  // Inside a write(): "store.not_owner" if the run is not this replica's.
  Result<> owned(std::string_view run_id, std::string_view owner);
  Result<std::optional<DroppedLog>> dropped(std::string_view run_id);
  Result<std::string> read(std::string_view run_id, std::int64_t offset, std::size_t max_bytes);
  Result<std::optional<LogCursor>> cursor(std::string_view run_id, std::string_view pod_uid);

  // Inside a write(): the run has ended, so its log may be dropped some day.
  void ended(std::string_view run_id, Time at);
  // As in Store; the chain is told of each.
  Result<DroppedLogs> drop(const LogRetention& rule, int most, AuditChain& audit, Time now);
  Result<bool> purge(int chunks);

 private:
  Database& db_;
};

Error no_such_run(std::string_view id);
Error not_owner(std::string_view id);

}  // namespace oddjob::store
