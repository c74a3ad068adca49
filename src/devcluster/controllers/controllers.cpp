#include "devcluster/controllers/controllers.hpp"

#include <deque>
#include <map>
#include <set>

#include "devcluster/controllers/support.hpp"

namespace oddjob::devcluster {
namespace {
constexpr Duration kIdle = std::chrono::seconds(60);
}

struct Controllers::Impl {
  net::Loop& loop;
  Registry& registry;
  std::deque<Item> queue;
  std::set<Item> queued;
  std::map<Item, std::chrono::steady_clock::time_point> later;
  std::deque<std::pair<std::string, std::string>> gone;  // uid and namespace of deleted objects
  net::Notifier work;
  net::Notifier ended;
  bool stopping = false, running = false;

  Impl(net::Loop& l, Registry& r) : loop(l), registry(r) {}

  void push(Item item) {
    if (!queued.insert(item).second) return;
    queue.push_back(std::move(item));
    work.notify_all();
  }

  void on_event(const WatchEvent& e) {
    const auto& o = *e.object;
    const Item item{e.resource, std::string(get_string(o, {"metadata", "namespace"})),
                    std::string(get_string(o, {"metadata", "name"}))};
    if (e.type == WatchEvent::Type::deleted) {
      gone.emplace_back(get_string(o, {"metadata", "uid"}), item.name_space);
      later.erase(item);
      work.notify_all();
    } else {
      push(item);
    }
    if (e.resource == "/pods" || e.resource == "apps/replicasets") {
      // Its controller must look; and who selects pods.
      if (const auto* owners = find_array(o, {"metadata", "ownerReferences"})) {
        for (const auto& owner : *owners) {
          const auto api = get_string(owner, {"apiVersion"});
          const auto slash = api.find('/');
          const auto* r = registry.find_kind(slash == std::string_view::npos ? "" : api.substr(0, slash),
                                             get_string(owner, {"kind"}));
          if (r != nullptr) push({r->key(), item.name_space, std::string(get_string(owner, {"name"}))});
        }
      }
      if (e.resource == "/pods")
        for (const auto& budget : registry.storage().list("policy/poddisruptionbudgets", item.name_space))
          push({"policy/poddisruptionbudgets", item.name_space,
                std::string(get_string(*budget, {"metadata", "name"}))});
    }
    if (!item.name_space.empty() && e.resource != "/resourcequotas" && e.resource != "/events")
      for (const auto& quota : registry.storage().list("/resourcequotas", item.name_space))
        push({"/resourcequotas", item.name_space, std::string(get_string(*quota, {"metadata", "name"}))});
    // Content of a namespace that ends: it wants to know when it is empty.
    if (e.type == WatchEvent::Type::deleted && !item.name_space.empty())
      push({"/namespaces", "", item.name_space});
  }

  Again sync(const Item& item) {
    const auto object = registry.storage().get(item.resource, item.name_space, item.name);
    if (!object) return std::nullopt;
    const auto slash = item.resource.find('/');
    const auto* r = registry.find(item.resource.substr(0, slash), item.resource.substr(slash + 1));
    if (r == nullptr) return std::nullopt;
    collect_garbage(registry, *r, *object);
    const auto current = registry.storage().get(item.resource, item.name_space, item.name);
    if (!current) return std::nullopt;
    if (item.resource == "/pods") release_orphaned_pod(registry, *current);
    if (item.resource == "/namespaces") sync_namespace(registry, *current);
    if (item.resource == "/resourcequotas") sync_quota(registry, *current);
    if (item.resource == "/persistentvolumeclaims") sync_claim(registry, *current);
    if (item.resource == "apps/deployments") return sync_deployment(registry, *current);
    if (item.resource == "apps/replicasets") return sync_replica_set(registry, *current);
    if (item.resource == "apps/statefulsets") return sync_stateful_set(registry, *current);
    if (item.resource == "apps/daemonsets") return sync_daemon_set(registry, *current);
    if (item.resource == "batch/jobs") return sync_job(registry, *current);
    if (item.resource == "policy/poddisruptionbudgets") return sync_disruption_budget(registry, *current);
    return std::nullopt;
  }

  static net::Task<> run(std::shared_ptr<Impl> self) {
    self->running = true;
    while (!self->stopping) {
      const auto ticket = self->work.ticket();
      const auto now = std::chrono::steady_clock::now();
      auto wait = kIdle;
      std::vector<Item> due;
      for (const auto& [item, at] : self->later) {
        if (at <= now)
          due.push_back(item);
        else
          wait = std::min(wait, std::chrono::ceil<Duration>(at - now));
      }
      for (auto& item : due) {
        self->later.erase(item);
        self->push(std::move(item));
      }
      while (!self->gone.empty()) {
        const auto [uid, ns] = std::move(self->gone.front());
        self->gone.pop_front();
        collect_dependents(self->registry, uid, ns);
      }
      if (self->queue.empty() && self->gone.empty()) {
        co_await self->work.wait_beyond(ticket, wait);
        continue;
      }
      // A few at a time, so that requests are answered in between.
      for (int i = 0; i < 20 && !self->queue.empty(); ++i) {
        const Item item = std::move(self->queue.front());
        self->queue.pop_front();
        self->queued.erase(item);
        if (const auto again = self->sync(item)) {
          const auto at = std::chrono::steady_clock::now() + *again;
          const auto [known, fresh] = self->later.emplace(item, at);
          if (!fresh) known->second = std::min(known->second, at);
        }
      }
      co_await net::yield_now();
    }
    self->running = false;
    self->ended.notify_all();
  }
};

Controllers::Controllers(net::Loop& loop, Registry& registry)
    : impl_(std::make_shared<Impl>(loop, registry)) {}
Controllers::~Controllers() { impl_->stopping = true; }

void Controllers::start() {
  impl_->registry.storage().on_event([weak = std::weak_ptr(impl_)](const WatchEvent& e) {
    if (const auto impl = weak.lock(); impl && !impl->stopping) impl->on_event(e);
  });
  impl_->loop.spawn("controllers", Impl::run(impl_));
}

net::Task<> Controllers::stop() {
  const auto impl = impl_;
  impl->stopping = true;
  impl->work.notify_all();
  while (impl->running) {
    const auto seen = impl->ended.ticket();
    if (!co_await impl->ended.wait_beyond(seen, std::chrono::seconds(2))) break;
  }
}

}  // namespace oddjob::devcluster
