// Follows a run's stream: log bytes to standard output, status to the status
// line or, in a pipe, as plain lines; reconnects without a gap or a repeat.
#pragma once

#include <optional>
#include <string>

#include "cli/command.hpp"
#include "cli/interrupts.hpp"
#include "net/sse.hpp"

namespace oddjob::cli {

// What the events of a stream mean, apart from any I/O.
class StreamState {
 public:
  explicit StreamState(std::int64_t offset = 0) : offset_(offset) {}
  struct Update {
    std::string log;                    // bytes to write now
    std::optional<json::value> status;  // a new state of the run
    bool ended = false;
  };
  // Error "cli.bad_stream" where an event is not what docs/api.md says, or
  // leaves log bytes out.
  Result<Update> apply(const net::SseEvent& event);
  [[nodiscard]] std::int64_t offset() const noexcept { return offset_; }  // to resume at

 private:
  std::int64_t offset_;
};

// May the same request help later? (The server is away or busy; not: it refused.)
bool passing(const Error& e) noexcept;

struct FollowOptions {
  bool quiet = false;                          // nothing on standard error but failures
  bool log_to_stderr = false;                  // where standard output is for -o json
  bool may_cancel = true;                      // ask on Ctrl-C; `logs -f` only leaves
  Duration give_up = std::chrono::minutes(5);  // after so long without a server
};
struct Followed {
  json::value run;  // as it was last seen
  bool ended = false;
  int signal = 0;             // detached by this signal, or SIGPIPE
  bool partial_line = false;  // the log on the terminal ended within a line
};

net::Task<Result<Followed>> follow(net::Loop& loop, ApiClient& api, Interrupts& interrupts,
                                   const Invocation& invocation, std::string run_id, FollowOptions options);

}  // namespace oddjob::cli
