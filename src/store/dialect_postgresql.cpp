// The PostgreSQL dialect: the only file that knows of PostgreSQL.
#include <libpq-fe.h>
#include <soci/postgresql/soci-postgresql.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <mutex>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "store/dialect.hpp"
#include "store/query.hpp"

namespace oddjob::store {
namespace {

constexpr int kOldest = 130000;  // pg_xact_status of full transaction ids
constexpr std::size_t kMaxPassword = 4096;
// Any number that no other program takes for its own: "oddjob" in ASCII.
constexpr std::string_view kMigrationLock = "122489563049826";
// What a server that stands still in a transaction may hold up the others for.
constexpr int kIdleInTransactionMs = 3000;

Error unavailable(std::string sentence, std::string hint = {}) {
  return Error{Errc::unavailable, "store.unavailable", std::move(sentence), std::move(hint), 0};
}
Result<> precondition(std::string code, std::string sentence, std::string hint) {
  return fail(Errc::failed_precondition, std::move(code), std::move(sentence), std::move(hint));
}

// The library does not export the type's identity: no dynamic_cast, and nothing
// for the sanitizer to compare.
__attribute__((no_sanitize("vptr"))) PGconn* connection(soci::session& session) {
  auto* backend = static_cast<soci::postgresql_session_backend*>(session.get_backend());
  return backend != nullptr ? backend->conn_ : nullptr;
}

void tell_notice(void* /*unused*/, const char* message) {
  spdlog::debug("database: {}", printable(trim(message), 500));
}

std::string value_of(soci::session& session, const std::string& sql) {
  std::string value;
  soci::indicator ind = soci::i_ok;
  soci::statement st(session);
  st.alloc();
  st.prepare(sql);
  st.exchange(soci::into(value, ind));
  st.define_and_bind();
  st.execute(true);
  return ind == soci::i_ok ? value : std::string();
}

std::string quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// What was lost, or never was. 25P03: the server ended it, as the transaction
// stood still. Blank: the library says it, not the server; it may still call the
// connection a good one.
bool lost(std::string_view state) {
  return trim(state).empty() || state == "25P03" || state.starts_with("08") || state == "57P01" ||
         state == "57P02" || state == "57P03";
}

class PostgresqlDialect final : public Dialect {
 public:
  using Settings = std::map<std::string, std::string>;
  PostgresqlDialect(Settings settings, const StoreOptions& options)
      : settings_(std::move(settings)),
        password_file_(options.password_file),
        busy_timeout_(options.busy_timeout) {
    name_ = "the database " + setting("dbname", "") + " at " +
            setting("host", setting("hostaddr", setting("service", "this machine")));
  }

