// What a request says of who sends it: fixed, from a file that rotates, or from
// a plugin that must be run.
//
// Loop thread only. Held by shared_ptr: a plugin may still run when the client goes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/error.hpp"
#include "kube/config.hpp"
#include "kube/exec_plugin.hpp"
#include "net/async.hpp"

namespace oddjob::kube {

using Steady = std::chrono::steady_clock;

class Credentials : public std::enable_shared_from_this<Credentials> {
 public:
  struct Now {
    std::string authorization;  // header value; empty: none
    std::string client_cert_pem, client_key_pem;
    std::uint64_t generation = 0;  // moves when the plugin gave new ones
  };

  Credentials(net::Loop& loop, const Config& config, Duration exec_timeout);
  // In force now; reads a changed token file again, runs the plugin when what it
  // gave has expired. Concurrent callers share one run. Errors:
  // "kube.exec_failed", "kube.token_unreadable", "kube.client_closed", and
  // "kube.exec_timeout" when `deadline` comes first.
  static net::Task<Result<Now>> current(std::shared_ptr<Credentials> self, Steady::time_point deadline);
  // After a 401 to `used`: gets others where that is possible. True when asking
  // again makes sense.
  static net::Task<Result<bool>> renew(std::shared_ptr<Credentials> self, Now used,
                                       Steady::time_point deadline);
  void close();

 private:
  Result<std::string> token_of_file(bool force);
  static net::Task<Result<>> run_plugin(std::shared_ptr<Credentials> self, Steady::time_point deadline);
  static net::Task<> plugin_task(std::shared_ptr<Credentials> self);
  [[nodiscard]] bool plugin_due() const;

  net::Loop& loop_;
  Config config_;
  Duration exec_timeout_;
  bool send_ = true;  // false: an http server elsewhere
  bool closed_ = false;

  std::string file_token_;
  Steady::time_point file_checked_{};
  struct Stamp {
    std::int64_t seconds = 0, nanoseconds = 0, size = -1;
    std::uint64_t inode = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  } file_stamp_;

  std::optional<ExecCredential> plugin_;
  std::optional<Error> plugin_error_;
  std::uint64_t generation_ = 0;
  bool running_ = false;
  net::Notifier finished_;
  std::atomic<bool> stop_{false};
  std::optional<net::BlockingPool> pool_;
};

}  // namespace oddjob::kube
