// The heart: takes requests, starts what may start, follows to the end, and
// picks up after a crash. One Engine a process; loop thread only.
//
// Order that always holds: audit record committed, then the first call to the
// cluster. The Job is created suspended, its uid recorded, then released: so a
// Job that is missing before its uid was recorded has never run, and one that
// is missing afterwards is never created again.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/words.hpp"
#include "kube/client.hpp"
#include "net/async.hpp"
#include "policy/approvals.hpp"
#include "policy/policy.hpp"
#include "render/render.hpp"
#include "store/store.hpp"
#include "template/template.hpp"

namespace oddjob::runs {

// What may change while the engine runs.
struct EngineLimits {
  Duration start_timeout = std::chrono::minutes(15);  // a pod that never starts
  std::size_t max_active_runs = 1000;                 // over it: rate_limited "runs.busy"
  std::size_t max_active_of_one = 0;                  // requester; over it: "runs.busy_subject"; 0: no bound
  std::size_t max_log_bytes = 1ULL << 30U;            // a run's archive; more is dropped and said
  policy::Aliases aliases{};                          // names that are one person
};

struct EngineOptions : EngineLimits {
  const Clock* clock = nullptr;
  Duration retry_min = std::chrono::milliseconds(200), retry_max = std::chrono::seconds(20);
  std::size_t max_log_line = 1U << 20U;  // lines pass on in pieces of at most so many bytes
  std::vector<std::string> namespaces;   // to watch and serve; empty: all
  // The Job of a run that waits for approval is made when it is approved, and a
  // Job with Kueue's queue label is started by Kueue.
  bool defer_pending = false;
  // What is known now of a subject that was recorded: its present teams, or
  // itself where nothing newer is known; nullopt where it is no more. Empty: itself.
  std::function<std::optional<Subject>(const Subject&)> known;
  std::function<void()> on_record;  // after each record of a run
  // Set where other servers may be on the same database: a name that no other
  // process has, or ever had. Runs are then owned by lease (docs/run-lifecycle.md).
  std::string replica;
  Duration lease = std::chrono::seconds(10);
};

struct Caller {
  Subject subject;
  std::string channel;        // "api", "cli", "web"
  std::string from;           // peer address
  std::string traceparent{};  // of what it asks for, to be passed on; may be empty
};

// What a submit waited for, of its whole time.
struct Waited {
  std::chrono::steady_clock::duration cluster{};   // the API server: the workload and what belongs to it
  std::chrono::steady_clock::duration database{};  // the commit
};
struct SubmitResult {
  Run run;
  bool replayed = false;
  Waited waited{};
};
struct DryRunResult {
  render::Rendered rendered;
  std::vector<std::string> server_warnings;
  std::vector<std::string> denials;  // why the API server would refuse the Job or its pod, in its words
};

struct WorkloadInfo {
  WorkloadRef ref;
  bool may_run = false;
  std::string problem;  // why not, or what is wrong with its annotations
  bool needs_approval = false;
  std::string team_summary;  // "teams: payments; users: ann"
  std::string version;       // moves whenever the workload changes
};

struct TemplateInfo {
  templates::JobTemplate value;  // as far as it can be read
  std::vector<templates::Problem> problems;
  templates::Resolution resolution;
  bool may_run = false;
  int approvals = 0;    // that a run would need
  std::string problem;  // why the caller may not run it, or nobody can
};

class Engine {
 public:
  Engine(net::Loop& loop, kube::Client& client, store::Store& store, net::BlockingPool& db,
         EngineOptions options = {});
  ~Engine();

  // Starts the watches and recovers unfinished runs. Returns once the first
  // lists are in, or with the reason they are not.
  net::Task<Result<>> start();
  net::Task<> stop();
  // From now on; for runs under way too, but the log's bound for those that come.
  void set_limits(EngineLimits limits);
  [[nodiscard]] bool ready() const noexcept;
  [[nodiscard]] std::string not_ready_reason() const;

