// Follows the JobTemplates of the cluster and keeps their `status` true: does
// each resolve against its workload now?
//
// A cluster need not have the custom resource: that is asked for every half
// minute, and until then there are no templates and nothing else is harmed. The
// work is bounded: one template at a time, each at most every few seconds, and a
// write only where the status would change. Several servers may do this at once;
// they write the same.
//
// Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "kube/watch.hpp"
#include "net/async.hpp"
#include "template/template.hpp"

namespace oddjob::runs {

extern const kube::Resource kJobTemplates;

class TemplateWatch : public std::enable_shared_from_this<TemplateWatch> {
 public:
  // `namespaces`: empty for all.
  TemplateWatch(kube::Client& client, const Clock& clock, std::vector<std::string> namespaces);
  ~TemplateWatch();
  void start(net::Loop& loop);
  void stop();

  // Metadata of a workload changed (object: its name, generation and
  // annotations; nullptr: it is gone).
  void workload_changed(const WorkloadRef& ref, const json::value* object);

  // Why there is nothing to list; nullopt: all that the cluster has is in view.
  [[nodiscard]] std::optional<Error> problem() const;
  void each(const std::function<void(const json::value& object)>& fn) const;

  // Is the custom resource there? Errors of the API server, and
  // "template.not_installed" (failed_precondition).
  static net::Task<Result<>> installed(kube::Client& client);

 private:
  using Ptr = std::shared_ptr<TemplateWatch>;
  using Steady = std::chrono::steady_clock;
  static net::Task<> run(Ptr self);
  static net::Task<> look_for_it(Ptr self);
  static net::Task<> reconcile(Ptr self, std::string key);
  static net::Task<Result<templates::Resolution>> resolution_of(Ptr self, const templates::Parsed& parsed);
  void follow();
  void on_template(kube::WatchEventType type, const json::value& object);
  void enqueue(const std::string& key, Duration after);
  [[nodiscard]] const json::value* find(std::string_view key) const;
  void forget(const std::string& key);

  kube::Client& client_;
  const Clock& clock_;
  std::vector<std::string> namespaces_;
  std::vector<std::unique_ptr<kube::Reflector>> reflectors_;
  bool stopping_ = false, present_ = false, lost_ = false, told_forbidden_ = false;
  std::optional<Error> problem_;
  net::Notifier wake_;
  // By "namespace/name".
  std::map<std::string, Steady::time_point, std::less<>> due_, done_;
  std::map<std::string, std::string, std::less<>> workload_of_;         // a workload's key
  std::map<std::string, std::set<std::string>, std::less<>> users_of_;  // templates, by the workload's key
  std::map<std::string, std::string, std::less<>> seen_;  // digest of what matters of a workload
};

// The condition Ready as it should stand in the object's status: a merge patch of
// the status, or nullopt where it stands so already.
std::optional<json::value> status_patch(const json::value& object, const templates::JobTemplate& t,
                                        const templates::Resolution& resolution, Time now);

}  // namespace oddjob::runs
