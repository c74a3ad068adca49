#include "store/checkpointer.hpp"

#include <spdlog/spdlog.h>
#include <sqlite3.h>

#include <memory>
#include <utility>

namespace oddjob::store {

Checkpointer::Checkpointer(std::string path) : path_(std::move(path)) {}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool Checkpointer::committed(int pages) {
  if (pages < mark_) mark_ = 0;  // the log has begun anew
  if (pages - mark_ >= kEvery) {
    mark_ = pages;
    {
      const std::lock_guard lock(mutex_);
      due_ = true;
    }
    if (thread_.joinable()) {
      wake_.notify_one();
    } else {
      thread_ = std::thread([this] { work(); });
    }
  }
  return pages >= kBound;
}

void Checkpointer::work() {
  // A connection of its own, so that it holds up nobody.
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path_.c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(opened, sqlite3_close);
  if (code != SQLITE_OK) {
    spdlog::warn("the database's log cannot be moved beside its commits: {}", sqlite3_errstr(code));
    return;  // at the bound, commits do it
  }
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return due_ || closing_; });
    if (closing_) return;
    due_ = false;
    lock.unlock();
    // Passive: it waits for nobody, and nobody for it.
    const int moved =
        sqlite3_wal_checkpoint_v2(db.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    if (moved != SQLITE_OK && moved != SQLITE_BUSY)
      spdlog::debug("the database's log was not moved: {}", sqlite3_errmsg(db.get()));
    lock.lock();
  }
}

}  // namespace oddjob::store
