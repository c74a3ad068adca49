// One connection, its mutex, its transactions; exceptions of SOCI end here. Where
// the dialect says so, a second one for reading: it does not wait for commits,
// nor they for it, and it sees what was committed before it began.
//
// A connection that was lost is made anew by the next call. A transaction that
// surely did not happen (the connection broke before its commit was sent, a
// deadlock, a serialisation failure) is begun anew a few times. A commit whose
// answer never came is looked up on a new connection: it happened, or it did
// not and is begun anew; only if the database stays away is the call's outcome
// unknown, and then its error says so ("store.commit_unknown").
//
// A commit waits for the disk, so calls that wait are cheaper together(): one
// transaction, in which each has a savepoint of its own.
#pragma once

#include <soci/soci.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

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
    if (in_group()) return in_savepoint(what, point, fn);
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
    if (in_group()) return in_savepoint(what, "", fn);
    if (reads_) return reads_->read(what, std::move(fn));
    return transact(what, [&]() -> std::invoke_result_t<F&> {
      dialect_->begin_read(session_);
      in_transaction_ = true;
      const Reading mine(reading_);
      auto result = fn();
      session_.commit();
      in_transaction_ = false;
      return result;
    });
  }

  // Runs the calls, each of which calls write() or read() on this thread and
  // keeps the result, in one transaction with one commit. A write that returns
  // an error undoes itself and nothing else. Where something throws, or the
  // commit fails, all of it is undone and each call is run again, by itself. On
  // return, what the calls kept in their last run is what happened.
  void together(std::span<const std::function<void()>> calls);

  // For use inside write() and read() only.
  [[nodiscard]] Statements& statements() {
    return reads_ && reads_->reading_.load() == std::this_thread::get_id() ? reads_->statements_
                                                                           : statements_;
  }
  [[nodiscard]] const Dialect& dialect() const { return *dialect_; }
  [[nodiscard]] soci::session& session() { return session_; }

 private:
  static constexpr int kAttempts = 4;

  // In its scope the thread is in a read().
  class Reading {
   public:
    explicit Reading(std::atomic<std::thread::id>& who) : who_(who) { who_ = std::this_thread::get_id(); }
    ~Reading() { who_ = std::thread::id(); }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

   private:
    std::atomic<std::thread::id>& who_;
  };
  // A transaction of several calls, under way.
  struct Group {
    std::optional<Error> spoiled;     // the calls still to come need not try
    std::vector<std::string> points;  // of the calls that wrote
  };

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
  [[nodiscard]] bool in_group() const { return group_thread_.load() == std::this_thread::get_id(); }
  // One call of a group.
  template <class F>
  std::invoke_result_t<F&> in_savepoint(std::string_view what, std::string_view point, F& fn) {
    if (group_.spoiled) return std::unexpected(Error(*group_.spoiled).with_context(what));
    try {
      Query(statements_, "SAVEPOINT one").run();
      auto result = fn();
      if (!result) Query(statements_, "ROLLBACK TO SAVEPOINT one").run();
      Query(statements_, "RELEASE SAVEPOINT one").run();
      if (result && !point.empty()) group_.points.emplace_back(point);
      return result;
    } catch (const std::exception& e) {
      group_.spoiled = dialect_->error_of(e, session_);
      return std::unexpected(Error(*group_.spoiled).with_context(what));
    }
  }
  // False: nothing of it happened, and each may be tried by itself.
  bool group(std::span<const std::function<void()>> calls);
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
  std::atomic<std::thread::id> group_thread_{};  // which is in a group: it has the mutex
  Group group_;
  std::atomic<std::thread::id> reading_{};
  std::unique_ptr<Database> reads_;  // null: this connection does
  bool repeat_ = false;              // the call that just failed did not happen, and may be repeated
  std::optional<Error> away_;        // why the last attempt to connect failed
  std::chrono::steady_clock::time_point away_since_{};
};

}  // namespace oddjob::store
