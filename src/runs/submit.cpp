// From a request to a recorded run: policy, render, audit.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "core/trace.hpp"
#include "runs/engine_impl.hpp"
#include "runs/manifest.hpp"
#include "runs/objects.hpp"
#include "runs/served.hpp"

namespace oddjob::runs {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxKeys = 10000;
constexpr std::size_t kRefusedCommandBytes = 4096;
constexpr std::size_t kMaxDiff = 256U << 10U;

std::string key_name(std::string_view requester, std::string_view key_hash) {
  return std::string(key_hash) + " " + std::string(requester);
}

json::array strings(const std::vector<std::string>& v) { return json::array(v.begin(), v.end()); }

// A refused command may be anything: recorded readable, and bounded.
json::array refused_command(const std::vector<std::string>& argv) {
  json::array out;
  std::size_t bytes = 0;
  for (const auto& word : argv) {
    if (bytes >= kRefusedCommandBytes) {
      out.emplace_back("…");
      break;
    }
    out.emplace_back(printable(word, kRefusedCommandBytes - bytes));
    bytes += word.size() + 1;
  }
  return out;
}

json::object refused_params(const std::map<std::string, std::string, std::less<>>& params) {
  json::object out;
  std::size_t bytes = 0;
  for (const auto& [name, value] : params) {
    if (bytes >= kRefusedCommandBytes) break;
    out[printable(name, 63)] = printable(value, kRefusedCommandBytes - bytes);
    bytes += name.size() + value.size();
  }
  return out;
}

// Did somebody with an identity ask for what may not be? Trouble with the
// cluster or the database is no refusal.
bool is_refusal(const Error& e) {
  switch (e.kind) {
    case Errc::invalid_argument:
    case Errc::forbidden:
    case Errc::not_found:
    case Errc::too_large:
    case Errc::failed_precondition:
    case Errc::unsupported:
      return !e.code.starts_with("http.") && !e.code.starts_with("store.");
    default:
      return false;
  }
}

Error error_of(const policy::Deny& deny) {
  const auto kind = deny.code == "policy.max_concurrent" ? Errc::failed_precondition : Errc::forbidden;
  return Error{kind, deny.code, deny.reason, {}};
}

std::string trace_id(std::string_view traceparent) {
  const auto trace = parse_traceparent(traceparent);
  return trace ? trace->trace_id : "-";
}

// Counts a submit under way as its requester's.
class Turn {
 public:
  Turn(std::map<std::string, int, std::less<>>& counts, std::string who)
      : counts_(counts), who_(std::move(who)) {
    ++counts_[who_];
  }
  ~Turn() {
    if (const auto it = counts_.find(who_); --it->second == 0) counts_.erase(it);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::map<std::string, int, std::less<>>& counts_;
  std::string who_;
};

// Holds a place in line while a submit is under way.
class Place {
 public:
  Place(int& reserved, std::map<std::string, std::set<std::uint64_t>, std::less<>>& lines, std::string line,
        std::uint64_t place)
      : reserved_(reserved), lines_(lines), line_(std::move(line)), place_(place) {
    ++reserved_;
    lines_[line_].insert(place_);
  }
  ~Place() {
    --reserved_;
    const auto it = lines_.find(line_);
    it->second.erase(place_);
    if (it->second.empty()) lines_.erase(it);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  int& reserved_;
  std::map<std::string, std::set<std::uint64_t>, std::less<>>& lines_;
  std::string line_;
  std::uint64_t place_;
};

// At the end of its scope the run may be taken for one that nobody here knows of.
class RecordingEnd {
 public:
  RecordingEnd(std::set<std::string, std::less<>>& all, std::string run_id)
      : all_(all), run_id_(std::move(run_id)) {}
  ~RecordingEnd() { all_.erase(run_id_); }
  RecordingEnd(const RecordingEnd&) = delete;
  RecordingEnd& operator=(const RecordingEnd&) = delete;

