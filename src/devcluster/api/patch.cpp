#include "devcluster/api/patch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "core/text.hpp"

namespace oddjob::devcluster {
namespace {

std::unexpected<Error> bad(std::string message) {
  return fail(Errc::failed_precondition, "Invalid", std::move(message));
}

// The key by which elements of a list in a built-in kind merge; empty: the list is one value.
std::string_view merge_key(std::string_view field, const json::array& sample) {
  const auto has = [&](std::string_view key) {
    return !sample.empty() && sample.front().is_object() && sample.front().get_object().contains(key);
  };
  static const std::set<std::string_view> kByName = {
      "containers", "initContainers", "ephemeralContainers", "volumes", "env", "imagePullSecrets", "secrets"};
  if (kByName.contains(field)) return "name";
  if (field == "ports") return has("containerPort") ? "containerPort" : "port";
  if (field == "volumeMounts") return "mountPath";
  if (field == "volumeDevices") return "devicePath";
  if (field == "conditions") return "type";
  if (field == "ownerReferences") return "uid";
  if (field == "hostAliases" || field == "podIPs") return "ip";
  if (field == "topologySpreadConstraints") return "topologyKey";
  return {};
}

json::value* by_key(json::array& list, std::string_view key, const json::value& wanted) {
  for (auto& item : list)
    if (const auto* have = find(item, {key}); have != nullptr && *have == wanted) return &item;
  return nullptr;
}

// `problem` becomes what is wrong with the patch, if anything is.
void strategic_object(json::object& target, const json::object& patch, std::string& problem);

void strategic_list(json::array& target, const json::array& patch, std::string_view key,
                    std::string& problem) {
  for (const auto& item : patch) {
    const auto* wanted = item.is_object() ? item.get_object().if_contains(key) : nullptr;
    if (get_string(item, {"$patch"}) == "replace") continue;
    if (wanted == nullptr) {
      problem = fmt::format("map: {} does not contain declared merge key: {}",
                            printable(json::serialize(item), 200), key);
      return;
    }
    auto* have = by_key(target, key, *wanted);
    if (get_string(item, {"$patch"}) == "delete") {
      if (have != nullptr) target.erase(target.begin() + (have - target.data()));
    } else if (have != nullptr) {
      strategic_object(have->get_object(), item.get_object(), problem);
    } else {
      json::value fresh = json::object();
      strategic_object(fresh.get_object(), item.get_object(), problem);
      target.push_back(std::move(fresh));
    }
  }
}

void order_list(json::array& list, const json::array& order, std::string_view key) {
  const auto place = [&](const json::value& item) {
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto* a = key.empty() ? &item : find(item, {key});
      const auto* b = key.empty() ? &order[i] : find(order[i], {key});
      if (a != nullptr && b != nullptr && *a == *b) return i;
    }
    return order.size();
  };
  std::stable_sort(list.begin(), list.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
}

void strategic_object(json::object& target, const json::object& patch, std::string& problem) {
  if (const auto* directive = patch.if_contains("$patch"); directive != nullptr && *directive == "replace") {
    target = patch;
    target.erase("$patch");
    return;
  }
  if (const auto* keep = patch.if_contains("$retainKeys"); keep != nullptr && keep->is_array()) {
    std::vector<std::string> gone;
    for (const auto& [key, value] : target)
      if (std::ranges::find(keep->get_array(), json::value(key)) == keep->get_array().end())
        gone.emplace_back(key);
    for (const auto& key : gone) target.erase(key);
  }
  for (const auto& [name, value] : patch) {
    const std::string_view key = name;
    if (key == "$patch" || key == "$retainKeys" || key.starts_with("$setElementOrder/")) continue;
    if (key.starts_with("$deleteFromPrimitiveList/")) {
      auto* list = target.if_contains(key.substr(25));
      if (list != nullptr && list->is_array() && value.is_array())
        for (const auto& item : value.get_array()) {
          auto& a = list->get_array();
          const auto at = std::ranges::find(a, item);
          if (at != a.end()) a.erase(at);
        }
      continue;
    }
    if (value.is_null()) {
      target.erase(key);
    } else if (value.is_object()) {
      auto& slot = target[key];
      if (!slot.is_object()) slot.emplace_object();
      if (get_string(value, {"$patch"}) == "delete")
        target.erase(key);
      else
        strategic_object(slot.get_object(), value.get_object(), problem);
    } else if (value.is_array()) {
      const auto& list = value.get_array();
      auto* have = target.if_contains(key);
      const bool replace =
          std::ranges::any_of(list, [](const auto& i) { return get_string(i, {"$patch"}) == "replace"; });
      const auto merge = merge_key(key, !list.empty()                         ? list
                                        : have != nullptr && have->is_array() ? have->get_array()
                                                                              : list);
      if (replace) {
        json::array fresh;
        for (const auto& item : list)
          if (get_string(item, {"$patch"}) != "replace") fresh.push_back(item);
        target[key] = std::move(fresh);
      } else if (!merge.empty()) {
        auto& slot = target[key];
        if (!slot.is_array()) slot.emplace_array();
        strategic_list(slot.get_array(), list, merge, problem);
      } else if (key == "finalizers" && have != nullptr && have->is_array()) {
        for (const auto& item : list)
          if (std::ranges::find(have->get_array(), item) == have->get_array().end())
            have->get_array().push_back(item);
      } else {
        target[key] = value;
      }
    } else {
      target[key] = value;
    }
  }
  for (const auto& [name, value] : patch) {
    const std::string_view key = name;
    if (!key.starts_with("$setElementOrder/") || !value.is_array()) continue;
    auto* list = target.if_contains(key.substr(17));
    if (list != nullptr && list->is_array())
      order_list(list->get_array(), value.get_array(), merge_key(key.substr(17), list->get_array()));
  }
}

// ---- RFC 6902 --------------------------------------------------------------------

// The parent of what a JSON pointer names, and the last token.
Result<std::pair<json::value*, std::string>> parent_of(json::value& root, std::string_view pointer) {
  if (!pointer.starts_with('/'))
    return bad(fmt::format("the JSON pointer '{}' does not begin with '/'", printable(pointer, 200)));
  auto tokens = split(pointer.substr(1), '/');
  for (auto& t : tokens) {
    for (std::size_t at = 0; (at = t.find('~', at)) != std::string::npos; ++at) {
      if (t.substr(at, 2) == "~1")
        t.replace(at, 2, "/");
      else if (t.substr(at, 2) == "~0")
        t.replace(at, 2, "~");
    }
  }
  json::value* at = &root;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    json::value* next = nullptr;
    if (at->is_object()) {
      next = at->get_object().if_contains(tokens[i]);
    } else if (at->is_array()) {
      std::size_t n = 0;
      const auto [end, ec] = std::from_chars(tokens[i].data(), tokens[i].data() + tokens[i].size(), n);
      if (ec == std::errc{} && end == tokens[i].data() + tokens[i].size() && n < at->get_array().size())
        next = &at->get_array()[n];
    }
    if (next == nullptr) return bad(fmt::format("the path '{}' is not there", printable(pointer, 200)));
    at = next;
  }
  return std::pair{at, tokens.back()};
}

Result<json::value*> slot_of(const std::pair<json::value*, std::string>& place, std::string_view pointer) {
  auto* at = place.first;
  if (at->is_object()) {
    if (auto* value = at->get_object().if_contains(place.second)) return value;
  } else if (at->is_array()) {
    std::size_t n = 0;
    const auto [end, ec] = std::from_chars(place.second.data(), place.second.data() + place.second.size(), n);
    if (ec == std::errc{} && end == place.second.data() + place.second.size() && n < at->get_array().size())
      return &at->get_array()[n];
  }
  return bad(fmt::format("the path '{}' is not there", printable(pointer, 200)));
}

Result<> add_at(const std::pair<json::value*, std::string>& place, json::value value,
                std::string_view pointer) {
  auto* at = place.first;
  if (at->is_object()) {
    at->get_object()[place.second] = std::move(value);
    return {};
  }
  if (!at->is_array()) return bad(fmt::format("the path '{}' is not there", printable(pointer, 200)));
  auto& list = at->get_array();
  std::size_t n = list.size();
  if (place.second != "-") {
    const auto [end, ec] = std::from_chars(place.second.data(), place.second.data() + place.second.size(), n);
    if (ec != std::errc{} || end != place.second.data() + place.second.size() || n > list.size())
      return bad(fmt::format("the path '{}' is out of bounds", printable(pointer, 200)));
  }
  list.insert(list.begin() + static_cast<std::ptrdiff_t>(n), std::move(value));
  return {};
}

void remove_slot(const std::pair<json::value*, std::string>& place, const json::value* slot) {
  if (place.first->is_object())
    place.first->get_object().erase(place.second);
  else
    place.first->get_array().erase(slot);
}

// ---- server-side apply -------------------------------------------------------------

using Fields =
    std::set<std::string>;  // one path a leaf: "spec/replicas", "spec/containers/{"name":"a"}/image"

void collect(const json::value& v, const std::string& path, std::string_view field, Fields& out) {
  if (v.is_object() && !v.get_object().empty()) {
    for (const auto& [key, value] : v.get_object())
      collect(value, path + "\n" + "f:" + std::string(key), key, out);
    return;
  }
  if (v.is_array()) {
    const auto key = merge_key(field, v.get_array());
    if (!key.empty() && !v.get_array().empty()) {
      for (const auto& item : v.get_array()) {
        const auto* id = find(item, {key});
        if (id == nullptr) continue;
        const auto here = path + "\nk:" + json::serialize(json::object{{key, *id}});
        for (const auto& [name, value] : item.get_object())
          collect(value, here + "\n" + "f:" + std::string(name), name, out);
      }
      return;
    }
  }
  out.insert(path);
}

// Follows "\nf:a\nk:{…}\nf:b" through a value; nullptr where it ends early.
json::value* follow(json::value& root, std::string_view path, json::value** parent = nullptr) {
  json::value* at = &root;
  for (const auto& step : split(path.substr(1), '\n')) {
    if (parent != nullptr) *parent = at;
    if (step.starts_with("f:")) {
      at = at->is_object() ? at->get_object().if_contains(step.substr(2)) : nullptr;
    } else {
      const auto id = json::parse(step.substr(2)).get_object();
      at = at->is_array() ? by_key(at->get_array(), id.begin()->key(), id.begin()->value()) : nullptr;
    }
    if (at == nullptr) return nullptr;
  }
  return at;
}

json::object to_fields_v1(const Fields& fields) {
  json::value root = json::object();
  for (const auto& path : fields) {
    json::value* at = &root;
    for (const auto& step : split(std::string_view(path).substr(1), '\n')) {
      at = &at->get_object()[step];
      if (!at->is_object()) at->emplace_object();
    }
  }
  return root.get_object();
}

void from_fields_v1(const json::value& v, const std::string& path, Fields& out) {
  if (!v.is_object() || v.get_object().empty()) {
    if (!path.empty()) out.insert(path);
    return;
  }
  for (const auto& [key, value] : v.get_object())
    if (key != ".") from_fields_v1(value, path + "\n" + std::string(key), out);
}

std::string readable(std::string_view path) {
  std::string out;
  for (const auto& step : split(path.substr(1), '\n')) {
    if (step.starts_with("f:")) {
      out += "." + step.substr(2);
    } else {
      const auto id = json::parse(step.substr(2)).get_object();
      out +=
          fmt::format("[{}={}]", std::string_view(id.begin()->key()), json::serialize(id.begin()->value()));
    }
  }
  return out;
}

// The leaves of an object that a manager can own: not what the server sets.
Fields owned_fields(json::value content) {
  for (const auto* key : {"apiVersion", "kind", "status"}) erase(content, {key});
  for (const auto* key : {"name", "namespace", "resourceVersion", "uid", "creationTimestamp", "generation",
                          "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"})
    erase(content, {"metadata", key});
  if (const auto* m = find_object(content, {"metadata"}); m != nullptr && m->empty())
    erase(content, {"metadata"});
  Fields out;
  collect(content, "", "", out);
  out.erase("");
  return out;
}

Fields fields_of(const json::value& entry) {
  Fields out;
  if (const auto* fields = find(entry, {"fieldsV1"})) from_fields_v1(*fields, "", out);
  return out;
}

json::object manager_entry(std::string_view manager, std::string_view operation, std::string_view subresource,
                           std::string_view version, std::string_view now, const Fields& fields) {
  json::object entry{{"manager", manager}, {"operation", operation},   {"apiVersion", version},
                     {"time", now},        {"fieldsType", "FieldsV1"}, {"fieldsV1", to_fields_v1(fields)}};
  if (!subresource.empty()) entry["subresource"] = subresource;
  return entry;
}

bool is_manager(const json::value& entry, std::string_view manager, std::string_view operation,
                std::string_view subresource) {
  return get_string(entry, {"manager"}) == manager && get_string(entry, {"operation"}) == operation &&
         get_string(entry, {"subresource"}) == subresource;
}

std::string describe(const json::value& entry) {
  auto out = fmt::format("\"{}\"", get_string(entry, {"manager"}));
  if (const auto sub = get_string(entry, {"subresource"}); !sub.empty())
    out += fmt::format(" with subresource \"{}\"", sub);
  if (get_string(entry, {"operation"}) == "Update")
    out += fmt::format(" using {}", get_string(entry, {"apiVersion"}));
  return out;
}

bool any_below(const Fields& fields, const std::string& prefix) {
  const auto at = fields.lower_bound(prefix);
  return at != fields.end() && at->starts_with(prefix);
}

// Takes what `path` names out of `live`: the whole list item where nobody says
// anything of it any more (`held`), else the leaf alone.
void take_out(json::value& live, const std::string& path, const Fields& held) {
  for (auto at = path.find("\nk:"); at != std::string::npos; at = path.find("\nk:", at + 1)) {
    const auto item = path.substr(0, path.find('\n', at + 1));
    if (any_below(held, item + "\n")) continue;
    json::value* list = nullptr;
    if (const auto* found = follow(live, item, &list); found != nullptr) list->get_array().erase(found);
    return;
  }
  json::value* parent = nullptr;
  if (held.contains(path) || follow(live, path, &parent) == nullptr) return;
  const auto last = path.substr(path.rfind('\n') + 1);
  if (last.starts_with("f:") && parent->is_object()) parent->get_object().erase(last.substr(2));
}

Error apply_conflict(const std::vector<std::pair<std::string, std::string>>& conflicts) {  // who, field
  json::array causes;
  std::map<std::string, std::string> by_manager;
  for (const auto& [who, field] : conflicts) {
    causes.push_back(
        {{"reason", "FieldManagerConflict"}, {"message", "conflict with " + who}, {"field", field}});
    by_manager[who] += "\n- " + field;
  }
  std::string message;
  if (conflicts.size() == 1) {
    message = fmt::format("Apply failed with 1 conflict: conflict with {}: {}", conflicts[0].first,
                          conflicts[0].second);
  } else {
    message = fmt::format("Apply failed with {} conflicts: ", conflicts.size());
    bool first = true;
    for (const auto& [who, fields] : by_manager) {
      message += fmt::format("{}conflicts with {}:{}", first ? "" : "\n", who, fields);
      first = false;
    }
  }
  return {Errc::conflict, "Conflict", std::move(message),
          json::serialize(json::object{{"causes", std::move(causes)}}), 0};
}

}  // namespace

