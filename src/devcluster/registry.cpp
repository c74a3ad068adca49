#include "devcluster/registry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>

#include "core/clock.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"
#include "core/words.hpp"
#include "devcluster/resources.hpp"
#include "devcluster/rules.hpp"

namespace oddjob::devcluster {
namespace {

constexpr auto kEventLife = std::chrono::hours(1);
constexpr std::size_t kMaxEvents = 20000;

std::string now_text() { return format_time(std::chrono::floor<std::chrono::seconds>(system_clock().now())); }

std::string random_suffix() {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  std::string out;
  for (const char c : random_bytes(5)) out += kLetters[static_cast<unsigned char>(c) % kLetters.size()];
  return out;
}

std::string qualified(const ResourceInfo& r) { return r.group.empty() ? r.plural : r.plural + "." + r.group; }

std::unexpected<Error> not_found(const ResourceInfo& r, std::string_view name) {
  return fail(Errc::not_found, "NotFound", fmt::format("{} \"{}\" not found", qualified(r), name));
}

bool finished_pod(const json::value& pod) {
  const auto phase = get_string(pod, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed";
}

bool has_finalizers(const json::value& o) {
  const auto* list = find_array(o, {"metadata", "finalizers"});
  return list != nullptr && !list->empty();
}

// What a client may not set.
void strip(json::value& o) {
  for (const auto* key : {"selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"})
    erase(o, {"metadata", key});
}

}  // namespace

struct Registry::Impl {
  Storage& storage;
  // Watches hold pointers to these across waits: what goes is kept aside.
  std::vector<std::unique_ptr<ResourceInfo>> resources, retired;

  // What record_event made: namespace and name by content, and from when on.
  std::map<std::string, std::pair<std::string, std::string>> events;
  std::deque<std::pair<Time, std::string>> event_ages;
  std::int64_t event_clock = 0;

  explicit Impl(Storage& s) : storage(s) {
    for (auto& r : built_in_resources()) resources.push_back(std::make_unique<ResourceInfo>(std::move(r)));
  }

  Result<> check_namespace(std::string_view ns, const ResourceInfo& r, std::string_view name) const {
    const auto found = storage.get("/namespaces", "", ns);
    if (!found) return fail(Errc::not_found, "NotFound", fmt::format("namespaces \"{}\" not found", ns));
    if (oddjob::find(*found, {"metadata", "deletionTimestamp"}) != nullptr)
      return fail(Errc::forbidden, "Forbidden",
                  fmt::format("{} \"{}\" is forbidden: unable to create new content in namespace {} because "
                              "it is being terminated",
                              qualified(r), name, ns));
    return {};
  }

  void register_crd(const json::value& crd) {
    auto r = resource_of_crd(crd);
    for (const auto& known : resources) {
      if (known->group != r.group || known->plural != r.plural) continue;
      if (known->custom) *known = std::move(r);
      return;
    }
    resources.push_back(std::make_unique<ResourceInfo>(std::move(r)));
  }

  // The definition goes, and all that it defined.
  void remove_crd(const json::value& crd) {
    const auto custom = resource_of_crd(crd);
    for (const auto& item : storage.list(custom.key(), ""))
      (void)storage.erase(custom.key(), get_string(*item, {"metadata", "namespace"}),
                          get_string(*item, {"metadata", "name"}));
    const auto at = std::ranges::find_if(resources, [&](const auto& known) {
      return known->custom && known->group == custom.group && known->plural == custom.plural;
    });
    if (at == resources.end()) return;
    retired.push_back(std::move(*at));
    resources.erase(at);
  }

  // What a real API server's admission says of a new object.
  Result<> admit(const ResourceInfo& r, std::string_view ns, std::string_view name,
                 const json::value& o) const {
    if (r.kind == "Pod") {
      const auto account = get_string(o, {"spec", "serviceAccountName"}, "default");
      // "default" may be a moment younger than its namespace.
      if (account != "default" && !storage.get("/serviceaccounts", ns, account))
        return fail(Errc::forbidden, "Forbidden",
                    fmt::format("pods \"{}\" is forbidden: error looking up service account {}/{}: "
                                "serviceaccount \"{}\" not found",
                                name, ns, account, account));
      OJ_CHECK(check_limits(storage, ns, o));
      OJ_CHECK(check_pod_security(storage, ns, o));
    }
    if (r.namespaced && !r.custom) return check_quota(storage, r, ns, o);
    return {};
  }

