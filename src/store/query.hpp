// Prepared statements that are kept, over SOCI. Throws what SOCI throws: the
// Database turns that into an Error at its edge.
#pragma once

#include <soci/soci.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

namespace oddjob::store {

// Runs a statement once. (Not `session << sql`: SOCI's sugar uses types that
// its library does not export, which the sanitizers want to know.)
void execute(soci::session& session, const std::string& sql);

// The statements of one session, prepared at first use. Not thread-safe.
class Statements {
 public:
  Statements(soci::session& session, bool takes_nul) : session_(session), takes_nul_(takes_nul) {}
  [[nodiscard]] bool takes_nul() const { return takes_nul_; }
  soci::statement get(const std::string& sql);
  void drop(const std::string& sql) { cache_.erase(sql); }
  void clear() { cache_.clear(); }

 private:
  // Texts are few and fixed, but for filters; this bounds those.
  static constexpr std::size_t kMax = 128;
  soci::session& session_;
  bool takes_nul_;
  std::unordered_map<std::string, soci::statement> cache_;
};

// One use of one statement. Parameters are copied and bound by position, in
// the order of in(); results go to the variables given to out(), which must
// outlive this object.
//
//   std::string name;
//   Query q(statements, "SELECT name FROM t WHERE id = :id");
//   q.in(id).out(name);
//   while (q.next()) …
class Query {
 public:
  Query(Statements& statements, std::string sql)
      : statements_(statements), sql_(std::move(sql)), st_(statements.get(sql_)) {}
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // Throws where the text has a NUL byte that the database would cut it at.
  Query& in(std::string_view text);
  Query& in(std::int64_t number);
  Query& out(std::string& text);
  Query& out(long long& number);

  // The next row; false when there are no more.
  bool next();
  // For a statement that gives at most one row: true if it did.
  bool one();
  // For a statement without rows: how many it changed.
  long long run();

 private:
  bool execute();
  Statements& statements_;
  std::string sql_;
  soci::statement st_;  // a counted handle: survives its eviction
  std::deque<std::string> texts_;
  std::deque<long long> numbers_;
  bool started_ = false;
  bool open_ = false;  // rows may be left: the statement still holds a read lock
};

}  // namespace oddjob::store
