#include "store/log_archive.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <vector>

#include "core/text.hpp"

namespace oddjob::store {
namespace {

constexpr int kLevel = 3;

Result<std::string> compress(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t n = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), kLevel);
  if (ZSTD_isError(n) != 0) {
    return fail(Errc::internal, "store.internal",
                std::string("compressing a log failed: ") + ZSTD_getErrorName(n));
  }
  out.resize(n);
  return out;
}

Result<std::string> decompress(std::string_view bytes, long long length, std::string_view run_id) {
  auto damaged = [&] {
    return fail(Errc::internal, "store.corrupt",
                "the archived log of run " + std::string(run_id) + " is damaged",
                "restore the database from a backup");
  };
  if (length <= 0 || length > static_cast<long long>(kMaxLogChunk)) return damaged();
  std::string out(static_cast<std::size_t>(length), '\0');
  const std::size_t n = ZSTD_decompress(out.data(), out.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(n) != 0 || n != out.size()) return damaged();
  return out;
}

Error log_dropped(std::string_view id, std::int64_t bytes, Time at, std::string_view key) {
  return Error{Errc::gone, "store.log_dropped",
               fmt::format("the log of run {} ({} bytes) is not kept any more: {} dropped it at {}", id,
                           bytes, key, format_time(std::chrono::floor<std::chrono::seconds>(at))),
               "what the run was and how it ended is kept: see `oddjob show` and `oddjob audit`", 0};
}

}  // namespace

Error no_such_run(std::string_view id) {
  return Error{Errc::not_found, "store.not_found", "there is no run " + printable(id, 64), {}, 0};
}

Error not_owner(std::string_view id) {
  return Error{Errc::conflict,
               "store.not_owner",
               "run " + std::string(id) + " was taken over by another replica",
               {},
               0};
}

// The row stays locked to the end of the transaction, so that nobody claims the
// run in between.
Result<> LogArchive::owned(std::string_view run_id, std::string_view owner) {
  std::string has;
  Query q(db_.statements(),
          "SELECT owner FROM runs WHERE id = :run" + std::string(db_.dialect().lock_rows()));
  if (!q.in(run_id).out(has).one()) return fail(no_such_run(run_id));
  if (has != owner) return fail(not_owner(run_id));
  return {};
}

void LogArchive::create(std::string_view run_id) {
  Query(db_.statements(), "INSERT INTO run_logs (run_id, length) VALUES (:run, 0)").in(run_id).run();
}

std::optional<std::int64_t> LogArchive::length(std::string_view run_id) {
  long long n = 0;
  Query q(db_.statements(), "SELECT length FROM run_logs WHERE run_id = :run");
  if (!q.in(run_id).out(n).one()) return std::nullopt;
  return n;
}

Result<std::optional<DroppedLog>> LogArchive::dropped(std::string_view run_id) {
  return db_.read("reading whether a log is kept", [&]() -> Result<std::optional<DroppedLog>> {
    long long at_us = 0;
    DroppedLog out;
    Query q(db_.statements(), "SELECT dropped_us, dropped_by FROM run_logs WHERE run_id = :run");
    if (!q.in(run_id).out(at_us).out(out.by).one()) return fail(no_such_run(run_id));
    if (at_us == 0) return std::nullopt;
    out.at = Time(std::chrono::microseconds(at_us));
    return out;
  });
}

