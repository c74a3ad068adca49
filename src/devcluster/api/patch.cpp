#include "devcluster/api/patch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "core/text.hpp"

namespace oddjob::devcluster {
namespace {

std::unexpected<Error> bad(std::string message) { return fail(Errc::failed_precondition, "Invalid", std::move(message)); }

// The key by which elements of a list in a built-in kind merge; empty: the list is one value.
std::string_view merge_key(std::string_view field, const json::array& sample) {
  const auto has = [&](std::string_view key) {
    return !sample.empty() && sample.front().is_object() && sample.front().get_object().contains(key);
  };
  static const std::set<std::string_view> kByName = {"containers", "initContainers", "ephemeralContainers", "volumes", "env", "imagePullSecrets", "secrets"};
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

void strategic_object(json::object& target, const json::object& patch);

void strategic_list(json::array& target, const json::array& patch, std::string_view key) {
  for (const auto& item : patch) {
    const auto* wanted = item.is_object() ? item.get_object().if_contains(key) : nullptr;
    if (get_string(item, {"$patch"}) == "replace") continue;
    if (wanted == nullptr) continue;
    auto* have = by_key(target, key, *wanted);
    if (get_string(item, {"$patch"}) == "delete") {
      if (have != nullptr) target.erase(target.begin() + (have - target.data()));
    } else if (have != nullptr) {
      strategic_object(have->get_object(), item.get_object());
    } else {
      json::value fresh = json::object();
      strategic_object(fresh.get_object(), item.get_object());
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
  std::stable_sort(list.begin(), list.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
}

void strategic_object(json::object& target, const json::object& patch) {
  if (const auto* directive = patch.if_contains("$patch"); directive != nullptr && *directive == "replace") {
    target = patch;
    target.erase("$patch");
    return;
  }
  if (const auto* keep = patch.if_contains("$retainKeys"); keep != nullptr && keep->is_array()) {
    std::vector<std::string> gone;
    for (const auto& [key, value] : target)
      if (std::ranges::find(keep->get_array(), json::value(key)) == keep->get_array().end()) gone.emplace_back(key);
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
      if (get_string(value, {"$patch"}) == "delete") target.erase(key);
      else strategic_object(slot.get_object(), value.get_object());
    } else if (value.is_array()) {
      const auto& list = value.get_array();
      auto* have = target.if_contains(key);
      const bool replace = std::ranges::any_of(list, [](const auto& i) { return get_string(i, {"$patch"}) == "replace"; });
      const auto merge = merge_key(key, !list.empty() ? list : have != nullptr && have->is_array() ? have->get_array() : list);
      if (replace) {
        json::array fresh;
        for (const auto& item : list)
          if (get_string(item, {"$patch"}) != "replace") fresh.push_back(item);
        target[key] = std::move(fresh);
      } else if (!merge.empty()) {
        auto& slot = target[key];
        if (!slot.is_array()) slot.emplace_array();
        strategic_list(slot.get_array(), list, merge);
      } else if (key == "finalizers" && have != nullptr && have->is_array()) {
        for (const auto& item : list)
          if (std::ranges::find(have->get_array(), item) == have->get_array().end()) have->get_array().push_back(item);
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
    if (list != nullptr && list->is_array()) order_list(list->get_array(), value.get_array(), merge_key(key.substr(17), list->get_array()));
  }
}

// ---- RFC 6902 --------------------------------------------------------------------

// The parent of what a JSON pointer names, and the last token.
Result<std::pair<json::value*, std::string>> parent_of(json::value& root, std::string_view pointer) {
  if (!pointer.starts_with('/')) return bad(fmt::format("the JSON pointer '{}' does not begin with '/'", printable(pointer, 200)));
  auto tokens = split(pointer.substr(1), '/');
  for (auto& t : tokens) {
    for (std::size_t at = 0; (at = t.find('~', at)) != std::string::npos; ++at) {
      if (t.substr(at, 2) == "~1") t.replace(at, 2, "/");
      else if (t.substr(at, 2) == "~0") t.replace(at, 2, "~");
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
      if (ec == std::errc{} && end == tokens[i].data() + tokens[i].size() && n < at->get_array().size()) next = &at->get_array()[n];
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
    if (ec == std::errc{} && end == place.second.data() + place.second.size() && n < at->get_array().size()) return &at->get_array()[n];
  }
  return bad(fmt::format("the path '{}' is not there", printable(pointer, 200)));
}

Result<> add_at(const std::pair<json::value*, std::string>& place, json::value value, std::string_view pointer) {
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
  if (place.first->is_object()) place.first->get_object().erase(place.second);
  else place.first->get_array().erase(slot);
}

// ---- server-side apply -------------------------------------------------------------

using Fields = std::set<std::string>;   // one path a leaf: "spec/replicas", "spec/containers/{"name":"a"}/image"

void collect(const json::value& v, const std::string& path, std::string_view field, Fields& out) {
  if (v.is_object() && !v.get_object().empty()) {
    for (const auto& [key, value] : v.get_object()) collect(value, path + "\n" + "f:" + std::string(key), key, out);
    return;
  }
  if (v.is_array()) {
    const auto key = merge_key(field, v.get_array());
    if (!key.empty() && !v.get_array().empty()) {
      for (const auto& item : v.get_array()) {
        const auto* id = find(item, {key});
        if (id == nullptr) continue;
        const auto here = path + "\nk:" + json::serialize(json::object{{key, *id}});
        for (const auto& [name, value] : item.get_object()) collect(value, here + "\n" + "f:" + std::string(name), name, out);
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
  for (const auto& step : split(path.substr(1), '\n')) out += step.starts_with("f:") ? "." + step.substr(2) : "[" + step.substr(2) + "]";
  return out;
}

}  // namespace

Result<json::value> json_patch(json::value target, const json::value& patch) {
  if (!patch.is_array()) return fail(Errc::invalid_argument, "BadRequest", "a JSON patch must be a list of operations");
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
    if (value.is_null()) object.erase(key);
    else object[key] = merge_patch(object.contains(key) ? object.at(key) : json::value(), value);
  }
  return target;
}

json::value strategic_merge(json::value target, const json::value& patch) {
  if (!patch.is_object()) return patch;
  if (!target.is_object()) target.emplace_object();
  strategic_object(target.get_object(), patch.get_object());
  return target;
}

Result<json::value> server_side_apply(json::value live, const json::value& applied, std::string_view manager, bool force, std::string_view now) {
  json::value wanted = applied;
  erase(wanted, {"metadata", "managedFields"});
  Fields mine;
  {
    json::value content = wanted;
    for (const auto* key : {"apiVersion", "kind", "status"}) erase(content, {key});
    for (const auto* key : {"name", "namespace", "resourceVersion", "uid", "creationTimestamp"}) erase(content, {"metadata", key});
    if (const auto* m = find_object(content, {"metadata"}); m != nullptr && m->empty()) erase(content, {"metadata"});
    collect(content, "", "", mine);
    mine.erase("");
  }
  json::array managers;
  if (const auto* list = find_array(live, {"metadata", "managedFields"})) managers = *list;
  Fields before;
  std::vector<std::string> conflicts;
  for (auto& entry : managers) {
    Fields theirs;
    if (const auto* fields = find(entry, {"fieldsV1"})) from_fields_v1(*fields, "", theirs);
    const bool apply = get_string(entry, {"operation"}) == "Apply";
    if (apply && get_string(entry, {"manager"}) == manager) {
      before = std::move(theirs);
      continue;
    }
    bool taken = false;
    for (const auto& path : mine) {
      if (!theirs.contains(path)) continue;
      const auto* ours = follow(wanted, path);
      const auto* have = follow(live, path);
      if (ours != nullptr && have != nullptr && *ours == *have) continue;   // shared, not fought over
      if (!force) {
        conflicts.push_back(fmt::format("conflict with \"{}\": {}", get_string(entry, {"manager"}), readable(path)));
      } else {
        theirs.erase(path);
        taken = true;
      }
    }
    if (taken) ensure(entry, {"fieldsV1"}) = to_fields_v1(theirs);
  }
  if (!conflicts.empty())
    return fail(Errc::conflict, "Conflict",
                fmt::format("Apply failed with {} conflict{}: {}", conflicts.size(), conflicts.size() == 1 ? "" : "s", join(conflicts, ", ")));
  for (const auto& path : before) {
    if (mine.contains(path)) continue;
    const bool shared = std::ranges::any_of(managers, [&](const json::value& entry) {
      Fields theirs;
      if (get_string(entry, {"manager"}) == manager && get_string(entry, {"operation"}) == "Apply") return false;
      if (const auto* fields = find(entry, {"fieldsV1"})) from_fields_v1(*fields, "", theirs);
      return theirs.contains(path);
    });
    json::value* parent = nullptr;
    const auto* slot = shared ? nullptr : follow(live, path, &parent);
    if (slot == nullptr || parent == nullptr) continue;
    const auto last = path.substr(path.rfind('\n') + 1);
    if (last.starts_with("f:") && parent->is_object()) parent->get_object().erase(last.substr(2));
  }
  live = strategic_merge(std::move(live), wanted);
  managers.erase(std::remove_if(managers.begin(), managers.end(),
                                [&](const json::value& entry) {
                                  return get_string(entry, {"operation"}) == "Apply" && get_string(entry, {"manager"}) == manager;
                                }),
                 managers.end());
  managers.push_back({{"manager", manager}, {"operation", "Apply"}, {"apiVersion", get_string(applied, {"apiVersion"})}, {"time", now}, {"fieldsType", "FieldsV1"}, {"fieldsV1", to_fields_v1(mine)}});
  ensure(live, {"metadata", "managedFields"}) = std::move(managers);
  return live;
}

}  // namespace oddjob::devcluster
