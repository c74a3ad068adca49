// What is seen of the cluster: by the two shared watches as it changes, and by
// a look at the API server itself where the watch cannot know.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <ranges>

#include "core/names.hpp"
#include "core/text.hpp"
#include "runs/engine_impl.hpp"
#include "runs/manifest.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

constexpr std::size_t kMaxEvents = 20;
constexpr std::size_t kMaxSwept = 10000;

std::string event_time(const json::value& e) {
  for (const KeyPath path : {KeyPath{"series", "lastObservedTime"}, KeyPath{"lastTimestamp"},
                             KeyPath{"eventTime"}, KeyPath{"metadata", "creationTimestamp"}}) {
    if (const auto t = parse_time(get_string(e, path))) return format_time_micro(*t);
  }
  return {};
}

json::value reduce_event(const json::value& e) {
  json::object out;
  for (const auto key : {"type", "reason", "message"}) out[key] = printable(get_string(e, {key}), 2048);
  out["involvedObject"] = json::object{{"uid", get_string(e, {"involvedObject", "uid"})}};
  return out;
}

std::pair<std::string_view, std::string_view> age_of(const json::value& pod) {
  return {get_string(pod, {"metadata", "creationTimestamp"}), name_of(pod)};
}

}  // namespace

void Engine::Impl::touched(const RunPtr& r) {
  r->wake.notify_all();
  if (r->log) r->log->poke();
}

void Engine::Impl::saw_job(const RunPtr& r, const json::value& job) {
  const bool same = uid_of(r->job_object) == uid_of(job);
  if (same && version_of(job) != 0 && version_of(job) < version_of(r->job_object))
    return;  // older than what we know
  const bool turned = job_end(job) != job_end(r->job_object) || suspended(job) != suspended(r->job_object);
  if (!same || turned) r->pods_listed = false;
  r->job = Observation::Job::present;
  r->job_object = reduce_job(job);
  r->job_gone_since.reset();
  touched(r);
}

void Engine::Impl::saw_no_job(const RunPtr& r) {
  if (r->job != Observation::Job::absent) {
    r->pods_listed = false;
    r->job_gone_since = wait_now();
  }
  r->job = Observation::Job::absent;
  touched(r);
}

void Engine::Impl::saw_pod(const RunPtr& r, const json::value& pod, bool gone) {
  if (r->run.job_uid.empty() || !owned_by(pod, r->run.job_uid))
    return;  // not of this run's Job, whatever it says
  const std::string uid(uid_of(pod));
  if (uid.empty()) return;
  const auto it = r->pods.find(uid);
  if (it == r->pods.end()) {
    r->pods[uid] = reduce_pod(pod);
  } else if (version_of(pod) == 0 || version_of(pod) >= version_of(it->second)) {
    json::value fresh = reduce_pod(pod);
    keep_first_deletion(fresh, it->second);
    it->second = std::move(fresh);
  }
  if (gone) r->gone_pods.insert(uid);
  touched(r);
}

void Engine::Impl::on_job(kube::WatchEventType type, const json::value& job) {
  const auto r = find(run_id_of(job));
  const bool ours = r && uid_of(job) == r->run.job_uid;
  if (!ours) {
    // Before its uid is in the record, only a look decides whether a Job is ours.
    if (r && r->run.job_uid.empty()) return;
    if (type == kube::WatchEventType::deleted || being_deleted(job) || stopping) return;
    // Several servers see it: one of them is enough.
    if (!r && shared() && !sweeper) return;
    if (swept.size() > kMaxSwept) swept.clear();
    if (!swept.insert(std::string(uid_of(job))).second) return;
    if (r) {
      loop.spawn("runs.imitation", stop_imitation(shared_from_this(), r->run, job));
    } else {
      loop.spawn("runs.sweep", sweep(shared_from_this(), std::string(run_id_of(job)), job));
    }
    return;
  }
  if (type != kube::WatchEventType::deleted) return saw_job(r, job);
  saw_job(r, job);  // its last state
  saw_no_job(r);
}

void Engine::Impl::on_pod(kube::WatchEventType type, const json::value& pod) {
  if (const auto r = find(run_id_of(pod))) saw_pod(r, pod, type == kube::WatchEventType::deleted);
}

