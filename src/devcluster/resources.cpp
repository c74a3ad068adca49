// The built-in resource types and what the API says of each.
#include "devcluster/resources.hpp"

#include "core/text.hpp"

namespace oddjob::devcluster {
namespace {

// group, version, plural, singular, Kind, namespaced, short names, categories, flags: s(tatus) c(scale)
struct Row {
  const char *group, *version, *plural, *singular, *kind;
  bool namespaced;
  const char *shorts, *categories, *flags;
};

constexpr Row kRows[] = {
    {"", "v1", "configmaps", "configmap", "ConfigMap", true, "cm", "", ""},
    {"", "v1", "endpoints", "endpoints", "Endpoints", true, "ep", "", ""},
    {"", "v1", "events", "event", "Event", true, "ev", "", ""},
    {"", "v1", "limitranges", "limitrange", "LimitRange", true, "limits", "", ""},
    {"", "v1", "namespaces", "namespace", "Namespace", false, "ns", "", "s"},
    {"", "v1", "nodes", "node", "Node", false, "no", "", "s"},
    {"", "v1", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", true, "pvc", "",
     "s"},
    {"", "v1", "persistentvolumes", "persistentvolume", "PersistentVolume", false, "pv", "", "s"},
    {"", "v1", "pods", "pod", "Pod", true, "po", "all", "s"},
    {"", "v1", "replicationcontrollers", "replicationcontroller", "ReplicationController", true, "rc", "all",
     "s"},
    {"", "v1", "resourcequotas", "resourcequota", "ResourceQuota", true, "quota", "", "s"},
    {"", "v1", "secrets", "secret", "Secret", true, "", "", ""},
    {"", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", true, "sa", "", ""},
    {"", "v1", "services", "service", "Service", true, "svc", "all", "s"},
    {"apps", "v1", "controllerrevisions", "controllerrevision", "ControllerRevision", true, "", "", ""},
    {"apps", "v1", "daemonsets", "daemonset", "DaemonSet", true, "ds", "all", "s"},
    {"apps", "v1", "deployments", "deployment", "Deployment", true, "deploy", "all", "sc"},
    {"apps", "v1", "replicasets", "replicaset", "ReplicaSet", true, "rs", "all", "sc"},
    {"apps", "v1", "statefulsets", "statefulset", "StatefulSet", true, "sts", "all", "sc"},
    {"batch", "v1", "cronjobs", "cronjob", "CronJob", true, "cj", "all", "s"},
    {"batch", "v1", "jobs", "job", "Job", true, "", "all", "s"},
    {"policy", "v1", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget", true, "pdb", "",
     "s"},
    {"autoscaling", "v2", "horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler",
     true, "hpa", "all", "s"},
    {"networking.k8s.io", "v1", "ingresses", "ingress", "Ingress", true, "ing", "", "s"},
    {"networking.k8s.io", "v1", "networkpolicies", "networkpolicy", "NetworkPolicy", true, "netpol", "", ""},
    {"coordination.k8s.io", "v1", "leases", "lease", "Lease", true, "", "", ""},
    {"rbac.authorization.k8s.io", "v1", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding",
     false, "", "", ""},
    {"rbac.authorization.k8s.io", "v1", "clusterroles", "clusterrole", "ClusterRole", false, "", "", ""},
    {"rbac.authorization.k8s.io", "v1", "rolebindings", "rolebinding", "RoleBinding", true, "", "", ""},
    {"rbac.authorization.k8s.io", "v1", "roles", "role", "Role", true, "", "", ""},
    {"scheduling.k8s.io", "v1", "priorityclasses", "priorityclass", "PriorityClass", false, "pc", "", ""},
    {"storage.k8s.io", "v1", "storageclasses", "storageclass", "StorageClass", false, "sc", "", ""},
    {"apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinition",
     "CustomResourceDefinition", false, "crd,crds", "api-extensions", "s"},
};

std::vector<std::string> words(std::string_view text) {
  return text.empty() ? std::vector<std::string>{} : split(text, ',');
}

}  // namespace

std::vector<std::string> standard_verbs() {
  return {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"};
}

std::vector<ResourceInfo> built_in_resources() {
  std::vector<ResourceInfo> out;
  for (const auto& row : kRows) {
    ResourceInfo r;
    r.group = row.group;
    r.version = row.version;
    r.plural = row.plural;
    r.singular = row.singular;
    r.kind = row.kind;
    r.namespaced = row.namespaced;
    r.short_names = words(row.shorts);
    r.categories = words(row.categories);
    r.verbs = standard_verbs();
    r.has_status = std::string_view(row.flags).find('s') != std::string_view::npos;
    r.has_scale = std::string_view(row.flags).find('c') != std::string_view::npos;
    out.push_back(std::move(r));
  }
  return out;
}

ResourceInfo resource_of_crd(const json::value& crd) {
  ResourceInfo r;
  r.custom = true;
  r.group = std::string(get_string(crd, {"spec", "group"}));
  r.plural = std::string(get_string(crd, {"spec", "names", "plural"}));
  r.kind = std::string(get_string(crd, {"spec", "names", "kind"}));
  r.singular = std::string(get_string(crd, {"spec", "names", "singular"}, ascii_lower(r.kind)));
  r.namespaced = get_string(crd, {"spec", "scope"}) == "Namespaced";
  r.verbs = standard_verbs();
  const auto names = [&](std::string_view key) {
    std::vector<std::string> all;
    if (const auto* list = find_array(crd, {"spec", "names", key}))
      for (const auto& item : *list)
        if (item.is_string()) all.emplace_back(sv(item.get_string()));
    return all;
  };
  r.short_names = names("shortNames");
  r.categories = names("categories");
  if (const auto* versions = find_array(crd, {"spec", "versions"})) {
    for (const auto& version : *versions) {
      // One version is served: the stored one. docs/dev-cluster.md says so.
      if (!get_bool(version, {"storage"})) continue;
      r.version = std::string(get_string(version, {"name"}));
      r.has_status = find(version, {"subresources", "status"}) != nullptr;
    }
  }
  return r;
}

}  // namespace oddjob::devcluster
