#include "store/audit_chain.hpp"

#include <algorithm>
#include <limits>

#include "core/json.hpp"
#include "store/run_record.hpp"

namespace oddjob::store {
namespace {

constexpr std::size_t kPageRows = 1000;
constexpr std::size_t kPageBytes = 4U << 20U;
constexpr int kMaxList = 10'000;

// A record as it lies in the table: `detail` may be anything by now.
struct Row {
  long long seq = 0, time_us = 0;
  std::string type, actor, run_id, detail, prev, hash;
};

struct RowReader {
  Row row;
  void bind(Query& q) {
    q.out(row.seq)
        .out(row.time_us)
        .out(row.type)
        .out(row.actor)
        .out(row.run_id)
        .out(row.detail)
        .out(row.prev)
        .out(row.hash);
  }
};
constexpr std::string_view kColumns = "seq, time_us, type, actor, run_id, detail, prev, hash";

std::optional<AuditEvent> event_of(const Row& r) {
  auto detail = parse_json(r.detail, "audit record");
  if (!detail || !detail->is_object()) return std::nullopt;
  AuditEvent e;
  e.seq = r.seq;
  e.time = Time(std::chrono::microseconds(r.time_us));
  e.type = r.type;
  e.actor = r.actor;
  e.run_id = r.run_id;
  e.detail = std::move(detail->get_object());
  e.prev = r.prev;
  e.hash = r.hash;
  return e;
}

struct Head {
  bool found = false;
  long long seq = 0;
  std::string hash;
};
Head read_head(Database& db, std::string_view lock) {
  Head h;
  Query q(db.statements(), "SELECT seq, hash FROM audit_head WHERE id = 1" + std::string(lock));
  h.found = q.out(h.seq).out(h.hash).one();
  return h;
}

std::string record(std::int64_t seq) { return "record " + std::to_string(seq); }

// Walks the chain a record at a time; after the first fault it stays there.
class Walk {
 public:
  bool step(const Row& r) {
    if (r.seq < expected_) {
      return bad(r.seq, record(r.seq) + " was inserted: the chain has no place for it");
    }
    if (r.seq > expected_) {
      const auto last = r.seq - 1;
      return bad(expected_, last == expected_ ? record(expected_) + " was removed"
                                              : "records " + std::to_string(expected_) + " to " +
                                                    std::to_string(last) + " were removed");
    }
    const auto e = event_of(r);
    const bool follows = r.prev == verdict_.head;
    if (!e || audit_hash(*e) != r.hash) {
      return bad(r.seq, follows
                            ? record(r.seq) + " was altered: its content does not give its hash"
                            : record(r.seq) +
                                  " was altered or moved: neither its content nor its place fits its hash");
    }
    if (!follows) {
      return bad(r.seq, record(r.seq) + " does not follow " +
                            (r.seq == 1 ? std::string("the beginning of the chain") : record(r.seq - 1)) +
                            ": one of the two was replaced");
    }
    verdict_.head = r.hash;
    ++verdict_.events;
    ++expected_;
    return true;
  }
  void finish(const Head& head) {
    const auto last = expected_ - 1;
    if (!head.found) {
      bad(expected_,
          "the head of the chain was removed: whether records are missing at its end cannot be told");
    } else if (head.seq > last) {
      bad(expected_, head.seq == expected_ ? record(expected_) + ", the last one, was removed"
                                           : "records " + std::to_string(expected_) + " to " +
                                                 std::to_string(head.seq) + ", the last ones, were removed");
    } else if (head.seq < last) {
      bad(head.seq + 1, record(head.seq + 1) + " was appended by something that is not OddJob");
    } else if (head.hash != verdict_.head) {
      bad(last, record(last) + " is not the one that was written last: it was replaced");
    }
  }
  AuditVerdict verdict_ = [] {
    AuditVerdict v;
    v.head = kAuditGenesis;
    return v;
  }();

