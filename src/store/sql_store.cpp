// Store over the tables: runs and idempotency keys here, the audit and the
// logs each in a file of their own.
#include <algorithm>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "store/audit_chain.hpp"
#include "store/database.hpp"
#include "store/lease_table.hpp"
#include "store/log_archive.hpp"
#include "store/run_record.hpp"
#include "store/schema.hpp"
#include "store/store.hpp"

namespace oddjob::store {
namespace {

constexpr int kMaxPage = 1000;
constexpr std::size_t kShortId = 8;
constexpr std::string_view kCursorMark = "r1:";

// Reads runs by one statement: "SELECT " + columns() + from() + where….
class RunReader {
 public:
  explicit RunReader(bool with_manifest) : with_manifest_(with_manifest) {}

  [[nodiscard]] std::string select() const {
    std::string s =
        "SELECT r.id, r.state, r.version, r.namespace, r.workload, r.requester, r.created_us, r.document, "
        "l.length";
    if (with_manifest_) s += ", m.manifest";
    s += " FROM runs r JOIN run_logs l ON l.run_id = r.id";
    if (with_manifest_) s += " JOIN run_manifests m ON m.run_id = r.id";
    return s;
  }
  void bind(Query& q) {
    q.out(id_)
        .out(state_)
        .out(version_)
        .out(name_space_)
        .out(workload_)
        .out(requester_)
        .out(created_us_)
        .out(document_)
        .out(length_);
    if (with_manifest_) q.out(manifest_);
  }
  [[nodiscard]] Result<Run> run() const {
    Run r;
    r.id = id_;
    const auto state = parse_run_state(state_);
    auto workload = parse_workload(workload_, name_space_);
    if (!state || !workload) {
      return fail(Errc::internal, "store.corrupt", "the record of run " + id_ + " cannot be read",
                  "restore the database from a backup");
    }
    r.state = *state;
    r.version = version_;
    r.workload = std::move(*workload);
    r.requester = requester_;
    r.created = Time(std::chrono::microseconds(created_us_));
    r.log_bytes = length_;
    OJ_CHECK(read_run_document(document_, r));
    if (with_manifest_) OJ_CHECK(read_run_manifest(manifest_, r));
    return r;
  }

 private:
  bool with_manifest_;
  std::string id_, state_, name_space_, workload_, requester_, document_, manifest_;
  long long version_ = 0, created_us_ = 0, length_ = 0;
};

std::string encode_cursor(std::string_view id) {
  return base64url_encode(std::string(kCursorMark) + std::string(id));
}

Result<std::string> decode_cursor(std::string_view cursor) {
  auto text = base64_decode(cursor);
  if (!text || !text->starts_with(kCursorMark) ||
      !is_run_id(std::string_view(*text).substr(kCursorMark.size()))) {
    return fail(Errc::invalid_argument, "store.bad_cursor", "the cursor is not one that OddJob gave out",
                "begin again without a cursor");
  }
  return text->substr(kCursorMark.size());
}

class SqlStore final : public Store {
 public:
  // `apart`: a connection for leases; null: the same one does.
  SqlStore(std::unique_ptr<Database> db, std::unique_ptr<Database> apart, const Clock& clock)
      : db_(std::move(db)),
        apart_(std::move(apart)),
        clock_(clock),
        audit_(*db_, clock),
        logs_(*db_),
        leases_(apart_ ? *apart_ : *db_) {}

