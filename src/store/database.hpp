// One connection, its mutex, its transactions; exceptions of SOCI end here.
#pragma once

#include <soci/soci.h>

#include <concepts>
#include <memory>
#include <mutex>
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
  // value, undone if it returns an error or throws. `what` names it in errors
  // ("creating the run") and `point` at the fault points; an empty point is
  // not passed there.
  template <class F>
  std::invoke_result_t<F&> write(std::string_view what, std::string_view point, F fn) {
    const std::lock_guard lock(mutex_);
    return guarded(what, [&]() -> std::invoke_result_t<F&> {
      dialect_->begin_write(session_);
      in_transaction_ = true;
      auto result = fn();
      if (result) {
        commit(point);
      } else {
        roll_back();
      }
      return result;
    });
  }
  // Runs `fn` in a transaction that only reads: one consistent picture.
  template <class F>
  std::invoke_result_t<F&> read(std::string_view what, F fn) {
    const std::lock_guard lock(mutex_);
    return guarded(what, [&]() -> std::invoke_result_t<F&> {
      session_.begin();
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
  explicit Database(std::unique_ptr<Dialect> dialect) : dialect_(std::move(dialect)), statements_(session_) {}

  template <class F>
  std::invoke_result_t<F&> guarded(std::string_view what, F fn) {
    try {
      return fn();
    } catch (const std::exception& e) {
      Error error = dialect_->error_of(e, session_);
      // A failed statement may hold its cursor open and block the rollback.
      statements_.clear();
      roll_back();
      return std::unexpected(std::move(error).with_context(what));
    }
  }
  void commit(std::string_view point);
  void roll_back() noexcept;

  std::mutex mutex_;
  std::unique_ptr<Dialect> dialect_;
  soci::session session_;
  Statements statements_;
  bool in_transaction_ = false;
};

}  // namespace oddjob::store
