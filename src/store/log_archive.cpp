#include "store/log_archive.hpp"

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
  for (std::string_view rest = chunk.data; !rest.empty();) {
    const auto part = rest.substr(0, kMaxLogChunk);
    OJ_TRY(auto packed, compress(part));
    pieces.push_back({part.size(), db_.dialect().encode_bytes(std::move(packed))});
    rest.remove_prefix(part.size());
  }
  return db_.write("archiving a log", "append_log", [&]() -> Result<> {
    // The update is the test: it moves the end only from where the writer saw it.
    const auto end = chunk.offset + static_cast<std::int64_t>(chunk.data.size());
    if (!owner.empty()) OJ_CHECK(owned(run_id, owner));
    const auto moved =
        Query(db_.statements(), "UPDATE run_logs SET length = :end WHERE run_id = :run AND length = :offset")
            .in(end)
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
    const auto total = length(run_id);
    if (!total) return fail(no_such_run(run_id));
    if (offset >= *total || max_bytes == 0) return {};
    wanted = static_cast<std::size_t>(
        std::min<std::int64_t>(*total - offset, static_cast<std::int64_t>(max_bytes)));
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

}  // namespace oddjob::store
