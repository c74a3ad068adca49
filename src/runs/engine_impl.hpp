// What the files of the engine share. Not for other rooms.
//
// Every coroutine of the engine is static and holds the Impl, and the run it is
// about, by shared_ptr: an Engine that goes leaves nothing dangling. All state
// is touched on the loop's thread only.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <unordered_map>

#include "kube/watch.hpp"
#include "runs/engine.hpp"
#include "runs/facts.hpp"
#include "runs/log_follower.hpp"
#include "runs/machine.hpp"
#include "runs/template_watch.hpp"
#include "runs/workload_reads.hpp"

namespace oddjob::runs {

// A run that has not ended, and what is known of it.
struct ActiveRun {
  Run run;                      // as stored last
  std::vector<EnvVar> secrets;  // env values that are nowhere else
  std::string traceparent;      // of the request, as long as this process lives
  bool values_lost = false;
  bool recovered = false;             // of an earlier process
  bool job_was_made = false;          // events tell of its Job; asked for before it is made again
  std::string owner;                  // this server's name at the time; empty: there are no others
  bool lost = false;                  // another server has it now: nothing more is done here
  std::optional<RunRequest> request;  // as it came in; after a restart: as recorded

  // The cluster, as seen last.
  Observation::Job job = Observation::Job::unknown;
  json::value job_object;                                // reduced
  std::map<std::string, json::value, std::less<>> pods;  // by uid, reduced
  std::set<std::string, std::less<>> gone_pods, followed_pods;
  std::vector<json::value> events;
  std::string events_problem;
  bool pods_listed = false;
  std::optional<Time> job_gone_since;
  std::optional<Error> create_error, refusal;
  Time waiting_since{};

  std::shared_ptr<LogFollower> log;
  net::Notifier wake;  // the supervisor has something to look at
  std::shared_ptr<net::Notifier> changed = std::make_shared<net::Notifier>();  // readers have
  std::string progress;  // shown; run.progress is what is stored of it
  std::chrono::steady_clock::time_point progress_since{}, progress_stored{}, looked{}, events_at{};
  int event_polls = 0;
  bool polling_events = false;
  std::optional<std::chrono::steady_clock::time_point> events_turn;
  std::optional<std::chrono::steady_clock::time_point> forbidden_since;
  Duration backoff{};
};
using RunPtr = std::shared_ptr<ActiveRun>;

struct Engine::Impl : std::enable_shared_from_this<Engine::Impl> {
  using Ptr = std::shared_ptr<Impl>;
  Impl(net::Loop& l, kube::Client& c, store::Store& s, net::BlockingPool& d, EngineOptions o);

  // ---- engine.cpp: beginning and end
  static net::Task<Result<>> start(Ptr self);
  static net::Task<> stop(Ptr self);
  void watch();
  void add(Run run);       // of an earlier process
  RunPtr adopt(RunPtr r);  // into active, and begins to supervise it
  void retire(const RunPtr& r);
  [[nodiscard]] RunPtr find(std::string_view run_id) const;
  [[nodiscard]] Time now() const { return clock->now(); }
  // What waits are measured by: the clock as it was at the start, and from there on the time that
  // has passed. So a clock that is set neither ends a wait nor prolongs it.
  [[nodiscard]] Time wait_now() const {
    return began + std::chrono::floor<Time::duration>(clock->steady() - began_steady);
  }

  // ---- replica.cpp: several servers on one database
  [[nodiscard]] bool shared() const { return !options.replica.empty(); }
  // Does this server surely own its runs, by its own clock? A process that stood
  // still finds here that its time has passed.
  [[nodiscard]] bool holds_lease() const;
  static net::Task<Result<>> join_others(Ptr self);
  static net::Task<> keep_lease(Ptr self);
  static net::Task<> follow_others(Ptr self);
  static net::Task<> take_in(Ptr self, std::vector<store::LiveRun> live);
  static net::Task<> leave(Ptr self);
  void lose(const RunPtr& r);
  [[nodiscard]] std::shared_ptr<net::Notifier> changes_of(std::string_view run_id) const;
  void sweep_all();
  // Runs under way on a workload: of all servers, and without `but_run`.
  static net::Task<Result<int>> count_active(Ptr self, WorkloadRef w, std::string but_run, bool recorded);
  struct Elsewhere {
    std::shared_ptr<net::Notifier> changed;
    std::int64_t version = 0, log_bytes = 0;
  };
  std::map<std::string, Elsewhere, std::less<>> elsewhere;  // live runs of others
  std::set<std::string, std::less<>> recording;             // of submits whose commit is under way
  std::unique_ptr<net::BlockingPool> lease_db;              // null: there are no others
  std::string replica;                                      // options.replica, or its next life
  int lives = 1, leasing = 0;
  std::chrono::steady_clock::time_point lease_until{};
  bool sweeper = false;  // the one that looks after Jobs of runs that have ended
  net::Notifier stop_leasing;

