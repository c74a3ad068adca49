// What OddJob keeps: runs, idempotency keys, the audit chain, archived logs.
// By SOCI, on SQLite (WAL, synchronous=FULL) for one server, or on PostgreSQL
// for several, by the same SQL.
//
// Thread-safe: calls may come from any thread and are serialised inside. All
// calls block (milliseconds; a locked database at most `busy_timeout`), so the
// server calls them through a BlockingPool. Each mutating call is one
// transaction: after an error, nothing of it happened, but for
// "store.commit_unknown" (unavailable): PostgreSQL went away at the commit, and
// did not come back in time to say whether it happened. Fault points
// "store.commit.before" and "store.commit.after" are passed around each commit
// of a record, with the call's name as detail ("create_run", "append_log", …).
//
// Errors: "store.unavailable" (locked, disk full, I/O; kind unavailable),
// "store.corrupt" (internal), "store.schema_newer" (the file is from a newer
// OddJob), "store.foreign" (it is another program's), "store.bad_url",
// "store.in_use" (another server has the file), "store.unsupported" (an old
// PostgreSQL), "store.conflict" (a Run's version changed), "store.not_owner"
// (conflict: another server took the run over), "store.not_found".
//
// Run::log_bytes is always the length of what is archived: it is filled in on
// every read and ignored on writes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/audit.hpp"
#include "core/error.hpp"
#include "core/words.hpp"

namespace oddjob::store {

struct StoreOptions {
  // "sqlite:/path/oddjob.db", "sqlite::memory:", "postgresql://user@host/db?…"
  // (libpq's URIs). It may hold a password: never shown.
  std::string url;
  std::string password_file;  // of PostgreSQL; read at each connection
  bool alone = false;         // SQLite: keep other servers out of the file
  Duration busy_timeout = std::chrono::seconds(2);
  const Clock* clock = nullptr;  // null: the system's
};

struct RunFilter {
  std::string name_space, requester, workload;  // empty: any
  std::vector<RunState> states;                 // empty: any
};
struct RunPage {
  std::vector<Run> runs;    // newest first
  std::string next_cursor;  // empty: no more
};

// Whose a new run is, and what must hold at the moment it is recorded.
struct Placement {
  std::string owner;                   // a replica; empty: nobody's yet
  std::optional<int> max_active;       // of all runs: "store.too_many_active" (rate_limited)
  std::optional<int> max_on_workload;  // "store.workload_busy" (failed_precondition)
};
// A run that has not ended, in few words.
struct LiveRun {
  std::string id, owner;
  std::int64_t version = 0, log_bytes = 0;
  bool free = false;  // nobody owns it, or its owner's lease has ended
};

struct AuditFilter {
  std::string run_id, actor, type;  // empty: any
  std::int64_t after_seq = 0;
  std::int64_t before_seq = 0;  // 0: up to the last one
  bool newest_first = false;
};

// Where a re-opened pod log continues (docs/formats/log-archive.md).
struct LogCursor {
  std::string timestamp;      // RFC 3339 with nanoseconds, of the last archived line
  std::int64_t lines_at = 0;  // complete lines archived that carry exactly this timestamp
  std::int64_t partial = 0;   // bytes archived of a line whose end is not archived yet
  friend bool operator==(const LogCursor&, const LogCursor&) = default;
};
struct LogChunk {
  std::string pod_uid;      // which pod (a retry has several)
  std::int64_t offset = 0;  // of the first byte in the run's whole log
  std::string data;         // uncompressed here; zstd in the database
  LogCursor cursor;         // after this chunk
};

// Which logs of runs that have ended are dropped: the oldest first.
struct LogRetention {
  Duration max_age{};          // since the run's end; 0: for ever
  std::int64_t max_bytes = 0;  // of all logs, as they are stored (compressed); 0: no bound
};
// Under these keys of the configuration, which say why a log was dropped.
inline constexpr std::string_view kLogMaxAge = "retention.logMaxAge";
inline constexpr std::string_view kLogMaxBytes = "retention.logMaxBytes";
// That a run's log is not kept any more.
struct DroppedLog {
  Time at{};
  std::string by;  // one of the keys above
};
struct DroppedLogs {
  std::int64_t by_age = 0, by_size = 0;  // logs
  std::int64_t kept_bytes = 0;           // of those that are there, stored
  bool more = false;                     // there are more to drop
};

struct AuditVerdict {
  bool ok = true;
  std::int64_t events = 0;   // read
  std::int64_t bad_seq = 0;  // the first record that is altered, missing or out of order
  std::string problem;       // a sentence; empty when ok
  std::string head;          // hash of the last good record
};

class Store {
 public:
  static Result<std::unique_ptr<Store>> open(const StoreOptions& options);  // migrates
  virtual ~Store() = default;

