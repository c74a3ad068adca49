#include "devcluster/node/pod_worker.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <thread>

#include "core/digest.hpp"
#include "core/quantity.hpp"
#include "core/words.hpp"
#include "devcluster/controllers/support.hpp"

namespace oddjob::devcluster {
namespace {

constexpr Duration kRetry = std::chrono::seconds(2);
constexpr Duration kMemoryPoll = std::chrono::milliseconds(200);
constexpr auto kFirstBackoff = std::chrono::seconds(10), kLastBackoff = std::chrono::seconds(300);

bool always(const json::value& container) { return get_string(container, {"restartPolicy"}) == "Always"; }

json::object condition(std::string_view type, bool on, std::string_view reason = {},
                       std::string_view message = {}) {
  json::object c{{"type", type},
                 {"status", on ? "True" : "False"},
                 {"lastProbeTime", nullptr},
                 {"lastTransitionTime", now_text()}};
  if (!reason.empty()) c["reason"] = reason;
  if (!message.empty()) c["message"] = message;
  return c;
}

std::string qos_class(const json::value& pod) {
  bool any = false, all = true;
  if (const auto* list = find_array(pod, {"spec", "containers"})) {
    for (const auto& c : *list) {
      const auto* limits = find_object(c, {"resources", "limits"});
      const auto* requests = find_object(c, {"resources", "requests"});
      any = any || (limits != nullptr && !limits->empty()) || (requests != nullptr && !requests->empty());
      for (const auto* key : {"cpu", "memory"})
        all = all && limits != nullptr && limits->contains(key) && requests != nullptr &&
              requests->contains(key) && limits->at(key) == requests->at(key);
    }
  }
  return !any ? "BestEffort" : all ? "Guaranteed" : "Burstable";
}

// Why the one node can't take the pod; empty: it can.
std::string misfit(const json::value& pod) {
  static const std::map<std::string_view, std::string_view> labels = {
      {"kubernetes.io/os", "linux"}, {"kubernetes.io/arch", "amd64"}, {"kubernetes.io/hostname", "dev"}};
  bool selected = true;
  if (const auto* wanted = find_object(pod, {"spec", "nodeSelector"}))
    for (const auto& [key, value] : *wanted) {
      const auto found = labels.find(key);
      selected =
          selected && found != labels.end() && value.is_string() && sv(value.get_string()) == found->second;
    }
  if (const auto* terms =
          find_array(pod, {"spec", "affinity", "nodeAffinity",
                           "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"})) {
    bool any = false;
    for (const auto& term : *terms) {
      bool all = true;
      if (const auto* expressions = find_array(term, {"matchExpressions"}))
        for (const auto& e : *expressions) {
          const auto found = labels.find(get_string(e, {"key"}));
          const auto* values = find_array(e, {"values"});
          const bool listed =
              found != labels.end() && values != nullptr &&
              std::ranges::find(*values, json::value(json::string(found->second))) != values->end();
          const auto op = get_string(e, {"operator"});
          all = all && (op == "In"             ? listed
                        : op == "NotIn"        ? !listed
                        : op == "Exists"       ? found != labels.end()
                        : op == "DoesNotExist" ? found == labels.end()
                                               : false);
        }
      any = any || all;
    }
    selected = selected && any;
  }
  if (!selected) return "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
  Quantity cpu, memory;
  std::string extended;
  if (const auto* list = find_array(pod, {"spec", "containers"}))
    for (const auto& c : *list)
      if (const auto* requests = find_object(c, {"resources", "requests"}))
        for (const auto& [key, value] : *requests) {
          const auto q = parse_quantity(value.is_string() ? std::string(sv(value.get_string()))
                                                          : json::serialize(value));
          if (!q) continue;
          if (key == "cpu")
            cpu.milli += q->milli;
          else if (key == "memory")
            memory.milli += q->milli;
          else if (key != "ephemeral-storage" && !std::string_view(key).starts_with("hugepages-"))
            extended = std::string(key);
        }
  if (!extended.empty()) return fmt::format("0/1 nodes are available: 1 Insufficient {}.", extended);
  if (cpu.milli > 1000LL * std::max(std::thread::hardware_concurrency(), 1U))
    return "0/1 nodes are available: 1 Insufficient cpu.";
  const Quantity::Int have =
      static_cast<Quantity::Int>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE) * 1000;
  if (memory.milli > have) return "0/1 nodes are available: 1 Insufficient memory.";
  return {};
}

bool has_size_limit(const json::value& pod) {
  const auto* volumes = find_array(pod, {"spec", "volumes"});
  return volumes != nullptr && std::ranges::any_of(*volumes, [](const auto& v) {
           return find(v, {"emptyDir", "sizeLimit"}) != nullptr;
         });
}

}  // namespace

