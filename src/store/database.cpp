#include "store/database.hpp"

#include "core/fault.hpp"

namespace oddjob::store {

Result<std::unique_ptr<Database>> Database::open(const StoreOptions& options) {
  OJ_TRY(auto dialect, make_dialect(options));
  std::unique_ptr<Database> db(new Database(std::move(dialect)));
  OJ_CHECK(db->guarded("opening the database", [&] { return db->dialect_->connect(db->session_); }));
  return db;
}

Database::~Database() { statements_.clear(); }

void Database::commit(std::string_view point) {
  if (!point.empty()) fault_point("store.commit.before", point);
  session_.commit();
  in_transaction_ = false;
  if (!point.empty()) fault_point("store.commit.after", point);
}

void Database::roll_back() noexcept {
  if (!in_transaction_) return;
  in_transaction_ = false;
  try {
    session_.rollback();
  } catch (const std::exception&) {  // SQLite had undone it by itself
  }
}

}  // namespace oddjob::store
