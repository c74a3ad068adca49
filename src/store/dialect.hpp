// What differs between databases, and nothing else: how to connect, names of
// types, triggers, row locks, and what an error code means. Every other
// statement of this room is SQL that SQLite and PostgreSQL both take.
//
// Stateless but for what connect() learned; used under the Database's mutex.
#pragma once

#include <soci/soci.h>

#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "store/store.hpp"

namespace oddjob::store {

class Dialect {
 public:
  virtual ~Dialect() = default;

  // Connects `session` durably: a commit that returned is on the disk.
  // Throws what SOCI throws; an Error for what can be said better.
  virtual Result<> connect(soci::session& session) = 0;
  // Begins a transaction that may write; waits at most busy_timeout.
  virtual void begin_write(soci::session& session) = 0;
  // Begins one that sees one consistent picture and changes nothing.
  virtual void begin_read(soci::session& session) { session.begin(); }
  // Begins one in which no other server prepares the database.
  virtual void begin_migration(soci::session& session) { begin_write(session); }

  // Can other servers be on this database at the same time?
  [[nodiscard]] virtual bool shared() const { return false; }
  // Is a second connection for reading of use?
  [[nodiscard]] virtual bool reads_apart() const { return false; }
  // May text hold a NUL byte?
  [[nodiscard]] virtual bool takes_nul() const { return true; }
  // Must a failed transaction be rolled back before its statements are closed?
  [[nodiscard]] virtual bool rolls_back_first() const { return false; }

  // Is the connection there, as far as is known without asking?
  [[nodiscard]] virtual bool connected(soci::session& /*session*/) const { return true; }
  // Was `e` the end of the connection? Then connected() is false from here on.
  virtual bool connection_lost(const std::exception& /*e*/, soci::session& /*session*/) { return false; }
  // After `e`: will the same transaction, begun anew, have another outcome soon?
  [[nodiscard]] virtual bool worth_repeating(const std::exception& /*e*/, soci::session& /*session*/) const {
    return false;
  }
  // In a write: a name by which committed() knows this transaction on another
  // connection. Empty where the outcome of a commit is never in doubt.
  virtual std::string transaction_id(soci::session& /*session*/) { return {}; }
  enum class Fate { committed, undone, under_way, unknown };
  virtual Fate fate_of(soci::session& /*session*/, const std::string& /*transaction*/) {
    return Fate::unknown;
  }

  // A SELECT of the names of all tables that are there.
  [[nodiscard]] virtual std::string table_names() const = 0;

  // Column type that keeps any bytes, and the expressions to put a parameter
  // into one and to read one; encode/decode make the bytes fit the expression.
  [[nodiscard]] virtual std::string bytes_type() const = 0;
  [[nodiscard]] virtual std::string bytes_in(std::string_view parameter) const = 0;
  [[nodiscard]] virtual std::string bytes_out(std::string_view column) const = 0;
  [[nodiscard]] virtual std::string encode_bytes(std::string bytes) const = 0;
  [[nodiscard]] virtual Result<std::string> decode_bytes(std::string text) const = 0;

  // Statements that make the table refuse UPDATE and DELETE (or only DELETE).
  [[nodiscard]] virtual std::vector<std::string> refuse_changes(std::string_view table) const = 0;
  [[nodiscard]] virtual std::vector<std::string> refuse_removal(std::string_view table) const = 0;
  // Appended to a SELECT whose rows are about to be updated; and one that leaves
  // out those that somebody else has locked.
  [[nodiscard]] virtual std::string_view lock_rows() const = 0;
  [[nodiscard]] virtual std::string_view lock_free_rows() const = 0;
  // The database's own clock, in microseconds: an expression.
  [[nodiscard]] virtual std::string_view now_us() const = 0;

  // The Error of an exception that SOCI threw.
  [[nodiscard]] virtual Error error_of(const std::exception& e, soci::session& session) const = 0;
};

// By the URL's scheme. Error "store.bad_url".
Result<std::unique_ptr<Dialect>> make_dialect(const StoreOptions& options);
Result<std::unique_ptr<Dialect>> make_sqlite(const StoreOptions& options);
Result<std::unique_ptr<Dialect>> make_postgresql(const StoreOptions& options);
bool is_postgresql(std::string_view url);

}  // namespace oddjob::store