PodWorker::PodWorker(std::shared_ptr<NodeParts> node, const json::value& pod)
    : node_(std::move(node)),
      ns_(get_string(pod, {"metadata", "namespace"})),
      name_(get_string(pod, {"metadata", "name"})),
      uid_(get_string(pod, {"metadata", "uid"})),
      first_(pod),
      folder_(node_->options.directory / "pods" / uid_) {
  for (const auto* key : {"initContainers", "containers"}) {
    const auto* list = find_array(pod, {"spec", key});
    if (list == nullptr) continue;
    for (const auto& spec : *list) {
      auto c = std::make_unique<Container>();
      c->spec = spec;
      c->init = std::string_view(key) == "initContainers";
      c->sidecar = c->init && always(spec);
      if (!c->init && !containers_.empty() && containers_.front()->init)
        c->state = json::object{{"waiting", {{"reason", "PodInitializing"}}}};
      else if (!c->init)
        c->state = json::object{{"waiting", {{"reason", "ContainerCreating"}}}};
      containers_.push_back(std::move(c));
    }
  }
}

std::shared_ptr<const json::value> PodWorker::pod() const {
  auto found = node_->registry.storage().get("/pods", ns_, name_);
  return found && get_string(*found, {"metadata", "uid"}) == uid_ ? found : nullptr;
}

bool PodWorker::deleted() const {
  const auto now = pod();
  return !now || find(*now, {"metadata", "deletionTimestamp"}) != nullptr;
}

PodWorker::Container* PodWorker::find_container(std::string_view name) {
  for (const auto& c : containers_)
    if (get_string(c->spec, {"name"}) == name) return c.get();
  return nullptr;
}

std::vector<std::string> PodWorker::names() const {
  std::vector<std::string> out;
  for (const auto& c : containers_)
    if (!c->init) out.emplace_back(get_string(c->spec, {"name"}));
  return out;
}

std::string PodWorker::log_file(const Container& c, int attempt) const {
  return (folder_ / fmt::format("{}-{}.log", get_string(c.spec, {"name"}), attempt)).string();
}

std::string PodWorker::restart_policy() const {
  return std::string(get_string(first_, {"spec", "restartPolicy"}, "Always"));
}

void PodWorker::event(std::string_view type, std::string_view reason, std::string_view message) {
  if (const auto now = pod())
    node_->registry.record_event(
        *now, type, reason, message,
        reason == "FailedScheduling" || reason == "Scheduled" ? "default-scheduler" : "kubelet");
}

void PodWorker::set_waiting(Container& c, std::string_view reason, std::string_view message) {
  json::object waiting{{"reason", reason}};
  if (!message.empty()) waiting["message"] = message;
  c.state = json::object{{"waiting", std::move(waiting)}};
  write_status();
}

std::string PodWorker::phase() const {
  if (!fail_reason_.empty()) return "Failed";
  bool any_running = false, all_ended = true, any_failed = false;
  for (const auto& c : containers_) {
    if (c->init && !c->sidecar) {
      if (c->ended && c->exit_code != 0) return "Failed";
      continue;
    }
    if (c->sidecar) continue;
    any_running = any_running || c->process != 0 || c->restarts > 0;
    all_ended = all_ended && c->ended;
    any_failed = any_failed || (c->ended && c->exit_code != 0);
  }
  if (all_ended) return any_failed ? "Failed" : "Succeeded";
  for (const auto& c : containers_)
    if (!c->init && c->ended) any_running = true;
  return any_running ? "Running" : "Pending";
}