  Result<Created> create_run(Run run, std::string_view key, std::string_view request_digest, AuditEvent event,
                             Placement placement) override {
    run.version = 1;
    run.log_bytes = 0;
    if (event.run_id.empty()) event.run_id = run.id;
    const std::string document = run_document(run), manifest = run_manifest(run);
    return db_->write("recording the run", "create_run", [&]() -> Result<Created> {
      // Runs are recorded one after the other: what is counted here stays so.
      audit_.lock();
      if (!key.empty()) {
        OJ_TRY(auto earlier, claim_key(run, key, request_digest));
        if (earlier) return Created{std::move(*earlier), true};
      }
      OJ_CHECK(has_room(run.workload, placement));
      Query(db_->statements(),
            "INSERT INTO runs (id, short_id, state, active, version, namespace, workload, requester,"
            " created_us, document, owner) VALUES (:id, :short, :state, :active, :version, :namespace,"
            " :workload, :requester, :created, :document, :owner)")
          .in(run.id)
          .in(short_run_id(run.id))
          .in(to_string(run.state))
          .in(is_final(run.state) ? 0 : 1)
          .in(run.version)
          .in(run.workload.name_space)
          .in(to_string(run.workload))
          .in(clean_text(run.requester))
          .in(run.created.time_since_epoch().count())
          .in(document)
          .in(placement.owner)
          .run();
      Query(db_->statements(), "INSERT INTO run_manifests (run_id, manifest) VALUES (:id, :manifest)")
          .in(run.id)
          .in(manifest)
          .run();
      logs_.create(run.id);
      OJ_CHECK(audit_.append(event));
      return Created{run, false};
    });
  }

  Result<Run> update_run(const Run& run, const std::vector<AuditEvent>& events,
                         std::string_view owner) override {
    const std::string document = run_document(run);
    // A run that came from a list has no job; the recorded one stays.
    const std::string manifest = run.job.is_null() ? std::string() : run_manifest(run);
    return db_->write("updating run " + run.id, "update_run", [&]() -> Result<Run> {
      if (!owner.empty()) OJ_CHECK(logs_.owned(run.id, owner));
      const auto changed =
          Query(db_->statements(),
                "UPDATE runs SET state = :state, active = :active, version = :next, document = :document"
                " WHERE id = :id AND version = :version")
              .in(to_string(run.state))
              .in(is_final(run.state) ? 0 : 1)
              .in(run.version + 1)
              .in(document)
              .in(run.id)
              .in(run.version)
              .run();
      const auto length = logs_.length(run.id);
      if (!length) return fail(no_such_run(run.id));
      if (changed == 0) {
        return fail(Errc::conflict, "store.conflict", "run " + run.id + " was changed meanwhile",
                    "read it again and repeat");
      }
      if (!manifest.empty()) {
        Query(db_->statements(),
              "UPDATE run_manifests SET manifest = :new WHERE run_id = :id AND manifest <> :same")
            .in(manifest)
            .in(run.id)
            .in(manifest)
            .run();
      }
      if (!run.approvals.empty()) OJ_CHECK(add_approvals(run));
      if (is_final(run.state)) logs_.ended(run.id, run.finished.value_or(clock_.now()));
      for (AuditEvent e : events) {
        if (e.run_id.empty()) e.run_id = run.id;
        OJ_CHECK(audit_.append(std::move(e)));
      }
      Run stored = run;
      ++stored.version;
      stored.log_bytes = *length;
      return stored;
    });
  }

  Result<Run> get_run(std::string_view id) override {
    return db_->read("reading run " + printable(id, 64), [&]() -> Result<Run> {
      if (is_run_id(id)) return read_run(id);
      if (id.size() != kShortId) return fail(no_such_run(id));
      OJ_TRY(const auto full, full_id(id));
      return read_run(full);
    });
  }