  // ---- templates.cpp
  using TemplatePtr = std::shared_ptr<const templates::JobTemplate>;  // null: a free command
  // The template that the request names, as it is in the cluster now; null if it names none.
  static net::Task<Result<TemplatePtr>> read_template(Ptr self, RunRequest request);
  // What the template of a recorded request says about who and approval, if it is
  // still the one that was asked for. Else "template.changed" or "template.not_found" (forbidden).
  static net::Task<Result<TemplateTerms>> same_template(Ptr self, RunRequest recorded);
  static net::Task<Result<json::value>> get_template_object(Ptr self, std::string ns, std::string name);
  static net::Task<Result<TemplateInfo>> get_template(Ptr self, Subject subject, std::string ns,
                                                      std::string name);
  Result<std::vector<TemplateInfo>> list_templates(const Subject& subject,
                                                   const std::string& name_space) const;
  [[nodiscard]] std::optional<Result<Policy>> seen_policy(const WorkloadRef& w) const;
  std::shared_ptr<TemplateWatch> template_watch;

  // ---- submit.cpp
  static net::Task<Result<SubmitResult>> submit(Ptr self, Caller caller, RunRequest request, std::string key);
  static net::Task<Result<DryRunResult>> dry_run(Ptr self, Caller caller, RunRequest request);
  struct Prepared {
    WorkloadReads::Seen workload;
    Policy policy;
    policy::Decision decision;
    render::Rendered rendered;
    RunRequest request;                            // with what a template filled in
    std::chrono::steady_clock::duration waited{};  // for the API server
  };
  [[nodiscard]] ApprovalTerms terms(const Prepared& prepared, const Run& run, int required) const;
  // `place`: what stands before it in line counts as active already.
  static net::Task<Result<Prepared>> prepare(Ptr self, Subject subject, RunRequest request, TemplatePtr from,
                                             std::string run_id, std::uint64_t place);
  static net::Task<Result<SubmitResult>> record(Ptr self, Caller caller, RunRequest request, std::string key);
  static net::Task<Error> refuse(Ptr self, Caller caller, RunRequest request, Error why);
  [[nodiscard]] Result<> accepting(const RunRequest& request) const;
  [[nodiscard]] std::size_t active_of(std::string_view requester) const;
  [[nodiscard]] int active_on(const WorkloadRef& w, std::string_view but_run) const;
  void remember_key(const std::string& requester, std::string_view key_hash, std::string_view digest,
                    std::string_view run_id);
  struct KeyOwner {
    std::string digest, run_id;
  };
  [[nodiscard]] const KeyOwner* known_key(const std::string& requester, std::string_view key_hash) const;
  net::Notifier keys_changed;
  std::set<std::string, std::less<>> keys_under_way;

  // ---- supervisor.cpp
  static net::Task<> supervise(Ptr self, RunPtr r);
  static net::Task<> perform(Ptr self, RunPtr r, Step step);
  static net::Task<> create_job(Ptr self, RunPtr r);
  static net::Task<> delete_job(Ptr self, RunPtr r);
  static net::Task<> finish(Ptr self, RunPtr r, Outcome outcome);
  // Waits, longer each time, until something happens; `why` is shown.
  static net::Task<> back_off(Ptr self, RunPtr r, std::string why);
  void show_progress(const RunPtr& r, std::string text);

  // ---- release.cpp
  [[nodiscard]] Action::Kind next_once_recorded(ActiveRun& r) const;
  // Asks the policy, records the intent (and the Job's uid, if it is not on record yet), and starts
  // the Job. A Job without its uid on record is left so where the policy does not say yes.
  static net::Task<> release_job(Ptr self, RunPtr r);
  static net::Task<Result<>> ask_again(Ptr self, RunPtr r);
  static net::Task<Result<>> look_closely(Ptr self, RunPtr r);

  // ---- approvals.cpp
  static net::Task<Result<Run>> approve(Ptr self, Caller caller, std::string run_id, std::string digest,
                                        std::string reason);
  static net::Task<Result<Run>> deny(Ptr self, Caller caller, std::string run_id, std::string reason);
  // The workload's policy now, if it is still the one that the run was asked
  // for under; else "approval.policy_changed", which says what changed.
  static net::Task<Result<Policy>> policy_now(Ptr self, const Run& run);
  static net::Task<Result<Run>> pending_run(Ptr self, Caller caller, std::string run_id);
  static net::Task<Error> refuse_approval(Ptr self, Caller caller, Run run, std::string what, Error why);
  // Are the approvals that it has enough, at this moment?
  [[nodiscard]] Result<> approved(const Run& run, const Policy& now) const;
  [[nodiscard]] bool may_approve(const Subject& s, const Run& run) const;
  [[nodiscard]] std::optional<Subject> known(const Subject& recorded) const;