void PodWorker::write_status() {
  json::array init_statuses, statuses;
  bool initialized = true, ready = true;
  for (const auto& c : containers_) {
    const bool running = c->process != 0;
    json::object s{
        {"name", get_string(c->spec, {"name"})},
        {"image", c->image.normalised.empty() ? get_string(c->spec, {"image"}) : c->image.normalised},
        {"imageID", c->id.empty() ? "" : c->image.id},
        {"restartCount", c->restarts},
        {"ready", c->init && !c->sidecar ? c->ended && c->exit_code == 0 : running},
        {"started", running},
        {"state", c->state},
        {"lastState", c->last_state}};
    if (!c->id.empty()) s["containerID"] = c->id;
    if (c->init) {
      initialized = initialized && (c->sidecar ? running || c->ended : c->ended && c->exit_code == 0);
      init_statuses.push_back(std::move(s));
    } else {
      ready = ready && running;
      statuses.push_back(std::move(s));
    }
  }
  const auto now_phase = phase();
  const bool over = now_phase == "Succeeded" || now_phase == "Failed";
  WriteContext context;
  context.subresource = "status";
  (void)node_->registry.modify(
      *node_->registry.find("", "pods"), ns_, name_,
      [&](json::value& o) {
        if (get_string(o, {"metadata", "uid"}) != uid_) return false;
        auto& status = ensure(o, {"status"});
        if (!status.is_object()) status.emplace_object();
        auto& s = status.get_object();
        s["phase"] = now_phase;
        s["hostIP"] = "127.0.0.1";
        s["podIP"] = "127.0.0.1";
        s["podIPs"] = json::array{json::object{{"ip", "127.0.0.1"}}};
        s["startTime"] = start_time_;
        s["qosClass"] = qos_class(o);
        if (!init_statuses.empty()) s["initContainerStatuses"] = init_statuses;
        s["containerStatuses"] = statuses;
        if (!fail_reason_.empty()) {
          s["reason"] = fail_reason_;
          s["message"] = fail_message_;
        }
        const std::string_view why = over ? "PodCompleted" : "ContainersNotReady";
        set_condition(o, "PodReadyToStartContainers", !over, "", "");
        set_condition(o, "Initialized", initialized, initialized ? "" : "ContainersNotInitialized", "");
        set_condition(o, "Ready", ready && initialized, ready ? "" : why, "");
        set_condition(o, "ContainersReady", ready && initialized, ready ? "" : why, "");
        set_condition(o, "PodScheduled", true, "", "");
        return true;
      },
      context);
}

net::Task<bool> PodWorker::schedule() {
  auto now = pod();
  if (now && !get_string(*now, {"spec", "nodeName"}).empty())
    co_return get_string(*now, {"spec", "nodeName"}) == "dev";
  std::string told;
  while (now && !deleted() && !node_->stopping) {
    const auto why = misfit(*now);
    if (why.empty()) {
      (void)node_->registry.modify(*node_->registry.find("", "pods"), ns_, name_, [](json::value& o) {
        ensure(o, {"spec", "nodeName"}) = "dev";
        return true;
      });
      event("Normal", "Scheduled", fmt::format("Successfully assigned {}/{} to dev", ns_, name_));
      co_return true;
    }
    if (why != told) {
      told = why;
      WriteContext context;
      context.subresource = "status";
      (void)node_->registry.modify(
          *node_->registry.find("", "pods"), ns_, name_,
          [&](json::value& o) {
            ensure(o, {"status", "conditions"}) =
                json::array{condition("PodScheduled", false, "Unschedulable", why)};
            return true;
          },
          context);
      event("Warning", "FailedScheduling", why);
    }
    const auto seen = changed_.ticket();
    co_await changed_.wait_beyond(seen, std::chrono::seconds(5));
    now = pod();
  }
  co_return false;
}

