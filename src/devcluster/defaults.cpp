#include <fmt/format.h>

#include "core/digest.hpp"
#include "devcluster/rules.hpp"

namespace oddjob::devcluster {
namespace {

// Sets what is missing.
void fill(json::value& object, KeyPath path, json::value fallback) {
  auto& at = ensure(object, path);
  if (at.is_null()) at = std::move(fallback);
}

json::array* list_at(json::value& v, KeyPath path) {
  auto* at = find(v, path);
  return at == nullptr ? nullptr : at->if_array();
}

void container_defaults(json::value& c) {
  if (!c.is_object()) return;
  const auto image = get_string(c, {"image"});
  const auto tag = image.rfind(':');
  const bool latest = image.find('@') == std::string_view::npos &&
                      (tag == std::string_view::npos || image.find('/', tag) != std::string_view::npos ||
                       image.substr(tag) == ":latest");
  fill(c, {"imagePullPolicy"}, latest ? "Always" : "IfNotPresent");
  fill(c, {"resources"}, json::object());
  fill(c, {"terminationMessagePath"}, "/dev/termination-log");
  fill(c, {"terminationMessagePolicy"}, "File");
  if (auto* ports = list_at(c, {"ports"}))
    for (auto& port : *ports)
      if (port.is_object()) fill(port, {"protocol"}, "TCP");
  // What is limited and not requested is requested as limited.
  if (const auto* limits = find_object(c, {"resources", "limits"})) {
    const json::object copy = *limits;
    for (const auto& [name, value] : copy) fill(c, {"resources", "requests", std::string_view(name)}, value);
  }
}

void pod_spec_defaults(json::value& spec) {
  if (!spec.is_object()) return;
  fill(spec, {"restartPolicy"}, "Always");
  fill(spec, {"terminationGracePeriodSeconds"}, 30);
  fill(spec, {"dnsPolicy"}, "ClusterFirst");
  fill(spec, {"securityContext"}, json::object());
  fill(spec, {"schedulerName"}, "default-scheduler");
  for (const auto* key : {"containers", "initContainers"})
    if (auto* list = list_at(spec, {key}))
      for (auto& c : *list) container_defaults(c);
  if (auto* volumes = list_at(spec, {"volumes"})) {
    for (auto& v : *volumes) {
      if (find_object(v, {"configMap"}) != nullptr) fill(v, {"configMap", "defaultMode"}, 420);
      if (find_object(v, {"secret"}) != nullptr) fill(v, {"secret", "defaultMode"}, 420);
      if (find_object(v, {"projected"}) != nullptr) fill(v, {"projected", "defaultMode"}, 420);
    }
  }
}

void template_defaults(json::value& object, KeyPath path) {
  auto* t = find(object, path);
  if (t == nullptr || !t->is_object()) return;
  fill(*t, {"metadata"}, json::object());
  if (auto* spec = find(*t, {"spec"})) pod_spec_defaults(*spec);
}

void job_spec_defaults(json::value& job) {
  fill(job, {"spec", "backoffLimit"}, 6);
  if (find(job, {"spec", "parallelism"}) == nullptr && find(job, {"spec", "completions"}) == nullptr)
    ensure(job, {"spec", "completions"}) = 1;
  fill(job, {"spec", "parallelism"}, 1);
  fill(job, {"spec", "completionMode"}, "NonIndexed");
  fill(job, {"spec", "suspend"}, false);
  fill(job, {"spec", "manualSelector"}, false);
  fill(job, {"spec", "podReplacementPolicy"},
       find(job, {"spec", "podFailurePolicy"}) != nullptr ? "Failed" : "TerminatingOrFailed");
  template_defaults(job, {"spec", "template"});
}

// A Job selects its pods by its own uid.
void job_selector(json::value& job) {
  if (get_bool(job, {"spec", "manualSelector"})) return;
  const std::string uid(get_string(job, {"metadata", "uid"})), name(get_string(job, {"metadata", "name"}));
  if (uid.empty()) return;
  auto& labels = ensure(job, {"spec", "template", "metadata", "labels"});
  if (!labels.is_object()) labels.emplace_object();
  for (const auto* key : {"batch.kubernetes.io/controller-uid", "controller-uid"})
    labels.get_object()[key] = uid;
  for (const auto* key : {"batch.kubernetes.io/job-name", "job-name"}) labels.get_object()[key] = name;
  ensure(job, {"spec", "selector"}) =
      json::object{{"matchLabels", {{"batch.kubernetes.io/controller-uid", uid}}}};
  const auto* own = find_object(job, {"metadata", "labels"});
  if (own == nullptr || own->empty())
    ensure(job, {"metadata", "labels"}) = json::value(*find(job, {"spec", "template", "metadata", "labels"}));
}

void service_defaults(json::value& s) {
  fill(s, {"spec", "type"}, "ClusterIP");
  fill(s, {"spec", "sessionAffinity"}, "None");
  fill(s, {"spec", "internalTrafficPolicy"}, "Cluster");
  if (get_string(s, {"spec", "type"}) != "ExternalName") {
    if (find(s, {"spec", "clusterIP"}) == nullptr) {
      // Stable for a name; nothing routes to it (docs/dev-cluster.md).
      const auto h = sha256_hex(fmt::format("{}/{}", get_string(s, {"metadata", "namespace"}),
                                            get_string(s, {"metadata", "name"})));
      ensure(s, {"spec", "clusterIP"}) = fmt::format("10.96.{}.{}", std::stoi(h.substr(0, 2), nullptr, 16),
                                                     1 + std::stoi(h.substr(2, 2), nullptr, 16) % 254);
    }
    fill(s, {"spec", "clusterIPs"}, json::array{*find(s, {"spec", "clusterIP"})});
    fill(s, {"spec", "ipFamilies"}, json::array{"IPv4"});
    fill(s, {"spec", "ipFamilyPolicy"}, "SingleStack");
  }
  if (auto* ports = list_at(s, {"spec", "ports"})) {
    for (auto& p : *ports) {
      if (!p.is_object()) continue;
      fill(p, {"protocol"}, "TCP");
      if (const auto* port = find(p, {"port"})) fill(p, {"targetPort"}, json::value(*port));
    }
  }
}

// What is bounded and has no default of its own gets the bound.
void limit_range_defaults(json::value& item) {
  if (!item.is_object() || get_string(item, {"type"}) != "Container") return;
  for (const auto& [from, to] : {std::pair{"max", "default"}, std::pair{"default", "defaultRequest"},
                                 std::pair{"min", "defaultRequest"}})
    if (const auto* values = find_object(item, {from})) {
      const json::object copy = *values;
      for (const auto& [name, value] : copy) fill(item, {to, std::string_view(name)}, value);
    }
}

}  // namespace

void apply_defaults(const ResourceInfo& r, json::value& o) {
  if (r.custom) return;
  const auto& k = r.kind;
  if (k == "Pod") {
    if (auto* spec = find(o, {"spec"})) {
      pod_spec_defaults(*spec);
      fill(*spec, {"serviceAccountName"}, "default");
      fill(*spec, {"enableServiceLinks"}, true);
    }
  } else if (k == "Deployment") {
    fill(o, {"spec", "replicas"}, 1);
    fill(o, {"spec", "strategy", "type"}, "RollingUpdate");
    if (get_string(o, {"spec", "strategy", "type"}) == "RollingUpdate") {
      fill(o, {"spec", "strategy", "rollingUpdate", "maxSurge"}, "25%");
      fill(o, {"spec", "strategy", "rollingUpdate", "maxUnavailable"}, "25%");
    }
    fill(o, {"spec", "revisionHistoryLimit"}, 10);
    fill(o, {"spec", "progressDeadlineSeconds"}, 600);
    template_defaults(o, {"spec", "template"});
  } else if (k == "ReplicaSet") {
    fill(o, {"spec", "replicas"}, 1);
    template_defaults(o, {"spec", "template"});
  } else if (k == "StatefulSet") {
    fill(o, {"spec", "replicas"}, 1);
    fill(o, {"spec", "podManagementPolicy"}, "OrderedReady");
    fill(o, {"spec", "updateStrategy", "type"}, "RollingUpdate");
    fill(o, {"spec", "revisionHistoryLimit"}, 10);
    template_defaults(o, {"spec", "template"});
  } else if (k == "DaemonSet") {
    fill(o, {"spec", "updateStrategy", "type"}, "RollingUpdate");
    fill(o, {"spec", "revisionHistoryLimit"}, 10);
    template_defaults(o, {"spec", "template"});
  } else if (k == "Job") {
    job_spec_defaults(o);
    job_selector(o);
  } else if (k == "CronJob") {
    fill(o, {"spec", "concurrencyPolicy"}, "Allow");
    fill(o, {"spec", "suspend"}, false);
    fill(o, {"spec", "successfulJobsHistoryLimit"}, 3);
    fill(o, {"spec", "failedJobsHistoryLimit"}, 1);
    template_defaults(o, {"spec", "jobTemplate", "spec", "template"});
  } else if (k == "Service") {
    service_defaults(o);
  } else if (k == "Secret") {
    fill(o, {"type"}, "Opaque");
    if (const auto* text = find_object(o, {"stringData"})) {
      const json::object copy = *text;
      for (const auto& [key, value] : copy)
        if (value.is_string())
          ensure(o, {"data", std::string_view(key)}) = base64_encode(sv(value.get_string()));
      erase(o, {"stringData"});
    }
  } else if (k == "Namespace") {
    fill(o, {"spec", "finalizers"}, json::array{"kubernetes"});
    ensure(o, {"metadata", "labels"});
    if (!find(o, {"metadata", "labels"})->is_object()) ensure(o, {"metadata", "labels"}).emplace_object();
    ensure(o, {"metadata", "labels", "kubernetes.io/metadata.name"}) = get_string(o, {"metadata", "name"});
  } else if (k == "LimitRange") {
    if (auto* limits = list_at(o, {"spec", "limits"}))
      for (auto& item : *limits) limit_range_defaults(item);
  } else if (k == "PersistentVolumeClaim") {
    fill(o, {"spec", "volumeMode"}, "Filesystem");
  }
}

}  // namespace oddjob::devcluster
