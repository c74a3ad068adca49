// An API server in memory, just large enough for a run: objects, lists,
// watches, logs, a node that does as it is told, and faults at any call.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "kube/client.hpp"
#include "net/http_server.hpp"

namespace oddjob::runs::testing {

// What the node does with a run's pod.
struct PodPlan {
  std::vector<std::string> lines = {"hello", "world"};
  int exit_code = 0;
  std::string exit_reason;
  bool ends = true;  // by itself; else it waits to be deleted
  Duration takes = std::chrono::milliseconds(30);
  std::string waits_with;  // reason of a container that never starts
  bool makes_pod = true;
};

struct Fault {
  enum class Kind { none, hang_before, hang_after, answer, answer_after, cut_after } kind = Kind::none;
  int status = 500;
  std::string reason = "InternalError", message = "etcdserver: request timed out";
};

class MiniCluster {
 public:
  explicit MiniCluster(net::Loop& loop);
  ~MiniCluster();
  void stop();
  [[nodiscard]] kube::Config config() const;

  // By "plural/namespace/name"; nullptr if it is not there.
  [[nodiscard]] const json::value* object(const std::string& key) const;
  void put(const std::string& plural, json::value object);  // creates or replaces
  void remove(const std::string& key);                      // at once, with an event for watchers
  void delete_job(const std::string& key);                  // as kubectl does, pods too
  [[nodiscard]] std::vector<std::string> keys(const std::string& plural) const;
  // A Deployment "pay" in namespace shop, container main.
  void put_deployment(json::object annotations);

  PodPlan plan;
  std::function<Fault(const net::ServerRequest&, const std::string& call)> fault;  // not for watches
  std::vector<std::string> calls;  // "POST jobs", "GET pods/log", without watches
  int pods_made = 0, jobs_made = 0;
  bool refuse_watches = false;
  bool has_templates = false;        // the custom resource JobTemplate
  std::optional<int> cut_log_after;  // bytes, of every stream that follows

 private:
  struct Route {
    std::string plural, ns, name, sub;
  };
  struct Event {
    std::uint64_t version;
    std::string type, plural;
    json::value object;
  };
  struct State;
  static net::Task<> handle(MiniCluster* self, std::shared_ptr<State> s, const net::ServerRequest& q,
                            net::ResponseWriter& w);
  static net::Task<> watch(std::shared_ptr<State> s, const net::ServerRequest& q, net::ResponseWriter& w,
                           Route route);
  static net::Task<> log(MiniCluster* self, std::shared_ptr<State> s, const net::ServerRequest& q,
                         net::ResponseWriter& w, Route route);
  static net::Task<> node(std::shared_ptr<State> s, std::string job_key, std::string pod_key, PodPlan plan);
  net::ServerResponse apply(const net::ServerRequest& q, const Route& route, bool dry);
  void start_pod(const std::string& job_key);

  net::Loop& loop_;
  std::shared_ptr<State> state_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace oddjob::runs::testing
