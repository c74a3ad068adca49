#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/quantity.hpp"
#include "core/text.hpp"
#include "devcluster/rules.hpp"

namespace oddjob::devcluster {
namespace {

constexpr std::size_t kMaxAnnotations = 256U << 10U;
constexpr std::string_view kLabelName =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
constexpr std::string_view kSubdomain =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

struct Checker {
  std::vector<Cause> causes;

  void required(std::string field, std::string_view detail = "") {
    std::string message = "Required value";
    if (!detail.empty()) message += fmt::format(": {}", detail);
    causes.push_back({"FieldValueRequired", std::move(field), std::move(message)});
  }
  void bad(std::string field, const json::value& value, std::string_view detail) {
    causes.push_back({"FieldValueInvalid", std::move(field),
                      fmt::format("Invalid value: {}: {}", printable(json::serialize(value), 200), detail)});
  }
  void unsupported(std::string field, const json::value& value, std::string_view known) {
    causes.push_back(
        {"FieldValueNotSupported", std::move(field),
         fmt::format("Unsupported value: {}: supported values: {}", json::serialize(value), known)});
  }
  void forbidden(std::string field, std::string_view detail) {
    causes.push_back({"FieldValueForbidden", std::move(field), fmt::format("Forbidden: {}", detail)});
  }