 private:
  bool bad(std::int64_t seq, std::string problem) {
    verdict_.ok = false;
    verdict_.bad_seq = seq;
    verdict_.problem = std::move(problem);
    return false;
  }
  std::int64_t expected_ = 1;
};

}  // namespace

void AuditChain::lock() { read_head(db_, db_.dialect().lock_rows()); }

Result<AuditEvent> AuditChain::append(AuditEvent e) {
  const Head head = read_head(db_, db_.dialect().lock_rows());
  if (!head.found) {
    return fail(Errc::internal, "store.corrupt", "the head of the audit chain is missing",
                "restore the database from a backup");
  }
  // The hash is over what can be read back, so the detail goes through text first.
  std::string detail = clean_text(canonical_json(e.detail));
  if (detail.size() > kMaxAuditDetail) {
    return fail(Errc::too_large, "store.audit_too_large",
                "the detail of an audit record is over " + std::to_string(kMaxAuditDetail) + " bytes");
  }
  OJ_TRY(auto parsed, parse_json(detail, "detail of an audit record"));
  e.detail = std::move(parsed.as_object());
  e.type = clean_text(std::move(e.type));
  e.actor = clean_text(std::move(e.actor));
  e.run_id = clean_text(std::move(e.run_id));
  e.seq = head.seq + 1;
  e.time = clock_.now();
  e.prev = head.hash;
  e.hash = audit_hash(e);
  Query(db_.statements(),
        "INSERT INTO audit (seq, time_us, type, actor, run_id, detail, prev, hash)"
        " VALUES (:seq, :time, :type, :actor, :run, :detail, :prev, :hash)")
      .in(e.seq)
      .in(e.time.time_since_epoch().count())
      .in(e.type)
      .in(e.actor)
      .in(e.run_id)
      .in(detail)
      .in(e.prev)
      .in(e.hash)
      .run();
  Query(db_.statements(), "UPDATE audit_head SET seq = :seq, hash = :hash WHERE id = 1")
      .in(e.seq)
      .in(e.hash)
      .run();
  return e;
}

Result<std::vector<AuditEvent>> AuditChain::list(const AuditFilter& f, int limit) {
  std::string sql = "SELECT " + std::string(kColumns) + " FROM audit WHERE seq > :after";
  if (f.before_seq > 0) sql += " AND seq < :before";
  if (!f.run_id.empty()) sql += " AND run_id = :run";
  if (!f.actor.empty()) sql += " AND actor = :actor";
  if (!f.type.empty()) sql += " AND type = :type";
  sql += f.newest_first ? " ORDER BY seq DESC LIMIT :limit" : " ORDER BY seq LIMIT :limit";
  return db_.read("listing the audit", [&]() -> Result<std::vector<AuditEvent>> {
    std::vector<AuditEvent> out;
    RowReader reader;
    Query q(db_.statements(), sql);
    q.in(f.after_seq);
    if (f.before_seq > 0) q.in(f.before_seq);
    if (!f.run_id.empty()) q.in(f.run_id);
    if (!f.actor.empty()) q.in(f.actor);
    if (!f.type.empty()) q.in(f.type);
    q.in(std::clamp(limit, 1, kMaxList));
    reader.bind(q);
    while (q.next()) {
      auto e = event_of(reader.row);
      if (!e) {
        return fail(Errc::internal, "store.corrupt", "audit " + record(reader.row.seq) + " cannot be read",
                    "`oddjob audit verify` says what was changed");
      }
      out.push_back(std::move(*e));
    }
    return out;
  });
}

// A page at a time, so that a long chain neither fills the memory nor keeps
// writers waiting. The head is compared in the transaction that found no more
// records, so appending meanwhile is no fault.
Result<AuditVerdict> AuditChain::verify() {
  Walk walk;
  std::int64_t after = std::numeric_limits<std::int64_t>::min();
  for (bool more = true; more;) {
    OJ_TRY(more, db_.read("verifying the audit", [&]() -> Result<bool> {
      RowReader reader;
      std::size_t rows = 0, bytes = 0;
      {
        Query q(db_.statements(), "SELECT " + std::string(kColumns) +
                                      " FROM audit WHERE seq > :after ORDER BY seq LIMIT :limit");
        q.in(after).in(static_cast<std::int64_t>(kPageRows));
        reader.bind(q);
        while (bytes < kPageBytes && q.next()) {
          if (!walk.step(reader.row)) return false;
          after = reader.row.seq;
          ++rows;
          bytes += reader.row.detail.size();
        }
      }
      if (rows > 0) return true;
      walk.finish(read_head(db_, ""));
      return false;
    }));
  }
  return std::move(walk.verdict_);
}

}  // namespace oddjob::store
