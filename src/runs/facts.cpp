#include "runs/facts.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

constexpr std::size_t kMaxEntries = 1000;

const kube::Resource& claims() {
  static const kube::Resource r{"", "v1", "persistentvolumeclaims", true, "PersistentVolumeClaim"};
  return r;
}

// What the written image of a container is in the workload's own template.
std::string written_image(const json::value& workload, std::string_view container) {
  const auto pod = render::pod_template(workload);
  if (!pod) return {};
  if (const auto* all = find_array(*pod, {"spec", "containers"})) {
    for (const auto& c : *all) {
      if (get_string(c, {"name"}) == container) return std::string(get_string(c, {"image"}));
    }
  }
  return {};
}

}  // namespace

std::string selector_text(const json::value& workload) {
  std::vector<std::string> parts;
  if (const auto* labels = find_object(workload, {"spec", "selector", "matchLabels"})) {
    for (const auto& [key, value] : *labels) {
      if (value.is_string()) parts.push_back(std::string(key) + "=" + std::string(sv(value.get_string())));
    }
  }
  if (const auto* all = find_array(workload, {"spec", "selector", "matchExpressions"})) {
    for (const auto& e : *all) {
      const std::string key(get_string(e, {"key"}));
      const auto op = get_string(e, {"operator"});
      std::vector<std::string> values;
      if (const auto* list = find_array(e, {"values"})) {
        for (const auto& v : *list) {
          if (v.is_string()) values.emplace_back(sv(v.get_string()));
        }
      }
      if (op == "In") parts.push_back(key + " in (" + join(values, ",") + ")");
      if (op == "NotIn") parts.push_back(key + " notin (" + join(values, ",") + ")");
      if (op == "Exists") parts.push_back(key);
      if (op == "DoesNotExist") parts.push_back("!" + key);
    }
  }
  return join(parts, ",");
}

Facts::Facts(kube::Client& client, Duration keep) : client_(client), keep_(keep) {}

template <class T>
Shared<T> Facts::cached(Cache<T>& cache, const std::string& key,
                        const std::function<net::Task<Result<T>>()>& make) {
  const auto now = std::chrono::steady_clock::now();
  const auto stale = [&](const Shared<T>& s) {
    return s.done() && (s.failed() || now - s.done_at() > keep_);
  };
  if (const auto it = cache.find(key); it != cache.end()) {
    if (!stale(it->second)) return it->second;
    cache.erase(it);
  }
  if (cache.size() >= kMaxEntries) {
    std::erase_if(cache, [&](const auto& entry) { return stale(entry.second); });
    if (cache.size() >= kMaxEntries) cache.clear();
  }
  auto fresh = Shared<T>::start(client_.loop(), "runs.facts", make());
  cache.emplace(key, fresh);
  return fresh;
}

net::Task<Result<std::vector<json::value>>> Facts::list(kube::Client& client, kube::Resource resource,
                                                        std::string ns) {
  kube::ListOptions options;
  options.name_space = ns;
  auto listing = client.list(resource, std::move(options));
  auto listed = co_await std::move(listing);
  if (!listed) {
    co_return std::unexpected(
        std::move(listed).error().with_context("reading " + resource.plural + " of namespace " + ns));
  }
  co_return std::move(listed->items);
}

net::Task<Result<Facts::Namespace>> Facts::read_namespace(kube::Client& client, std::string ns) {
  using Items = std::vector<json::value>;
  auto services =
      Shared<Items>::start(client.loop(), "runs.facts", list(client, kube::resources::services, ns));
  auto budgets = Shared<Items>::start(client.loop(), "runs.facts",
                                      list(client, kube::resources::pod_disruption_budgets, ns));
  auto volumes = Shared<Items>::start(client.loop(), "runs.facts", list(client, claims(), ns));
  Namespace out;
  const auto s = co_await services.wait();
  const auto b = co_await budgets.wait();
  const auto v = co_await volumes.wait();
  // Without these two nobody can say that the run's pod gets no traffic.
  if (!*s) co_return std::unexpected(s->error());
  if (!*b) co_return std::unexpected(b->error());
  out.services = **s;
  out.budgets = **b;
  // These serve a warning only; a server that may not read them still works.
  if (*v) {
    out.claims = **v;
  } else {
    out.claims_problem = v->error().message;
  }
  co_return out;
}

net::Task<Result<std::vector<Facts::Image>>> Facts::read_images(kube::Client& client, std::string ns,
                                                                std::string selector) {
  kube::ListOptions options;
  options.name_space = ns;
  options.label_selector = selector;
  auto listing = client.list(kube::resources::pods, std::move(options));
  auto listed = co_await std::move(listing);
  if (!listed) {
    co_return std::unexpected(
        std::move(listed).error().with_context("reading the workload's pods in namespace " + ns));
  }
  std::vector<Image> out;
  for (const auto& pod : listed->items) {
    if (!condition_true(pod, "Ready") || being_deleted(pod)) continue;
    const auto* statuses = find_array(pod, {"status", "containerStatuses"});
    const auto* containers = find_array(pod, {"spec", "containers"});
    if (statuses == nullptr || containers == nullptr) continue;
    for (const auto& s : *statuses) {
      Image image{std::string(get_string(s, {"name"})), {}, std::string(get_string(s, {"imageID"}))};
      for (const auto& c : *containers) {
        if (get_string(c, {"name"}) == image.container) image.written = get_string(c, {"image"});
      }
      if (!image.id.empty()) out.push_back(std::move(image));
    }
  }
  co_return out;
}

void Facts::prefetch(const std::string& name_space) {
  cached<Namespace>(namespaces_, name_space, [&] { return read_namespace(client_, name_space); });
}

net::Task<Result<render::ClusterFacts>> Facts::read(const std::string& name_space,
                                                    const json::value& workload, const std::string& container,
                                                    bool with_images) {
  auto of_namespace =
      cached<Namespace>(namespaces_, name_space, [&] { return read_namespace(client_, name_space); });
  std::optional<Shared<std::vector<Image>>> of_pods;
  // A CronJob has no selector: its pods come and go, and none runs as a service.
  const std::string selector = with_images ? selector_text(workload) : std::string();
  if (!selector.empty()) {
    of_pods = cached<std::vector<Image>>(images_, name_space + "|" + selector,
                                         [&] { return read_images(client_, name_space, selector); });
  }
  const std::string written = written_image(workload, container);
  auto asking = client_.version();
  const auto version = co_await std::move(asking);
  if (!version) co_return std::unexpected(version.error());
  const auto ns = co_await of_namespace.wait();
  if (!*ns) co_return std::unexpected(ns->error());
  render::ClusterFacts facts;
  facts.minor = version->minor;
  facts.services = (*ns)->services;
  facts.disruption_budgets = (*ns)->budgets;
  facts.volume_claims = (*ns)->claims;
  facts.volume_claims_problem = (*ns)->claims_problem;
  if (of_pods) {
    const auto images = co_await of_pods->wait();
    if (!*images) co_return std::unexpected(images->error());
    for (const auto& image : **images) {
      // Pods of an earlier or a stuck rollout run another image: they do not count.
      if (image.container == container && image.written == written)
        facts.running_image_ids.push_back(image.id);
    }
  }
  co_return facts;
}

}  // namespace oddjob::runs
