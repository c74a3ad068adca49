// What other readers are told of the file, and what a reload takes of it.
#include "server/config/keys.hpp"

namespace oddjob::server {
namespace {

json::object section_object() {
  json::object out;
  out["type"] = "object";
  out["additionalProperties"] = false;
  out["properties"] = json::object();
  return out;
}

}  // namespace

json::object config_schema() {
  const ServerConfig defaults;
  auto out = section_object();
  for (const auto& key : config::keys()) {
    auto schema = key.value.schema;
    schema["description"] = key.meaning;
    if (auto value = key.value.get(defaults); !value.is_null()) schema["default"] = std::move(value);
    auto* properties = &out["properties"].as_object();
    auto name = key.path;
    if (const auto dot = name.find('.'); dot != std::string_view::npos) {
      auto& section = (*properties)[name.substr(0, dot)];
      if (section.is_null()) section = section_object();
      properties = &section.as_object()["properties"].as_object();
      name = name.substr(dot + 1);
    }
    (*properties)[name] = std::move(schema);
  }
  out["$schema"] = "http://json-schema.org/draft-07/schema#";
  out["title"] = "Configuration of oddjobd";
  return out;
}

ReloadPlan plan_reload(const ServerConfig& running, const ServerConfig& next) {
  ReloadPlan plan{running, {}, {}};
  for (const auto& key : config::keys()) {
    if (key.value.same(running, next)) continue;
    if (key.reload == config::Reload::live) {
      key.value.take(plan.config, next);
      plan.changed.emplace_back(key.path);
    } else {
      plan.needs_restart.emplace_back(key.path);
    }
  }
  return plan;
}

}  // namespace oddjob::server