  // ---- records.cpp: the one way in which a run changes
  // Applies `change` to the newest record and stores it with the events it
  // returns; on a conflict once more. nullopt from `change`: nothing to do.
  using Change = std::function<std::optional<std::vector<AuditEvent>>(Run&)>;
  // With `as_owner` only while this server owns the run: "store.not_owner".
  static net::Task<Result<>> change(Ptr self, RunPtr r, Change change, bool as_owner = false);
  // As its owner, until it is stored; false: the engine stops, or the run is lost.
  static net::Task<bool> persist(Ptr self, RunPtr r, Change change);

  // ---- observer.cpp
  Observation observe(const ActiveRun& r) const;
  static net::Task<Result<>> look(Ptr self, RunPtr r);
  static net::Task<Result<>> look_for_traces(Ptr self, RunPtr r);
  static net::Task<> poll_events(Ptr self, RunPtr r);
  static net::Task<> sweep(Ptr self, std::string run_id, json::value job);
  static net::Task<> stop_imitation(Ptr self, Run run, json::value job);
  void on_job(kube::WatchEventType type, const json::value& job);
  void on_pod(kube::WatchEventType type, const json::value& pod);
  void saw_job(const RunPtr& r, const json::value& job);  // it is ours, and there
  void saw_no_job(const RunPtr& r);
  void saw_pod(const RunPtr& r, const json::value& pod, bool gone);
  void touched(const RunPtr& r);

  // ---- views.cpp
  [[nodiscard]] Run view(const ActiveRun& r) const;  // with what is not stored yet
  // Of a workload that is in view; nullopt where it is not, or cannot be read.
  [[nodiscard]] std::optional<Policy> policy_of(const WorkloadRef& w) const;
  [[nodiscard]] bool may_run_on(const Subject& s, const WorkloadRef& w) const;
  [[nodiscard]] bool may_see(const Subject& s, const Run& run) const;
  static net::Task<Result<Run>> load(Ptr self, std::string run_id);
  static net::Task<Result<Run>> cancel(Ptr self, Caller caller, std::string run_id);
  static net::Task<Result<store::RunPage>> list(Ptr self, Subject subject, store::RunFilter filter,
                                                std::string cursor, int limit, bool approvable);
  std::vector<std::string> workload_warnings(std::string_view name_space) const;
  Result<std::vector<WorkloadInfo>> workloads(const Subject& subject, const std::string& name_space) const;

  net::Loop& loop;
  kube::Client& client;
  store::Store& store;
  net::BlockingPool& db;
  EngineOptions options;
  const Clock* clock;
  const Time began;
  const std::chrono::steady_clock::time_point began_steady;
  Facts facts;
  WorkloadReads workload_reads;

  std::map<std::string, RunPtr, std::less<>> active;
  int reserved = 0;                                     // submits under way
  std::map<std::string, int, std::less<>> reserved_by;  // of whom
  std::uint64_t next_place = 0;
  std::chrono::steady_clock::time_point next_events_turn{};  // of all runs that wait
  std::map<std::string, std::set<std::uint64_t>, std::less<>>
      reserved_on;  // their places in line, by workload
  bool started = false, stopping = false;
  int supervising = 0;
  net::Notifier idle;
  Stats stats;

  // One a kind and namespace.
  std::vector<std::unique_ptr<kube::Reflector>> jobs, pods;
  std::vector<std::pair<WorkloadKind, std::unique_ptr<kube::Reflector>>> workload_caches;
  std::map<std::string, Error, std::less<>> watch_problems;  // of jobs and pods, by what is watched
  std::map<std::pair<std::string, WorkloadKind>, Error> workload_problems;  // by namespace ("": all) and kind
  std::set<std::string, std::less<>> swept;                                 // uids looked at by sweep()

  std::unordered_map<std::string, KeyOwner> keys;  // bounded, see keys_order
  std::deque<std::string> keys_order;
};

inline constexpr std::string_view kSelf = "oddjob";  // the actor of what nobody asked for

AuditEvent audit_event(std::string type, std::string actor, const Run& run, json::object detail);
// The Job's uid goes into the record, once; nullopt: it is there, or the run has ended.
std::optional<AuditEvent> record_uid(Run& run, std::string_view uid);
[[nodiscard]] bool has_job(const ActiveRun& r, std::string_view uid);
// An API server that has just started says "forbidden" to everybody until it has read its
// roles: that is believed when it stands.
bool believed(ActiveRun& r, const Error& e);

}  // namespace oddjob::runs