Result<> LogArchive::append(std::string_view run_id, const LogChunk& chunk, std::string_view owner) {
  if (chunk.data.size() > kMaxLogAppend) {
    return fail(Errc::too_large, "store.log_too_large",
                "a piece of a log is over " + std::to_string(kMaxLogAppend) + " bytes");
  }
  struct Piece {
    std::size_t length;
    std::string data;
  };
  std::vector<Piece> pieces;
  std::int64_t stored = 0;
  for (std::string_view rest = chunk.data; !rest.empty();) {
    const auto part = rest.substr(0, kMaxLogChunk);
    OJ_TRY(auto packed, compress(part));
    stored += static_cast<std::int64_t>(packed.size());
    pieces.push_back({part.size(), db_.dialect().encode_bytes(std::move(packed))});
    rest.remove_prefix(part.size());
  }
  return db_.write("archiving a log", "append_log", [&]() -> Result<> {
    // The update is the test: it moves the end only from where the writer saw it.
    const auto end = chunk.offset + static_cast<std::int64_t>(chunk.data.size());
    if (!owner.empty()) OJ_CHECK(owned(run_id, owner));
    const auto moved = Query(db_.statements(),
                             "UPDATE run_logs SET length = :end, stored = stored + :stored"
                             " WHERE run_id = :run AND length = :offset AND dropped_us = 0")
                           .in(end)
                           .in(stored)
                           .in(run_id)
                           .in(chunk.offset)
                           .run();
    if (moved == 0) {
      const auto present = length(run_id);
      if (!present) return fail(no_such_run(run_id));
      return fail(Errc::conflict, "store.log_offset",
                  "the log of run " + std::string(run_id) + " ends at byte " + std::to_string(*present) +
                      ", not at " + std::to_string(chunk.offset));
    }
    auto at = chunk.offset;
    const std::string insert =
        "INSERT INTO log_chunks (run_id, start_at, length, pod_uid, data) VALUES (:run, :start, :length, "
        ":pod, " +
        db_.dialect().bytes_in(":data") + ")";
    for (const auto& p : pieces) {
      Query(db_.statements(), insert)
          .in(run_id)
          .in(at)
          .in(static_cast<std::int64_t>(p.length))
          .in(chunk.pod_uid)
          .in(p.data)
          .run();
      at += static_cast<std::int64_t>(p.length);
    }
    Query(db_.statements(),
          "INSERT INTO log_cursors (run_id, pod_uid, line_time, lines_at, partial)"
          " VALUES (:run, :pod, :time, :lines, :partial)"
          " ON CONFLICT (run_id, pod_uid) DO UPDATE SET line_time = excluded.line_time,"
          " lines_at = excluded.lines_at, partial = excluded.partial")
        .in(run_id)
        .in(chunk.pod_uid)
        .in(chunk.cursor.timestamp)
        .in(chunk.cursor.lines_at)
        .in(chunk.cursor.partial)
        .run();
    return {};
  });
}

Result<std::string> LogArchive::read(std::string_view run_id, std::int64_t offset, std::size_t max_bytes) {
  if (offset < 0) return fail(Errc::invalid_argument, "store.log_offset", "a log has no negative offset");
  max_bytes = std::min(max_bytes, kMaxLogRead);
  struct Packed {
    long long start, length;
    std::string data;
  };
  std::vector<Packed> found;
  std::size_t wanted = 0;
  OJ_CHECK(db_.read("reading a log", [&]() -> Result<> {
    long long total = 0, dropped_us = 0;
    std::string dropped_by;
    Query state(db_.statements(), "SELECT length, dropped_us, dropped_by FROM run_logs WHERE run_id = :run");
    if (!state.in(run_id).out(total).out(dropped_us).out(dropped_by).one()) return fail(no_such_run(run_id));
    if (offset >= total || max_bytes == 0) return {};
    if (dropped_us != 0)
      return fail(log_dropped(run_id, total, Time(std::chrono::microseconds(dropped_us)), dropped_by));
    wanted = static_cast<std::size_t>(
        std::min<std::int64_t>(total - offset, static_cast<std::int64_t>(max_bytes)));
    // No chunk is longer than kMaxLogChunk, which bounds where the first one begins.
    Packed p{};
    Query q(db_.statements(),
            "SELECT start_at, length, " + db_.dialect().bytes_out("data") +
                " FROM log_chunks WHERE run_id = :run AND start_at > :low AND start_at < :high"
                " AND start_at + length > :offset ORDER BY start_at");
    const auto low = offset - static_cast<std::int64_t>(kMaxLogChunk);
    q.in(run_id).in(low).in(offset + static_cast<std::int64_t>(max_bytes)).in(offset);
    q.out(p.start).out(p.length).out(p.data);
    while (q.next()) found.push_back(p);
    return {};
  }));
  // Unpacked after the lock was given back.
  const auto hole = [&](std::int64_t at) {
    return fail(
        Errc::internal, "store.corrupt",
        "the archived log of run " + std::string(run_id) + " has a hole at byte " + std::to_string(at),
        "restore the database from a backup");
  };
  std::string out;
  for (auto& p : found) {
    const auto at = offset + static_cast<std::int64_t>(out.size());
    if (p.start > at || p.start + p.length <= at) return hole(at);
    OJ_TRY(const auto packed, db_.dialect().decode_bytes(std::move(p.data)));
    OJ_TRY(const auto data, decompress(packed, p.length, run_id));
    out.append(data, static_cast<std::size_t>(at - p.start), wanted - out.size());
  }
  if (out.size() < wanted) return hole(offset + static_cast<std::int64_t>(out.size()));
  return out;
}

