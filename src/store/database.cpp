#include "store/database.hpp"

#include <spdlog/spdlog.h>

#include <random>
#include <thread>

#include "core/fault.hpp"

namespace oddjob::store {
namespace {

// A database that is away is not asked by every call anew.
constexpr auto kAskAgain = std::chrono::milliseconds(500);
// How long the outcome of a commit is asked for.
constexpr auto kSettle = std::chrono::seconds(5);
constexpr auto kSettlePause = std::chrono::milliseconds(100);

}  // namespace

Result<std::unique_ptr<Database>> Database::open(const StoreOptions& options) {
  OJ_TRY(auto dialect, make_dialect(options));
  std::unique_ptr<Database> db(new Database(std::move(dialect)));
  OJ_CHECK(db->guarded("opening the database", [&] { return db->dialect_->connect(db->session_); }));
  if (db->dialect_->reads_apart()) {
    StoreOptions same = options;
    same.alone = false;  // the first one keeps the others out
    OJ_TRY(auto dialect_of_reads, make_dialect(same));
    db->reads_.reset(new Database(std::move(dialect_of_reads)));
    auto& reads = *db->reads_;
    OJ_CHECK(reads.guarded("opening the database", [&] { return reads.dialect_->connect(reads.session_); }));
  }
  return db;
}

Database::~Database() { clear(); }

void Database::clear() noexcept {
  try {
    statements_.clear();
  } catch (const std::exception&) {  // they died with their connection
  }
}

Result<> Database::reconnect() {
  if (session_.get_backend() != nullptr && dialect_->connected(session_)) return {};
  if (away_ && std::chrono::steady_clock::now() - away_since_ < kAskAgain) return std::unexpected(*away_);
  clear();
  in_transaction_ = false;
  try {
    session_.close();
    OJ_CHECK(dialect_->connect(session_));
  } catch (const std::exception& e) {
    if (!away_) spdlog::warn("the connection to the database was lost");
    away_ = dialect_->error_of(e, session_);
    away_since_ = std::chrono::steady_clock::now();
    return std::unexpected(*away_);
  }
  spdlog::info("the database is connected again");
  away_.reset();
  return {};
}

Error Database::failed(const std::exception& e) {
  Error error = dialect_->error_of(e, session_);
  repeat_ = dialect_->connection_lost(e, session_) || dialect_->worth_repeating(e, session_);
  if (dialect_->rolls_back_first()) {
    roll_back();
    clear();
  } else {
    // A failed statement may hold its cursor open and block the rollback.
    clear();
    roll_back();
  }
  return error;
}

Result<> Database::commit(std::string_view point, const std::string& id) {
  if (!point.empty()) fault_point("store.commit.before", point);
  try {
    session_.commit();
  } catch (const std::exception& e) {
    // An error that came by a connection that stands is an answer: it was undone.
    if (id.empty() || !dialect_->connection_lost(e, session_)) throw;
    OJ_CHECK(settle(id, e));
  }
  in_transaction_ = false;
  if (!point.empty()) fault_point("store.commit.after", point);
  return {};
}

void Database::together(std::span<const std::function<void()>> calls) {
  if (calls.size() > 1 && group(calls)) return;
  for (const auto& call : calls) call();
}

bool Database::group(std::span<const std::function<void()>> calls) {
  const std::lock_guard lock(mutex_);
  group_ = {};
  const auto begun = guarded("beginning a transaction", [&]() -> Result<> {
    OJ_CHECK(reconnect());
    dialect_->begin_write(session_);
    return {};
  });
  in_transaction_ = begun.has_value();
  // One that cannot be begun is the answer for all: each would only wait for it as long again.
  if (!begun) group_.spoiled = begun.error();
  group_thread_ = std::this_thread::get_id();
  for (const auto& call : calls) {
    call();
    if (begun && group_.spoiled) break;
  }
  group_thread_ = std::thread::id();
  if (!begun) return true;
  const auto ended = guarded("ending a transaction", [&]() -> Result<> {
    if (group_.spoiled) return std::unexpected(*group_.spoiled);
    for (const auto& point : group_.points) fault_point("store.commit.before", point);
    session_.commit();
    in_transaction_ = false;
    for (const auto& point : group_.points) fault_point("store.commit.after", point);
    return {};
  });
  if (ended) return true;
  // A failed statement may hold its cursor open and block the rollback.
  clear();
  roll_back();
  return false;
}

// The commit was sent, and its answer never came.
Result<> Database::settle(const std::string& id, const std::exception& why) {
  const auto until = std::chrono::steady_clock::now() + kSettle;
  in_transaction_ = false;
  std::string last = dialect_->error_of(why, session_).message;
  while (true) {
    if (const auto back = reconnect(); !back) {
      last = back.error().message;
    } else {
      try {
        switch (dialect_->fate_of(session_, id)) {
          case Dialect::Fate::committed:
            return {};
          case Dialect::Fate::undone:
            repeat_ = true;
            return fail(Errc::unavailable, "store.unavailable", last);
          case Dialect::Fate::under_way:
            break;
          case Dialect::Fate::unknown:
            return fail(Errc::unavailable, "store.commit_unknown",
                        "the database does not say whether it recorded this: " + last,
                        "look whether it is there before you repeat it");
        }
      } catch (const std::exception& e) {
        last = dialect_->error_of(e, session_).message;
      }
    }
    if (std::chrono::steady_clock::now() >= until) break;
    std::this_thread::sleep_for(kSettlePause);
  }
  return fail(Errc::unavailable, "store.commit_unknown",
              "the database went away while it recorded this, and whether it did is not known: " + last,
              "look whether it is there before you repeat it");
}

void Database::pause(int attempt) {
  thread_local std::minstd_rand random{std::random_device{}()};
  std::this_thread::sleep_for(std::chrono::milliseconds(5 * attempt + static_cast<int>(random() % 20U)));
}

void Database::roll_back() noexcept {
  if (!in_transaction_) return;
  in_transaction_ = false;
  try {
    session_.rollback();
  } catch (const std::exception&) {  // the database had undone it by itself
  }
}

}  // namespace oddjob::store