  Result<RunPage> list_runs(const RunFilter& f, std::string_view cursor, int limit) override {
    limit = std::clamp(limit, 1, kMaxPage);
    std::string before;
    if (!cursor.empty()) {
      OJ_TRY(before, decode_cursor(cursor));
    }
    RunReader reader(false);
    std::string sql = reader.select() + " WHERE 1 = 1";
    if (!before.empty()) sql += " AND r.id < :before";
    if (!f.name_space.empty()) sql += " AND r.namespace = :namespace";
    if (!f.workload.empty()) sql += " AND r.workload = :workload";
    if (!f.requester.empty()) sql += " AND r.requester = :requester";
    for (std::size_t i = 0; i < f.states.size(); ++i) {
      sql += (i == 0 ? " AND r.state IN (:s" : ", :s") + std::to_string(i);
    }
    if (!f.states.empty()) sql += ")";
    // Live runs are few and have an index of their own.
    if (!f.states.empty() && std::ranges::none_of(f.states, is_final)) sql += " AND r.active = 1";
    sql += " ORDER BY r.id DESC LIMIT :limit";
    return db_->read("listing runs", [&]() -> Result<RunPage> {
      Query q(db_->statements(), sql);
      if (!before.empty()) q.in(before);
      if (!f.name_space.empty()) q.in(f.name_space);
      if (!f.workload.empty()) q.in(f.workload);
      if (!f.requester.empty()) q.in(clean_text(f.requester));
      for (const auto s : f.states) q.in(to_string(s));
      q.in(limit + 1);
      reader.bind(q);
      RunPage page;
      bool more = false;
      while (q.next()) {
        if (page.runs.size() == static_cast<std::size_t>(limit)) {
          more = true;
          continue;  // the one row too many: only says that there are more
        }
        OJ_TRY(auto run, reader.run());
        page.runs.push_back(std::move(run));
      }
      if (more) page.next_cursor = encode_cursor(page.runs.back().id);
      for (auto& run : page.runs) OJ_CHECK(read_approvals(run));
      return page;
    });
  }

  Result<std::vector<Run>> unfinished_runs() override {
    return db_->read("listing unfinished runs", [&]() -> Result<std::vector<Run>> {
      RunReader reader(true);
      Query q(db_->statements(), reader.select() + " WHERE r.active = 1 ORDER BY r.id");
      reader.bind(q);
      std::vector<Run> out;
      while (q.next()) {
        OJ_TRY(auto run, reader.run());
        out.push_back(std::move(run));
      }
      for (auto& run : out) OJ_CHECK(read_approvals(run));
      return out;
    });
  }

  Result<int> count_active(const WorkloadRef& w) override {
    return db_->read("counting runs", [&]() -> Result<int> { return static_cast<int>(active_on(w)); });
  }

  Result<AuditEvent> append_audit(AuditEvent e) override {
    return db_->write("writing the audit", "append_audit", [&] { return audit_.append(e); });
  }
  Result<std::vector<AuditEvent>> list_audit(const AuditFilter& f, int limit) override {
    return audit_.list(f, limit);
  }
  Result<AuditVerdict> verify_audit() override { return audit_.verify(); }

  Result<> append_log(std::string_view run_id, const LogChunk& chunk, std::string_view owner) override {
    return logs_.append(run_id, chunk, owner);
  }
  Result<std::string> read_log(std::string_view run_id, std::int64_t offset, std::size_t max_bytes) override {
    return logs_.read(run_id, offset, max_bytes);
  }
  Result<std::int64_t> log_length(std::string_view run_id) override {
    return db_->read("reading a log's length", [&]() -> Result<std::int64_t> {
      const auto n = logs_.length(run_id);
      if (!n) return fail(no_such_run(run_id));
      return *n;
    });
  }
  Result<std::optional<DroppedLog>> dropped_log(std::string_view run_id) override {
    return logs_.dropped(run_id);
  }
  Result<std::optional<LogCursor>> log_cursor(std::string_view run_id, std::string_view pod_uid) override {
    return logs_.cursor(run_id, pod_uid);
  }

  Result<DroppedLogs> drop_logs(const LogRetention& rule, int most) override {
    return logs_.drop(rule, most, audit_, clock_.now());
  }
  Result<bool> purge_logs(int chunks) override { return logs_.purge(chunks); }