Result<std::optional<LogCursor>> LogArchive::cursor(std::string_view run_id, std::string_view pod_uid) {
  return db_.read("reading a log's cursor", [&]() -> Result<std::optional<LogCursor>> {
    LogCursor c;
    long long lines = 0, partial = 0;
    Query q(db_.statements(),
            "SELECT line_time, lines_at, partial FROM log_cursors WHERE run_id = :run AND pod_uid = :pod");
    if (!q.in(run_id).in(pod_uid).out(c.timestamp).out(lines).out(partial).one()) return std::nullopt;
    c.lines_at = lines;
    c.partial = partial;
    return c;
  });
}

// ---- retention --------------------------------------------------------------

void LogArchive::ended(std::string_view run_id, Time at) {
  Query(db_.statements(), "UPDATE run_logs SET ended_us = :at WHERE run_id = :run AND ended_us = 0")
      .in(at.time_since_epoch().count())
      .in(run_id)
      .run();
}

// What is dropped is marked first, so that its bytes can go little by little, with nobody waiting.
Result<DroppedLogs> LogArchive::drop(const LogRetention& rule, int most, AuditChain& audit, Time now) {
  const auto micros = now.time_since_epoch().count();
  return db_.write("dropping logs", "drop_logs", [&]() -> Result<DroppedLogs> {
    // Runs that ended before this was kept, or by way of a server of before.
    Query(db_.statements(),
          "UPDATE run_logs SET ended_us = (SELECT r.created_us FROM runs r WHERE r.id = run_logs.run_id)"
          " WHERE ended_us = 0 AND NOT EXISTS (SELECT 1 FROM runs a WHERE a.id = run_logs.run_id AND "
          "a.active = 1)")
        .run();
    DroppedLogs out;
    long long kept = 0;
    Query(db_.statements(),
          "SELECT CAST(COALESCE(SUM(stored), 0) AS BIGINT) FROM run_logs WHERE dropped_us = 0 AND length > 0")
        .out(kept)
        .one();
    struct Old {
      std::string run_id;
      long long length = 0, stored = 0, ended_us = 0;
    };
    std::vector<Old> oldest;
    {
      Old o;
      Query q(db_.statements(),
              "SELECT run_id, length, stored, ended_us FROM run_logs WHERE dropped_us = 0 AND length > 0"
              " AND ended_us > 0 ORDER BY ended_us, run_id LIMIT :most");
      q.in(static_cast<std::int64_t>(most)).out(o.run_id).out(o.length).out(o.stored).out(o.ended_us);
      while (q.next()) oldest.push_back(o);
    }
    const auto max_age = std::chrono::microseconds(rule.max_age).count();
    bool all = !oldest.empty();
    for (const auto& o : oldest) {
      const bool too_old = max_age > 0 && o.ended_us <= micros - max_age;
      const bool too_much = rule.max_bytes > 0 && kept > rule.max_bytes;
      if (!too_old && !too_much) {
        all = false;
        break;
      }
      const auto key = too_old ? kLogMaxAge : kLogMaxBytes;
      Query(db_.statements(),
            "UPDATE run_logs SET dropped_us = :now, dropped_by = :key, purge = 1 WHERE run_id = :run")
          .in(micros)
          .in(key)
          .in(o.run_id)
          .run();
      AuditEvent e;
      e.type = "run.log_dropped";
      e.actor = "oddjob";
      e.run_id = o.run_id;
      e.detail = {{"key", key}, {"logBytes", o.length}, {"storedBytes", o.stored}};
      OJ_CHECK(audit.append(std::move(e)));
      kept -= o.stored;
      ++(too_old ? out.by_age : out.by_size);
    }
    out.kept_bytes = kept;
    out.more = all && static_cast<int>(oldest.size()) == most;
    return out;
  });
}

Result<bool> LogArchive::purge(int chunks) {
  return db_.write("removing dropped logs", "purge_logs", [&]() -> Result<bool> {
    std::string run;
    Query next(db_.statements(), "SELECT run_id FROM run_logs WHERE purge = 1 ORDER BY run_id LIMIT 1");
    if (!next.out(run).one()) return false;
    const auto removed =
        Query(db_.statements(),
              "DELETE FROM log_chunks WHERE run_id = :run AND start_at IN (SELECT start_at FROM log_chunks"
              " WHERE run_id = :same ORDER BY start_at LIMIT :most)")
            .in(run)
            .in(run)
            .in(static_cast<std::int64_t>(chunks))
            .run();
    if (removed < chunks) {
      Query(db_.statements(), "DELETE FROM log_cursors WHERE run_id = :run").in(run).run();
      Query(db_.statements(), "UPDATE run_logs SET purge = 0 WHERE run_id = :run").in(run).run();
    }
    return true;
  });
}

}  // namespace oddjob::store
