#include "store/query.hpp"

#include <utility>

namespace oddjob::store {

void execute(soci::session& session, const std::string& sql) {
  soci::statement st(session);
  st.alloc();
  st.prepare(sql);
  st.define_and_bind();
  st.execute(true);
}

soci::statement Statements::get(const std::string& sql) {
  if (const auto it = cache_.find(sql); it != cache_.end()) return it->second;
  if (cache_.size() >= kMax) cache_.clear();
  soci::statement st(session_);
  st.alloc();
  st.prepare(sql);
  return cache_.emplace(sql, std::move(st)).first->second;
}

Query::~Query() {
  try {
    if (open_) {
      statements_.drop(sql_);  // finalised, which lets go of its lock
    } else {
      st_.bind_clean_up();
    }
  } catch (...) {  // a statement that cannot be cleaned is not kept
    statements_.drop(sql_);
  }
}

Query& Query::in(std::string_view text) {
  if (!statements_.takes_nul() && text.find('\0') != std::string_view::npos)
    throw soci::soci_error("a text has a NUL byte in it");
  st_.exchange(soci::use(texts_.emplace_back(text)));
  return *this;
}
Query& Query::in(std::int64_t number) {
  st_.exchange(soci::use(numbers_.emplace_back(number)));
  return *this;
}
Query& Query::out(std::string& text) {
  st_.exchange(soci::into(text));
  return *this;
}
Query& Query::out(long long& number) {
  st_.exchange(soci::into(number));
  return *this;
}

bool Query::execute() {
  started_ = true;
  open_ = true;
  st_.define_and_bind();
  return st_.execute(true);
}

bool Query::next() {
  open_ = started_ ? st_.fetch() : execute();
  return open_;
}

bool Query::one() {
  if (!next()) return false;
  // The fetch that finds nothing ends the statement and leaves the results.
  open_ = st_.fetch();
  return true;
}

long long Query::run() {
  execute();
  open_ = false;
  return st_.get_affected_rows();
}

}  // namespace oddjob::store
