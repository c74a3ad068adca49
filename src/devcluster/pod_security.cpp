// Pod Security admission: the levels baseline and restricted, as a namespace's label
// pod-security.kubernetes.io/enforce asks for them, in the words of the real one.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/
//
// Of baseline, what pods of Deployments break in practice: host namespaces, host ports,
// hostPath, privileged, capabilities, seccomp. Not AppArmor, SELinux, sysctls, procMount.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/text.hpp"
#include "devcluster/rules.hpp"

namespace oddjob::devcluster {
namespace {

using Names = std::vector<std::string>;

std::string quoted(const Names& names) {
  Names out;
  for (const auto& n : names) out.push_back(fmt::format("\"{}\"", n));
  return join(out, ", ");
}

// `container "a"` or `containers "a", "b"`.
std::string counted(std::string_view what, const Names& names) {
  return fmt::format("{}{} {}", what, names.size() == 1 ? "" : "s", quoted(names));
}

// Init containers first, as the real one lists them.
std::vector<const json::value*> containers_of(const json::value& pod) {
  std::vector<const json::value*> out;
  for (const auto* key : {"initContainers", "containers"})
    if (const auto* list = find_array(pod, {"spec", key}))
      for (const auto& c : *list) out.push_back(&c);
  return out;
}

std::string name_of(const json::value& v) { return std::string(get_string(v, {"name"})); }

// The names of the containers of which `bad` is true.
template <class Predicate>
Names those(const json::value& pod, const Predicate& bad) {
  Names out;
  for (const auto* c : containers_of(pod))
    if (bad(*c)) out.push_back(name_of(*c));
  return out;
}

std::set<std::string> added_capabilities(const json::value& container) {
  std::set<std::string> out;
  if (const auto* list = find_array(container, {"securityContext", "capabilities", "add"}))
    for (const auto& c : *list)
      if (c.is_string()) out.emplace(sv(c.get_string()));
  return out;
}

// `container "a" must not include "X" in securityContext.capabilities.add`, or nothing.
std::string forbidden_capabilities(const json::value& pod, const std::set<std::string>& allowed) {
  std::set<std::string> extra;
  const auto bad = those(pod, [&](const json::value& c) {
    bool any = false;
    for (const auto& one : added_capabilities(c))
      if (!allowed.contains(one)) {
        extra.insert(one);
        any = true;
      }
    return any;
  });
  if (bad.empty()) return {};
  return fmt::format("{} must not include {} in securityContext.capabilities.add", counted("container", bad),
                     quoted({extra.begin(), extra.end()}));
}

void baseline(const json::value& pod, bool overridden, Names& out) {
  static const std::set<std::string> kDefault = {
      "AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER",  "FSETID", "KILL",      "MKNOD",
      "NET_BIND_SERVICE", "SETFCAP", "SETGID",       "SETPCAP", "SETUID", "SYS_CHROOT"};
  if (const auto bad = forbidden_capabilities(pod, kDefault); !bad.empty() && !overridden)
    out.push_back(fmt::format("non-default capabilities ({})", bad));
  Names host;
  for (const auto* key : {"hostNetwork", "hostPID", "hostIPC"})
    if (get_bool(pod, {"spec", key})) host.push_back(fmt::format("{}=true", key));
  if (!host.empty()) out.push_back(fmt::format("host namespaces ({})", join(host, ", ")));
  Names paths;
  if (const auto* volumes = find_array(pod, {"spec", "volumes"}))
    for (const auto& v : *volumes)
      if (find(v, {"hostPath"}) != nullptr) paths.push_back(name_of(v));
  if (!paths.empty() && !overridden)
    out.push_back(fmt::format("hostPath volumes ({})", counted("volume", paths)));
  std::set<std::int64_t> ports;
  const auto with_ports = those(pod, [&](const json::value& c) {
    bool any = false;
    if (const auto* list = find_array(c, {"ports"}))
      for (const auto& p : *list)
        if (const auto port = get_int(p, {"hostPort"}).value_or(0); port != 0) {
          ports.insert(port);
          any = true;
        }
    return any;
  });
  if (!with_ports.empty())
    out.push_back(fmt::format("hostPort ({} {} hostPort{} {})", counted("container", with_ports),
                              with_ports.size() == 1 ? "uses" : "use", ports.size() == 1 ? "" : "s",
                              fmt::join(ports, ", ")));
  const auto privileged = those(pod, [](const json::value& c) {
    return get_bool(c, {"securityContext", "privileged"});
  });
  if (!privileged.empty())
    out.push_back(fmt::format("privileged ({} must not set securityContext.privileged=true)",
                              counted("container", privileged)));
  if (overridden) return;
  Names seccomp;
  const auto unconfined = those(pod, [](const json::value& c) {
    return get_string(c, {"securityContext", "seccompProfile", "type"}) == "Unconfined";
  });
  if (get_string(pod, {"spec", "securityContext", "seccompProfile", "type"}) == "Unconfined")
    seccomp.emplace_back("pod");
  if (!unconfined.empty()) seccomp.push_back(counted("container", unconfined));
  if (!seccomp.empty())
    out.push_back(
        fmt::format("seccompProfile ({} must not set securityContext.seccompProfile.type to \"Unconfined\")",
                    join(seccomp, " and ")));
}

void restricted_volumes(const json::value& pod, Names& out) {
  static const std::set<std::string_view> kAllowed = {
      "configMap", "csi",   "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
      "projected", "secret"};
  Names volumes;
  std::set<std::string> types;
  if (const auto* list = find_array(pod, {"spec", "volumes"}))
    for (const auto& v : *list)
      for (const auto& [key, value] : v.as_object())
        if (key != "name" && !kAllowed.contains(key) && !value.is_null()) {
          volumes.push_back(name_of(v));
          types.emplace(key);
        }
  if (volumes.empty()) return;
  out.push_back(fmt::format("restricted volume types ({} {} restricted volume type{} {})",
                            counted("volume", volumes), volumes.size() == 1 ? "uses" : "use",
                            types.size() == 1 ? "" : "s", quoted({types.begin(), types.end()})));
}

void run_as(const json::value& pod, Names& out) {
  const auto* pod_non_root = find(pod, {"spec", "securityContext", "runAsNonRoot"});
  const bool pod_says_so = pod_non_root != nullptr && *pod_non_root == json::value(true);
  const auto told_root = those(pod, [](const json::value& c) {
    const auto* v = find(c, {"securityContext", "runAsNonRoot"});
    return v != nullptr && *v == json::value(false);
  });
  const auto silent = those(pod, [&](const json::value& c) {
    const auto* v = find(c, {"securityContext", "runAsNonRoot"});
    return !pod_says_so && (v == nullptr || v->is_null());
  });
  if (!told_root.empty())
    out.push_back(fmt::format("runAsNonRoot != true ({} must not set securityContext.runAsNonRoot=false)",
                              counted("container", told_root)));
  else if (!silent.empty())
    out.push_back(fmt::format("runAsNonRoot != true (pod or {} must set securityContext.runAsNonRoot=true)",
                              counted("container", silent)));
  Names zero;
  if (get_int(pod, {"spec", "securityContext", "runAsUser"}) == 0) zero.emplace_back("pod");
  if (const auto as_root = those(pod,
                                 [](const json::value& c) {
                                   return get_int(c, {"securityContext", "runAsUser"}) == 0;
                                 });
      !as_root.empty())
    zero.push_back(counted("container", as_root));
  if (!zero.empty())
    out.push_back(fmt::format("runAsUser=0 ({} must not set runAsUser=0)", join(zero, " and ")));
}

void restricted(const json::value& pod, Names& out) {
  const auto escalating = those(pod, [](const json::value& c) {
    const auto* v = find(c, {"securityContext", "allowPrivilegeEscalation"});
    return v == nullptr || *v != json::value(false);
  });
  if (!escalating.empty())
    out.push_back(fmt::format(
        "allowPrivilegeEscalation != false ({} must set securityContext.allowPrivilegeEscalation=false)",
        counted("container", escalating)));
  Names capabilities;
  const auto keeping = those(pod, [](const json::value& c) {
    const auto* list = find_array(c, {"securityContext", "capabilities", "drop"});
    return list == nullptr || std::ranges::find(*list, json::value("ALL")) == list->end();
  });
  if (!keeping.empty())
    capabilities.push_back(counted("container", keeping) +
                           " must set securityContext.capabilities.drop=[\"ALL\"]");
  if (auto more = forbidden_capabilities(pod, {"NET_BIND_SERVICE"}); !more.empty())
    capabilities.push_back(std::move(more));
  if (!capabilities.empty())
    out.push_back(fmt::format("unrestricted capabilities ({})", join(capabilities, "; ")));
  baseline(pod, true, out);
  restricted_volumes(pod, out);
  run_as(pod, out);
  const auto good = [](std::string_view type) { return type == "RuntimeDefault" || type == "Localhost"; };
  const bool pod_good = good(get_string(pod, {"spec", "securityContext", "seccompProfile", "type"}));
  const auto open = those(pod, [&](const json::value& c) {
    const auto type = get_string(c, {"securityContext", "seccompProfile", "type"});
    return type.empty() ? !pod_good : !good(type);
  });
  if (!open.empty())
    out.push_back(
        fmt::format("seccompProfile (pod or {} must set securityContext.seccompProfile.type to "
                    "\"RuntimeDefault\" or \"Localhost\")",
                    counted("container", open)));
}

}  // namespace

Result<> check_pod_security(const Storage& storage, std::string_view ns, const json::value& pod) {
  const auto object = storage.get("/namespaces", "", ns);
  if (!object) return {};
  const auto level = get_string(*object, {"metadata", "labels", "pod-security.kubernetes.io/enforce"});
  Names broken;
  if (level == "baseline") baseline(pod, false, broken);
  if (level == "restricted") restricted(pod, broken);
  if (broken.empty()) return {};
  const auto version =
      get_string(*object, {"metadata", "labels", "pod-security.kubernetes.io/enforce-version"}, "latest");
  return fail(Errc::forbidden, "Forbidden",
              fmt::format("pods \"{}\" is forbidden: violates PodSecurity \"{}:{}\": {}",
                          get_string(pod, {"metadata", "name"}), level, version, join(broken, ", ")));
}

}  // namespace oddjob::devcluster