Result<json::value> json_patch(json::value target, const json::value& patch) {
  if (!patch.is_array())
    return fail(Errc::invalid_argument, "BadRequest", "a JSON patch must be a list of operations");
  for (const auto& step : patch.get_array()) {
    const auto op = get_string(step, {"op"}), path = get_string(step, {"path"});
    const auto* value = find(step, {"value"});
    OJ_TRY(const auto place, parent_of(target, path));
    if (op == "add") {
      if (value == nullptr) return bad("the operation 'add' needs a value");
      OJ_CHECK(add_at(place, *value, path));
      continue;
    }
    if (op == "move" || op == "copy") {
      const auto from = get_string(step, {"from"});
      OJ_TRY(const auto source, parent_of(target, from));
      OJ_TRY(auto* slot, slot_of(source, from));
      json::value moved = *slot;
      if (op == "move") remove_slot(source, slot);
      OJ_TRY(const auto again, parent_of(target, path));
      OJ_CHECK(add_at(again, std::move(moved), path));
      continue;
    }
    OJ_TRY(auto* slot, slot_of(place, path));
    if (op == "remove") {
      remove_slot(place, slot);
    } else if (op == "replace" && value != nullptr) {
      *slot = *value;
    } else if (op == "test" && value != nullptr) {
      if (*slot != *value) return bad(fmt::format("testing path {} value failed", printable(path, 200)));
    } else {
      return bad(fmt::format("unknown or incomplete operation '{}'", printable(op, 40)));
    }
  }
  return target;
}

