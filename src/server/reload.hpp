// The configuration of a server that runs: read again on SIGHUP and when a file
// changes, taken up as far as that goes without a restart.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "server/config.hpp"

namespace oddjob::server {

// Loop thread only.
class Reloader {
 public:
  // `file` may be empty: then only static tokens change. `take` is given what is
  // to be in force from now on; where it fails, nothing may have changed.
  Reloader(ServerConfig running, std::string file, std::function<Result<>(const ServerConfig&)> take);
  // Reads everything. Says in the log what was taken up, what is wrong and what
  // needs a restart.
  void reload();
  // Does that only if a file is not as it was. A mount that swaps symbolic links
  // is seen as well as a file that is written: it is the contents that count.
  void reload_if_changed();

  // The last reload's outcome (true before the first), and when one succeeded
  // last (the start, before the first).
  [[nodiscard]] bool successful() const { return successful_; }
  [[nodiscard]] Time success_time() const { return success_time_; }

 private:
  [[nodiscard]] std::string contents() const;
  [[nodiscard]] std::vector<Error> try_reload();

  ServerConfig running_;
  std::string file_;
  std::function<Result<>(const ServerConfig&)> take_;
  std::string seen_;  // digest of the files, as they were read last
  bool successful_ = true;
  Time success_time_;
};

}  // namespace oddjob::server