  Result<std::optional<std::int64_t>> hook_cursor(std::string_view hook) override {
    return db_->read("reading a webhook's place", [&]() -> Result<std::optional<std::int64_t>> {
      long long seq = 0;
      Query q(db_->statements(), "SELECT seq FROM hook_cursors WHERE hook = :hook");
      if (!q.in(hook).out(seq).one()) return std::nullopt;
      return seq;
    });
  }
  Result<> set_hook_cursor(std::string_view hook, std::int64_t seq) override {
    return db_->write("keeping a webhook's place", "set_hook_cursor", [&]() -> Result<> {
      Query(
          db_->statements(),
          "INSERT INTO hook_cursors (hook, seq) VALUES (:hook, :seq) ON CONFLICT (hook) DO UPDATE SET seq = "
          "excluded.seq WHERE hook_cursors.seq < excluded.seq")
          .in(hook)
          .in(seq)
          .run();
      return {};
    });
  }
  Result<std::int64_t> audit_end() override {
    return db_->read("reading the end of the audit", [&]() -> Result<std::int64_t> {
      long long seq = 0;
      Query(db_->statements(), "SELECT seq FROM audit_head WHERE id = 1").out(seq).one();
      return seq;
    });
  }

  // A commit, because only that says whether the disk takes one. Not a fault
  // point: nothing is recorded by it.
  Result<> ping() override {
    return db_->write("writing to the database", "", [&]() -> Result<> {
      Query(db_->statements(), "UPDATE heartbeat SET beat_us = :now WHERE id = 1")
          .in(clock_.now().time_since_epoch().count())
          .run();
      return {};
    });
  }

  // PostgreSQL: a long transaction would keep the other servers from the audit's end, and could lock
  // runs and that in another order than theirs do.
  void together(std::span<const std::function<void()>> calls) override {
    if (!shared()) return db_->together(calls);
    for (const auto& call : calls) call();
  }

  [[nodiscard]] bool shared() const override { return db_->dialect().shared(); }
  Result<bool> take_lease(std::string_view name, std::string_view holder, Duration time) override {
    return leases_.take(name, holder, time);
  }
  Result<bool> renew_lease(std::string_view name, std::string_view holder, Duration time) override {
    return leases_.renew(name, holder, time);
  }
  Result<> leave(std::string_view replica) override { return leases_.leave(replica); }
  Result<int> claim_runs(std::string_view replica, int most) override { return leases_.claim(replica, most); }
  Result<std::vector<LiveRun>> live_runs() override { return leases_.live_runs(); }

 private:
  // Inside a read() or write().
  long long active_on(const WorkloadRef& w) {
    long long n = 0;
    Query q(db_->statements(),
            "SELECT COUNT(*) FROM runs WHERE active = 1 AND namespace = :namespace AND workload = :workload");
    q.in(w.name_space).in(to_string(w)).out(n).one();
    return n;
  }
  // Inside a write().
  Result<> has_room(const WorkloadRef& w, const Placement& placement) {
    if (placement.max_active) {
      long long n = 0;
      Query(db_->statements(), "SELECT COUNT(*) FROM runs WHERE active = 1").out(n).one();
      if (n >= *placement.max_active)
        return fail(Errc::rate_limited, "store.too_many_active", std::to_string(n) + " runs are active");
    }
    if (placement.max_on_workload && active_on(w) >= *placement.max_on_workload) {
      return fail(Errc::failed_precondition, "store.workload_busy",
                  std::to_string(*placement.max_on_workload) + " runs of " + to_string(w) + " are active");
    }
    return {};
  }
  // Takes the key for this run, or finds the run that has it.
  Result<std::optional<Run>> claim_key(const Run& run, std::string_view key,
                                       std::string_view request_digest) {
    const std::string requester = clean_text(run.requester);
    const auto taken =
        Query(db_->statements(),
              "INSERT INTO idempotency_keys (requester, idempotency_key, request_digest, run_id,"
              " created_us) VALUES (:requester, :key, :digest, :run, :created)"
              " ON CONFLICT (requester, idempotency_key) DO NOTHING")
            .in(requester)
            .in(key)
            .in(request_digest)
            .in(run.id)
            .in(run.created.time_since_epoch().count())
            .run();
    if (taken == 1) return std::nullopt;
    std::string digest, run_id;
    Query q(db_->statements(),
            "SELECT request_digest, run_id FROM idempotency_keys"
            " WHERE requester = :requester AND idempotency_key = :key");
    q.in(requester).in(key).out(digest).out(run_id).one();
    if (digest != request_digest) {
      return fail(Errc::already_exists, "store.idempotency_mismatch",
                  "this idempotency key was used for another request, run " + run_id,
                  "use a new key for a new request");
    }
    return read_run(run_id);
  }