json::value merge_patch(json::value target, const json::value& patch) {
  if (!patch.is_object()) return patch;
  if (!target.is_object()) target.emplace_object();
  auto& object = target.get_object();
  for (const auto& [key, value] : patch.get_object()) {
    if (value.is_null())
      object.erase(key);
    else
      object[key] = merge_patch(object.contains(key) ? object.at(key) : json::value(), value);
  }
  return target;
}

Result<json::value> strategic_merge(json::value target, const json::value& patch) {
  if (!patch.is_object())
    return fail(Errc::invalid_argument, "BadRequest", "a strategic merge patch must be an object");
  if (!target.is_object()) target.emplace_object();
  std::string problem;
  strategic_object(target.get_object(), patch.get_object(), problem);
  if (!problem.empty()) return fail(Errc::invalid_argument, "BadRequest", std::move(problem));
  return target;
}

Result<json::value> server_side_apply(json::value live, const json::value& applied, std::string_view manager,
                                      bool force, std::string_view now) {
  json::value wanted = applied;
  erase(wanted, {"metadata", "managedFields"});
  const auto mine = owned_fields(wanted);
  json::array managers;
  if (const auto* list = find_array(live, {"metadata", "managedFields"})) managers = *list;
  // Whoever made the object without applying owns it all so far.
  if (managers.empty() && find(live, {"metadata", "uid"}) != nullptr)
    managers.push_back(manager_entry("before-first-apply", "Update", "", get_string(live, {"apiVersion"}),
                                     now, owned_fields(live)));
  Fields before, others;
  std::vector<std::pair<std::string, std::string>> conflicts;
  for (auto& entry : managers) {
    auto theirs = fields_of(entry);
    if (is_manager(entry, manager, "Apply", "")) {
      before = std::move(theirs);
      continue;
    }
    bool taken = false;
    for (const auto& path : mine) {
      if (!theirs.contains(path)) continue;
      const auto* ours = follow(wanted, path);
      const auto* have = follow(live, path);
      if (ours != nullptr && have != nullptr && *ours == *have) continue;  // shared, not fought over
      if (!force) {
        conflicts.emplace_back(describe(entry), readable(path));
      } else {
        theirs.erase(path);
        taken = true;
      }
    }
    if (taken) ensure(entry, {"fieldsV1"}) = to_fields_v1(theirs);
    others.insert(theirs.begin(), theirs.end());
  }
  if (!conflicts.empty()) return fail(apply_conflict(conflicts));
  others.insert(mine.begin(), mine.end());
  for (const auto& path : before)
    if (!mine.contains(path)) take_out(live, path, others);
  OJ_TRY(live, strategic_merge(std::move(live), wanted));
  std::string since(now);
  for (const auto& entry : managers)
    if (is_manager(entry, manager, "Apply", "") && before == mine)
      since = std::string(get_string(entry, {"time"}));  // nothing new is said
  managers.erase(std::remove_if(managers.begin(), managers.end(),
                                [&](const json::value& entry) {
                                  return is_manager(entry, manager, "Apply", "") || fields_of(entry).empty();
                                }),
                 managers.end());
  managers.push_back(manager_entry(manager, "Apply", "", get_string(applied, {"apiVersion"}), since, mine));
  ensure(live, {"metadata", "managedFields"}) = std::move(managers);
  return live;
}

