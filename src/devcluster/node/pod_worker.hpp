// Internal to node/: the life of one pod, as a kubelet leads it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devcluster/node.hpp"
#include "devcluster/node/container.hpp"
#include "devcluster/node/runner.hpp"

namespace oddjob::devcluster {

// What the workers of one node share.
struct NodeParts {
  Registry& registry;
  NodeOptions options;
  bool confine = false;
  std::unique_ptr<Runner> runner;
  net::Notifier grew;                                       // log files
  std::map<std::uint64_t, std::function<void(int)>> exits;  // by process id
  bool stopping = false;
};

class PodWorker : public std::enable_shared_from_this<PodWorker> {
 public:
  PodWorker(std::shared_ptr<NodeParts> node, const json::value& pod);
  // Until the pod is over and, if it was deleted, gone.
  static net::Task<> run(std::shared_ptr<PodWorker> self, net::Loop& loop);
  void pod_changed() { changed_.notify_all(); }

  struct Container {
    json::value spec;
    bool init = false, sidecar = false;
    ImageName image;
    std::optional<LocalImage> local;  // its files, where there is a layout of it
    json::value state = json::object{{"waiting", {{"reason", "PodInitializing"}}}},
                last_state = json::object();
    int restarts = 0;
    std::uint64_t process = 0;  // 0: none
    bool ended = false;         // will not run again
    bool oom = false;
    int exit_code = 0;
    std::string started_at, id;
  };
  [[nodiscard]] Container* find_container(std::string_view name);
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::string log_file(const Container& c, int attempt) const;

 private:
  [[nodiscard]] std::shared_ptr<const json::value> pod() const;  // null once it is gone
  [[nodiscard]] bool deleted() const;
  net::Task<bool> schedule();
  net::Task<> run_container(Container& c);
  net::Task<bool> pull(Container& c);
  bool use_layout(Container& c);
  net::Task<> watch_memory(std::shared_ptr<PodWorker> self, Container& c, std::int64_t limit);
  net::Task<> run_process(Container& c);
  net::Task<> wind_down(std::chrono::seconds grace);
  static net::Task<> drive(std::shared_ptr<PodWorker> self, Container& c);
  void signal_all(int signal);
  void set_waiting(Container& c, std::string_view reason, std::string_view message = {});
  void write_status();
  void event(std::string_view type, std::string_view reason, std::string_view message);
  [[nodiscard]] std::string restart_policy() const;
  [[nodiscard]] std::string phase() const;

  std::shared_ptr<NodeParts> node_;
  std::string ns_, name_, uid_;
  json::value first_;  // the pod as it came
  std::filesystem::path folder_;
  std::vector<std::unique_ptr<Container>> containers_;  // inits first
  net::Notifier changed_;
  net::Loop* loop_ = nullptr;
  bool ending_ = false;
  std::string fail_reason_, fail_message_, start_time_;
};

}  // namespace oddjob::devcluster
