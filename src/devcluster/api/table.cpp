#include "devcluster/api/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "core/text.hpp"

namespace oddjob::devcluster {
namespace {

struct Column {
  const char* name;
  bool wide = false;
};
struct Layout {
  std::vector<Column> columns;
  json::array (*cells)(const json::value&, Time);
};

std::string age(const json::value& o, Time now, KeyPath path = {"metadata", "creationTimestamp"}) {
  const auto t = parse_time(get_string(o, path));
  if (!t) return "<unknown>";
  return human_duration(std::max(std::chrono::duration_cast<Duration>(now - *t), Duration::zero()));
}

std::int64_t number(const json::value& o, KeyPath path) { return get_int(o, path).value_or(0); }
std::string text(const json::value& o, KeyPath path, std::string_view fallback = "<none>") {
  return std::string(get_string(o, path, fallback));
}
std::string name(const json::value& o) { return text(o, {"metadata", "name"}); }
std::int64_t count(const json::value& o, KeyPath path) {
  const auto* at = find(o, path);
  if (at == nullptr) return 0;
  return at->is_object()  ? static_cast<std::int64_t>(at->get_object().size())
         : at->is_array() ? static_cast<std::int64_t>(at->get_array().size())
                          : 0;
}

std::string containers(const json::value& o, KeyPath path, std::string_view field) {
  std::vector<std::string> all;
  if (const auto* list = find_array(o, path))
    for (const auto& c : *list) all.emplace_back(get_string(c, {field}));
  return join(all, ",");
}

std::string selector(const json::value& o, KeyPath path) {
  std::vector<std::string> all;
  if (const auto* labels = find_object(o, path))
    for (const auto& [key, value] : *labels)
      all.push_back(
          fmt::format("{}={}", std::string_view(key), value.is_string() ? sv(value.get_string()) : ""));
  return all.empty() ? "<none>" : join(all, ",");
}

const json::value* condition(const json::value& o, std::string_view type) {
  const auto* list = find_array(o, {"status", "conditions"});
  if (list == nullptr) return nullptr;
  for (const auto& c : *list)
    if (get_string(c, {"type"}) == type && get_string(c, {"status"}) == "True") return &c;
  return nullptr;
}

// What kubectl calls a pod's STATUS (printers/internalversion/printers.go).
std::string pod_status(const json::value& pod) {
  std::string reason = text(pod, {"status", "reason"}, get_string(pod, {"status", "phase"}));
  bool initializing = false;
  const auto state_reason = [](const json::value& c, std::string_view fallback) -> std::string {
    if (const auto* t = find(c, {"state", "terminated"})) {
      if (!get_string(*t, {"reason"}).empty()) return text(*t, {"reason"});
      if (const auto signal = get_int(*t, {"signal"}); signal && *signal != 0)
        return fmt::format("Signal:{}", *signal);
      return fmt::format("ExitCode:{}", number(*t, {"exitCode"}));
    }
    if (const auto w = get_string(c, {"state", "waiting", "reason"}); !w.empty()) return std::string(w);
    return std::string(fallback);
  };
  if (const auto* inits = find_array(pod, {"status", "initContainerStatuses"})) {
    for (std::size_t i = 0; i < inits->size(); ++i) {
      const auto& c = (*inits)[i];
      const auto* done = find(c, {"state", "terminated"});
      if (done != nullptr && number(*done, {"exitCode"}) == 0) continue;
      if (get_bool(c, {"started"})) continue;
      const auto why = state_reason(c, "");
      reason = why.empty() || why == "PodInitializing" ? fmt::format("Init:{}/{}", i, inits->size())
                                                       : "Init:" + why;
      initializing = true;
      break;
    }
  }
  if (!initializing) {
    bool running = false;
    if (const auto* all = find_array(pod, {"status", "containerStatuses"})) {
      for (std::size_t i = all->size(); i-- > 0;) {
        const auto why = state_reason((*all)[i], "");
        if (!why.empty())
          reason = why;
        else if (find((*all)[i], {"state", "running"}) != nullptr)
          running = true;
      }
    }
    if (reason == "Completed" && running) reason = "Running";
  }
  if (find(pod, {"metadata", "deletionTimestamp"}) != nullptr &&
      get_string(pod, {"status", "phase"}) != "Succeeded" && get_string(pod, {"status", "phase"}) != "Failed")
    return "Terminating";
  return reason;
}

json::array pod_cells(const json::value& o, Time now) {
  std::int64_t ready = 0, restarts = 0;
  std::optional<Time> last;
  if (const auto* all = find_array(o, {"status", "containerStatuses"}))
    for (const auto& c : *all) {
      ready += get_bool(c, {"ready"}) ? 1 : 0;
      restarts += number(c, {"restartCount"});
      if (const auto t = parse_time(get_string(c, {"lastState", "terminated", "finishedAt"})))
        last = std::max(last.value_or(*t), *t);
    }
  auto restarted = std::to_string(restarts);
  if (restarts > 0 && last)
    restarted += fmt::format(
        " ({} ago)",
        human_duration(std::max(std::chrono::duration_cast<Duration>(now - *last), Duration::zero())));
  return {name(o),
          fmt::format("{}/{}", ready, count(o, {"spec", "containers"})),
          pod_status(o),
          restarted,
          age(o, now),
          text(o, {"status", "podIP"}),
          text(o, {"spec", "nodeName"}),
          "<none>",
          "<none>"};
}

json::array deployment_cells(const json::value& o, Time now) {
  return {name(o),
          fmt::format("{}/{}", number(o, {"status", "readyReplicas"}), number(o, {"spec", "replicas"})),
          number(o, {"status", "updatedReplicas"}),
          number(o, {"status", "availableReplicas"}),
          age(o, now),
          containers(o, {"spec", "template", "spec", "containers"}, "name"),
          containers(o, {"spec", "template", "spec", "containers"}, "image"),
          selector(o, {"spec", "selector", "matchLabels"})};
}

json::array replica_set_cells(const json::value& o, Time now) {
  return {name(o),
          number(o, {"spec", "replicas"}),
          number(o, {"status", "replicas"}),
          number(o, {"status", "readyReplicas"}),
          age(o, now),
          containers(o, {"spec", "template", "spec", "containers"}, "name"),
          containers(o, {"spec", "template", "spec", "containers"}, "image"),
          selector(o, {"spec", "selector", "matchLabels"})};
}

json::array stateful_set_cells(const json::value& o, Time now) {
  return {name(o),
          fmt::format("{}/{}", number(o, {"status", "readyReplicas"}), number(o, {"spec", "replicas"})),
          age(o, now), containers(o, {"spec", "template", "spec", "containers"}, "name"),
          containers(o, {"spec", "template", "spec", "containers"}, "image")};
}

json::array daemon_set_cells(const json::value& o, Time now) {
  return {name(o),
          number(o, {"status", "desiredNumberScheduled"}),
          number(o, {"status", "currentNumberScheduled"}),
          number(o, {"status", "numberReady"}),
          number(o, {"status", "updatedNumberScheduled"}),
          number(o, {"status", "numberAvailable"}),
          selector(o, {"spec", "template", "spec", "nodeSelector"}),
          age(o, now)};
}

json::array job_cells(const json::value& o, Time now) {
  std::string status = "Running";
  if (condition(o, "Complete") != nullptr)
    status = "Complete";
  else if (condition(o, "Failed") != nullptr)
    status = "Failed";
  else if (find(o, {"metadata", "deletionTimestamp"}) != nullptr)
    status = "Terminating";
  else if (condition(o, "Suspended") != nullptr)
    status = "Suspended";
  else if (condition(o, "FailureTarget") != nullptr)
    status = "FailureTarget";
  else if (condition(o, "SuccessCriteriaMet") != nullptr)
    status = "SuccessCriteriaMet";
  std::string duration;
  if (const auto start = parse_time(get_string(o, {"status", "startTime"}))) {
    const auto end = parse_time(get_string(o, {"status", "completionTime"}));
    duration = human_duration(std::chrono::duration_cast<Duration>((end ? *end : now) - *start));
  }
  return {name(o),
          status,
          fmt::format("{}/{}", number(o, {"status", "succeeded"}),
                      get_int(o, {"spec", "completions"}).value_or(1)),
          duration,
          age(o, now),
          containers(o, {"spec", "template", "spec", "containers"}, "name"),
          containers(o, {"spec", "template", "spec", "containers"}, "image"),
          selector(o, {"spec", "selector", "matchLabels"})};
}

json::array cron_job_cells(const json::value& o, Time now) {
  return {name(o),
          text(o, {"spec", "schedule"}),
          text(o, {"spec", "timeZone"}),
          get_bool(o, {"spec", "suspend"}) ? "True" : "False",
          count(o, {"status", "active"}),
          "<none>",
          age(o, now)};
}

json::array service_cells(const json::value& o, Time now) {
  std::vector<std::string> ports;
  if (const auto* list = find_array(o, {"spec", "ports"}))
    for (const auto& p : *list)
      ports.push_back(fmt::format("{}/{}", number(p, {"port"}), text(p, {"protocol"}, "TCP")));
  return {name(o),
          text(o, {"spec", "type"}),
          text(o, {"spec", "clusterIP"}),
          "<none>",
          ports.empty() ? "<none>" : join(ports, ","),
          age(o, now),
          selector(o, {"spec", "selector"})};
}

json::array config_map_cells(const json::value& o, Time now) {
  return {name(o), count(o, {"data"}) + count(o, {"binaryData"}), age(o, now)};
}
json::array secret_cells(const json::value& o, Time now) {
  return {name(o), text(o, {"type"}), count(o, {"data"}), age(o, now)};
}
json::array namespace_cells(const json::value& o, Time now) {
  return {name(o), text(o, {"status", "phase"}), age(o, now)};
}
json::array node_cells(const json::value& o, Time now) {
  return {name(o),
          condition(o, "Ready") != nullptr ? "Ready" : "NotReady",
          "<none>",
          age(o, now),
          text(o, {"status", "nodeInfo", "kubeletVersion"}),
          "127.0.0.1",
          "<none>",
          text(o, {"status", "nodeInfo", "osImage"}),
          text(o, {"status", "nodeInfo", "kernelVersion"}),
          text(o, {"status", "nodeInfo", "containerRuntimeVersion"})};
}
json::array event_cells(const json::value& o, Time now) {
  return {age(o, now, {"lastTimestamp"}), text(o, {"type"}), text(o, {"reason"}),
          fmt::format("{}/{}", ascii_lower(get_string(o, {"involvedObject", "kind"})),
                      get_string(o, {"involvedObject", "name"})),
          text(o, {"message"}, "")};
}
json::array pdb_cells(const json::value& o, Time now) {
  const auto value = [&](std::string_view key) {
    const auto* v = find(o, {"spec", key});
    return v == nullptr     ? std::string("N/A")
           : v->is_string() ? std::string(sv(v->get_string()))
                            : json::serialize(*v);
  };
  return {name(o), value("minAvailable"), value("maxUnavailable"),
          number(o, {"status", "disruptionsAllowed"}), age(o, now)};
}
json::array service_account_cells(const json::value& o, Time now) { return {name(o), age(o, now)}; }
std::string short_modes(const json::value& o) {
  std::string modes;
  if (const auto* list = find_array(o, {"spec", "accessModes"}))
    for (const auto& m : *list)
      modes += (modes.empty() ? "" : ",") + std::string(m == "ReadWriteOnce"   ? "RWO"
                                                        : m == "ReadWriteMany" ? "RWX"
                                                        : m == "ReadOnlyMany"  ? "ROX"
                                                                               : "RWOP");
  return modes;
}

json::array claim_cells(const json::value& o, Time now) {
  return {name(o),
          text(o, {"status", "phase"}),
          text(o, {"spec", "volumeName"}, ""),
          text(o, {"spec", "resources", "requests", "storage"}, ""),
          short_modes(o),
          text(o, {"spec", "storageClassName"}, ""),
          "<unset>",
          age(o, now)};
}

json::array volume_cells(const json::value& o, Time now) {
  const auto claim =
      get_string(o, {"spec", "claimRef", "name"}).empty()
          ? std::string()
          : text(o, {"spec", "claimRef", "namespace"}, "") + "/" + text(o, {"spec", "claimRef", "name"});
  return {name(o),
          text(o, {"spec", "capacity", "storage"}, ""),
          short_modes(o),
          text(o, {"spec", "persistentVolumeReclaimPolicy"}, "Retain"),
          text(o, {"status", "phase"}),
          claim,
          text(o, {"spec", "storageClassName"}, ""),
          "",
          age(o, now)};
}

json::array binding_cells(const json::value& o, Time now) {
  std::vector<std::string> users, groups, accounts;
  if (const auto* list = find_array(o, {"subjects"}))
    for (const auto& s : *list) {
      const auto kind = get_string(s, {"kind"});
      const auto who = text(s, {"name"});
      if (kind == "ServiceAccount")
        accounts.push_back(text(s, {"namespace"}, "") + "/" + who);
      else
        (kind == "User" ? users : groups).push_back(who);
    }
  return {name(o),
          text(o, {"roleRef", "kind"}) + "/" + text(o, {"roleRef", "name"}),
          age(o, now),
          join(users, ", "),
          join(groups, ", "),
          join(accounts, ", ")};
}

json::array role_cells(const json::value& o, Time /*now*/) {
  return {name(o), text(o, {"metadata", "creationTimestamp"})};
}
json::array lease_cells(const json::value& o, Time now) {
  return {name(o), text(o, {"spec", "holderIdentity"}, ""), age(o, now)};
}

json::array ingress_cells(const json::value& o, Time now) {
  std::vector<std::string> hosts;
  if (const auto* rules = find_array(o, {"spec", "rules"}))
    for (const auto& r : *rules) hosts.push_back(text(r, {"host"}, "*"));
  return {name(o),
          text(o, {"spec", "ingressClassName"}),
          hosts.empty() ? "*" : join(hosts, ","),
          "",
          find(o, {"spec", "tls"}) != nullptr ? "80, 443" : "80",
          age(o, now)};
}

json::array quota_cells(const json::value& o, Time now) {
  std::vector<std::string> hard;
  if (const auto* all = find_object(o, {"spec", "hard"}))
    for (const auto& [key, value] : *all)
      hard.push_back(fmt::format("{}: {}", std::string_view(key),
                                 value.is_string() ? sv(value.get_string()) : json::serialize(value)));
  return {name(o), join(hard, ", "), "", age(o, now)};
}

json::array autoscaler_cells(const json::value& o, Time now) {
  return {name(o),
          text(o, {"spec", "scaleTargetRef", "kind"}) + "/" + text(o, {"spec", "scaleTargetRef", "name"}),
          "<unknown>",
          number(o, {"spec", "minReplicas"}),
          number(o, {"spec", "maxReplicas"}),
          number(o, {"status", "currentReplicas"}),
          age(o, now)};
}

json::array network_policy_cells(const json::value& o, Time now) {
  return {name(o), selector(o, {"spec", "podSelector", "matchLabels"}), age(o, now)};
}
json::array priority_cells(const json::value& o, Time now) {
  return {name(o), number(o, {"value"}), get_bool(o, {"globalDefault"}), age(o, now),
          text(o, {"preemptionPolicy"}, "PreemptLowerPriority")};
}
json::array storage_class_cells(const json::value& o, Time now) {
  return {name(o),
          text(o, {"provisioner"}),
          text(o, {"reclaimPolicy"}, "Delete"),
          text(o, {"volumeBindingMode"}, "Immediate"),
          get_bool(o, {"allowVolumeExpansion"}),
          age(o, now)};
}
json::array plain_cells(const json::value& o, Time now) { return {name(o), age(o, now)}; }

const Layout& layout(std::string_view kind) {
  static const std::map<std::string_view, Layout> table = {
      {"Pod",
       {{{"Name"},
         {"Ready"},
         {"Status"},
         {"Restarts"},
         {"Age"},
         {"IP", true},
         {"Node", true},
         {"Nominated Node", true},
         {"Readiness Gates", true}},
        pod_cells}},
      {"Deployment",
       {{{"Name"},
         {"Ready"},
         {"Up-to-date"},
         {"Available"},
         {"Age"},
         {"Containers", true},
         {"Images", true},
         {"Selector", true}},
        deployment_cells}},
      {"ReplicaSet",
       {{{"Name"},
         {"Desired"},
         {"Current"},
         {"Ready"},
         {"Age"},
         {"Containers", true},
         {"Images", true},
         {"Selector", true}},
        replica_set_cells}},
      {"StatefulSet",
       {{{"Name"}, {"Ready"}, {"Age"}, {"Containers", true}, {"Images", true}}, stateful_set_cells}},
      {"DaemonSet",
       {{{"Name"},
         {"Desired"},
         {"Current"},
         {"Ready"},
         {"Up-to-date"},
         {"Available"},
         {"Node Selector"},
         {"Age"}},
        daemon_set_cells}},
      {"Job",
       {{{"Name"},
         {"Status"},
         {"Completions"},
         {"Duration"},
         {"Age"},
         {"Containers", true},
         {"Images", true},
         {"Selector", true}},
        job_cells}},
      {"CronJob",
       {{{"Name"}, {"Schedule"}, {"Timezone"}, {"Suspend"}, {"Active"}, {"Last Schedule"}, {"Age"}},
        cron_job_cells}},
      {"Service",
       {{{"Name"}, {"Type"}, {"Cluster-IP"}, {"External-IP"}, {"Port(s)"}, {"Age"}, {"Selector", true}},
        service_cells}},
      {"ConfigMap", {{{"Name"}, {"Data"}, {"Age"}}, config_map_cells}},
      {"Secret", {{{"Name"}, {"Type"}, {"Data"}, {"Age"}}, secret_cells}},
      {"Namespace", {{{"Name"}, {"Status"}, {"Age"}}, namespace_cells}},
      {"Node",
       {{{"Name"},
         {"Status"},
         {"Roles"},
         {"Age"},
         {"Version"},
         {"Internal-IP", true},
         {"External-IP", true},
         {"OS-Image", true},
         {"Kernel-Version", true},
         {"Container-Runtime", true}},
        node_cells}},
      {"Event", {{{"Last Seen"}, {"Type"}, {"Reason"}, {"Object"}, {"Message"}}, event_cells}},
      {"PodDisruptionBudget",
       {{{"Name"}, {"Min Available"}, {"Max Unavailable"}, {"Allowed Disruptions"}, {"Age"}}, pdb_cells}},
      {"ServiceAccount", {{{"Name"}, {"Age"}}, service_account_cells}},
      {"PersistentVolumeClaim",
       {{{"Name"},
         {"Status"},
         {"Volume"},
         {"Capacity"},
         {"Access Modes"},
         {"StorageClass"},
         {"VolumeAttributesClass"},
         {"Age"}},
        claim_cells}},
      {"PersistentVolume",
       {{{"Name"},
         {"Capacity"},
         {"Access Modes"},
         {"Reclaim Policy"},
         {"Status"},
         {"Claim"},
         {"StorageClass"},
         {"Reason"},
         {"Age"}},
        volume_cells}},
      {"RoleBinding",
       {{{"Name"}, {"Role"}, {"Age"}, {"Users", true}, {"Groups", true}, {"ServiceAccounts", true}},
        binding_cells}},
      {"ClusterRoleBinding",
       {{{"Name"}, {"Role"}, {"Age"}, {"Users", true}, {"Groups", true}, {"ServiceAccounts", true}},
        binding_cells}},
      {"Role", {{{"Name"}, {"Created At"}}, role_cells}},
      {"ClusterRole", {{{"Name"}, {"Created At"}}, role_cells}},
      {"Lease", {{{"Name"}, {"Holder"}, {"Age"}}, lease_cells}},
      {"Ingress", {{{"Name"}, {"Class"}, {"Hosts"}, {"Address"}, {"Ports"}, {"Age"}}, ingress_cells}},
      {"NetworkPolicy", {{{"Name"}, {"Pod-Selector"}, {"Age"}}, network_policy_cells}},
      {"ResourceQuota", {{{"Name"}, {"Request"}, {"Limit"}, {"Age"}}, quota_cells}},
      {"HorizontalPodAutoscaler",
       {{{"Name"}, {"Reference"}, {"Targets"}, {"MinPods"}, {"MaxPods"}, {"Replicas"}, {"Age"}},
        autoscaler_cells}},
      {"PriorityClass",
       {{{"Name"}, {"Value"}, {"Global-Default"}, {"Age"}, {"PreemptionPolicy"}}, priority_cells}},
      {"StorageClass",
       {{{"Name"},
         {"Provisioner"},
         {"ReclaimPolicy"},
         {"VolumeBindingMode"},
         {"AllowVolumeExpansion"},
         {"Age"}},
        storage_class_cells}},
      {"CustomResourceDefinition", {{{"Name"}, {"Created At"}}, role_cells}},
  };
  static const Layout plain = {{{"Name"}, {"Age"}}, plain_cells};
  const auto found = table.find(kind);
  return found == table.end() ? plain : found->second;
}

// What a printer column's JSON path names: .a.b, .a[0], .a[*].b (the first), .a[?(@.k=="v")].b.
const json::value* at_path(const json::value& root, std::string_view path) {
  const json::value* at = &root;
  while (!path.empty() && at != nullptr) {
    if (path.front() == '.') {
      path.remove_prefix(1);
      continue;
    }
    if (path.front() != '[') {
      std::string key;
      while (!path.empty() && path.front() != '.' && path.front() != '[') {
        if (path.front() == '\\' && path.size() > 1) path.remove_prefix(1);  // example\.com/x
        key += path.front();
        path.remove_prefix(1);
      }
      at = find(*at, {key});
      continue;
    }
    const auto end = path.find(']');
    if (end == std::string_view::npos || !at->is_array()) return nullptr;
    const auto inside = path.substr(1, end - 1);
    path.remove_prefix(end + 1);
    const auto& list = at->get_array();
    at = nullptr;
    if (inside.starts_with("?(@.")) {
      const auto eq = inside.find("==");
      if (eq == std::string_view::npos) return nullptr;
      const auto key = trim(inside.substr(4, eq - 4));
      auto value = trim(inside.substr(eq + 2));
      value = value.substr(0, value.rfind(')'));
      if (value.size() >= 2 && (value.front() == '"' || value.front() == '\''))
        value = value.substr(1, value.size() - 2);
      const auto found = std::ranges::find_if(
          list, [&](const json::value& item) { return get_string(item, {key}) == value; });
      if (found != list.end()) at = found;
    } else {
      const auto n = static_cast<std::size_t>(
          std::strtoul(std::string(inside).c_str(), nullptr, 10));  // "*" is the first
      if (n < list.size()) at = &list[n];
    }
  }
  return at;
}

// The additionalPrinterColumns of a CRD.
struct CustomColumn {
  std::string name, path;
  bool date = false, wide = false;
};
std::vector<CustomColumn> custom_columns(const json::value* crd) {
  std::vector<CustomColumn> out;
  const auto* versions = crd == nullptr ? nullptr : find_array(*crd, {"spec", "versions"});
  if (versions == nullptr) return out;
  for (const auto& v : *versions)
    if (const auto* list = find_array(v, {"additionalPrinterColumns"});
        list != nullptr && get_bool(v, {"storage"}))
      for (const auto& c : *list)
        out.push_back({text(c, {"name"}), text(c, {"jsonPath"}), get_string(c, {"type"}) == "date",
                       get_int(c, {"priority"}).value_or(0) > 0});
  return out;
}

}  // namespace

json::object metadata_of(const json::value& object) {
  return {{"kind", "PartialObjectMetadata"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", *find(object, {"metadata"})}};
}

json::object table_of(const ResourceInfo& r, const json::value* crd,
                      const std::vector<std::shared_ptr<const json::value>>& items, std::string_view include,
                      std::string_view resource_version, Time now, bool with_header) {
  const auto& shape = layout(r.custom ? "" : r.kind);
  const auto extra = r.custom ? custom_columns(crd) : std::vector<CustomColumn>{};
  json::array columns, rows;
  const auto column = [&](std::string_view title, bool wide) {
    columns.push_back({{"name", title},
                       {"type", "string"},
                       {"format", title == "Name" ? "name" : ""},
                       {"description", ""},
                       {"priority", wide ? 1 : 0}});
  };
  if (extra.empty()) {
    for (const auto& c : shape.columns) column(c.name, c.wide);
  } else {
    column("Name", false);
    for (const auto& c : extra) column(c.name, c.wide);
  }
  for (const auto& item : items) {
    json::array cells;
    if (extra.empty()) {
      cells = shape.cells(*item, now);
    } else {
      cells.push_back(json::string(name(*item)));
      for (const auto& c : extra) {
        const auto* at = at_path(*item, c.path);
        if (at == nullptr)
          cells.push_back(nullptr);
        else if (c.date && at->is_string()) {
          const auto t = parse_time(sv(at->get_string()));
          cells.push_back(
              t ? json::value(json::string(human_duration(std::chrono::duration_cast<Duration>(now - *t))))
                : json::value("<unknown>"));
        } else
          cells.push_back(*at);
      }
    }
    json::object row{{"cells", std::move(cells)}};
    if (include == "Object")
      row["object"] = *item;
    else if (include != "None")
      row["object"] = metadata_of(*item);
    rows.push_back(std::move(row));
  }
  if (!with_header) columns.clear();
  return {{"kind", "Table"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", {{"resourceVersion", resource_version}}},
          {"columnDefinitions", std::move(columns)},
          {"rows", std::move(rows)}};
}

}  // namespace oddjob::devcluster
