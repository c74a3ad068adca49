// The SQLite dialect: with checkpointer.cpp, all that knows of SQLite.
#include <fcntl.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "core/text.hpp"
#include "store/checkpointer.hpp"
#include "store/dialect.hpp"
#include "store/query.hpp"

namespace oddjob::store {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kScheme = "sqlite:";
constexpr std::string_view kMemory = ":memory:";

Error unavailable(std::string sentence, std::string hint = {}) {
  return Error{Errc::unavailable, "store.unavailable", std::move(sentence), std::move(hint), 0};
}

// What the operating system said last. The library does not export the type's
// identity: no dynamic_cast, and nothing for the sanitizer to compare.
__attribute__((no_sanitize("vptr"))) int system_errno(soci::session& session) {
  auto* backend = static_cast<soci::sqlite3_session_backend*>(session.get_backend());
  return backend != nullptr && backend->conn_ != nullptr ? sqlite_api::sqlite3_system_errno(backend->conn_)
                                                         : 0;
}

// Makes the file, if it is not there, readable by nobody else before SQLite
// opens it: SQLite gives the files beside it (-wal, -shm) the same mode.
Result<> prepare_file(const std::string& path) {
  std::error_code ec;
  const fs::path parent = fs::path(path).has_parent_path() ? fs::path(path).parent_path() : fs::path(".");
  if (!fs::is_directory(parent, ec)) {
    return fail(unavailable("the directory " + parent.string() + " of the database does not exist",
                            "create it, readable and writable by the user that runs oddjobd only"));
  }
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return fail(unavailable("the database file " + path + " cannot be opened: " + std::strerror(errno)));
  }
  struct stat st {};
  if (::fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077U) != 0 && ::fchmod(fd, 0600) != 0) {
    spdlog::warn("the database file {} can be read by other users, and its mode cannot be changed: {}", path,
                 std::strerror(errno));
  }
  ::close(fd);
  return {};
}

class SqliteDialect final : public Dialect {
 public:
  SqliteDialect(std::string path, const StoreOptions& options)
      : path_(std::move(path)), busy_timeout_(options.busy_timeout), alone_(options.alone) {}
  ~SqliteDialect() override {
    if (lock_ >= 0) ::close(lock_);
  }
  SqliteDialect(const SqliteDialect&) = delete;
  SqliteDialect& operator=(const SqliteDialect&) = delete;

  Result<> connect(soci::session& session) override {
    if (path_ != kMemory) {
      OJ_CHECK(prepare_file(path_));
      if (alone_) OJ_CHECK(keep_others_out());
    }
    // SOCI's own timeout is in whole seconds; the PRAGMA below refines it. Its
    // other options are not used: it forgets the connection where one of them fails.
    const auto seconds = std::max<long long>(1, (busy_timeout_.count() + 999) / 1000);
    session.open(soci::sqlite3, "dbname=\"" + path_ + "\" timeout=" + std::to_string(seconds));
    pragma(session, "busy_timeout = " + std::to_string(busy_timeout_.count()));
    const std::string mode = pragma(session, "journal_mode = WAL");
    if (path_ != kMemory && mode != "wal") {
      return fail(unavailable(
          "the database " + path_ + " cannot use a write-ahead log (journal mode is " + mode + ")",
          "put it on a local file system, not on a network share"));
    }
    pragma(session, "synchronous = FULL");
    pragma(session, "foreign_keys = ON");
    // What a savepoint may have to put back is kept in memory, and no folder for temporary files is needed.
    pragma(session, "temp_store = MEMORY");
    if (path_ != kMemory) move_log_beside(session);
    return {};
  }

  // IMMEDIATE, so that two writers wait for each other here and not, with a
  // failure, in the middle.
  void begin_write(soci::session& session) override { execute(session, "BEGIN IMMEDIATE"); }

  // In memory each connection is a database of its own.
  [[nodiscard]] bool reads_apart() const override { return path_ != kMemory; }

  [[nodiscard]] std::string table_names() const override {
    return "SELECT name FROM sqlite_master WHERE type = 'table'";
  }

  [[nodiscard]] std::string bytes_type() const override { return "BLOB"; }
  [[nodiscard]] std::string bytes_in(std::string_view parameter) const override {
    return "CAST(" + std::string(parameter) + " AS BLOB)";
  }
  [[nodiscard]] std::string bytes_out(std::string_view column) const override { return std::string(column); }
  [[nodiscard]] std::string encode_bytes(std::string bytes) const override { return bytes; }
  [[nodiscard]] Result<std::string> decode_bytes(std::string text) const override { return text; }

  [[nodiscard]] std::vector<std::string> refuse_changes(std::string_view table) const override {
    std::vector<std::string> all = refuse_removal(table);
    all.push_back(trigger(table, "UPDATE", "update"));
    return all;
  }
  [[nodiscard]] std::vector<std::string> refuse_removal(std::string_view table) const override {
    return {trigger(table, "DELETE", "delete")};
  }
  [[nodiscard]] std::string_view lock_rows() const override { return ""; }
  [[nodiscard]] std::string_view lock_free_rows() const override { return ""; }
  [[nodiscard]] std::string_view now_us() const override {
    return "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)";
  }