Observation Engine::Impl::observe(const ActiveRun& r) const {
  Observation o;
  o.job = r.job;
  o.job_object = r.job_object;
  for (const auto& [uid, pod] : r.pods) o.pods.push_back(pod);
  std::ranges::sort(o.pods, {}, age_of);
  o.events = r.events;
  o.events_problem = r.events_problem;
  o.create_error = r.create_error;
  o.log_drained = r.log && r.log->drained();
  o.gone_pods = r.gone_pods;
  o.followed_pods = r.followed_pods;
  o.pods_listed = r.pods_listed;
  o.values_lost = r.values_lost;
  o.recovered = r.recovered;
  o.job_was_made = r.job_was_made;
  o.queued =
      options.defer_pending && !get_string(r.run.job, {"metadata", "labels", names::kQueueLabel}).empty();
  o.refusal = r.refusal;
  o.job_gone_since = r.job_gone_since;
  o.waiting_since = r.waiting_since;
  o.start_timeout = options.start_timeout;
  return o;
}

// Reads the Job and its pods from the API server. The pods are read after the
// Job, so that what they say is not older than what it says.
net::Task<Result<>> Engine::Impl::look(Ptr self, RunPtr r) {
  r->looked = std::chrono::steady_clock::now();
  const std::string ns = r->run.workload.name_space;
  const std::string name = r->run.job_name;
  auto getting = self->client.get(kube::resources::jobs, ns, name);
  const auto job = co_await std::move(getting);
  if (!job && job.error().kind != Errc::not_found) co_return std::unexpected(job.error());
  if (!job) {
    self->saw_no_job(r);
  } else if (is_ours(r->run, *job)) {
    self->saw_job(r, *job);
  } else {
    self->saw_no_job(r);
    r->job = Observation::Job::foreign;
  }
  if (r->run.job_uid.empty()) {  // no pod before that
    if (job || !r->recovered) co_return Result<>();
    auto asking = look_for_traces(self, r);
    co_return co_await std::move(asking);
  }
  // Only what was known before the list was asked for can be missing from it: a watch tells of
  // new pods while the answer is on its way.
  std::vector<std::string> known;
  for (const auto& [uid, pod] : r->pods) known.push_back(uid);
  kube::ListOptions options;
  options.name_space = ns;
  options.label_selector = std::string(names::kRunIdLabel) + "=" + r->run.id;
  auto listing = self->client.list(kube::resources::pods, std::move(options));
  const auto pods = co_await std::move(listing);
  if (!pods) co_return std::unexpected(pods.error());
  std::set<std::string, std::less<>> there;
  for (const auto& pod : pods->items) {
    there.emplace(uid_of(pod));
    self->saw_pod(r, pod, false);
  }
  for (auto& uid : known) {
    if (!there.contains(uid)) r->gone_pods.insert(std::move(uid));
  }
  r->pods_listed = true;
  self->touched(r);
  co_return Result<>();
}

// The record of an earlier process says that the Job is still to be made. If the record is a
// backup's, it may have been made since, have run and be gone: events outlive it, by an hour.
net::Task<Result<>> Engine::Impl::look_for_traces(Ptr self, RunPtr r) {
  kube::ListOptions options;
  options.name_space = r->run.workload.name_space;
  options.field_selector = "involvedObject.kind=Job,involvedObject.name=" + r->run.job_name;
  auto listing = self->client.list(kube::resources::events, std::move(options));
  const auto listed = co_await std::move(listing);
  if (!listed && listed.error().kind != Errc::forbidden) co_return std::unexpected(listed.error());
  if (!listed)
    spdlog::warn("run {}: whether its Job was made before is not known: {}", r->run.id,
                 listed.error().message);
  r->job_was_made = listed && !listed->items.empty();
  co_return Result<>();
}

