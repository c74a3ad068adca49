// Internal to controllers/: what they share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "devcluster/registry.hpp"

namespace oddjob::devcluster {

using Object = std::shared_ptr<const json::value>;

// One object to look at, and when a controller wants to look again.
struct Item {
  ResourceKey resource;
  std::string name_space, name;
  friend auto operator<=>(const Item&, const Item&) = default;
};
using Again = std::optional<Duration>;

std::string now_text();
Time now_seconds();
bool being_deleted(const json::value& o);
// The controlling owner's uid, or empty.
std::string controller_uid(const json::value& o);
json::value owner_reference(const json::value& owner);
// Objects of the namespace that `owner` controls.
std::vector<Object> owned(Registry& registry, const ResourceKey& r, const json::value& owner);
bool pod_ready(const json::value& pod);
bool pod_finished(const json::value& pod);
// A pod from a template, owned; the error goes into a FailedCreate event too.
Result<json::value> create_pod(Registry& registry, const json::value& owner, const json::value& pod_template,
                               std::string name, std::string_view component);
// Sets one condition; keeps its times while the status stays. True if something changed.
// `other_time` is what the kind calls its second time (lastUpdateTime, lastProbeTime).
bool set_condition(json::value& object, std::string_view type, bool on, std::string_view reason,
                   std::string_view message, std::string_view other_time = {});
const json::value* true_condition(const json::value& object, std::string_view type);
// Replaces .status where it differs.
void write_status(Registry& registry, const ResourceInfo& r, const json::value& object, json::value status);

Again sync_deployment(Registry& registry, const json::value& deployment);
Again sync_replica_set(Registry& registry, const json::value& set);
Again sync_stateful_set(Registry& registry, const json::value& set);
Again sync_daemon_set(Registry& registry, const json::value& set);
Again sync_job(Registry& registry, const json::value& job);
// Takes the Job controller's finalizer from a pod whose Job is gone: nobody else would.
void release_orphaned_pod(Registry& registry, const json::value& pod);
Again sync_disruption_budget(Registry& registry, const json::value& budget);
void sync_namespace(Registry& registry, const json::value& ns);
void sync_claim(Registry& registry, const json::value& claim);
void sync_quota(Registry& registry, const json::value& quota);
// Finalizers foregroundDeletion and orphan, and dependents whose owner is gone.
void collect_garbage(Registry& registry, const ResourceInfo& r, const json::value& object);
void collect_dependents(Registry& registry, std::string_view owner_uid, std::string_view ns);

}  // namespace oddjob::devcluster