  void labels(const json::value& object, KeyPath path, const std::string& field) {
    const auto* at = find(object, path);
    if (at == nullptr || at->is_null()) return;
    if (!at->is_object()) return bad(field, *at, "must be an object");
    for (const auto& [key, value] : at->get_object()) {
      if (!is_qualified_name(key))
        bad(field, json::string(key),
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
            "an alphanumeric character");
      if (!value.is_string() || !is_label_value(sv(value.get_string())))
        bad(field, value,
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character, and must be no more than 63 characters");
    }
  }

  void metadata(const ResourceInfo& r, const json::value& object) {
    const auto name = get_string(object, {"metadata", "name"});
    static const std::set<std::string_view> kLabelKinds = {"Namespace", "Service"};
    if (name.empty()) {
      required("metadata.name", "name or generateName is required");
    } else if (r.group == "rbac.authorization.k8s.io") {
      if (name.find('/') != std::string_view::npos || name == "." || name == "..")
        bad("metadata.name", json::string(name), "may not contain '/'");
    } else if (kLabelKinds.contains(r.kind) ? !is_dns_label(name) : !is_dns_subdomain(name)) {
      bad("metadata.name", json::string(name), kLabelKinds.contains(r.kind) ? kLabelName : kSubdomain);
    }
    labels(object, {"metadata", "labels"}, "metadata.labels");
    std::size_t bytes = 0;
    if (const auto* at = find(object, {"metadata", "annotations"}); at != nullptr && at->is_object()) {
      for (const auto& [key, value] : at->get_object()) {
        if (!is_qualified_name(ascii_lower(key)))
          bad("metadata.annotations", json::string(key),
              "name part must consist of alphanumeric characters, '-', '_' or '.'");
        if (!value.is_string())
          bad("metadata.annotations", value, "must be a string");
        else
          bytes += key.size() + value.get_string().size();
      }
      if (bytes > kMaxAnnotations)
        causes.push_back({"FieldValueTooLong", "metadata.annotations",
                          fmt::format("Too long: may not be more than {} bytes", kMaxAnnotations)});
    }
  }

  void resources(const json::value& container, const std::string& field) {
    for (const auto* key : {"limits", "requests"}) {
      const auto* map = find_object(container, {"resources", key});
      if (map == nullptr) continue;
      for (const auto& [name, value] : *map) {
        const std::string text =
            value.is_string() ? std::string(sv(value.get_string())) : json::serialize(value);
        const auto q = parse_quantity(text);
        const auto at = fmt::format("{}.resources.{}[{}]", field, key, std::string_view(name));
        if (!q) {
          bad(at, value,
              "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
        } else if (std::string_view(key) == "requests") {
          const auto limit = get_string(container, {"resources", "limits", std::string_view(name)});
          const auto l = parse_quantity(limit);
          if (!limit.empty() && l && *q > *l)
            bad(at, value,
                fmt::format("must be less than or equal to {} limit of {}", std::string_view(name), limit));
        }
      }
    }
  }

  void containers(const json::value& spec, const char* key, const std::string& prefix,
                  std::set<std::string>& names, const std::set<std::string>& volumes) {
    const auto* list = find_array(spec, {key});
    if (list == nullptr) return;
    for (std::size_t i = 0; i < list->size(); ++i) {
      const auto& c = (*list)[i];
      const auto field = fmt::format("{}.{}[{}]", prefix, key, i);
      const auto name = get_string(c, {"name"});
      if (name.empty())
        required(field + ".name");
      else if (!is_dns_label(name))
        bad(field + ".name", json::string(name), kLabelName);
      else if (!names.insert(std::string(name)).second)
        causes.push_back(
            {"FieldValueDuplicate", field + ".name", fmt::format("Duplicate value: \"{}\"", name)});
      if (trim(get_string(c, {"image"})).empty()) required(field + ".image");
      for (const auto* words : {"command", "args"})
        if (const auto* argv = find(c, {words});
            argv != nullptr && !argv->is_null() &&
            (!argv->is_array() ||
             !std::ranges::all_of(argv->get_array(), [](const auto& w) { return w.is_string(); })))
          bad(fmt::format("{}.{}", field, words), *argv, "must be a list of strings");
      if (const auto* env = find_array(c, {"env"}))
        for (std::size_t e = 0; e < env->size(); ++e)
          if (get_string((*env)[e], {"name"}).empty()) required(fmt::format("{}.env[{}].name", field, e));
      if (const auto* mounts = find_array(c, {"volumeMounts"})) {
        for (std::size_t m = 0; m < mounts->size(); ++m) {
          const auto volume = get_string((*mounts)[m], {"name"});
          if (!volumes.contains(std::string(volume)))
            causes.push_back({"FieldValueNotFound", fmt::format("{}.volumeMounts[{}].name", field, m),
                              fmt::format("Not found: \"{}\"", volume)});
          if (get_string((*mounts)[m], {"mountPath"}).empty())
            required(fmt::format("{}.volumeMounts[{}].mountPath", field, m));
        }
      }
      resources(c, field);
    }
  }

  void pod_spec(const json::value* spec, const std::string& prefix, const json::value* claims = nullptr) {
    if (spec == nullptr || !spec->is_object()) return required(prefix + ".containers");
    const auto* list = find_array(*spec, {"containers"});
    if (list == nullptr || list->empty()) required(prefix + ".containers");
    std::set<std::string> volumes, names;
    if (const auto* all = find_array(*spec, {"volumes"})) {
      for (std::size_t i = 0; i < all->size(); ++i) {
        const auto name = get_string((*all)[i], {"name"});
        if (name.empty()) required(fmt::format("{}.volumes[{}].name", prefix, i));
        volumes.insert(std::string(name));
      }
    }
    if (claims != nullptr && claims->is_array())
      for (const auto& claim : claims->get_array())
        volumes.insert(std::string(get_string(claim, {"metadata", "name"})));
    containers(*spec, "containers", prefix, names, volumes);
    containers(*spec, "initContainers", prefix, names, volumes);
    const auto policy = get_string(*spec, {"restartPolicy"});
    if (policy != "Always" && policy != "OnFailure" && policy != "Never")
      unsupported(prefix + ".restartPolicy", json::string(policy), "\"Always\", \"OnFailure\", \"Never\"");
  }

  void selected_template(const json::value& object) {
    const auto* selector = find_object(object, {"spec", "selector", "matchLabels"});
    const auto* expressions = find_array(object, {"spec", "selector", "matchExpressions"});
    if (selector == nullptr && expressions == nullptr) return required("spec.selector");
    const auto* labels = find(object, {"spec", "template", "metadata", "labels"});
    if (selector != nullptr) {
      for (const auto& [key, value] : *selector) {
        if (labels == nullptr || find(*labels, {std::string_view(key)}) == nullptr ||
            *find(*labels, {std::string_view(key)}) != value) {
          bad("spec.template.metadata.labels", labels == nullptr ? json::value(json::object()) : *labels,
              "`selector` does not match template `labels`");
          break;
        }
      }
    }
    this->labels(object, {"spec", "template", "metadata", "labels"}, "spec.template.labels");
    pod_spec(find(object, {"spec", "template", "spec"}), "spec.template.spec",
             find(object, {"spec", "volumeClaimTemplates"}));
    if (get_string(object, {"spec", "template", "spec", "restartPolicy"}, "Always") != "Always")
      unsupported("spec.template.spec.restartPolicy",
                  *find(object, {"spec", "template", "spec", "restartPolicy"}), "\"Always\"");
  }

  void job(const json::value& object, const json::value* before) {
    const auto policy = get_string(object, {"spec", "template", "spec", "restartPolicy"});
    if (policy == "Always")
      causes.push_back({"FieldValueRequired", "spec.template.spec.restartPolicy",
                        "Required value: valid values: \"OnFailure\", \"Never\""});
    pod_spec(find(object, {"spec", "template", "spec"}), "spec.template.spec");
    labels(object, {"spec", "template", "metadata", "labels"}, "spec.template.labels");
    for (const auto* key :
         {"backoffLimit", "parallelism", "completions", "activeDeadlineSeconds", "ttlSecondsAfterFinished"}) {
      const auto* at = find(object, {"spec", key});
      if (at != nullptr && !at->is_null() && (!at->is_int64() || at->get_int64() < 0))
        bad(fmt::format("spec.{}", key), *at, "must be greater than or equal to 0");
    }
    if (find_object(object, {"spec", "podFailurePolicy"}) != nullptr && policy != "Never")
      bad("spec.template.spec.restartPolicy", json::string(policy),
          "only \"Never\" is supported when podFailurePolicy is specified");
    if (get_string(object, {"metadata", "name"}).size() > 63)
      bad("metadata.name", json::string(get_string(object, {"metadata", "name"})),
          "must be no more than 63 characters");
    if (before != nullptr && *find(object, {"spec", "template"}) != *find(*before, {"spec", "template"}))
      bad("spec.template", json::object(), "field is immutable");
    if (before != nullptr && find(object, {"spec", "completions"}) != nullptr &&
        find(*before, {"spec", "completions"}) != nullptr &&
        *find(object, {"spec", "completions"}) != *find(*before, {"spec", "completions"}))
      bad("spec.completions", *find(object, {"spec", "completions"}), "field is immutable");
  }
};

}  // namespace

std::vector<Cause> validate_object(const ResourceInfo& r, const json::value& object,
                                   const json::value* before) {
  Checker c;
  c.metadata(r, object);
  if (r.custom) return std::move(c.causes);
  const auto& k = r.kind;
  if (k == "Pod") {
    c.pod_spec(find(object, {"spec"}), "spec");
    if (before != nullptr && find(*before, {"spec", "containers"}) != nullptr) {
      json::value a = *find(object, {"spec"}), b = *find(*before, {"spec"});
      for (auto* spec : {&a, &b})
        for (const auto* key : {"nodeName", "activeDeadlineSeconds", "tolerations",
                                "terminationGracePeriodSeconds", "schedulingGates"})
          erase(*spec, {key});
      if (a != b)
        c.forbidden(
            "spec",
            "pod updates may not change fields other than "
            "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec."
            "tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
            "(allow it to be set to 1 if it was previously negative)");
    }
  } else if (k == "Deployment" || k == "ReplicaSet" || k == "StatefulSet" || k == "DaemonSet") {
    c.selected_template(object);
    if (before != nullptr && find(*before, {"spec", "selector"}) != nullptr &&
        find(object, {"spec", "selector"}) != nullptr &&
        *find(*before, {"spec", "selector"}) != *find(object, {"spec", "selector"}))
      c.bad("spec.selector", *find(object, {"spec", "selector"}), "field is immutable");
  } else if (k == "Job") {
    c.job(object, before);
  } else if (k == "CronJob") {
    if (get_string(object, {"spec", "schedule"}).empty()) c.required("spec.schedule");
    c.pod_spec(find(object, {"spec", "jobTemplate", "spec", "template", "spec"}),
               "spec.jobTemplate.spec.template.spec");
  } else if (k == "Service") {
    const auto* ports = find_array(object, {"spec", "ports"});
    if ((ports == nullptr || ports->empty()) && get_string(object, {"spec", "type"}) != "ExternalName" &&
        get_string(object, {"spec", "clusterIP"}) != "None")
      c.required("spec.ports");
  } else if (k == "CustomResourceDefinition") {
    for (const auto* key : {"group", "scope"})
      if (get_string(object, {"spec", key}).empty()) c.required(fmt::format("spec.{}", key));
    if (get_string(object, {"spec", "names", "plural"}).empty()) c.required("spec.names.plural");
    if (get_string(object, {"spec", "names", "kind"}).empty()) c.required("spec.names.kind");
    const auto name = fmt::format("{}.{}", get_string(object, {"spec", "names", "plural"}),
                                  get_string(object, {"spec", "group"}));
    if (c.causes.empty() && get_string(object, {"metadata", "name"}) != name)
      c.bad("metadata.name", *find(object, {"metadata", "name"}),
            "must be spec.names.plural+\".\"+spec.group");
  }
  return std::move(c.causes);
}

Error invalid(const ResourceInfo& r, std::string_view name, const std::vector<Cause>& causes) {
  std::vector<std::string> parts;
  json::array list;
  for (const auto& c : causes) {
    parts.push_back(fmt::format("{}: {}", c.field, c.message));
    list.push_back({{"reason", c.reason}, {"message", c.message}, {"field", c.field}});
  }
  const std::string qualified = r.group.empty() ? r.kind : r.kind + "." + r.group;
  Error e{Errc::failed_precondition, "Invalid", {}, {}, 0};
  e.message = fmt::format("{} \"{}\" is invalid: {}", qualified, name,
                          parts.size() == 1 ? parts.front() : "[" + join(parts, ", ") + "]");
  json::object details{{"name", name}, {"kind", r.kind}, {"causes", std::move(list)}};
  if (!r.group.empty()) details["group"] = r.group;
  e.hint = json::serialize(details);
  return e;
}

}  // namespace oddjob::devcluster