  [[nodiscard]] Error error_of(const std::exception& e, soci::session& session) const override;

 private:
  static std::string trigger(std::string_view table, std::string_view event, std::string_view suffix) {
    const std::string t(table);
    return "CREATE TRIGGER " + t + "_no_" + std::string(suffix) + " BEFORE " + std::string(event) + " ON " +
           t + " BEGIN SELECT RAISE(ABORT, 'records of " + t + " cannot be changed'); END";
  }
  // A lock beside the file: closing any descriptor of the file itself would let
  // go of SQLite's own locks.
  Result<> keep_others_out() {
    if (lock_ >= 0) return {};
    const std::string name = path_ + "-server";
    lock_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (lock_ < 0)
      return fail(unavailable("the file " + name + " cannot be opened: " + std::strerror(errno)));
    if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) return {};
    ::close(std::exchange(lock_, -1));
    return fail(Errc::failed_precondition, "store.in_use",
                "another oddjobd uses the database " + path_ + " already: SQLite serves one server",
                "stop the other one first, or use PostgreSQL for several replicas");
  }
  void move_log_beside(soci::session& session);
  static std::string pragma(soci::session& session, const std::string& text) {
    std::string value;
    soci::indicator ind = soci::i_ok;
    soci::statement st(session);
    st.alloc();
    st.prepare("PRAGMA " + text);
    st.exchange(soci::into(value, ind));
    st.define_and_bind();
    st.execute(true);
    return value;
  }

  std::string path_;
  Duration busy_timeout_;
  bool alone_;
  int lock_ = -1;
  std::unique_ptr<Checkpointer> checkpointer_;
};

// Instead of SQLite's own rule, by which a commit that finds the log long moves all of it.
__attribute__((no_sanitize("vptr"))) void SqliteDialect::move_log_beside(soci::session& session) {
  auto* backend = static_cast<soci::sqlite3_session_backend*>(session.get_backend());
  if (!checkpointer_) checkpointer_ = std::make_unique<Checkpointer>(path_);
  const auto after_commit = [](void* checkpointer, sqlite_api::sqlite3* db, const char* name, int pages) {
    if (static_cast<Checkpointer*>(checkpointer)->committed(pages))
      sqlite_api::sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    return SQLITE_OK;
  };
  sqlite_api::sqlite3_wal_hook(backend->conn_, after_commit, checkpointer_.get());
}

Error SqliteDialect::error_of(const std::exception& e, soci::session& session) const {
  const auto* se = dynamic_cast<const soci::sqlite3_soci_error*>(&e);
  if (se == nullptr) return Error{Errc::internal, "store.internal", e.what(), {}, 0};
  const int system = system_errno(session);
  const std::string file = "the database " + path_;
  switch (se->result() & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return unavailable(file + " is locked by another process");
    case SQLITE_FULL:
      return unavailable("the disk of " + file + " is full");
    case SQLITE_IOERR:
      if (system == ENOSPC || system == EDQUOT) return unavailable("the disk of " + file + " is full");
      return unavailable("reading or writing " + file + " failed" +
                         (system != 0 ? std::string(": ") + std::strerror(system) : std::string()));
    case SQLITE_CANTOPEN:
      return unavailable(file + " cannot be opened" +
                         (system != 0 ? std::string(": ") + std::strerror(system) : std::string()));
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return unavailable(file + " is read-only");
    case SQLITE_NOMEM:
      return unavailable("no memory is left for " + file);
    case SQLITE_NOTADB:
      return Error{Errc::internal, "store.corrupt", file + " is not an SQLite database",
                   "name another file, or restore it from a backup", 0};
    case SQLITE_CORRUPT:
      return Error{Errc::internal, "store.corrupt", file + " is damaged", "restore it from a backup", 0};
    case SQLITE_CONSTRAINT:
      return Error{
          Errc::conflict, "store.conflict", "a record with that key exists already in " + file, {}, 0};
    default:
      return Error{Errc::internal, "store.internal", file + " refused a statement: " + e.what(), {}, 0};
  }
}

}  // namespace

Result<std::unique_ptr<Dialect>> make_sqlite(const StoreOptions& options) {
  std::string path = options.url.substr(kScheme.size());
  // A double quote would end the name inside SOCI's connection string.
  if (path.empty() || path.find('"') != std::string::npos || path.find('\0') != std::string::npos) {
    return fail(Errc::invalid_argument, "store.bad_url", "the database URL names no usable file",
                "use sqlite:/path/to/oddjob.db");
  }
  return std::make_unique<SqliteDialect>(std::move(path), options);
}

Result<std::unique_ptr<Dialect>> make_dialect(const StoreOptions& options) {
  const std::string_view url = options.url;
  if (is_postgresql(url)) return make_postgresql(options);
  if (url.starts_with(kScheme)) return make_sqlite(options);
  const auto scheme = url.substr(0, url.find(':'));
  return fail(Errc::invalid_argument, "store.bad_url",
              "the database URL has the unknown scheme \"" + printable(scheme, 32) + "\"",
              "use sqlite:/path/to/oddjob.db, or postgresql://user@host/database");
}

}  // namespace oddjob::store
