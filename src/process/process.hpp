// Runs one program and collects what it prints, within bounds. Blocks, so for a
// BlockingPool's thread. For the credential plugins of clusters and registries.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "core/clock.hpp"

namespace oddjob::process {

struct ProcessRequest {
  std::vector<std::string> argv;  // [0] is looked up in PATH unless it has a slash
  std::map<std::string, std::string> environment;
  std::string input;  // its standard input; at most 64 KiB
  Duration timeout = std::chrono::seconds(30);
  std::size_t max_output = 1U << 20U;  // of standard output
};
enum class ProcessEnd { exited, not_started, timed_out, stopped, too_much_output };
struct ProcessResult {
  ProcessEnd end = ProcessEnd::not_started;
  int error = 0;   // errno, with not_started
  int status = 0;  // exit code, or the signal when `signalled`
  bool signalled = false;
  std::string output;
  std::string error_tail;  // last 4 KiB of standard error
};
// The program has `input` to read, no other descriptor of ours, and a process
// group of its own, which is killed whole when it does not end in time.
ProcessResult run_process(const ProcessRequest& request, const std::atomic<bool>& stop);

}  // namespace oddjob::process