 private:
  std::set<std::string, std::less<>>& all_;
  std::string run_id_;
};

Error too_many(int limit) {
  return {Errc::rate_limited, "runs.busy", fmt::format("{} runs are active, which is the limit", limit),
          "try again when some have ended", 5};
}

// What only the database could say, since another server was as quick.
Error full(Error e, const WorkloadRef& w, const store::Placement& placement) {
  if (e.code == "store.too_many_active") return too_many(placement.max_active.value_or(0));
  if (e.code != "store.workload_busy") return e;
  const int most = placement.max_on_workload.value_or(0);
  return {Errc::failed_precondition,
          "policy.max_concurrent",
          fmt::format("{} has {} run{} under way and allows no more at once (oddjob.dev/max-concurrent); "
                      "wait for one to end",
                      to_string(w), most, most == 1 ? "" : "s"),
          {},
          0};
}

}  // namespace

Result<> Engine::Impl::accepting(const RunRequest& request) const {
  if (stopping)
    return fail(Errc::unavailable, "runs.stopping", "the server is stopping", "try again in a moment");
  if (!started) {
    return fail(Errc::unavailable, "runs.not_ready", "the server has not taken up its unfinished runs yet",
                "try again in a moment");
  }
  return check_served(options.namespaces, request.workload.name_space);
}

int Engine::Impl::active_on(const WorkloadRef& w, std::string_view but_run) const {
  return static_cast<int>(std::ranges::count_if(active, [&](const auto& entry) {
    const Run& run = entry.second->run;
    return run.workload == w && run.id != but_run && !is_final(run.state);
  }));
}

void Engine::Impl::remember_key(const std::string& requester, std::string_view key_hash,
                                std::string_view digest, std::string_view run_id) {
  auto name = key_name(requester, key_hash);
  if (!keys.try_emplace(name, KeyOwner{std::string(digest), std::string(run_id)}).second) return;
  keys_order.push_back(std::move(name));
  if (keys_order.size() > kMaxKeys) {
    keys.erase(keys_order.front());
    keys_order.pop_front();
  }
}

const Engine::Impl::KeyOwner* Engine::Impl::known_key(const std::string& requester,
                                                      std::string_view key_hash) const {
  const auto it = keys.find(key_name(requester, key_hash));
  return it == keys.end() ? nullptr : &it->second;
}

net::Task<Result<Engine::Impl::Prepared>> Engine::Impl::prepare(Ptr self, Subject subject, RunRequest request,
                                                                TemplatePtr from, std::string run_id,
                                                                std::uint64_t place) {
  const WorkloadRef ref = request.workload;
  self->facts.prefetch(ref.name_space);
  Prepared out;
  auto reading = self->workload_reads.read(ref);
  auto asked = Steady::now();
  auto workload = co_await std::move(reading);
  out.waited += Steady::now() - asked;
  if (!workload) co_return std::unexpected(std::move(workload).error());
  out.workload = std::move(*workload);
  OJ_CO_TRY(out.policy, policy::parse_policy(annotations_of(*out.workload), to_string(ref)));
  policy::Circumstances circumstances;
  if (from) {
    circumstances.terms = from->terms;
    // Who may not run it learns that first, and nothing of its parameters.
    if (!policy::may_run(subject, out.policy, from->terms)) {
      out.decision = policy::decide(subject, out.policy, request, circumstances);
      if (const auto* deny = std::get_if<policy::Deny>(&out.decision))
        co_return std::unexpected(error_of(*deny));
    }
    OJ_CO_TRY(request, templates::fill(*from, request));
    templates::drop_own_account(request, *out.workload);
  }
  out.request = request;
  const auto container = render::choose_container(*out.workload, request, out.policy);

  auto counting = count_active(self, ref, run_id, false);
  const auto under_way = co_await std::move(counting);
  if (!under_way) co_return std::unexpected(under_way.error());
  circumstances.active_runs = *under_way;
  if (const auto line = self->reserved_on.find(workload_key(ref)); line != self->reserved_on.end()) {
    circumstances.active_runs +=
        static_cast<int>(std::distance(line->second.begin(), line->second.lower_bound(place)));
  }
  circumstances.resolved_container = container.value_or(std::string());
  out.decision = policy::decide(subject, out.policy, request, circumstances);
  // Who may not run here learns that first, and nothing of the rest.
  if (const auto* deny = std::get_if<policy::Deny>(&out.decision)) co_return std::unexpected(error_of(*deny));
  if (!container) co_return std::unexpected(container.error());

  auto asking = self->facts.read(ref.name_space, *out.workload, *container, !request.image_tag_as_written);
  asked = Steady::now();
  const auto facts = co_await std::move(asking);
  out.waited += Steady::now() - asked;
  if (!facts) co_return std::unexpected(facts.error());
  const render::Identity identity{run_id, subject.user, request.reason};
  OJ_CO_TRY(out.rendered, render::render(*out.workload, request, out.policy, *facts, identity));
  co_return out;
}

net::Task<Error> Engine::Impl::refuse(Ptr self, Caller caller, RunRequest request, Error why) {
  ++self->stats.refused;
  if (!is_refusal(why)) co_return why;
  AuditEvent e;
  e.type = "run.refused";
  e.actor = caller.subject.user;
  e.detail = json::object{{"code", why.code},
                          {"message", printable(why.message, 2048)},
                          {"namespace", printable(request.workload.name_space, 253)},
                          {"workload", printable(to_string(request.workload), 300)},
                          {"command", refused_command(request.command)},
                          {"teams", strings(caller.subject.teams)},
                          {"channel", caller.channel},
                          {"from", caller.from}};
  if (!caller.traceparent.empty()) e.detail["traceparent"] = caller.traceparent;
  if (request.from_template) {
    // What was asked for; the template may not even exist.
    e.detail.erase("workload");
    e.detail.erase("command");
    e.detail["template"] = printable(request.from_template->name, 253);
    e.detail["params"] = refused_params(request.params);
  }
  auto write = [self, &e] { return self->store.append_audit(e); };
  const auto written = co_await self->db.offload_together(write);
  if (!written) {
    spdlog::error("a refusal is not in the audit: {}", written.error().message);
    why.message += " (and this refusal could not be written to the audit: " + written.error().message + ")";
  }
  co_return why;
}

net::Task<Result<SubmitResult>> Engine::Impl::submit(Ptr self, Caller caller, RunRequest request,
                                                     std::string key) {
  OJ_CO_CHECK(self->accepting(request));
  const std::string requester = caller.subject.user;
  const std::string line = key.empty() ? std::string() : key_name(requester, sha256_hex(key));
  // Twice the same key at once: the second waits for what becomes of the first.
  while (!key.empty() && self->keys_under_way.contains(line)) {
    const auto seen = self->keys_changed.ticket();
    co_await self->keys_changed.wait_beyond(seen, std::chrono::seconds(60));
  }
  if (const auto* owner = key.empty() ? nullptr : self->known_key(requester, sha256_hex(key))) {
    const std::string run_id = owner->run_id;
    if (owner->digest != json_digest(to_recordable_json(request))) {
      co_return fail(Errc::already_exists, "store.idempotency_mismatch",
                     "this idempotency key was used for another request, run " + run_id,
                     "use a new key for a new request");
    }
    auto loading = load(self, run_id);
    auto run = co_await std::move(loading);
    if (!run) co_return std::unexpected(std::move(run).error());
    co_return SubmitResult{std::move(*run), true};
  }
  if (!key.empty()) self->keys_under_way.insert(line);
  auto recording = record(self, caller, request, key);
  auto result = co_await std::move(recording);
  if (!key.empty()) {
    self->keys_under_way.erase(line);
    self->keys_changed.notify_all();
  }
  if (result) {
    if (!result->replayed) ++self->stats.submitted;
    co_return result;
  }
  auto refusing = refuse(self, std::move(caller), std::move(request), std::move(result).error());
  auto error = co_await std::move(refusing);
  co_return std::unexpected(std::move(error));
}

// `run.job` is as it will be recorded: without values that may not be shown.
ApprovalTerms Engine::Impl::terms(const Prepared& prepared, const Run& run, int required) const {
  ApprovalTerms t;
  t.required = required;
  t.teams = policy::approver_teams(prepared.policy);
  t.users = policy::approver_users(prepared.policy);
  t.expires = run.created + prepared.policy.approval_expires;
  t.deferred = options.defer_pending;
  t.policy = policy::policy_annotations(annotations_of(*prepared.workload));
  render::Rendered shown = prepared.rendered;
  shown.job = run.job;
  t.diff = render::diff_text(*prepared.workload, shown, false);
  if (t.diff.size() > kMaxDiff) {
    t.diff.resize(t.diff.rfind('\n', kMaxDiff) + 1);
    t.diff += "# the rest is left out: too long\n";
  }
  return t;
}

// Of one requester: runs that have not ended, and submits under way.
std::size_t Engine::Impl::active_of(std::string_view requester) const {
  std::size_t n = 0;
  for (const auto& [id, r] : active)
    if (r->run.requester == requester) ++n;
  const auto under_way = reserved_by.find(requester);
  return n + (under_way == reserved_by.end() ? 0 : static_cast<std::size_t>(under_way->second));
}

net::Task<Result<SubmitResult>> Engine::Impl::record(Ptr self, Caller caller, RunRequest request,
                                                     std::string key) {
  OJ_CO_CHECK(validate(request));
  if (self->active.size() + static_cast<std::size_t>(self->reserved) >= self->options.max_active_runs) {
    Error busy{Errc::rate_limited, "runs.busy",
               fmt::format("{} runs are active, which is this server's limit", self->options.max_active_runs),
               "try again when some have ended", 5};
    co_return std::unexpected(std::move(busy));
  }
  const std::string& requester = caller.subject.user;
  if (const auto most = self->options.max_active_of_one; most > 0 && self->active_of(requester) >= most) {
    Error busy{
        Errc::rate_limited, "runs.busy_subject",
        fmt::format("you have {} runs under way, which is what limits.activeRunsPerSubject allows", most),
        "try again when some have ended; `oddjob ls` shows them", 5};
    co_return std::unexpected(std::move(busy));
  }
  const Turn turn(self->reserved_by, requester);
  // The request as it came is what an idempotency key stands for.
  const std::string digest = json_digest(to_recordable_json(request));
  // The template is read first: it names the workload.
  auto reading = read_template(self, request);
  const auto asked = Steady::now();
  const auto from = co_await std::move(reading);
  const auto waited = Steady::now() - asked;
  if (!from) co_return std::unexpected(from.error());
  if (*from) request.workload = (*from)->workload;
  const std::uint64_t number = self->next_place++;
  const Place place(self->reserved, self->reserved_on, workload_key(request.workload), number);
  const Time now = self->now();
  const std::string run_id = new_run_id(now);
  auto preparing = prepare(self, caller.subject, request, *from, run_id, number);
  auto prepared = co_await std::move(preparing);
  if (!prepared) co_return std::unexpected(std::move(prepared).error());
  request = prepared->request;
  auto& rendered = prepared->rendered;
  auto r = std::make_shared<ActiveRun>();
  r->secrets = secret_env(request);
  Run& run = r->run;
  run.id = run_id;
  run.state = RunState::starting;
  run.workload = request.workload;
  run.requester = caller.subject.user;
  run.requester_teams = caller.subject.teams;
  run.requester_how = caller.subject.how;
  run.command = request.command;
  run.container = rendered.container;
  run.image = rendered.image;
  run.reason = request.reason;
  run.request = to_recordable_json(request);
  run.job_name = rendered.job_name;
  run.digest = rendered.digest;
  run.report = render::report_json(rendered);
  run.job = std::move(rendered.job);
  take_values(run.job, run.container, r->secrets);
  run.created = now;
  if (const auto* needs = std::get_if<policy::NeedsApproval>(&prepared->decision)) {
    run.state = RunState::pending_approval;
    run.approval = self->terms(*prepared, run, needs->approvals);
  }

  const auto* allow = std::get_if<policy::Allow>(&prepared->decision);
  run.break_glass = allow != nullptr && allow->break_glass;
  json::object detail{
      {"workload", to_string(run.workload)},
      {"namespace", run.workload.name_space},
      {"workloadUid", uid_of(*prepared->workload)},
      {"workloadResourceVersion", get_string(*prepared->workload, {"metadata", "resourceVersion"})},
      {"teams", strings(run.requester_teams)},
      {"identifiedBy", to_string(caller.subject.how)},
      {"command", strings(run.command)},
      {"reason", run.reason},
      {"container", run.container},
      {"image", run.image},
      {"job", run.job_name},
      {"digest", run.digest},
      {"timeout", format_duration(rendered.timeout)},
      {"breakGlass", run.break_glass},
      {"channel", caller.channel},
      {"from", caller.from},
      {"requestDigest", digest}};
  if (run.approval.required > 0) {
    detail["approval"] =
        json::object{{"required", run.approval.required},
                     {"approvers", policy::who_may_approve(run.approval.teams, run.approval.users)},
                     {"expiresAt", format_time(run.approval.expires)}};
  }
  if (const auto* env = run.request.if_contains("env")) detail["env"] = *env;
  if (!caller.traceparent.empty()) detail["traceparent"] = caller.traceparent;
  // Which template, in which state, with which values.
  for (const auto* field : {"template", "params"})
    if (const auto* value = run.request.if_contains(field)) detail[field] = *value;
  const std::string key_hash = key.empty() ? std::string() : sha256_hex(key);
  if (!key.empty()) detail["idempotencyKeySha256"] = key_hash;
  auto event = audit_event("run.requested", run.requester, run, std::move(detail));
  if (self->stopping) co_return fail(Errc::unavailable, "runs.stopping", "the server is stopping");
  store::Placement placement;
  if (self->shared()) {
    placement.owner = self->replica;
    placement.max_active = static_cast<int>(self->options.max_active_runs);
    placement.max_on_workload = prepared->policy.max_concurrent;
    self->recording.insert(run_id);
  }
  auto write = [self, &run, &key, &digest, &event, &placement] {
    return self->store.create_run(run, key, digest, event, placement);
  };
  const auto handed_over = Steady::now();
  auto created = co_await self->db.offload_together(write);
  const Waited all_waits{waited + prepared->waited, Steady::now() - handed_over};
  const RecordingEnd recorded(self->recording, run_id);
  if (!created) co_return std::unexpected(full(std::move(created).error(), run.workload, placement));
  if (!key.empty()) self->remember_key(run.requester, key_hash, digest, created->run.id);
  if (created->replayed) co_return SubmitResult{std::move(created->run), true};
  run = std::move(created->run);
  r->request = std::move(request);
  r->traceparent = caller.traceparent;
  r->job = Observation::Job::absent;  // its name was not known to anybody before
  r->waiting_since = self->wait_now();
  SubmitResult result{run, false, all_waits};
  if (self->options.on_record) self->options.on_record();
  r->owner = placement.owner;
  spdlog::info("run {} asked for by {} on {} trace={}", run.id, printable(run.requester, 128),
               workload_key(run.workload), trace_id(caller.traceparent));
  if (!self->stopping) self->adopt(std::move(r));
  co_return result;
}

}  // namespace oddjob::runs