void track_update(const json::value& before, json::value& next, std::string_view manager,
                  std::string_view subresource, std::string_view now) {
  const auto* known = find_array(before, {"metadata", "managedFields"});
  if (known == nullptr || known->empty()) return;
  json::array managers = *known;
  Fields changed, touched;
  if (subresource != "status") {
    json::value was = before;
    const auto now_there = owned_fields(next);
    for (const auto& path : now_there) {
      const auto* old = follow(was, path);
      if (old == nullptr || *old != *follow(next, path)) changed.insert(path);
    }
    touched = changed;
    for (const auto& path : owned_fields(was))
      if (!now_there.contains(path)) touched.insert(path);
  }
  if (!touched.empty()) {
    for (auto& entry : managers) {
      auto fields = fields_of(entry);
      const auto n = fields.size();
      std::erase_if(fields, [&](const std::string& path) { return touched.contains(path); });
      if (is_manager(entry, manager, "Update", subresource)) {
        fields.insert(changed.begin(), changed.end());
        changed.clear();
        ensure(entry, {"time"}) = now;
      }
      if (fields.size() != n || changed.empty()) ensure(entry, {"fieldsV1"}) = to_fields_v1(fields);
    }
    if (!changed.empty())
      managers.push_back(
          manager_entry(manager, "Update", subresource, get_string(before, {"apiVersion"}), now, changed));
    managers.erase(std::remove_if(managers.begin(), managers.end(),
                                  [](const json::value& entry) { return fields_of(entry).empty(); }),
                   managers.end());
  }
  ensure(next, {"metadata", "managedFields"}) = std::move(managers);
}

}  // namespace oddjob::devcluster