// False: there is a layout, and it cannot be used; the pod waits for somebody to delete it.
bool PodWorker::use_layout(Container& c) {
  const auto& layouts = node_->options.images;
  if (layouts.empty()) return true;
  const auto& name = c.image.normalised;
  const auto at = name.find('@');
  const auto split_at = at != std::string::npos ? at : name.rfind(':');
  auto local = unpack_image(layouts / name.substr(0, split_at), std::string_view(name).substr(split_at + 1),
                            node_->options.directory / "images");
  if (!local) {
    event("Warning", "Failed", fmt::format("Failed to pull image \"{}\": {}", name, local.error().message));
    set_waiting(c, "ErrImagePull", local.error().message);
    return false;
  }
  c.local = std::move(*local);
  if (c.local) c.image.id = name.substr(0, split_at) + "@" + c.local->digest;
  return true;
}

net::Task<bool> PodWorker::pull(Container& c) {
  const std::string image(get_string(c.spec, {"image"}));
  auto parsed = parse_image(image);
  if (!parsed) {
    event("Warning", "InspectFailed", parsed.error().message);
    set_waiting(c, "InvalidImageName", parsed.error().message);
  } else if (parsed->pullable) {
    c.image = std::move(*parsed);
    if (!use_layout(c)) co_return false;
    event("Normal", "Pulled",
          fmt::format("Container image \"{}\" already present on machine and can be accessed by the pod",
                      image));
    co_return true;
  }
  const std::string why =
      parsed ? fmt::format(
                   "failed to pull and unpack image \"{0}\": failed to resolve reference \"{0}\": failed to "
                   "do request: dial tcp: lookup {1}: no such host",
                   parsed->normalised, parsed->normalised.substr(0, parsed->normalised.find('/')))
             : std::string{};
  auto pause = std::chrono::duration_cast<Duration>(kFirstBackoff);
  while (!deleted() && !ending_ && !node_->stopping) {
    if (parsed) {
      event("Normal", "Pulling", fmt::format("Pulling image \"{}\"", image));
      event("Warning", "Failed", fmt::format("Failed to pull image \"{}\": {}", image, why));
      event("Warning", "Failed", "Error: ErrImagePull");
      set_waiting(c, "ErrImagePull", why);
      const auto ticket = changed_.ticket();
      co_await changed_.wait_beyond(ticket, std::chrono::seconds(2));
      if (deleted() || ending_) break;
      event("Normal", "BackOff", fmt::format("Back-off pulling image \"{}\"", image));
      event("Warning", "Failed", "Error: ImagePullBackOff");
      set_waiting(c, "ImagePullBackOff",
                  fmt::format("Back-off pulling image \"{}\": ErrImagePull: {}", image, why));
    }
    const auto until = std::chrono::steady_clock::now() + pause;
    while (std::chrono::steady_clock::now() < until && !deleted() && !ending_ && !node_->stopping) {
      const auto ticket = changed_.ticket();
      co_await changed_.wait_beyond(ticket,
                                    std::chrono::ceil<Duration>(until - std::chrono::steady_clock::now()));
    }
    pause = std::min<Duration>(pause * 2, kLastBackoff);
  }
  co_return false;
}

net::Task<> PodWorker::watch_memory(std::shared_ptr<PodWorker> self, Container& c, std::int64_t limit) {
  const auto process = c.process;
  while (c.process == process) {
    if (tree_rss(static_cast<int>(process)) > limit) {
      c.oom = true;
      for (const int p : descendants(static_cast<int>(process))) ::kill(p, SIGKILL);
      node_->runner->signal(process, SIGKILL);
      break;
    }
    co_await net::sleep_for(kMemoryPoll);
  }
  (void)self;
}