  // Policy, render, audit, then the run is on its way. Returns when the intent
  // is committed. Refusals are audited too ("run.refused"). Errors besides those
  // of validate, policy, render and the cluster: "template.not_found", "template.not_installed",
  // "template.invalid", "template.bad_params", "workload.not_found", "runs.namespace_not_served"
  // (failed_precondition), "runs.busy", "runs.busy_subject" (rate_limited), "runs.not_ready", "runs.stopping"
  // (unavailable).
  net::Task<Result<SubmitResult>> submit(const Caller& caller, RunRequest request,
                                         std::string idempotency_key);
  net::Task<Result<DryRunResult>> dry_run(const Caller& caller, RunRequest request);
  net::Task<Result<Run>> cancel(const Caller& caller, std::string run_id);

  // One person's yes to the Job with this digest; with enough of them the run
  // starts. The workload is read and every right asked anew, here and again when
  // the run starts. Again by the same subject: changes nothing. Errors, each also
  // in the audit ("run.approval_refused"): "approval.own_run",
  // "approval.not_approver", "approval.same_person" (forbidden);
  // "approval.digest_mismatch", "approval.not_pending", "approval.expired"
  // (conflict); "approval.policy_changed" (failed_precondition), which also ends
  // the run as denied.
  net::Task<Result<Run>> approve(const Caller& caller, std::string run_id, std::string digest,
                                 std::string reason);
  // An approver's no, with a reason ("approval.reason_required"): the run ends.
  // Errors as above, but for those of the digest.
  net::Task<Result<Run>> deny(const Caller& caller, std::string run_id, std::string reason);
  // Could this caller approve it, by what is known without asking the cluster?
  [[nodiscard]] bool may_approve(const Caller& caller, const Run& run) const;

  // cancel() may be asked for by the requester, those who may run on the
  // workload, and admins ("run.not_allowed"); on a run that has ended it changes
  // nothing. A run that the caller may not see is "run.not_found".
  // Visible to: the requester, those who may run on the workload or approve its
  // runs, admins, auditors.
  net::Task<Result<Run>> get(const Caller& caller, std::string run_id);
  // `approvable`: only those that the caller could approve now.
  net::Task<Result<store::RunPage>> list(const Caller& caller, store::RunFilter filter, std::string cursor,
                                         int limit, bool approvable = false);
  net::Task<Result<std::vector<WorkloadInfo>>> workloads(const Caller& caller, std::string name_space);
  // What workloads() leaves out, or has from before, because the cluster does not
  // list it now: a sentence a kind and namespace, in the API server's words.
  [[nodiscard]] std::vector<std::string> workload_warnings(std::string_view name_space) const;
  // The templates of the cluster, by namespace and name, as last seen; one of
  // them as it is now. Errors: "template.not_installed" (failed_precondition) where
  // the cluster has no JobTemplates, "template.not_found", those of the cluster.
  net::Task<Result<std::vector<TemplateInfo>>> templates(const Caller& caller, std::string name_space);
  net::Task<Result<TemplateInfo>> get_template(const Caller& caller, std::string name_space,
                                               std::string name);

  // Any replica answers for any run: what another one owns is read from the
  // database, and changes of it are seen there a fraction of a second later.
  //
  // Live view of one run. changed() counts every change of its record or its
  // log; wait for it to move, then read get()/read_log(). By the full id. A run
  // that has ended does not change any more.
  [[nodiscard]] std::uint64_t change_ticket(std::string_view run_id);
  net::Task<bool> wait_changed(std::string_view run_id, std::uint64_t seen, Duration timeout);
  // Archived bytes plus what is not yet flushed; empty when there is nothing
  // beyond `offset` now.
  net::Task<Result<std::string>> read_log(std::string run_id, std::int64_t offset, std::size_t max_bytes);
  // Whether retention has dropped it; nullopt: it is kept.
  net::Task<Result<std::optional<store::DroppedLog>>> dropped_log(std::string run_id);

  struct Stats {
    std::size_t active = 0;
    std::uint64_t submitted = 0, refused = 0, finished = 0, log_bytes = 0;
  };
  [[nodiscard]] Stats stats() const noexcept;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::runs