  Result<> check_custom(const ResourceInfo& r, std::string_view name, json::value& o) const {
    if (!r.custom) return {};
    const auto crd =
        storage.get("apiextensions.k8s.io/customresourcedefinitions", "", r.plural + "." + r.group);
    if (!crd) return {};
    const auto causes = apply_custom_schema(*crd, o);
    if (!causes.empty()) return fail(invalid(r, name, causes));
    return {};
  }

  static void accept_crd(json::value& crd) {
    json::array conditions;
    for (const auto& [type, reason] :
         {std::pair{"NamesAccepted", "NoConflicts"}, std::pair{"Established", "InitialNamesAccepted"}})
      conditions.push_back({{"type", type},
                            {"status", "True"},
                            {"lastTransitionTime", now_text()},
                            {"reason", reason},
                            {"message", "no conflicts found"}});
    ensure(crd, {"status"}) = json::object{{"conditions", std::move(conditions)},
                                           {"acceptedNames", *oddjob::find(crd, {"spec", "names"})},
                                           {"storedVersions", json::array{resource_of_crd(crd).version}}};
  }
};

Registry::Registry(Storage& storage) : impl_(std::make_unique<Impl>(storage)) {}
Registry::~Registry() = default;
Storage& Registry::storage() noexcept { return impl_->storage; }

const ResourceInfo* Registry::find(std::string_view group, std::string_view plural) const {
  for (const auto& r : impl_->resources)
    if (r->group == group && r->plural == plural) return r.get();
  return nullptr;
}

const ResourceInfo* Registry::find_kind(std::string_view group, std::string_view kind) const {
  for (const auto& r : impl_->resources)
    if (r->group == group && r->kind == kind) return r.get();
  return nullptr;
}

std::vector<const ResourceInfo*> Registry::all() const {
  std::vector<const ResourceInfo*> out;
  for (const auto& r : impl_->resources) out.push_back(r.get());
  return out;
}

Result<json::value> Registry::create(const ResourceInfo& r, std::string_view ns, json::value o,
                                     const WriteContext& c) {
  if (!o.is_object()) return fail(Errc::invalid_argument, "BadRequest", "the body must be an object");
  auto& metadata = ensure(o, {"metadata"});
  if (!metadata.is_object()) metadata.emplace_object();
  strip(o);
  std::string name(get_string(o, {"metadata", "name"}));
  if (name.empty() && !get_string(o, {"metadata", "generateName"}).empty()) {
    name = std::string(get_string(o, {"metadata", "generateName"})).substr(0, 58) + random_suffix();
    ensure(o, {"metadata", "name"}) = name;
  }
  if (r.namespaced) {
    const auto own = get_string(o, {"metadata", "namespace"});
    if (!own.empty() && own != ns)
      return fail(Errc::invalid_argument, "BadRequest",
                  "the namespace of the provided object does not match the namespace sent on the request");
    ensure(o, {"metadata", "namespace"}) = ns;
    OJ_CHECK(impl_->check_namespace(ns, r, name));
  } else {
    erase(o, {"metadata", "namespace"});
  }
  if (!get_string(o, {"metadata", "resourceVersion"}).empty())
    return fail(Errc::invalid_argument, "BadRequest",
                "resourceVersion should not be set on objects to be created");
  ensure(o, {"metadata", "uid"}) = new_uuid();
  ensure(o, {"metadata", "creationTimestamp"}) = now_text();
  const bool generations = oddjob::find(o, {"spec"}) != nullptr && r.kind != "Service";
  if (generations) ensure(o, {"metadata", "generation"}) = 1;
  if (r.has_status) erase(o, {"status"});
  ensure(o, {"kind"}) = r.kind;
  ensure(o, {"apiVersion"}) = r.group.empty() ? r.version : r.group + "/" + r.version;
  apply_defaults(r, o);
  if (r.kind == "Pod" && !r.custom) admit_pod(impl_->storage, ns, o);
  if (const auto causes = validate_object(r, o, nullptr); !causes.empty())
    return fail(invalid(r, name, causes));
  OJ_CHECK(impl_->check_custom(r, name, o));
  OJ_CHECK(impl_->admit(r, ns, name, o));
  if (r.kind == "Pod") ensure(o, {"status"}) = json::object{{"phase", "Pending"}, {"qosClass", "BestEffort"}};
  if (r.kind == "Service") ensure(o, {"status"}) = json::object{{"loadBalancer", json::object()}};
  if (r.kind == "Namespace") ensure(o, {"status"}) = json::object{{"phase", "Active"}};
  if (r.kind == "PersistentVolume") ensure(o, {"status"}) = json::object{{"phase", "Available"}};
  if (r.kind == "CustomResourceDefinition") Impl::accept_crd(o);
  if (c.dry_run) {
    if (impl_->storage.get(r.key(), r.namespaced ? ns : "", name))
      return fail(Errc::already_exists, "AlreadyExists",
                  fmt::format("{} \"{}\" already exists", qualified(r), name));
    return o;
  }
  OJ_TRY(auto stored, impl_->storage.create(r.key(), r.namespaced ? ns : "", name, std::move(o)));
  if (r.kind == "CustomResourceDefinition") impl_->register_crd(stored);
  return stored;
}

Result<json::value> Registry::update(const ResourceInfo& r, std::string_view ns, std::string_view name,
                                     json::value o, const WriteContext& c) {
  const auto before = impl_->storage.get(r.key(), r.namespaced ? ns : "", name);
  if (!before) return not_found(r, name);
  if (!o.is_object() || oddjob::find_object(o, {"metadata"}) == nullptr)
    return fail(Errc::invalid_argument, "BadRequest", "the body must be an object with metadata");
  if (get_string(o, {"metadata", "name"}, name) != name)
    return fail(Errc::invalid_argument, "BadRequest",
                fmt::format("the name of the object ({}) does not match the name on the URL ({})",
                            get_string(o, {"metadata", "name"}), name));
  const auto uid = get_string(o, {"metadata", "uid"});
  if (!uid.empty() && uid != get_string(*before, {"metadata", "uid"}))
    return fail(Errc::conflict, "Conflict",
                fmt::format("Operation cannot be fulfilled on {} \"{}\": Precondition failed: UID in "
                            "precondition: {}, UID in object meta: {}",
                            qualified(r), name, uid, get_string(*before, {"metadata", "uid"})));
  ensure(o, {"metadata", "name"}) = name;
  if (r.namespaced) ensure(o, {"metadata", "namespace"}) = ns;
  // What the server owns stays as it is.
  for (const auto* key : {"uid", "creationTimestamp", "generation", "deletionTimestamp",
                          "deletionGracePeriodSeconds", "generateName"}) {
    if (const auto* old = oddjob::find(*before, {"metadata", key}))
      ensure(o, {"metadata", key}) = *old;
    else
      erase(o, {"metadata", key});
  }
  ensure(o, {"kind"}) = r.kind;
  ensure(o, {"apiVersion"}) = r.group.empty() ? r.version : r.group + "/" + r.version;
  if (c.subresource == "status" && r.has_status) {
    json::value whole = *before;
    if (const auto* status = oddjob::find(o, {"status"}))
      ensure(whole, {"status"}) = *status;
    else
      erase(whole, {"status"});
    if (const auto* version = oddjob::find(o, {"metadata", "resourceVersion"}))
      ensure(whole, {"metadata", "resourceVersion"}) = *version;
    else
      erase(whole, {"metadata", "resourceVersion"});
    o = std::move(whole);
  } else {
    if (r.has_status) {
      if (const auto* status = oddjob::find(*before, {"status"}))
        ensure(o, {"status"}) = *status;
      else
        erase(o, {"status"});
    }
    apply_defaults(r, o);
    if (const auto causes = validate_object(r, o, before.get()); !causes.empty())
      return fail(invalid(r, name, causes));
    OJ_CHECK(impl_->check_custom(r, name, o));
    const auto* spec = oddjob::find(o, {"spec"});
    const auto* old = oddjob::find(*before, {"spec"});
    if (spec != nullptr && r.kind != "Service" && (old == nullptr || *spec != *old))
      ensure(o, {"metadata", "generation"}) = get_int(*before, {"metadata", "generation"}).value_or(0) + 1;
  }
  if (c.dry_run) {
    const auto wanted = get_string(o, {"metadata", "resourceVersion"});
    if (!wanted.empty() && wanted != get_string(*before, {"metadata", "resourceVersion"}))
      return fail(Errc::conflict, "Conflict",
                  fmt::format("Operation cannot be fulfilled on {} \"{}\": the object has been modified; "
                              "please apply your changes to the latest version and try again",
                              qualified(r), name));
    return o;
  }
  const bool going = oddjob::find(o, {"metadata", "deletionTimestamp"}) != nullptr;
  OJ_TRY(auto stored, impl_->storage.update(r.key(), r.namespaced ? ns : "", name, std::move(o)));
  // The last finalizer is gone: so is the object. Pods wait for the node, namespaces for their content.
  const bool held = r.kind == "Pod"
                        ? get_int(stored, {"metadata", "deletionGracePeriodSeconds"}).value_or(0) > 0 &&
                              !finished_pod(stored)
                    : r.kind == "Namespace" ? oddjob::find_array(stored, {"spec", "finalizers"}) != nullptr &&
                                                  !oddjob::find_array(stored, {"spec", "finalizers"})->empty()
                                            : false;
  if (going && !has_finalizers(stored) && !held) {
    auto gone = impl_->storage.erase(r.key(), r.namespaced ? ns : "", name);
    if (gone && r.kind == "CustomResourceDefinition") impl_->remove_crd(*gone);
    return gone;
  }
  if (r.kind == "CustomResourceDefinition") impl_->register_crd(stored);
  return stored;
}

Result<json::value> Registry::remove(const ResourceInfo& r, std::string_view ns, std::string_view name,
                                     const DeleteRequest& d) {
  const auto before = impl_->storage.get(r.key(), r.namespaced ? ns : "", name);
  if (!before) return not_found(r, name);
  const auto precondition = [&](const std::string& wanted, std::string_view field,
                                std::string_view label) -> Result<> {
    const auto have = get_string(*before, {"metadata", field});
    if (wanted.empty() || wanted == have) return {};
    return fail(Errc::conflict, "Conflict",
                fmt::format("Operation cannot be fulfilled on {} \"{}\": Precondition failed: {} in "
                            "precondition: {}, {} in object meta: {}",
                            qualified(r), name, label, wanted, label, have));
  };
  if (r.kind == "Namespace" && (name == "default" || name == "kube-system" || name == "kube-public"))
    return fail(Errc::forbidden, "Forbidden",
                fmt::format("namespaces \"{}\" is forbidden: this namespace may not be deleted", name));
  OJ_CHECK(precondition(d.uid, "uid", "UID"));
  OJ_CHECK(precondition(d.resource_version, "resourceVersion", "ResourceVersion"));
  json::value o = *before;
  auto& metadata = ensure(o, {"metadata"}).get_object();
  const auto finalizer = [&](std::string_view value) {
    auto& list = metadata["finalizers"];
    if (!list.is_array()) list.emplace_array();
    if (std::ranges::find(list.get_array(), json::value(json::string(value))) == list.get_array().end())
      list.get_array().push_back(json::string(value));
  };
  if (d.propagation == "Foreground") finalizer("foregroundDeletion");
  if (d.propagation == "Orphan") finalizer("orphan");
  std::int64_t grace = 0;
  if (r.kind == "Pod" && !finished_pod(o) && !get_string(o, {"spec", "nodeName"}).empty())
    grace = d.grace_seconds.value_or(
        static_cast<int>(get_int(o, {"spec", "terminationGracePeriodSeconds"}).value_or(30)));
  const bool namespace_content = r.kind == "Namespace" &&
                                 oddjob::find_array(o, {"spec", "finalizers"}) != nullptr &&
                                 !oddjob::find_array(o, {"spec", "finalizers"})->empty();
  const bool held = grace > 0 || has_finalizers(o) || namespace_content;
  if (d.dry_run) return o;
  if (!held) {
    auto gone = impl_->storage.erase(r.key(), r.namespaced ? ns : "", name);
    if (gone && r.kind == "CustomResourceDefinition") impl_->remove_crd(*gone);
    return gone;
  }
  const auto old_grace = get_int(o, {"metadata", "deletionGracePeriodSeconds"});
  if (metadata.contains("deletionTimestamp") && (r.kind != "Pod" || grace >= old_grace.value_or(0)) &&
      !has_finalizers(o))
    return o;
  metadata["deletionTimestamp"] = format_time(std::chrono::floor<std::chrono::seconds>(system_clock().now()) +
                                              std::chrono::seconds(grace));
  metadata["deletionGracePeriodSeconds"] = grace;
  if (r.kind == "Namespace") ensure(o, {"status", "phase"}) = "Terminating";
  return impl_->storage.update(r.key(), r.namespaced ? ns : "", name, std::move(o));
}

Result<json::value> Registry::modify(const ResourceInfo& r, std::string_view ns, std::string_view name,
                                     const std::function<bool(json::value&)>& fn, const WriteContext& c) {
  // One thread: nobody can come between reading and writing.
  const auto before = impl_->storage.get(r.key(), r.namespaced ? ns : "", name);
  if (!before) return not_found(r, name);
  json::value o = *before;
  if (!fn(o)) return *before;
  return update(r, ns, name, std::move(o), c);
}

void Registry::record_event(const json::value& about, std::string_view type, std::string_view reason,
                            std::string_view message, std::string_view component) {
  const auto* events = find("", "events");
  const std::string ns(get_string(about, {"metadata", "namespace"}, "default"));
  const auto uid = get_string(about, {"metadata", "uid"});
  const auto now = system_clock().now();
  auto& known = impl_->events;
  // As a real server does, so that a cluster left alone does not grow.
  while (!impl_->event_ages.empty() &&
         (now - impl_->event_ages.front().first > kEventLife || known.size() > kMaxEvents)) {
    const auto old = known.find(impl_->event_ages.front().second);
    if (old != known.end()) {
      (void)impl_->storage.erase("/events", old->second.first, old->second.second);
      known.erase(old);
    }
    impl_->event_ages.pop_front();
  }
  const auto key = sha256_hex(fmt::format("{}|{}|{}|{}|{}", ns, uid, type, reason, message));
  if (const auto at = known.find(key); at != known.end()) {
    if (impl_->storage.get("/events", ns, at->second.second)) {
      (void)modify(*events, ns, at->second.second, [&](json::value& e) {
        ensure(e, {"count"}) = get_int(e, {"count"}).value_or(1) + 1;
        ensure(e, {"lastTimestamp"}) = now_text();
        return true;
      });
      return;
    }
    known.erase(at);
  }
  // Names that sort by time, as client-go's recorder gives them.
  const auto name =
      fmt::format("{}.{:x}", std::string(get_string(about, {"metadata", "name"})).substr(0, 200),
                  impl_->event_clock =
                      std::max<std::int64_t>(impl_->event_clock + 1, now.time_since_epoch().count() * 1000));
  json::object reference{{"kind", get_string(about, {"kind"})},
                         {"apiVersion", get_string(about, {"apiVersion"})},
                         {"name", get_string(about, {"metadata", "name"})},
                         {"uid", uid}};
  if (!get_string(about, {"metadata", "namespace"}).empty()) reference["namespace"] = ns;
  reference["resourceVersion"] = get_string(about, {"metadata", "resourceVersion"});
  json::value event = json::object{{"metadata", {{"name", name}, {"namespace", ns}}},
                                   {"involvedObject", std::move(reference)},
                                   {"reason", reason},
                                   {"message", message},
                                   {"type", type},
                                   {"count", 1},
                                   {"firstTimestamp", now_text()},
                                   {"lastTimestamp", now_text()},
                                   {"eventTime", nullptr},
                                   {"source", {{"component", component}}},
                                   {"reportingComponent", component},
                                   {"reportingInstance", ""}};
  if (!create(*events, ns, std::move(event))) return;  // a namespace that is going away takes no events
  known[key] = {ns, name};
  impl_->event_ages.emplace_back(now, key);
}

}  // namespace oddjob::devcluster