// One start of the container's process, to its end.
net::Task<> PodWorker::run_process(Container& c) {
  const auto now = pod();
  if (!now) co_return;
  auto& storage = node_->registry.storage();
  const std::string name(get_string(c.spec, {"name"}));
  const ImageSettings image = c.local ? c.local->settings : ImageSettings{};
  Result<Environment> environment = fail(Errc::internal, "", "");
  Result<std::vector<Mount>> mounts = fail(Errc::internal, "", "");
  for (;;) {
    environment = container_environment(storage, *now, c.spec, image);
    if (environment) mounts = prepare_mounts(storage, node_->options, folder_ / "volumes", *now, c.spec);
    if (environment && mounts) break;
    const auto& e = environment ? mounts.error() : environment.error();
    event("Warning", "Failed", "Error: " + e.message);
    set_waiting(c, "CreateContainerConfigError", e.message);
    const auto ticket = changed_.ticket();
    co_await changed_.wait_beyond(ticket, kRetry);
    if (deleted() || ending_ || node_->stopping) co_return;
  }
  c.id = "process://" + sha256_hex(fmt::format("{}/{}/{}", uid_, name, c.restarts));
  event("Normal", "Created", "Container created");
  const std::string directory(
      get_string(c.spec, {"workingDir"}, c.local ? image.working_dir : std::string()));
  Result<std::filesystem::path> root = std::filesystem::path();
  if (c.local) root = private_root(c.local->root, folder_ / "roots" / name);
  auto argv = root ? confined_argv(node_->confine, *now, container_argv(c.spec, *environment, image),
                                   *environment, directory, *mounts, *root)
                   : Result<std::vector<std::string>>(fail(root.error()));
  Launch launch;
  if (argv) {
    launch.argv = std::move(*argv);
    for (const auto& [key, value] : *environment)
      launch.environment.push_back(fmt::format("{}={}", key, value));
    // Without confinement there is no other root: at least the working directory is the image's.
    const auto start_in =
        c.local ? *root / std::filesystem::path(directory).relative_path() : std::filesystem::path(directory);
    if (!node_->confine && std::filesystem::is_directory(start_in)) launch.directory = start_in;
    launch.log_file = log_file(c, c.restarts);
    launch.max_log_bytes = node_->options.max_log_bytes;
  }
  auto started = argv ? node_->runner->start(launch) : Result<std::uint64_t>(fail(argv.error()));
  if (!started) {
    event("Warning", "Failed", "Error: " + started.error().message);
    c.exit_code = 128;
    c.state = json::object{{"terminated",
                            {{"exitCode", 128},
                             {"reason", "StartError"},
                             {"message", started.error().message},
                             {"startedAt", "1970-01-01T00:00:00Z"},
                             {"finishedAt", now_text()},
                             {"containerID", c.id}}}};
    co_return;
  }
  c.process = *started;
  c.oom = false;
  c.started_at = now_text();
  c.state = json::object{{"running", {{"startedAt", c.started_at}}}};
  int status = 0;
  bool over = false;
  node_->exits[*started] = [&](int s) {
    status = s;
    over = true;
    changed_.notify_all();
  };
  event("Normal", "Started", "Container started");
  write_status();
  changed_.notify_all();
  if (const auto limit = parse_quantity(get_string(c.spec, {"resources", "limits", "memory"}));
      limit && limit->milli > 0) {
    auto self = shared_from_this();
    auto watch = watch_memory(self, c, static_cast<std::int64_t>(limit->milli / 1000));
    loop_->spawn("memory limit", std::move(watch));
  }
  while (!over) {
    const auto ticket = changed_.ticket();
    if (over) break;
    co_await changed_.wait_beyond(ticket, std::chrono::hours(1));
  }
  c.process = 0;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  c.exit_code = c.oom ? 137 : code;
  c.state = json::object{{"terminated",
                          {{"exitCode", c.exit_code},
                           {"reason", c.oom              ? "OOMKilled"
                                      : c.exit_code == 0 ? "Completed"
                                                         : "Error"},
                           {"startedAt", c.started_at},
                           {"finishedAt", now_text()},
                           {"containerID", c.id}}}};
}

