#include "render/context.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace oddjob::render {

Container& Context::main() { return *std::ranges::find(containers, Role::main, &Container::role); }

void Context::changed(std::string path, std::string_view action, std::string_view reason) {
  changes.push_back({std::move(path), std::string(action), std::string(reason)});
}

bool Context::remove(json::object& from, std::string_view key, std::string_view parent_path,
                     std::string_view reason) {
  if (from.stable_erase(key) == 0) return false;  // keys keep their order
  changed(join_path(parent_path, key), "removed", reason);
  return true;
}

std::string join_path(std::string_view parent, std::string_view key) {
  const bool plain = key.find_first_of("./[] ") == std::string_view::npos;
  if (parent.empty()) return std::string(key);
  return plain ? fmt::format("{}.{}", parent, key) : fmt::format("{}[{}]", parent, key);
}

std::string join_path(std::string_view parent, std::size_t index) {
  return fmt::format("{}[{}]", parent, index);
}

json::value without_nulls(const json::value& v) {
  if (const json::object* object = v.if_object()) {
    json::object out;
    out.reserve(object->size());
    for (const auto& [key, value] : *object) {
      if (!value.is_null()) out.emplace(key, without_nulls(value));
    }
    return out;
  }
  if (const json::array* array = v.if_array()) {
    json::array out;
    out.reserve(array->size());
    for (const json::value& element : *array) out.push_back(without_nulls(element));
    return out;
  }
  return v;
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i != 0) out += i + 1 == names.size() ? " and " : ", ";
    out += fmt::format("\"{}\"", names[i]);
  }
  return out;
}

}  // namespace oddjob::render