  Result<Run> read_run(std::string_view id) {
    RunReader reader(true);
    Query q(db_->statements(), reader.select() + " WHERE r.id = :id");
    q.in(id);
    reader.bind(q);
    if (!q.one()) return fail(no_such_run(id));
    OJ_TRY(auto run, reader.run());
    OJ_CHECK(read_approvals(run));
    return run;
  }

  // Inside a write(): those that are not stored yet.
  Result<> add_approvals(const Run& run) {
    long long stored = 0;
    Query(db_->statements(), "SELECT COUNT(*) FROM approvals WHERE run_id = :id")
        .in(run.id)
        .out(stored)
        .one();
    for (auto place = static_cast<std::size_t>(stored); place < run.approvals.size(); ++place) {
      const Approval& a = run.approvals[place];
      const auto added = Query(db_->statements(),
                               "INSERT INTO approvals (run_id, subject, place, digest, approved_us, document)"
                               " VALUES (:run, :subject, :place, :digest, :at, :document)"
                               " ON CONFLICT (run_id, subject) DO NOTHING")
                             .in(run.id)
                             .in(clean_text(a.subject))
                             .in(static_cast<std::int64_t>(place))
                             .in(a.digest)
                             .in(a.at.time_since_epoch().count())
                             .in(approval_document(a))
                             .run();
      if (added != 1) {
        return fail(Errc::conflict, "store.already_approved",
                    printable(a.subject, 100) + " has approved run " + run.id + " already");
      }
    }
    return {};
  }

  // Inside a read() or write().
  Result<> read_approvals(Run& run) {
    if (run.approval.required == 0) return {};
    std::string subject, digest, document;
    long long at = 0;
    Query q(db_->statements(),
            "SELECT subject, digest, approved_us, document FROM approvals WHERE run_id = :id ORDER BY place");
    q.in(run.id).out(subject).out(digest).out(at).out(document);
    while (q.next()) {
      Approval a;
      a.subject = subject;
      a.digest = digest;
      a.at = Time(std::chrono::microseconds(at));
      OJ_CHECK(read_approval_document(document, a));
      run.approvals.push_back(std::move(a));
    }
    return {};
  }

  Result<std::string> full_id(std::string_view short_id) {
    std::string id, first;
    Query q(db_->statements(), "SELECT id FROM runs WHERE short_id = :short ORDER BY id LIMIT 2");
    q.in(short_id).out(id);
    if (!q.next()) return fail(no_such_run(short_id));
    first = id;
    if (q.next()) {
      return fail(Errc::conflict, "store.ambiguous",
                  "several runs end in " + std::string(short_id) + ": " + first + " and " + id,
                  "give the full id");
    }
    return first;
  }

  std::unique_ptr<Database> db_, apart_;
  const Clock& clock_;
  AuditChain audit_;
  LogArchive logs_;
  LeaseTable leases_;
};

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options) {
  OJ_TRY(auto db, Database::open(options));
  OJ_CHECK(migrate(*db));
  std::unique_ptr<Database> apart;
  if (db->dialect().shared()) {
    OJ_TRY(apart, Database::open(options));
  }
  return std::make_unique<SqlStore>(std::move(db), std::move(apart),
                                    options.clock != nullptr ? *options.clock : system_clock());
}

}  // namespace oddjob::store
