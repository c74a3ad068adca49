// Moves what was committed from SQLite's write-ahead log into the database file, beside the commits
// and not within one: it writes and waits for the disk for tens of milliseconds, which SQLite would
// add to every thousandth page or so.
//
// The log begins anew only when all of it was moved and no commit came meanwhile, so at kBound the
// commit itself moves what is left, which is little by then. Nothing is lost if it fails: what is
// not moved stays in the log, and the next commit tries again.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace oddjob::store {

class Checkpointer {
 public:
  static constexpr int kEvery = 1000;  // pages, as SQLite's own
  static constexpr int kBound = 4000;

  // `path`: of the database's file. The thread begins when there is something to do.
  explicit Checkpointer(std::string path);
  ~Checkpointer();  // waits for the one under way
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // After a commit, on its thread: the log holds so many pages. True: the commit
  // moves them itself.
  bool committed(int pages);

 private:
  void work();

  const std::string path_;
  int mark_ = 0;  // pages when it was last told to move them; of the committing thread
  std::mutex mutex_;
  std::condition_variable wake_;
  bool due_ = false, closing_ = false;
  std::thread thread_;
};

}  // namespace oddjob::store
