// What is inside the containers.
#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "render/rules/rules.hpp"

namespace oddjob::render::rules_of {
namespace {

void remove_everywhere(Context& c, std::string_view key, std::string_view reason) {
  for (Container& container : c.containers) c.remove(container.spec, key, container.path, reason);
}

// The kubelet rewrites command, args and env values: $(NAME) becomes the value
// of a variable of that name, and $$ becomes $. What somebody typed must reach
// the program as typed, so each `$` that would be read so is doubled, and only
// those.
// https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
class Literal {
 public:
  explicit Literal(const json::object& container) {
    if (const json::value* env = container.if_contains("env")) {
      for (const json::value& variable : env->as_array()) names_.emplace_back(get_string(variable, {"name"}));
    }
    any_name_ = container.contains("envFrom");
  }

  [[nodiscard]] std::string escape(std::string_view text) const {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      out += text[i];
      if (text[i] == '$' && is_read(text.substr(i + 1))) out += '$';
    }
    return out;
  }

 private:
  [[nodiscard]] bool is_read(std::string_view rest) const {
    if (rest.starts_with('$')) return true;
    if (!rest.starts_with('(')) return false;
    const auto end = rest.find(')');
    return end != std::string_view::npos && may_be_set(rest.substr(1, end - 1));
  }
  [[nodiscard]] bool may_be_set(std::string_view name) const {
    if (std::ranges::find(names_, name) != names_.end()) return true;
    // From ConfigMaps, or the kubelet's own for Services (FOO_SERVICE_HOST, FOO_PORT_…).
    return is_env_name(name) && (any_name_ || name.find("_SERVICE_") != std::string_view::npos ||
                                 name.find("_PORT") != std::string_view::npos);
  }

  std::vector<std::string> names_;
  bool any_name_ = false;
};

void set_quantity(Context& c, std::string_view resource, const std::string& amount) {
  Container& main = c.main();
  for (const std::string_view list : {"requests", "limits"}) {
    json::value& resources = main.spec["resources"];
    if (!resources.is_object()) resources.emplace_object();
    json::value& amounts = resources.as_object()[list];
    if (!amounts.is_object()) amounts.emplace_object();
    amounts.as_object()[resource] = amount;
    c.changed(
        fmt::format("{}.resources.{}.{}", main.path, list, resource), "set",
        "Asked for on this run; request and limit are the same, so that the run gets what it asked for.");
  }
  // What the whole pod may use (1.32) would cap it, or refuse the pod.
  if (json::value* pod = c.pod.if_contains("resources")) {
    for (const std::string_view list : {"requests", "limits"}) {
      json::value* amounts = pod->as_object().if_contains(list);
      if (amounts == nullptr) continue;
      c.remove(amounts->as_object(), resource, fmt::format("{}.resources.{}", kPodPath, list),
               "The container's own amount was asked for on this run, and must not exceed the pod's.");
    }
  }
}

}  // namespace

Result<> probes(Context& c) {
  for (const Container& container : c.containers) {
    if (container.role == Role::native && container.spec.contains("startupProbe")) {
      c.warn(fmt::format("sidecar \"{}\" loses its startup probe: the command may start before it is ready",
                         container.name));
    }
  }
  for (const std::string_view key : {"livenessProbe", "readinessProbe", "startupProbe"}) {
    remove_everywhere(
        c, key, "Probes ask a service whether it serves; a command that runs once would be killed by them.");
  }
  return {};
}

Result<> lifecycle(Context& c) {
  remove_everywhere(c, "lifecycle",
                    "Hooks register and drain a service; a run has nothing to register or drain.");
  return {};
}

Result<> ports(Context& c) {
  remove_everywhere(c, "ports",
                    "A run serves nobody; a host port would also keep it off nodes that run the workload.");
  return {};
}

Result<> terminal(Context& c) {
  for (const std::string_view key : {"stdin", "stdinOnce", "tty"}) {
    remove_everywhere(c, key,
                      "Nobody is attached; a terminal would mix the log's streams and end lines with CR.");
  }
  return {};
}

Result<> container_restarts(Context& c) {
  remove_everywhere(
      c, "resizePolicy",
      "Resizing in place is for services; the API refuses restarts for it in a pod that never restarts.");
  for (Container& container : c.containers) {
    if (container.role != Role::main && container.role != Role::sidecar) continue;
    c.remove(container.spec, "restartPolicy", container.path,
             "A run runs once: nothing restarts its containers.");
    c.remove(container.spec, "restartPolicyRules", container.path,
             "A run runs once: nothing restarts its containers.");
  }
  return {};
}

Result<> command(Context& c) {
  Container& main = c.main();
  const Literal literal(main.spec);
  json::array argv;
  bool escaped = false;
  for (const std::string& word : c.request.command) {
    argv.emplace_back(literal.escape(word));
    escaped = escaped || argv.back().as_string() != word;
  }
  main.spec["command"] = std::move(argv);
  std::string reason = "The command of this run.";
  if (escaped) reason += " A dollar sign is doubled where the kubelet would read it as a reference.";
  c.changed(main.path + ".command", "set", reason);
  c.remove(main.spec, "args", main.path, "Arguments belong to the workload's own command.");
  return {};
}

Result<> environment(Context& c) {
  if (c.request.env.empty()) return {};
  Container& main = c.main();
  json::array env;
  if (const json::value* written = main.spec.if_contains("env")) env = written->as_array();
  // Set all names first: a value is escaped against every variable there is.
  for (const EnvVar& wanted : c.request.env) {
    const auto same = [&](const json::value& v) { return get_string(v, {"name"}) == wanted.name; };
    auto first = std::ranges::find_if(env, same);
    const bool existed = first != env.end();
    if (existed) {
      *first = json::object{{"name", wanted.name}};
      const auto rest = std::remove_if(first + 1, env.end(), same);
      env.erase(rest, env.end());
    } else {
      env.emplace_back(json::object{{"name", wanted.name}});
    }
    c.changed(fmt::format("{}.env[{}]", main.path, wanted.name), existed ? "replaced" : "set",
              "Given on this run.");
  }
  main.spec["env"] = env;
  const Literal literal(main.spec);
  for (json::value& variable : main.spec["env"].as_array()) {
    const std::string_view name = get_string(variable, {"name"});
    const auto wanted = std::ranges::find_if(c.request.env.rbegin(), c.request.env.rend(),
                                             [&](const EnvVar& e) { return e.name == name; });
    if (wanted != c.request.env.rend()) variable.as_object()["value"] = literal.escape(wanted->value);
  }
  return {};
}

Result<> resources(Context& c) {
  if (c.request.cpu) set_quantity(c, "cpu", *c.request.cpu);
  if (c.request.memory) set_quantity(c, "memory", *c.request.memory);
  return {};
}

}  // namespace oddjob::render::rules_of
