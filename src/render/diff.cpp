// What differs between the workload's pod template and the Job, as YAML lines
// with the reason beside each difference.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/text.hpp"
#include "core/yaml.hpp"
#include "render/context.hpp"

namespace oddjob::render {
namespace {

constexpr std::string_view kRed = "\x1b[31m", kGreen = "\x1b[32m", kDim = "\x1b[2m", kReset = "\x1b[0m";

class Differ {
 public:
  Differ(const Rendered& r, bool color) : color_(color) {
    for (const Change& change : r.changes) {
      if (change.action != "kept") reasons_.emplace(change.path, change.reason);
    }
  }

  void objects(const json::object& before, const json::object& after, const std::string& path,
               std::size_t depth) {
    for (const auto& pair : before) {
      const std::string_view key = pair.key();
      const json::value* now = after.if_contains(key);
      if (now == nullptr) {
        one_sided('-', key, pair.value(), join_path(path, key), depth);
      } else if (pair.value() != *now) {
        changed(key, pair.value(), *now, join_path(path, key), depth);
      }
    }
    for (const auto& pair : after) {
      if (!before.contains(pair.key()))
        one_sided('+', pair.key(), pair.value(), join_path(path, pair.key()), depth);
    }
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string_view identifying_key(std::string_view list) noexcept {
    if (list == "volumeMounts") return "mountPath";
    return list == "volumeDevices" ? "devicePath" : "name";
  }

  // Lists whose elements have names of their own are compared element by element.
  static std::optional<std::map<std::string, const json::value*>> by_identity(const json::array& list,
                                                                              std::string_view key) {
    std::map<std::string, const json::value*> out;
    for (const json::value& element : list) {
      const std::string_view id = get_string(element, {key});
      if (id.empty() || !out.emplace(id, &element).second) return std::nullopt;
    }
    return out;
  }

  // A member that only one side has. Where the reasons are those of its parts,
  // its parts are listed.
  void one_sided(char sign, std::string_view key, const json::value& value, const std::string& path,
                 std::size_t depth) {
    const bool gone = sign == '-';
    if (!reasons_.contains(path) && value.is_object()) {
      context(fmt::format("{}:", key), depth);
      objects(gone ? value.as_object() : json::object(), gone ? json::object() : value.as_object(), path,
              depth + 1);
    } else if (!reasons_.contains(path) && value.is_array()) {
      const json::array none;
      if (!lists(key, gone ? value.as_array() : none, gone ? none : value.as_array(), path, depth)) {
        member(sign, key, value, path, depth);
      }
    } else {
      member(sign, key, value, path, depth);
    }
  }

  void changed(std::string_view key, const json::value& before, const json::value& after,
               const std::string& path, std::size_t depth) {
    if (before.is_object() && after.is_object()) {
      context(fmt::format("{}:", key), depth);
      objects(before.as_object(), after.as_object(), path, depth + 1);
      return;
    }
    if (before.is_array() && after.is_array() && lists(key, before.as_array(), after.as_array(), path, depth))
      return;
    member('-', key, before, path, depth);
    member('+', key, after, path, depth, false);
  }

  bool lists(std::string_view key, const json::array& before, const json::array& after,
             const std::string& path, std::size_t depth) {
    const std::string_view id_key = identifying_key(key);
    const auto old_ids = by_identity(before, id_key), new_ids = by_identity(after, id_key);
    if (!old_ids || !new_ids) return unnamed(key, before, after, path, depth);
    context(fmt::format("{}:", key), depth);
    const bool by_index = key == "containers" || key == "initContainers";
    for (std::size_t i = 0; i < before.size(); ++i) {
      const std::string id(get_string(before[i], {id_key}));
      const std::string here = by_index ? join_path(path, i) : fmt::format("{}[{}]", path, id);
      const auto now = new_ids->find(id);
      if (now == new_ids->end()) {
        element('-', before[i], here, depth);
      } else if (before[i] != *now->second) {
        context(fmt::format("- {}: {}", id_key, id), depth);
        objects(before[i].as_object(), now->second->as_object(), here, depth + 1);
      }
    }
    for (const json::value& added : after) {
      const std::string id(get_string(added, {id_key}));
      if (!old_ids->contains(id)) element('+', added, fmt::format("{}[{}]", path, id), depth);
    }
    return true;
  }

  // Lists of scheduling terms: what is gone is shown, what stayed is not.
  bool unnamed(std::string_view key, const json::array& before, const json::array& after,
               const std::string& path, std::size_t depth) {
    const auto among = [](const json::array& list, const json::value& v) {
      return std::ranges::find(list, v) != list.end();
    };
    if (std::ranges::any_of(after, [&](const json::value& v) { return !v.is_object() || !among(before, v); }))
      return false;
    context(fmt::format("{}:", key), depth);
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (!among(after, before[i])) element('-', before[i], join_path(path, i), depth);
    }
    return true;
  }

  void member(char sign, std::string_view key, const json::value& value, const std::string& path,
              std::size_t depth, bool with_reason = true) {
    lines(sign, to_yaml(json::object{{key, value}}), path, depth, with_reason);
  }
  void element(char sign, const json::value& value, const std::string& path, std::size_t depth) {
    lines(sign, to_yaml(json::array{value}), path, depth, true);
  }

  void lines(char sign, std::string_view yaml, const std::string& path, std::size_t depth, bool with_reason) {
    const std::string reason = with_reason ? reason_for(path) : std::string();
    bool first = true;
    while (!yaml.empty()) {
      const auto end = yaml.find('\n');
      const std::string text = printable(yaml.substr(0, end), std::size_t{4} << 10U);
      yaml.remove_prefix(end == std::string_view::npos ? yaml.size() : end + 1);
      const std::string line = fmt::format("{}{:{}}{}", sign, "", depth * 2 + 1, text);
      out_ += color_ ? fmt::format("{}{}{}", sign == '-' ? kRed : kGreen, line, kReset) : line;
      if (first && !reason.empty()) {
        out_ += color_ ? fmt::format("  {}# {}{}", kDim, reason, kReset) : fmt::format("  # {}", reason);
      }
      out_ += '\n';
      first = false;
    }
  }

  void context(std::string_view text, std::size_t depth) {
    out_ += fmt::format(" {:{}}{}\n", "", depth * 2 + 1, printable(text));
  }

  // The reason given for this path, or for what it is a part of.
  [[nodiscard]] std::string reason_for(std::string path) const {
    while (!path.empty()) {
      if (const auto found = reasons_.find(path); found != reasons_.end()) return found->second;
      const auto cut = path.find_last_of(".[");
      if (cut == std::string::npos) break;
      path.resize(cut);
    }
    return {};
  }

  bool color_;
  std::map<std::string, std::string, std::less<>> reasons_;
  std::string out_;
};

}  // namespace

std::string diff_text(const json::value& workload, const Rendered& r, bool color) {
  json::object before;
  if (auto found = read_template(workload)) before = std::move(*found);
  const json::object* spec = find_object(r.job, {"spec"});
  if (spec == nullptr) return {};
  Differ differ(r, color);
  differ.objects({{"spec", {{"template", before}}}}, {{"spec", *spec}}, "", 0);
  std::string out = fmt::format("--- pod template of the workload\n+++ {}\n", printable(r.job_name));
  out += differ.take();
  for (const std::string& warning : r.warnings) out += fmt::format("# warning: {}\n", printable(warning));
  return out;
}

}  // namespace oddjob::render
