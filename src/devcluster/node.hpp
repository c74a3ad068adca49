// The dev cluster's node: runs pods as local processes, confined with
// bubblewrap where the machine allows it, and serves their logs.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "devcluster/registry.hpp"
#include "net/async.hpp"

namespace oddjob::devcluster {

struct NodeOptions {
  std::filesystem::path directory;  // logs and volumes live below
  // OCI image layouts at <registry>/<repository>; images that are not there run
  // with the machine's own files. Empty: none are.
  std::filesystem::path images;
  bool confine = true;                      // bubblewrap, if it works here; else plain processes
  std::size_t max_log_bytes = 256U << 20U;  // of one container; what comes after is dropped
  std::string ca_pem;                       // for the service account volume
  std::function<std::string(std::string_view ns, std::string_view account)> issue_token;
};

struct LogRequest {
  std::string container;
  bool follow = false, timestamps = false, previous = false;
  std::optional<std::int64_t> tail_lines, limit_bytes;
  std::string since_time;  // RFC 3339
  std::optional<std::int64_t> since_seconds;
};

// Loop thread only. Watches pods in the registry, starts those that are bound
// to its name, writes their status, kills those that are deleted.
class Node {
 public:
  Node(net::Loop& loop, Registry& registry, NodeOptions options);
  ~Node();  // kills what still runs
  void start();
  net::Task<> stop();
  [[nodiscard]] bool confined() const noexcept;
  // Streams log bytes to `write` until the end (or, with follow, until the
  // container ends or write fails). Errors as the kubelet words them:
  // "container \"x\" in pod \"y\" is waiting to start: ContainerCreating" (BadRequest).
  net::Task<Result<>> logs(std::string ns, std::string pod, LogRequest request,
                           std::function<net::Task<Result<>>(std::string_view)> write);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::devcluster
