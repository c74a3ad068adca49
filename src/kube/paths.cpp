#include "kube/paths.hpp"

#include "core/text.hpp"

namespace oddjob::kube {

namespace resources {
const Resource pods{"", "v1", "pods", true, "Pod"};
const Resource services{"", "v1", "services", true, "Service"};
const Resource events{"", "v1", "events", true, "Event"};
const Resource namespaces{"", "v1", "namespaces", false, "Namespace"};
const Resource config_maps{"", "v1", "configmaps", true, "ConfigMap"};
const Resource secrets{"", "v1", "secrets", true, "Secret"};
const Resource service_accounts{"", "v1", "serviceaccounts", true, "ServiceAccount"};
const Resource resource_quotas{"", "v1", "resourcequotas", true, "ResourceQuota"};
const Resource limit_ranges{"", "v1", "limitranges", true, "LimitRange"};
const Resource deployments{"apps", "v1", "deployments", true, "Deployment"};
const Resource stateful_sets{"apps", "v1", "statefulsets", true, "StatefulSet"};
const Resource daemon_sets{"apps", "v1", "daemonsets", true, "DaemonSet"};
const Resource replica_sets{"apps", "v1", "replicasets", true, "ReplicaSet"};
const Resource jobs{"batch", "v1", "jobs", true, "Job"};
const Resource cron_jobs{"batch", "v1", "cronjobs", true, "CronJob"};
const Resource pod_disruption_budgets{"policy", "v1", "poddisruptionbudgets", true, "PodDisruptionBudget"};
const Resource token_reviews{"authentication.k8s.io", "v1", "tokenreviews", false, "TokenReview"};
const Resource subject_access_reviews{"authorization.k8s.io", "v1", "subjectaccessreviews", false,
                                      "SubjectAccessReview"};
const Resource self_subject_access_reviews{"authorization.k8s.io", "v1", "selfsubjectaccessreviews", false,
                                           "SelfSubjectAccessReview"};
}  // namespace resources

const Resource& workload_resource(std::string_view kind) {
  if (kind == "StatefulSet") return resources::stateful_sets;
  if (kind == "DaemonSet") return resources::daemon_sets;
  if (kind == "CronJob") return resources::cron_jobs;
  return resources::deployments;
}

namespace {

// What the API server accepts as one path segment.
bool is_segment(std::string_view s) {
  return !s.empty() && s.size() <= 253 && s != "." && s != ".." &&
         s.find_first_of("/%") == std::string_view::npos && s.find('\0') == std::string_view::npos;
}

}  // namespace

std::string api_version_of(const Resource& r) {
  return r.group.empty() ? r.version : r.group + "/" + r.version;
}

Result<std::string> resource_path(const Resource& r, std::string_view ns, std::string_view name,
                                  std::string_view subresource) {
  std::string path = (r.group.empty() ? "/api/" : "/apis/") + api_version_of(r);
  if (r.namespaced && !ns.empty()) {
    if (!is_segment(ns))
      return fail(Errc::invalid_argument, "kube.invalid",
                  fmt::format("\"{}\" cannot be a namespace", printable(ns, 100)));
    path += "/namespaces/" + net::percent_encode(ns);
  }
  path += "/" + r.plural;
  if (!name.empty()) {
    if (!is_segment(name) || (r.namespaced && ns.empty()))
      return fail(Errc::invalid_argument, "kube.invalid",
                  fmt::format("\"{}\" in namespace \"{}\" cannot name one of the {}", printable(name, 100),
                              printable(ns, 100), r.plural));
    path += "/" + net::percent_encode(name);
    if (!subresource.empty()) path += "/" + std::string(subresource);
  }
  return path;
}

std::string with_query(std::string path, const net::Query& query) {
  return query.empty() ? path : path + "?" + query.encode();
}

net::Query list_query(const ListOptions& options) {
  net::Query q;
  if (!options.label_selector.empty()) q.add("labelSelector", options.label_selector);
  if (!options.field_selector.empty()) q.add("fieldSelector", options.field_selector);
  return q;
}

}  // namespace oddjob::kube