net::Task<> PodWorker::run_container(Container& c) {
  const bool pulled = co_await pull(c);
  auto pause = std::chrono::duration_cast<Duration>(kFirstBackoff);
  while (pulled && !deleted() && !ending_ && !node_->stopping) {
    co_await run_process(c);
    if (find(c.state, {"terminated"}) == nullptr) break;  // never started, and now it need not
    const auto policy = c.sidecar                                ? "Always"
                        : c.init && restart_policy() == "Always" ? "OnFailure"
                                                                 : restart_policy();
    const bool again = policy == "Always" || (policy == "OnFailure" && c.exit_code != 0);
    if (!again || deleted() || ending_ || node_->stopping) break;
    c.last_state = c.state;
    ++c.restarts;
    const auto message = fmt::format("back-off {}s restarting failed container={} pod={}_{}({})",
                                     pause.count() / 1000, get_string(c.spec, {"name"}), name_, ns_, uid_);
    event("Warning", "BackOff",
          fmt::format("Back-off restarting failed container {} in pod {}_{}({})",
                      get_string(c.spec, {"name"}), name_, ns_, uid_));
    set_waiting(c, "CrashLoopBackOff", message);
    const auto until = std::chrono::steady_clock::now() + pause;
    while (std::chrono::steady_clock::now() < until && !deleted() && !ending_ && !node_->stopping) {
      const auto ticket = changed_.ticket();
      co_await changed_.wait_beyond(ticket,
                                    std::chrono::ceil<Duration>(until - std::chrono::steady_clock::now()));
    }
    pause = std::min<Duration>(pause * 2, kLastBackoff);
  }
  if (find(c.state, {"terminated"}) == nullptr) {
    // Deleted or failed before it ran: the kubelet reports it so.
    c.exit_code = 137;
    c.state = json::object{{"terminated",
                            {{"exitCode", 137},
                             {"reason", "ContainerStatusUnknown"},
                             {"message", "The container could not be located when the pod was terminated"},
                             {"startedAt", nullptr},
                             {"finishedAt", nullptr}}}};
  }
  c.ended = true;
  write_status();
  changed_.notify_all();
}

net::Task<> PodWorker::drive(std::shared_ptr<PodWorker> self, Container& c) {
  co_await self->run_container(c);
}

void PodWorker::signal_all(int signal) {
  for (const auto& c : containers_) {
    if (c->process == 0) continue;
    const auto below = descendants(static_cast<int>(c->process));
    if (signal == SIGKILL) {
      for (const int p : below) ::kill(p, SIGKILL);
      node_->runner->signal(c->process, SIGKILL);
    } else if (node_->confine) {
      // bwrap, its init, the command: only the command is meant.
      if (below.size() >= 2) ::kill(below[1], signal);
    } else {
      node_->runner->signal(c->process, signal);
    }
  }
}

