// One connection, its mutex, its transactions; exceptions of SOCI end here.
//
// A connection that was lost is made anew by the next call. A transaction that
// surely did not happen (the connection broke before its commit was sent, a
// deadlock, a serialisation failure) is begun anew a few times. A commit whose
// answer never came is looked up on a new connection: it happened, or it did
// not and is begun anew; only if the database stays away is the call's outcome
// unknown, and then its error says so ("store.commit_unknown").
#pragma once

#include <soci/soci.h>

#include <chrono>
#include <concepts>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/error.hpp"
#include "store/dialect.hpp"
#include "store/query.hpp"

namespace oddjob::store {

class Database {
 public:
  static Result<std::unique_ptr<Database>> open(const StoreOptions& options);
  ~Database();

  // Runs `fn` (-> Result<T>) in one transaction: committed if it returns a
  // value, undone if it returns an error or throws. `fn` may be run more than
  // once: it must leave what it captured as it was. `what` names it in errors
  // ("creating the run") and `point` at the fault points; an empty point is
  // not passed there.
  template <class F>
  std::invoke_result_t<F&> write(std::string_view what, std::string_view point, F fn) {
    return transact(what, [&]() -> std::invoke_result_t<F&> {
      dialect_->begin_write(session_);
      return finish_write(point, fn);
    });
  }
  // The same, while no other server prepares the database.
  template <class F>
  std::invoke_result_t<F&> migration(std::string_view what, std::string_view point, F fn) {
    return transact(what, [&]() -> std::invoke_result_t<F&> {
      dialect_->begin_migration(session_);
      return finish_write(point, fn);
    });
  }
  // Runs `fn` in a transaction that only reads: one consistent picture. It too
  // may be run more than once.
  template <class F>
  std::invoke_result_t<F&> read(std::string_view what, F fn) {
    return transact(what, [&]() -> std::invoke_result_t<F&> {
      dialect_->begin_read(session_);
      in_transaction_ = true;
      auto result = fn();
      session_.commit();
      in_transaction_ = false;
      return result;
    });
  }

  // For use inside write() and read() only.
  [[nodiscard]] Statements& statements() { return statements_; }
  [[nodiscard]] const Dialect& dialect() const { return *dialect_; }
  [[nodiscard]] soci::session& session() { return session_; }

 private:
  static constexpr int kAttempts = 4;

  explicit Database(std::unique_ptr<Dialect> dialect)
      : dialect_(std::move(dialect)), statements_(session_, dialect_->takes_nul()) {}

  template <class F>
  std::invoke_result_t<F&> transact(std::string_view what, F fn) {
    const std::lock_guard lock(mutex_);
    for (int attempt = 1;; ++attempt) {
      repeat_ = false;
      auto result = guarded(what, [&]() -> std::invoke_result_t<F&> {
        OJ_CHECK(reconnect());
        return fn();
      });
      if (result || !repeat_ || attempt == kAttempts) return result;
      pause(attempt);
    }
  }
  template <class F>
  std::invoke_result_t<F&> finish_write(std::string_view point, F& fn) {
    in_transaction_ = true;
    const std::string id = dialect_->transaction_id(session_);
    auto result = fn();
    if (result) {
      OJ_CHECK(commit(point, id));
    } else {
      roll_back();
    }
    return result;
  }
  template <class F>
  std::invoke_result_t<F&> guarded(std::string_view what, F fn) {
    try {
      return fn();
    } catch (const std::exception& e) {
      return std::unexpected(failed(e).with_context(what));
    }
  }
  Result<> reconnect();
  Error failed(const std::exception& e);
  Result<> commit(std::string_view point, const std::string& id);
  Result<> settle(const std::string& id, const std::exception& why);
  static void pause(int attempt);
  void roll_back() noexcept;
  void clear() noexcept;

  std::mutex mutex_;
  std::unique_ptr<Dialect> dialect_;
  soci::session session_;
  Statements statements_;
  bool in_transaction_ = false;
  bool repeat_ = false;        // the call that just failed did not happen, and may be repeated
  std::optional<Error> away_;  // why the last attempt to connect failed
  std::chrono::steady_clock::time_point away_since_{};
};

}  // namespace oddjob::store
