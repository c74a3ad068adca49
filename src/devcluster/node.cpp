#include "devcluster/node.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "core/text.hpp"
#include "devcluster/node/log_reader.hpp"
#include "devcluster/node/pod_worker.hpp"

namespace oddjob::devcluster {

namespace {

// By its name; the empty name means the only one.
bool has_container(const json::value& pod, std::string_view name) {
  if (name.empty()) {
    const auto* list = find_array(pod, {"spec", "containers"});
    return list != nullptr && list->size() == 1;
  }
  for (const auto* key : {"containers", "initContainers"})
    if (const auto* list = find_array(pod, {"spec", key}))
      for (const auto& c : *list)
        if (get_string(c, {"name"}) == name) return true;
  return false;
}

}  // namespace

struct Node::Impl {
  net::Loop& loop;
  std::shared_ptr<NodeParts> parts;
  std::map<std::string, std::shared_ptr<PodWorker>, std::less<>> workers;  // by uid
  std::size_t running = 0;
  net::Notifier ended;

  Impl(net::Loop& l, Registry& registry, NodeOptions options) : loop(l) {
    std::error_code error;
    // What an earlier process left is of pods that no longer are.
    std::filesystem::remove_all(options.directory / "pods", error);
    std::filesystem::create_directories(options.directory / "pods", error);
    const bool confine = options.confine && can_confine();
    // Made in its place: a Notifier that is copied and whose original goes is closed.
    parts.reset(new NodeParts{registry, std::move(options), confine, nullptr, {}, {}, false});
    parts->runner = std::make_unique<Runner>(
        loop,
        [p = std::weak_ptr(parts)](std::uint64_t id, int status) {
          const auto node = p.lock();
          if (!node) return;
          const auto found = node->exits.find(id);
          if (found == node->exits.end()) return;
          const auto fn = std::move(found->second);
          node->exits.erase(found);
          fn(status);
          node->grew.notify_all();
        },
        [p = std::weak_ptr(parts)] {
          if (const auto node = p.lock()) node->grew.notify_all();
        });
  }

  static net::Task<> run_worker(std::shared_ptr<Impl> self, std::shared_ptr<PodWorker> worker,
                                std::string uid) {
    ++self->running;
    co_await PodWorker::run(worker, self->loop);
    self->workers.erase(uid);
    --self->running;
    self->ended.notify_all();
  }

  void look(const std::shared_ptr<Impl>& self, const json::value& pod) {
    if (parts->stopping) return;
    const std::string uid(get_string(pod, {"metadata", "uid"}));
    const auto found = workers.find(uid);
    if (found != workers.end()) {
      found->second->pod_changed();
      return;
    }
    const auto phase = get_string(pod, {"status", "phase"});
    if (phase == "Succeeded" || phase == "Failed") return;
    auto worker = std::make_shared<PodWorker>(parts, pod);
    workers.emplace(uid, worker);
    loop.spawn("pod", run_worker(self, worker, uid));
  }
};

Node::Node(net::Loop& loop, Registry& registry, NodeOptions options)
    : impl_(std::make_shared<Impl>(loop, registry, std::move(options))) {}

Node::~Node() {
  impl_->parts->stopping = true;
  impl_->parts->runner.reset();
}

void Node::start() {
  impl_->parts->registry.storage().on_event([weak = std::weak_ptr(impl_)](const WatchEvent& e) {
    if (e.resource != "/pods") return;
    const auto impl = weak.lock();
    if (!impl || impl->parts->stopping) return;
    if (e.type != WatchEvent::Type::deleted) {
      // Not from inside a write: the worker writes itself.
      impl->loop.post([weak, object = e.object] {
        if (const auto node = weak.lock()) node->look(node, *object);
      });
    } else {
      const auto found = impl->workers.find(get_string(*e.object, {"metadata", "uid"}));
      if (found != impl->workers.end()) found->second->pod_changed();
    }
  });
  for (const auto& pod : impl_->parts->registry.storage().list("/pods", "")) impl_->look(impl_, *pod);
}

net::Task<> Node::stop() {
  const auto impl = impl_;
  impl->parts->stopping = true;
  impl->parts->runner.reset();  // kills and reaps
  for (const auto& [uid, worker] : impl->workers) worker->pod_changed();
  impl->parts->grew.notify_all();
  co_await net::yield_now();
}

bool Node::confined() const noexcept { return impl_->parts->confine; }

net::Task<Result<>> Node::logs(std::string ns, std::string pod, LogRequest request,
                               std::function<net::Task<Result<>>(std::string_view)> write) {
  const auto bad = [](std::string message) {
    return fail(Errc::invalid_argument, "BadRequest", std::move(message));
  };
  const auto object = impl_->parts->registry.storage().get("/pods", ns, pod);
  if (!object) co_return fail(Errc::not_found, "NotFound", fmt::format("pods \"{}\" not found", pod));
  // Nobody to ask yet: a real API server answers with nothing, and no error.
  if (get_string(*object, {"spec", "nodeName"}).empty() && has_container(*object, request.container))
    co_return Result<>{};
  const auto found = impl_->workers.find(get_string(*object, {"metadata", "uid"}));
  const auto worker = found == impl_->workers.end() ? nullptr : found->second;
  std::string name = request.container;
  if (name.empty()) {
    const auto* list = find_array(*object, {"spec", "containers"});
    if (list == nullptr || list->empty()) co_return bad("the pod has no containers");
    if (list->size() > 1) {
      std::vector<std::string> all;
      for (const auto& c : *list) all.emplace_back(get_string(c, {"name"}));
      co_return bad(fmt::format("a container name must be specified for pod {}, choose one of: [{}]", pod,
                                join(all, " ")));
    }
    name = std::string(get_string(list->front(), {"name"}));
  }
  auto* container = worker ? worker->find_container(name) : nullptr;
  if (container == nullptr) {
    if (has_container(*object, name))
      co_return bad(
          fmt::format("container \"{}\" in pod \"{}\" is waiting to start: ContainerCreating", name, pod));
    co_return bad(fmt::format("container {} is not valid for pod {}", name, pod));
  }
  int attempt = container->restarts;
  if (request.previous) {
    if (attempt == 0)
      co_return bad(fmt::format("previous terminated container \"{}\" in pod \"{}\" not found", name, pod));
    --attempt;
  } else if (find(container->state, {"waiting"}) != nullptr) {
    // Between two runs the kubelet serves the last one's log.
    if (attempt == 0)
      co_return bad(fmt::format("container \"{}\" in pod \"{}\" is waiting to start: {}", name, pod,
                                get_string(container->state, {"waiting", "reason"}, "ContainerCreating")));
    --attempt;
  } else if (container->id.empty()) {
    co_return Result<>{};  // it never ran
  }
  const auto parts = impl_->parts;
  // The worker is held, so that the container's state stays readable.
  const std::function<bool()> over = [worker, container, attempt, parts] {
    return parts->stopping || container->process == 0 || container->restarts != attempt;
  };
  co_return co_await read_log(worker->log_file(*container, attempt), std::move(request), parts->grew, over,
                              std::move(write));
}

}  // namespace oddjob::devcluster
