#include "runs/images.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "render/render.hpp"
#include "runs/objects.hpp"
#include "runs/served.hpp"
#include "runs/shared.hpp"
#include "runs/workload_reads.hpp"

namespace oddjob::runs {
namespace {

constexpr std::size_t kMaxKept = 1000, kMaxSecrets = 20;

std::vector<std::string> names_in(const json::value& v, KeyPath path) {
  std::vector<std::string> out;
  if (const auto* list = find_array(v, path))
    for (const auto& item : *list)
      if (const auto name = get_string(item, {"name"}); !name.empty() && out.size() < kMaxSecrets)
        out.emplace_back(name);
  return out;
}

// imageIDs of the container in the ready pods that run what the template says.
net::Task<Result<std::vector<std::string>>> running_ids(kube::Client& client, std::string ns,
                                                        std::string selector, std::string container,
                                                        std::string written) {
  std::vector<std::string> out;
  if (selector.empty()) co_return out;  // a CronJob: none of its pods runs as a service
  kube::ListOptions options;
  options.name_space = ns;
  options.label_selector = selector;
  auto listing = client.list(kube::resources::pods, std::move(options));
  const auto listed = co_await std::move(listing);
  if (!listed)
    co_return std::unexpected(listed.error().with_context("reading the workload's pods in namespace " + ns));
  for (const auto& pod : listed->items) {
    if (!condition_true(pod, "Ready") || being_deleted(pod)) continue;
    const auto *containers = find_array(pod, {"spec", "containers"}),
               *statuses = find_array(pod, {"status", "containerStatuses"});
    if (containers == nullptr || statuses == nullptr) continue;
    const bool same = std::ranges::any_of(*containers, [&](const json::value& c) {
      return get_string(c, {"name"}) == container && get_string(c, {"image"}) == written;
    });
    if (!same) continue;
    for (const auto& s : *statuses)
      if (get_string(s, {"name"}) == container) out.emplace_back(get_string(s, {"imageID"}));
  }
  co_return out;
}

}  // namespace

Result<ContainerImage> container_image(const json::value& workload, const WorkloadRef& ref,
                                       const std::string& container, const Policy& policy) {
  ContainerImage out;
  out.workload = ref;
  out.audit = policy.audit_files;
  RunRequest request;
  request.workload = ref;
  if (!container.empty()) request.container = container;
  OJ_TRY(out.container, render::choose_container(workload, request, policy));
  OJ_TRY(const auto pod, render::pod_template(workload));
  const auto* all = find_array(pod, {"spec", "containers"});
  const auto* inits = find_array(pod, {"spec", "initContainers"});
  for (const auto* list : {all, inits}) {
    if (list == nullptr) continue;
    for (const auto& c : *list) {
      if (get_string(c, {"name"}) != out.container) continue;
      out.image = get_string(c, {"image"});
      out.working_dir = get_string(c, {"workingDir"});
      if (const auto* env = find_array(c, {"env"}))
        for (const auto& e : *env)
          if (get_string(e, {"name"}) == "PATH") out.path = get_string(e, {"value"});
      if (const auto* mounts = find_array(c, {"volumeMounts"}))
        for (const auto& m : *mounts) out.mounts.emplace_back(get_string(m, {"mountPath"}));
    }
  }
  // A value that refers to others is known to the kubelet alone.
  if (out.path.find("$(") != std::string::npos) out.path.clear();
  out.os = get_string(pod, {"spec", "nodeSelector", "kubernetes.io/os"});
  out.architecture = get_string(pod, {"spec", "nodeSelector", "kubernetes.io/arch"});
  out.pull_secrets = names_in(pod, {"spec", "imagePullSecrets"});
  out.service_account = get_string(pod, {"spec", "serviceAccountName"}, "default");
  return out;
}

WorkloadImages::WorkloadImages(kube::Client& client, std::vector<std::string> namespaces, Duration keep)
    : client_(client), namespaces_(std::move(namespaces)), keep_(keep) {}

net::Task<Result<WorkloadImages::Seen>> WorkloadImages::fetch(kube::Client& client, WorkloadRef ref,
                                                              std::string container) {
  auto reading = read_workload(client, ref);
  OJ_CO_TRY(const auto workload, co_await std::move(reading));
  Seen out;
  OJ_CO_TRY(out.policy, policy::parse_policy(annotations_of(workload), to_string(ref)));
  out.image = container_image(workload, ref, container, out.policy);
  if (!out.image) co_return out;
  auto listing =
      running_ids(client, ref.name_space, selector_text(workload), out.image->container, out.image->image);
  OJ_CO_TRY(const auto ids, co_await std::move(listing));
  out.image->image = render::pinned_image(out.image->image, ids);
  co_return out;
}

net::Task<Result<WorkloadImages::Seen>> WorkloadImages::look(WorkloadRef ref, std::string container) {
  OJ_CO_CHECK(check_served(namespaces_, ref.name_space));
  const auto key = fmt::format("{}/{}/{}", ref.name_space, to_string(ref), container);
  const auto now = std::chrono::steady_clock::now();
  const auto stale = [&](const Shared<Seen>& s) {
    return s.done() && (s.failed() || now - s.done_at() > keep_);
  };
  auto found = kept_.find(key);
  if (found != kept_.end() && stale(found->second)) {
    kept_.erase(found);
    found = kept_.end();
  }
  if (found == kept_.end()) {
    if (kept_.size() >= kMaxKept) std::erase_if(kept_, [&](const auto& e) { return stale(e.second); });
    if (kept_.size() >= kMaxKept) kept_.clear();
    auto fetching = fetch(client_, std::move(ref), std::move(container));
    found = kept_.emplace(key, Shared<Seen>::start(client_.loop(), "runs.image", std::move(fetching))).first;
  }
  const auto shared = found->second;
  const auto value = co_await shared.wait();
  co_return *value;
}

net::Task<Result<ContainerImage>> WorkloadImages::read(WorkloadRef ref, std::string container) {
  auto looking = look(std::move(ref), std::move(container));
  OJ_CO_TRY(auto seen, co_await std::move(looking));
  co_return std::move(seen.image);
}

net::Task<Result<ContainerImage>> WorkloadImages::read_anew(WorkloadRef ref, std::string container) {
  OJ_CO_CHECK(check_served(namespaces_, ref.name_space));
  auto fetching = fetch(client_, std::move(ref), std::move(container));
  OJ_CO_TRY(auto seen, co_await std::move(fetching));
  co_return std::move(seen.image);
}

net::Task<Result<ContainerImage>> WorkloadImages::read_for(Subject subject, WorkloadRef ref,
                                                           std::string container) {
  auto looking = look(ref, std::move(container));
  OJ_CO_TRY(auto seen, co_await std::move(looking));
  // Who may not run here learns that first, and nothing of the rest.
  OJ_CO_CHECK(policy::check_may_run(subject, seen.policy, ref));
  co_return std::move(seen.image);
}

net::Task<std::vector<std::string>> WorkloadImages::pull_secrets(ContainerImage image) {
  const auto& ns = image.workload.name_space;
  auto names = image.pull_secrets;
  if (names.empty()) {
    auto getting = client_.get(kube::resources::service_accounts, ns, image.service_account);
    const auto account = co_await std::move(getting);
    if (account) names = names_in(*account, {"imagePullSecrets"});
    if (!account)
      spdlog::debug("no imagePullSecrets of {}/{}: {}", ns, image.service_account, account.error().message);
  }
  std::vector<std::string> out;
  for (const auto& name : names) {
    auto getting = client_.get(kube::resources::secrets, ns, name);
    const auto secret = co_await std::move(getting);
    if (!secret) {
      spdlog::debug("the image of {} in {} is pulled without the secret {}: {}", to_string(image.workload),
                    ns, printable(name, 100), secret.error().message);
      continue;
    }
    for (const auto* key : {".dockerconfigjson", ".dockercfg"})
      if (auto text = base64_decode(get_string(*secret, {"data", key})); text && !text->empty())
        out.push_back(std::move(*text));
  }
  co_return out;
}

}  // namespace oddjob::runs