  // Inserts the run with its first audit event in one transaction. With a key:
  // if (requester, key) is known, nothing is written and the earlier run is
  // returned with `replayed`; "store.idempotency_mismatch" (already_exists) if
  // that run was for another request digest.
  struct Created {
    Run run;
    bool replayed = false;
  };
  virtual Result<Created> create_run(Run run, std::string_view idempotency_key,
                                     std::string_view request_digest, AuditEvent event,
                                     Placement placement = {}) = 0;
  // Replaces the run where its stored version is run.version, stores version+1
  // and returns it; appends the events in the same transaction.
  // A null job leaves the stored job and report as they are. Approvals that
  // run.approvals has beyond the stored ones are added; a stored one is never
  // changed ("store.already_approved", kind conflict, for a second one of the
  // same subject). With an owner: only while the run is that replica's.
  virtual Result<Run> update_run(const Run& run, const std::vector<AuditEvent>& events,
                                 std::string_view owner = {}) = 0;
  // Full id, or its last 8 characters if unique ("store.ambiguous" otherwise).
  virtual Result<Run> get_run(std::string_view id) = 0;
  // Without job and report. Error "store.bad_cursor". limit is cut to 1..1000.
  virtual Result<RunPage> list_runs(const RunFilter& f, std::string_view cursor, int limit) = 0;
  virtual Result<std::vector<Run>> unfinished_runs() = 0;      // oldest first
  virtual Result<int> count_active(const WorkloadRef& w) = 0;  // not final

  // Appends (time, seq, prev, hash are filled in) and returns it as stored.
  // "store.audit_too_large" if the detail is over 1 MiB.
  virtual Result<AuditEvent> append_audit(AuditEvent e) = 0;
  virtual Result<std::vector<AuditEvent>> list_audit(const AuditFilter& f, int limit) = 0;
  // Reads the whole chain; bounded memory.
  virtual Result<AuditVerdict> verify_audit() = 0;

  // Appends a chunk; chunk.offset must be the log's present length
  // ("store.log_offset" otherwise, so that two writers cannot interleave). At most
  // 16 MiB at once ("store.log_too_large"). No data: only the cursor moves.
  // With an owner: only while the run is that replica's.
  virtual Result<> append_log(std::string_view run_id, const LogChunk& chunk,
                              std::string_view owner = {}) = 0;
  // At most max_bytes (and 16 MiB) from offset; empty at the end of what is archived.
  virtual Result<std::string> read_log(std::string_view run_id, std::int64_t offset,
                                       std::size_t max_bytes) = 0;
  virtual Result<std::int64_t> log_length(std::string_view run_id) = 0;
  // nullopt: it is kept.
  virtual Result<std::optional<DroppedLog>> dropped_log(std::string_view run_id) = 0;
  virtual Result<std::optional<LogCursor>> log_cursor(std::string_view run_id, std::string_view pod_uid) = 0;

  // Drops logs by the rule, at most so many, and records each ("run.log_dropped"): read_log() says
  // "store.log_dropped" (gone) from then on. A run that has not ended keeps its log.
  virtual Result<DroppedLogs> drop_logs(const LogRetention& rule, int most) = 0;
  // Removes the bytes of dropped logs, at most so many chunks. False: nothing is left to remove.
  virtual Result<bool> purge_logs(int chunks) = 0;

  // How far a webhook has been told of the audit; nullopt: it is new.
  virtual Result<std::optional<std::int64_t>> hook_cursor(std::string_view hook) = 0;
  // Moves it on, never back.
  virtual Result<> set_hook_cursor(std::string_view hook, std::int64_t seq) = 0;
  // The seq of the last audit record; 0 when there is none.
  virtual Result<std::int64_t> audit_end() = 0;

  virtual Result<> ping() = 0;  // can it be written to?

  // Runs the calls, each of which makes one call to this store, on this thread, and keeps what it
  // says. On SQLite they are one transaction, and wait for the disk once. One that fails harms no
  // other; where all are undone (a full disk) each is run again by itself: what a call kept in its
  // last run is what happened. On return, what was recorded is on the disk; none of it is known to
  // anybody else before.
  virtual void together(std::span<const std::function<void()>> calls) = 0;

  // ---- several servers on one database (docs/run-lifecycle.md, "Several replicas")
  // A lease is a name that one holder has until a time by the database's clock.
  // A replica holds replica_lease(id); a run is its owner's until that lease has
  // ended and somebody else claims the run. Leases go by a connection of their
  // own, so that no queue of other calls makes one late.

  // Can other servers be on the database? Only then are leases needed.
  [[nodiscard]] virtual bool shared() const = 0;
  // Takes or renews it; false: somebody else has it.
  virtual Result<bool> take_lease(std::string_view name, std::string_view holder, Duration time) = 0;
  // Renews it, also after its time, as long as nobody else noticed; false: it is lost.
  virtual Result<bool> renew_lease(std::string_view name, std::string_view holder, Duration time) = 0;
  // Gives back a replica's leases, and its runs to whoever claims them.
  virtual Result<> leave(std::string_view replica) = 0;
  // Makes free runs this replica's, at most so many, oldest first; of replicas
  // whose lease has ended nothing is left. Each gets a new version. How many?
  virtual Result<int> claim_runs(std::string_view replica, int most) = 0;
  virtual Result<std::vector<LiveRun>> live_runs() = 0;  // by id
};

inline std::string replica_lease(std::string_view replica) { return "replica/" + std::string(replica); }

}  // namespace oddjob::store
