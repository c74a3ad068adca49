// Runs processes and writes what they print into log files. One thread owns all
// children, pipes and files, so that no log blocks the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "net/async.hpp"

namespace oddjob::devcluster {

struct Launch {
  std::vector<std::string> argv;         // argv[0] is an absolute path
  std::vector<std::string> environment;  // "NAME=value"
  std::string directory;                 // working directory; empty: /
  std::string log_file;                  // CRI format, appended
  std::size_t max_log_bytes = 0;         // what comes after is read and dropped
};

class Runner {
 public:
  // Both are called on the loop: `exited` once a process has ended and all it
  // printed is in its file (a wait status as of waitpid); `printed` when files grew.
  Runner(net::Loop& loop, std::function<void(std::uint64_t id, int status)> exited,
         std::function<void()> printed);
  ~Runner();  // kills what still runs
  // Loop thread. The id is the process id. Error "StartError".
  Result<std::uint64_t> start(const Launch& launch);
  void signal(std::uint64_t id, int signal) const;  // the process's session leader itself

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Descendants of a process, nearest first, by /proc.
std::vector<int> descendants(int pid);
// Their resident memory and its own, in bytes.
std::int64_t tree_rss(int pid);

}  // namespace oddjob::devcluster
