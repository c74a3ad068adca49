// What still speaks of something that is gone: said, not changed, because only
// the workload's owner knows what should stand there.
#include <fmt/format.h>

#include "render/rules/keys.hpp"
#include "render/rules/rules.hpp"

namespace oddjob::render::rules_of {
namespace {

// One `fieldRef` or `resourceFieldRef` holder, of env.valueFrom or a downward API file.
void check_source(Context& c, const json::value& source, std::string_view where) {
  const std::string_view field = get_string(source, {"fieldRef", "fieldPath"});
  for (const auto& [prefix, kept] : {std::pair{std::string_view("metadata.labels['"), &c.labels},
                                     std::pair{std::string_view("metadata.annotations['"), &c.annotations}}) {
    if (!field.starts_with(prefix) || !field.ends_with("']")) continue;
    const std::string_view key = field.substr(prefix.size(), field.size() - prefix.size() - 2);
    const bool can_be_kept = kept == &c.labels && c.own_labels.contains(key) && !is_controller_label(key);
    if (!kept->contains(key)) {
      c.warn(fmt::format("{} reads {}, which the run's pod doesn't have: it will be empty{}", where, field,
                         can_be_kept ? " (keep-labels can keep it)" : ""));
    }
  }
  const std::string_view container = get_string(source, {"resourceFieldRef", "containerName"});
  for (const std::string& dropped : c.dropped_containers) {
    if (container == dropped) {
      c.warn(fmt::format("{} reads resources of container \"{}\", which is dropped: the pod may not start",
                         where, dropped));
    }
  }
}

void check_files(Context& c, const json::value& volume, KeyPath items, std::string_view where) {
  const json::array* files = find_array(volume, items);
  if (files == nullptr) return;
  for (const json::value& file : *files) check_source(c, file, where);
}

}  // namespace

Result<> dangling_references(Context& c) {
  for (const Container& container : c.containers) {
    const json::value* env = container.spec.if_contains("env");
    if (env == nullptr) continue;
    for (const json::value& variable : env->as_array()) {
      const json::value* from = find(variable, {"valueFrom"});
      if (from == nullptr) continue;
      check_source(
          c, *from,
          fmt::format("variable {} of container \"{}\"", get_string(variable, {"name"}), container.name));
    }
  }
  const json::value* volumes = c.pod.if_contains("volumes");
  if (volumes == nullptr) return {};
  for (const json::value& volume : volumes->as_array()) {
    const std::string where = fmt::format("volume \"{}\"", get_string(volume, {"name"}));
    check_files(c, volume, {"downwardAPI", "items"}, where);
    const json::array* sources = find_array(volume, {"projected", "sources"});
    if (sources == nullptr) continue;
    for (const json::value& source : *sources) check_files(c, source, {"downwardAPI", "items"}, where);
  }
  return {};
}

}  // namespace oddjob::render::rules_of