// The events of what a run waits for: of its Job while there is no pod, else
// of its newest pod.
net::Task<> Engine::Impl::poll_events(Ptr self, RunPtr r) {
  std::string uid(uid_of(r->job_object));
  std::pair<std::string_view, std::string_view> newest;
  for (const auto& [pod_uid, pod] : r->pods) {
    if (r->gone_pods.contains(pod_uid) || age_of(pod) < newest) continue;
    newest = age_of(pod);
    uid = pod_uid;
  }
  kube::ListOptions options;
  options.name_space = r->run.workload.name_space;
  options.field_selector = "involvedObject.uid=" + uid;
  options.max_items = 5000;
  auto listing = self->client.list(kube::resources::events, std::move(options));
  auto listed = co_await std::move(listing);
  r->events_at = std::chrono::steady_clock::now();
  r->polling_events = false;
  ++r->event_polls;
  if (!listed) {
    // Once a run: it is asked again and again, and the waiting user sees it too.
    spdlog::log(r->events_problem.empty() ? spdlog::level::warn : spdlog::level::debug,
                "run {}: reading events: {}", r->run.id, listed.error().message);
    r->events_problem = printable(listed.error().message, 512);
  } else {
    r->events_problem.clear();
    std::ranges::stable_sort(listed->items, {}, event_time);
    r->events.clear();
    const std::size_t skip = listed->items.size() - std::min(listed->items.size(), kMaxEvents);
    for (const auto& e : listed->items | std::views::drop(skip)) r->events.push_back(reduce_event(e));
  }
  r->wake.notify_all();
}

// A Job whose run has ended and is not in memory any more. A suspended one was
// made by a create whose answer never came (a crash, a timeout): it never ran,
// and nobody else would remove it. One that is not the run's own was made by
// somebody else. A run that is not known may be another OddJob's: left alone.
net::Task<> Engine::Impl::sweep(Ptr self, std::string run_id, json::value job) {
  auto read = [self, &run_id] { return self->store.get_run(run_id); };
  auto run = co_await self->db.offload(read);
  // One that another server runs is looked at again when it is heard of again.
  if (run && !is_final(run->state)) self->swept.erase(std::string(uid_of(job)));
  if (self->stopping || !run || !is_final(run->state) || run->id != run_id) co_return;
  if (!run->job_uid.empty() && run->job_uid != uid_of(job)) {
    auto stopping_it = stop_imitation(self, std::move(*run), std::move(job));
    co_await std::move(stopping_it);
    co_return;
  }
  if (!never_released(job) || run->job_name != name_of(job)) co_return;
  spdlog::info("run {} has ended: deleting its Job {}, which never ran", run->id, run->job_name);
  kube::DeleteOptions options;
  options.uid = std::string(uid_of(job));
  auto removing =
      self->client.remove(kube::resources::jobs, run->workload.name_space, run->job_name, std::move(options));
  const auto removed = co_await std::move(removing);
  if (!removed) spdlog::warn("deleting Job {}: {}", run->job_name, removed.error().message);
}

// A Job that carries a run's id and is not the one that OddJob made for it: a
// copy, or one that was made anew under its name.
net::Task<> Engine::Impl::stop_imitation(Ptr self, Run run, json::value job) {
  const std::string ns(get_string(job, {"metadata", "namespace"}));
  const std::string name(name_of(job)), uid(uid_of(job));
  spdlog::warn("run {}: Job {} (uid {}) carries its id and was not made by OddJob: deleting it", run.id,
               printable(name, 253), printable(uid, 64));
  json::object detail{
      {"what", "imitated"},
      {"job", printable(name, 253)},
      {"namespace", printable(ns, 253)},
      {"uid", printable(uid, 64)},
      {"workload", to_string(run.workload)},
      {"message", "A Job that OddJob did not make carries the run's id; OddJob deleted it" +
                      std::string(suspended(job) ? ", before it had started"
                                                 : ", and its command may have run until then")}};
  auto event = audit_event("run.tampered", "oddjob", run, std::move(detail));
  auto write = [self, &event] { return self->store.append_audit(event); };
  const auto written = co_await self->db.offload_together(write);
  if (!written) spdlog::error("an imitated Job is not in the audit: {}", written.error().message);
  if (self->options.on_record) self->options.on_record();
  kube::DeleteOptions options;
  options.uid = uid;
  auto removing = self->client.remove(kube::resources::jobs, ns, name, std::move(options));
  const auto removed = co_await std::move(removing);
  if (!removed && removed.error().kind != Errc::conflict) {
    spdlog::warn("deleting Job {}: {}", printable(name, 253), removed.error().message);
    self->swept.erase(uid);  // the next word of it tries again
  }
}

}  // namespace oddjob::runs