  Result<> connect(soci::session& session) override;
  void begin_write(soci::session& session) override {
    execute(session, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  }
  void begin_read(soci::session& session) override {
    execute(session, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  }
  void begin_migration(soci::session& session) override {
    begin_write(session);
    execute(session, "SET LOCAL lock_timeout = '60s'");
    execute(session, "SET LOCAL statement_timeout = '15min'");
    value_of(session, "SELECT CAST(pg_advisory_xact_lock(" + std::string(kMigrationLock) + ") AS TEXT)");
  }

  [[nodiscard]] bool shared() const override { return true; }
  [[nodiscard]] bool takes_nul() const override { return false; }
  // Closing a prepared statement is itself a statement.
  [[nodiscard]] bool rolls_back_first() const override { return true; }

  [[nodiscard]] bool connected(soci::session& session) const override {
    const PGconn* c = connection(session);
    return c != nullptr && !broken_ && PQstatus(c) == CONNECTION_OK;
  }
  bool connection_lost(const std::exception& e, soci::session& session) override {
    const auto* pe = dynamic_cast<const soci::postgresql_soci_error*>(&e);
    if (pe != nullptr && lost(pe->sqlstate())) broken_ = true;
    return !connected(session);
  }
  [[nodiscard]] bool worth_repeating(const std::exception& e, soci::session& /*session*/) const override {
    const auto* pe = dynamic_cast<const soci::postgresql_soci_error*>(&e);
    if (pe == nullptr) return false;
    const std::string state = pe->sqlstate();
    return state == "40001" || state == "40P01";  // serialisation failure, deadlock
  }
  std::string transaction_id(soci::session& session) override {
    return value_of(session, "SELECT CAST(pg_current_xact_id() AS TEXT)");
  }
  Fate fate_of(soci::session& session, const std::string& transaction) override {
    const auto status = value_of(session, "SELECT pg_xact_status(CAST('" + transaction + "' AS xid8))");
    if (status == "committed") return Fate::committed;
    if (status == "aborted") return Fate::undone;
    if (status == "in progress") return Fate::under_way;
    return Fate::unknown;
  }

  [[nodiscard]] std::string table_names() const override {
    return "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()";
  }

  [[nodiscard]] std::string bytes_type() const override { return "BYTEA"; }
  [[nodiscard]] std::string bytes_in(std::string_view parameter) const override {
    return "CAST(" + std::string(parameter) + " AS BYTEA)";
  }
  [[nodiscard]] std::string bytes_out(std::string_view column) const override {
    return "CAST(" + std::string(column) + " AS TEXT)";
  }
  [[nodiscard]] std::string encode_bytes(std::string bytes) const override {
    return "\\x" + hex_encode(bytes);
  }
  [[nodiscard]] Result<std::string> decode_bytes(std::string text) const override;

  [[nodiscard]] std::vector<std::string> refuse_changes(std::string_view table) const override {
    return triggers(table, true);
  }
  [[nodiscard]] std::vector<std::string> refuse_removal(std::string_view table) const override {
    return triggers(table, false);
  }
  [[nodiscard]] std::string_view lock_rows() const override { return " FOR UPDATE"; }
  [[nodiscard]] std::string_view lock_free_rows() const override { return " FOR UPDATE SKIP LOCKED"; }
  [[nodiscard]] std::string_view now_us() const override {
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
  }

  [[nodiscard]] Error error_of(const std::exception& e, soci::session& session) const override;

 private:
  static std::vector<std::string> triggers(std::string_view table, bool updates) {
    const std::string t(table);
    std::vector<std::string> out = {
        "CREATE OR REPLACE FUNCTION oddjob_refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION ''records of % cannot be changed'', TG_TABLE_NAME; END'"};
    const auto add = [&](const std::string& event, const std::string& suffix) {
      out.push_back("CREATE TRIGGER " + t + "_no_" + suffix + " BEFORE " + event + " ON " + t +
                    " FOR EACH STATEMENT EXECUTE FUNCTION oddjob_refuse()");
    };
    add("DELETE OR TRUNCATE", "delete");
    if (updates) add("UPDATE", "update");
    return out;
  }
  [[nodiscard]] std::string setting(const std::string& name, const std::string& otherwise) const {
    const auto it = settings_.find(name);
    return it == settings_.end() ? otherwise : it->second;
  }
  [[nodiscard]] Result<std::string> connection_string() const;

  Settings settings_;
  std::string password_file_;
  Duration busy_timeout_;
  std::string name_;
  bool broken_ = false;
};

// Read anew each time: a password that was changed is taken without a restart.
Result<std::string> PostgresqlDialect::connection_string() const {
  Settings all = settings_;
  if (!password_file_.empty()) {
    std::ifstream in(password_file_, std::ios::binary);
    std::string password(kMaxPassword, '\0');
    in.read(password.data(), static_cast<std::streamsize>(password.size()));
    password.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
    while (password.ends_with('\n') || password.ends_with('\r')) password.pop_back();
    if (!in.is_open() || in.bad() || password.empty() || password.size() == kMaxPassword) {
      return fail(unavailable("the database's password cannot be read from " + password_file_,
                              "it holds the password and nothing else, and oddjobd may read it"));
    }
    all["password"] = std::move(password);
  }
  std::string out;
  for (const auto& [key, value] : all) out += key + "=" + quoted(value) + " ";
  return out;
}

Result<> PostgresqlDialect::connect(soci::session& session) {
  OJ_TRY(const auto how, connection_string());
  session.open(soci::postgresql, how);
  broken_ = false;
  PGconn* c = connection(session);
  PQsetNoticeProcessor(c, tell_notice, nullptr);
  if (PQserverVersion(c) < kOldest) {
    session.close();
    return precondition("store.unsupported", name_ + " is served by a PostgreSQL older than 13",
                        "use PostgreSQL 13 or newer");
  }
  if (value_of(session, "SHOW server_encoding") != "UTF8") {
    session.close();
    return precondition("store.unsupported", name_ + " does not keep text in UTF-8",
                        "create it with ENCODING 'UTF8'");
  }
  const auto ms = std::to_string(std::max<long long>(1, busy_timeout_.count()));
  const auto longest = std::to_string(std::max<long long>(15'000, busy_timeout_.count() * 4));
  for (const auto& sql :
       {std::string("SET client_encoding = 'UTF8'"), std::string("SET bytea_output = 'hex'"),
        std::string("SET client_min_messages = 'warning'"), "SET lock_timeout = " + ms,
        "SET statement_timeout = " + longest,
        "SET idle_in_transaction_session_timeout = " + std::to_string(kIdleInTransactionMs)})
    execute(session, sql);
  // A commit that returned is on the disk.
  if (value_of(session, "SHOW synchronous_commit") == "off")
    execute(session, "SET synchronous_commit = 'on'");
  static std::once_flag told;
  if (value_of(session, "SHOW fsync") == "off")
    std::call_once(told, [this] {
      spdlog::warn("{} runs with fsync = off: a crash of its machine may lose what OddJob recorded", name_);
    });
  return {};
}

Result<std::string> PostgresqlDialect::decode_bytes(std::string text) const {
  const auto damaged = [] {
    return fail(Errc::internal, "store.corrupt", "the database gave bytes in a form that is not known",
                "the server sets bytea_output = hex by itself; a connection pooler must keep it");
  };
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return damaged();
  std::string bytes(text.size() / 2 - 1, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char* at = text.data() + 2 + i * 2;
    unsigned byte = 0;
    if (const auto [end, ec] = std::from_chars(at, at + 2, byte, 16); ec != std::errc() || end != at + 2)
      return damaged();
    bytes[i] = static_cast<char>(byte);
  }
  return bytes;
}

Error PostgresqlDialect::error_of(const std::exception& e, soci::session& session) const {
  const auto* se = dynamic_cast<const soci::soci_error*>(&e);
  // Without the statement and its parameters, which what() would add.
  std::string text = se != nullptr ? se->get_error_message() : e.what();
  std::ranges::replace(text, '\n', ' ');
  std::ranges::replace(text, '\t', ' ');
  text = printable(trim(text), 300);
  const auto* pe = dynamic_cast<const soci::postgresql_soci_error*>(&e);
  const std::string state = pe != nullptr ? pe->sqlstate() : std::string();
  if (state.starts_with("28")) return unavailable(name_ + " does not let OddJob in: " + text);
  if (session.get_backend() == nullptr || !connected(session) || (pe != nullptr && lost(state)))
    return unavailable(name_ + " cannot be reached: " + text);
  if (pe == nullptr) return Error{Errc::internal, "store.internal", name_ + ": " + text, {}, 0};
  if (state == "55P03") return unavailable(name_ + " is locked by another process");
  if (state == "57014") return unavailable(name_ + " took too long: " + text);
  if (state == "53100") return unavailable("the disk of " + name_ + " is full");
  if (state.starts_with("53")) return unavailable(name_ + " has no room left: " + text);
  if (state == "25006") return unavailable(name_ + " is read-only (a standby?)");
  if (state.starts_with("40")) return unavailable(name_ + " was too busy: " + text);
  if (state == "42501")
    return unavailable(name_ + " does not allow it: " + text, "docs/operations.md says what the role needs");
  if (state == "23505")
    return Error{
        Errc::conflict, "store.conflict", "a record with that key exists already in " + name_, {}, 0};
  if (state.starts_with("XX"))
    return Error{Errc::internal, "store.corrupt", name_ + " is damaged: " + text, "restore it from a backup",
                 0};
  return Error{Errc::internal, "store.internal", name_ + " refused a statement: " + text, {}, 0};
}

}  // namespace

bool is_postgresql(std::string_view url) {
  return url.starts_with("postgresql://") || url.starts_with("postgres://");
}

Result<std::unique_ptr<Dialect>> make_postgresql(const StoreOptions& options) {
  // What the library says of a URL that it cannot read quotes parts of it, so
  // perhaps of a password.
  char* problem = nullptr;
  PQconninfoOption* parsed = PQconninfoParse(options.url.c_str(), &problem);
  PQfreemem(problem);
  if (parsed == nullptr || options.url.find('\0') != std::string::npos) {
    PQconninfoFree(parsed);
    return fail(
        Errc::invalid_argument, "store.bad_url", "the database URL cannot be read",
        "use postgresql://user@host:5432/database?sslmode=verify-full; what is not a letter or a digit "
        "in a password is written as %XX");
  }
  PostgresqlDialect::Settings settings = {{"application_name", "oddjobd"},       {"connect_timeout", "5"},
                                          {"tcp_user_timeout", "10000"},         {"keepalives_idle", "10"},
                                          {"keepalives_interval", "5"},          {"keepalives_count", "3"},
                                          {"target_session_attrs", "read-write"}};
  for (const auto* o = parsed; o->keyword != nullptr; ++o) {
    if (o->val != nullptr && *o->val != '\0') settings[o->keyword] = o->val;
  }
  PQconninfoFree(parsed);
  return std::make_unique<PostgresqlDialect>(std::move(settings), options);
}

}  // namespace oddjob::store
