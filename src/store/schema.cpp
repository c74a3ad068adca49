#include "store/schema.hpp"

#include <algorithm>
#include <array>

#include "core/audit.hpp"

namespace oddjob::store {
namespace {

using Script = std::vector<std::string>;

Script first_tables(const Dialect& d) {
  Script s = {
      // What is filtered on, and the rest of the Run as one JSON document.
      "CREATE TABLE runs ("
      " id TEXT NOT NULL PRIMARY KEY, short_id TEXT NOT NULL, state TEXT NOT NULL, active INTEGER NOT NULL,"
      " version BIGINT NOT NULL, namespace TEXT NOT NULL, workload TEXT NOT NULL, requester TEXT NOT NULL,"
      " created_us BIGINT NOT NULL, document TEXT NOT NULL)",
      "CREATE INDEX runs_short ON runs (short_id)",
      "CREATE INDEX runs_requester ON runs (requester, id)",
      "CREATE INDEX runs_workload ON runs (namespace, workload, id)",
      "CREATE INDEX runs_active ON runs (namespace, workload) WHERE active = 1",
      "CREATE INDEX runs_live ON runs (id) WHERE active = 1",
      // Job and report: large, written once, not wanted in lists.
      "CREATE TABLE run_manifests (run_id TEXT NOT NULL PRIMARY KEY REFERENCES runs (id), manifest TEXT NOT "
      "NULL)",
      "CREATE TABLE idempotency_keys ("
      " requester TEXT NOT NULL, idempotency_key TEXT NOT NULL, request_digest TEXT NOT NULL,"
      " run_id TEXT NOT NULL, created_us BIGINT NOT NULL, PRIMARY KEY (requester, idempotency_key))",
      // docs/formats/audit.md
      "CREATE TABLE audit ("
      " seq BIGINT NOT NULL PRIMARY KEY, time_us BIGINT NOT NULL, type TEXT NOT NULL, actor TEXT NOT NULL,"
      " run_id TEXT NOT NULL, detail TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL)",
      "CREATE INDEX audit_run ON audit (run_id, seq)",
      "CREATE INDEX audit_actor ON audit (actor, seq)",
      "CREATE INDEX audit_type ON audit (type, seq)",
      "CREATE TABLE audit_head (id INTEGER NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, hash TEXT NOT NULL)",
      "INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '" + std::string(kAuditGenesis) + "')",
      // docs/formats/log-archive.md
      "CREATE TABLE run_logs (run_id TEXT NOT NULL PRIMARY KEY REFERENCES runs (id), length BIGINT NOT NULL)",
      "CREATE TABLE log_chunks ("
      " run_id TEXT NOT NULL, start_at BIGINT NOT NULL, length BIGINT NOT NULL, pod_uid TEXT NOT NULL, "
      "data " +
          d.bytes_type() + " NOT NULL, PRIMARY KEY (run_id, start_at))",
      "CREATE TABLE log_cursors ("
      " run_id TEXT NOT NULL, pod_uid TEXT NOT NULL, line_time TEXT NOT NULL, lines_at BIGINT NOT NULL,"
      " partial BIGINT NOT NULL, PRIMARY KEY (run_id, pod_uid))",
      // Store::ping writes here.
      "CREATE TABLE heartbeat (id INTEGER NOT NULL PRIMARY KEY, beat_us BIGINT NOT NULL)",
      "INSERT INTO heartbeat (id, beat_us) VALUES (1, 0)",
  };
  for (auto& t : d.refuse_changes("audit")) s.push_back(std::move(t));
  for (auto& t : d.refuse_removal("audit_head")) s.push_back(std::move(t));
  return s;
}

// Who said yes to what, and how far each webhook has been told.
Script approvals_and_hooks(const Dialect& d) {
  Script s = {
      "CREATE TABLE approvals ("
      " run_id TEXT NOT NULL REFERENCES runs (id), subject TEXT NOT NULL, place BIGINT NOT NULL,"
      " digest TEXT NOT NULL, approved_us BIGINT NOT NULL, document TEXT NOT NULL,"
      " PRIMARY KEY (run_id, subject))",
      // docs/webhooks.md: the audit is the queue, this is where each reader is in it.
      "CREATE TABLE hook_cursors (hook TEXT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL)",
  };
  for (auto& t : d.refuse_changes("approvals")) s.push_back(std::move(t));
  return s;
}

// Which server a run belongs to, and until when servers are believed to be there.
Script owners(const Dialect& /*d*/) {
  return {
      "ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
      "CREATE TABLE leases ("
      " name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, expires_us BIGINT NOT NULL)",
  };
}

// When a log may be dropped, and which were (docs/formats/log-archive.md).
Script log_retention(const Dialect& /*d*/) {
  return {
      "ALTER TABLE run_logs ADD COLUMN stored BIGINT NOT NULL DEFAULT 0",
      "ALTER TABLE run_logs ADD COLUMN ended_us BIGINT NOT NULL DEFAULT 0",
      "ALTER TABLE run_logs ADD COLUMN dropped_us BIGINT NOT NULL DEFAULT 0",
      "ALTER TABLE run_logs ADD COLUMN dropped_by TEXT NOT NULL DEFAULT ''",
      "ALTER TABLE run_logs ADD COLUMN purge INTEGER NOT NULL DEFAULT 0",
      "UPDATE run_logs SET stored = COALESCE((SELECT SUM(LENGTH(c.data)) FROM log_chunks c WHERE c.run_id ="
      " run_logs.run_id), 0) WHERE length > 0",
      "CREATE INDEX run_logs_open ON run_logs (run_id) WHERE ended_us = 0",
      "CREATE INDEX run_logs_kept ON run_logs (ended_us, stored) WHERE dropped_us = 0 AND length > 0",
      "CREATE INDEX run_logs_purge ON run_logs (run_id) WHERE purge = 1",
  };
}

constexpr std::array kMigrations = {&first_tables, &approvals_and_hooks, &owners, &log_retention};

// 0: a new, empty database.
Result<long long> present_version(Database& db) {
  std::vector<std::string> tables;
  {
    std::string name;
    Query q(db.statements(), db.dialect().table_names());
    q.out(name);
    while (q.next()) tables.push_back(name);
  }
  if (tables.empty()) return 0;
  if (std::ranges::find(tables, "schema_version") == tables.end()) {
    return fail(Errc::failed_precondition, "store.foreign", "the database holds tables that are not OddJob's",
                "name another file");
  }
  long long version = 0;
  Query q(db.statements(), "SELECT version FROM schema_version WHERE id = 1");
  if (!q.out(version).one()) {
    return fail(Errc::internal, "store.corrupt", "the database does not say which schema it has",
                "restore it from a backup");
  }
  return version;
}

}  // namespace

Result<> migrate(Database& db) {
  return db.migration("preparing the database", "migrate", [&]() -> Result<> {
    OJ_TRY(const auto version, present_version(db));
    const auto newest = static_cast<long long>(kMigrations.size());
    if (version > newest) {
      return fail(Errc::failed_precondition, "store.schema_newer",
                  "the database has schema " + std::to_string(version) + ", this OddJob knows up to " +
                      std::to_string(newest),
                  "use the newer OddJob that wrote it");
    }
    if (version == 0) {
      db.session()
          << "CREATE TABLE schema_version (id INTEGER NOT NULL PRIMARY KEY, version BIGINT NOT NULL)";
      execute(db.session(), "INSERT INTO schema_version (id, version) VALUES (1, 0)");
    }
    for (auto v = version; v < newest; ++v) {
      for (const auto& sql : kMigrations[static_cast<std::size_t>(v)](db.dialect()))
        execute(db.session(), sql);
    }
    if (version < newest) {
      Query(db.statements(), "UPDATE schema_version SET version = :v WHERE id = 1").in(newest).run();
    }
    return {};
  });
}

}  // namespace oddjob::store