net::Task<> PodWorker::wind_down(std::chrono::seconds grace) {
  ending_ = true;
  changed_.notify_all();
  const auto running = [&] {
    return std::ranges::any_of(containers_, [](const auto& c) { return c->process != 0; });
  };
  for (const auto& c : containers_)
    if (c->process != 0)
      event("Normal", "Killing", fmt::format("Stopping container {}", get_string(c->spec, {"name"})));
  signal_all(SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + grace;
  while (running() && std::chrono::steady_clock::now() < deadline) {
    const auto ticket = changed_.ticket();
    co_await changed_.wait_beyond(
        ticket, std::min<Duration>(std::chrono::ceil<Duration>(deadline - std::chrono::steady_clock::now()),
                                   std::chrono::milliseconds(500)));
    // A second, shorter grace may come with another delete.
    if (const auto now = pod();
        now && get_int(*now, {"metadata", "deletionGracePeriodSeconds"}).value_or(1) == 0)
      break;
  }
  signal_all(SIGKILL);
  while (running()) {
    const auto ticket = changed_.ticket();
    if (!co_await changed_.wait_beyond(ticket, std::chrono::seconds(5))) break;
  }
}

net::Task<> PodWorker::run(std::shared_ptr<PodWorker> self, net::Loop& loop) {
  auto& w = *self;
  w.loop_ = &loop;
  if (!co_await w.schedule()) {
    if (const auto now = w.pod(); now && w.deleted() && !w.node_->stopping) {
      DeleteRequest d;
      d.grace_seconds = 0;
      (void)w.node_->registry.remove(*w.node_->registry.find("", "pods"), w.ns_, w.name_, d);
    }
    co_return;
  }
  std::error_code error;
  std::filesystem::create_directories(w.folder_ / "volumes", error);
  w.start_time_ = now_text();
  w.write_status();
  const auto started = std::chrono::steady_clock::now();
  const auto deadline = get_int(w.first_, {"spec", "activeDeadlineSeconds"});
  const bool measured = has_size_limit(w.first_);
  std::size_t next = 0;  // the first container that was not started yet
  for (;;) {
    const auto ticket = w.changed_.ticket();
    if (w.node_->stopping) co_return;
    // Start what may start: inits one after another, then all the others.
    while (next < w.containers_.size() && !w.deleted()) {
      if (next > 0) {
        const auto& before = *w.containers_[next - 1];
        if (before.init && !before.sidecar && !(before.ended && before.exit_code == 0)) break;
        if (before.sidecar && before.process == 0 && !before.ended) break;
      }
      loop.spawn("container", drive(self, *w.containers_[next]));
      ++next;
    }
    const auto phase = w.phase();
    const bool over = phase == "Succeeded" || phase == "Failed";
    const bool late =
        deadline && std::chrono::steady_clock::now() - started > std::chrono::seconds(*deadline);
    const auto overfull =
        measured && !over && !late ? overfull_volume(w.folder_ / "volumes", w.first_) : std::string{};
    if (w.deleted() || over || late || !overfull.empty()) {
      const auto now = w.pod();
      auto grace =
          std::chrono::seconds(get_int(w.first_, {"spec", "terminationGracePeriodSeconds"}).value_or(30));
      if (now && w.deleted())
        grace = std::chrono::seconds(
            get_int(*now, {"metadata", "deletionGracePeriodSeconds"}).value_or(grace.count()));
      if (late && !over && !w.deleted()) {
        w.fail_reason_ = "DeadlineExceeded";
        w.fail_message_ = "Pod was active on the node longer than the specified deadline";
      }
      if (!overfull.empty() && !w.deleted()) {
        w.fail_reason_ = "Evicted";
        w.fail_message_ = overfull;
        w.event("Warning", "Evicted", overfull);
        grace = std::chrono::seconds(0);
      }
      if (!now) grace = std::chrono::seconds(0);
      co_await w.wind_down(grace);
      // Those that never got to start end with the pod.
      for (const auto& c : w.containers_) c->ended = true;
      w.write_status();
      break;
    }
    co_await w.changed_.wait_beyond(ticket,
                                    deadline || measured ? Duration(500) : Duration(std::chrono::hours(1)));
  }
  // Its log stays readable until the pod is deleted.
  while (!w.deleted() && !w.node_->stopping) {
    const auto ticket = w.changed_.ticket();
    if (w.deleted()) break;
    co_await w.changed_.wait_beyond(ticket, std::chrono::hours(1));
  }
  if (w.pod() && !w.node_->stopping) {
    DeleteRequest d;
    d.grace_seconds = 0;
    (void)w.node_->registry.remove(*w.node_->registry.find("", "pods"), w.ns_, w.name_, d);
    // Finalizers may hold it; its files stay as long.
    while (w.pod() && !w.node_->stopping) {
      const auto ticket = w.changed_.ticket();
      if (!w.pod()) break;
      co_await w.changed_.wait_beyond(ticket, std::chrono::hours(1));
    }
  }
  std::filesystem::remove_all(w.folder_, error);
}

}  // namespace oddjob::devcluster
