#include "cli/complete.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace oddjob::cli {
namespace {

// The long name of the option that takes a value, or empty.
std::string value_option(const CLI::App* command, const std::string& word) {
  for (const auto* at = command; at != nullptr; at = at->get_parent())
    if (const auto* found = at->get_option_no_throw(word); found != nullptr)
      return found->get_expected_max() == 0 ? std::string{}
             : found->get_lnames().empty()  ? word
                                            : "--" + found->get_lnames().front();
  return {};
}

const CLI::App* subcommand(const CLI::App& of, const std::string& name) {
  const auto found = of.get_subcommands([&](const CLI::App* s) { return s->check_name(name); });
  return found.empty() ? nullptr : found.front();
}

void note(Place& place, std::string_view option, const std::string& value) {
  GlobalFlags& flags = place.flags;
  if (option == "--container")
    place.container = value;
  else if (option == "--namespace")
    flags.name_space = value;
  else if (option == "--context")
    flags.context = value;
  else if (option == "--kubeconfig")
    flags.kubeconfig = value;
  else if (option == "--server")
    flags.server = value;
  else if (option == "--token-file")
    flags.token_file = value;
  else if (option == "--ca-file")
    flags.ca_file = value;
}

}  // namespace

Place locate(const CLI::App& app, const std::vector<std::string>& words) {
  Place p;
  p.command = &app;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const auto& word = words[i];
    if (p.in_command) {
      p.command_words.push_back(word);
    } else if (word == "--") {
      p.in_command = true;
      p.option.clear();
    } else if (!p.option.empty()) {
      if (word == "=") continue;  // bash takes --flag=value apart
      note(p, p.option, word);
      p.option.clear();
    } else if (word.starts_with("--") && word.find('=') != std::string::npos) {
      const auto equals = word.find('=');
      note(p, value_option(p.command, word.substr(0, equals)), word.substr(equals + 1));
    } else if (word.starts_with('-')) {
      p.option = value_option(p.command, word);
      if (word == "--via-kubernetes") p.flags.via_kubernetes = true;
    } else if (const auto* next = p.positionals == 0 ? subcommand(*p.command, word) : nullptr) {
      p.command = next;
    } else {
      ++p.positionals;
      p.arguments.push_back(word);
    }
  }
  if (!words.empty()) p.word = words.back();
  if (p.in_command) return p;
  if (p.word == "=") p.word.clear();
  const auto equals = p.word.find('=');
  if (p.option.empty() && p.word.starts_with("--") && equals != std::string::npos) {
    p.option = value_option(p.command, p.word.substr(0, equals));
    p.head = p.word.substr(0, equals + 1);
    p.word.erase(0, equals + 1);
  }
  return p;
}

int kubectl_directive(const std::vector<std::string>& candidates, bool files) {
  if (files) return 0;
  const bool open = !candidates.empty() && std::ranges::all_of(candidates, [](const std::string& c) {
    return c.ends_with('/') || c.ends_with('=');
  });
  return 4 | 32 | (open ? 2 : 0);
}

std::vector<std::string> param_candidates(const Place& p, const json::value& described) {
  std::vector<std::string> out;
  const auto* parameters = find_array(described, {"parameters"});
  if (parameters == nullptr) return out;
  const auto equals = p.word.find('=');
  for (const auto& parameter : *parameters) {
    const std::string name(get_string(parameter, {"name"}));
    if (equals == std::string::npos) {
      out.push_back(name + "=");
      continue;
    }
    if (name != p.word.substr(0, equals)) continue;
    if (get_string(parameter, {"type"}) == "boolean")
      out.insert(out.end(), {name + "=true", name + "=false"});
    if (const auto* values = find_array(parameter, {"values"}))
      for (const auto& v : *values)
        if (v.is_string()) out.push_back(name + "=" + std::string(sv(v.get_string())));
  }
  return out;
}

std::vector<std::string> fixed_candidates(const Place& p, const std::vector<std::string>& contexts) {
  if (p.in_command) return {};  // only the image knows
  const auto& o = p.option;
  const auto name = p.command->get_name();
  if (o == "--output") {
    const auto* of = p.command->get_parent();
    if (name == "list" && of != nullptr && of->get_name() == "audit") return {"json", "jsonl", "yaml"};
    return {"json", "yaml", "name", "wide"};
  }
  if (o == "--sidecars") return {"drop", "native", "keep"};
  if (o == "--init-containers") return {"run", "skip"};
  if (o == "--state")
    return {"requested", "pending_approval", "starting", "running", "succeeded", "failed",
            "timed_out", "cancelled",        "lost",     "denied",  "expired"};
  if (o == "--context") return contexts;
  if (o == "--token-file" || o == "--ca-file" || o == "--kubeconfig" || o == "--filename")
    return {std::string(kFiles)};
  if (!o.empty()) return {};  // only the user knows
  std::vector<std::string> out;
  if (p.word.starts_with('-')) {
    for (const auto* at = p.command; at != nullptr; at = at->get_parent())
      for (const auto* option : at->get_options())
        for (const auto& l : option->get_lnames())
          if (at == p.command || l != "version") out.push_back("--" + l);
    std::ranges::sort(out);
    out.erase(std::ranges::unique(out).begin(), out.end());
    if (name == "run" || name == "render") out.emplace_back("--");
    return out;
  }
  for (const auto* sub :
       p.command->get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); }))
    out.push_back(sub->get_name());
  if (!out.empty() || p.positionals > 0) return out;
  if (name == "completion") return {"bash", "zsh", "fish"};
  const auto* parent = p.command->get_parent();
  if (parent == nullptr) return out;
  if (parent->get_name() == "context" && name != "list" && name != "show") return contexts;
  if (parent->get_name() == "template" && name == "lint") return {std::string(kFiles)};
  if (parent->get_name() == "audit" && name != "list") return {std::string(kFiles)};
  return out;
}

}  // namespace oddjob::cli
