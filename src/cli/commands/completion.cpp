// oddjob completion bash|zsh|fish, and the hidden `oddjob __complete` that the
// scripts ask: never an error into the terminal, never more than 300 ms.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>

#include "cli/command.hpp"
#include "core/words.hpp"

namespace oddjob::cli {
namespace {

constexpr Duration kPatience = std::chrono::milliseconds(300);

constexpr std::string_view kBash =
    R"sh(# bash completion of oddjob; source it, or put it into /etc/bash_completion.d
_oddjob() {
  local line i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do [[ ${COMP_WORDS[i]} == -- ]] && return; done
  local cur=${COMP_LINE:0:COMP_POINT}
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(oddjob __complete -- "${words[@]}" 2>/dev/null)
  [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace
  return 0
}
complete -F _oddjob oddjob
)sh";

constexpr std::string_view kZsh = R"sh(#compdef oddjob
# zsh completion of oddjob; put it as _oddjob into a folder of $fpath
_oddjob() {
  local -a answers
  (( ${words[(I)--]} > 0 && ${words[(I)--]} < CURRENT )) && return
  answers=("${(@f)$(oddjob __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  [[ -n ${answers[1]} ]] && compadd -- $answers
}
if [[ $funcstack[1] == _oddjob ]]; then _oddjob "$@"; else compdef _oddjob oddjob; fi
)sh";

constexpr std::string_view kFish =
    R"sh(# fish completion of oddjob; put it as oddjob.fish into ~/.config/fish/completions
function __oddjob_complete
  set -l words (commandline -opc) (commandline -ct)
  contains -- -- $words[2..-2]; and return
  oddjob __complete -- $words[2..-1] 2>/dev/null
end
complete -c oddjob -f -a '(__oddjob_complete)'
)sh";

// The names that a list of the server's holds under `key`, within our patience.
std::vector<std::string> from_server(const Invocation& invocation, std::string path, std::string_view key,
                                     bool only_mine) {
  std::vector<std::string> out;
  const auto settings = invocation.settings();
  if (!settings) return out;
  net::Loop loop;
  auto client = ApiClient::make(loop, *settings, invocation.environment);
  if (!client) return out;
  if (!settings->name_space.empty()) path += "&namespace=" + settings->name_space;
  struct Ask {
    static net::Task<> go(ApiClient& api, std::string target, json::value& answer, bool& done,
                          net::Notifier& told) {
      auto got = co_await api.call("GET", std::move(target));
      if (got) answer = std::move(*got);
      done = true;
      told.notify_all();
    }
    static net::Task<> wait(net::Notifier& told) { co_await told.wait_beyond(0, kPatience); }
  };
  json::value answer;
  bool done = false;
  net::Notifier told;
  loop.spawn("completion", Ask::go(**client, std::move(path), answer, done, told));
  loop.block_on(Ask::wait(told));
  // Destroying the client ends a request that is still under way.
  const json::value got = done ? answer : json::value();
  if (const auto* items = find_array(got, {"items"}))
    for (const auto& item : *items)
      if (!only_mine || get_bool(item, {"mayRun"})) out.emplace_back(get_string(item, {key}));
  client->reset();
  return out;
}

const CLI::App* subcommand(const CLI::App& of, const std::string& name) {
  for (const auto* sub : of.get_subcommands([&](const CLI::App* s) { return s->check_name(name); }))
    return sub;
  return nullptr;
}

std::vector<std::string> candidates(const CLI::App& app, const Invocation& invocation,
                                    const std::vector<std::string>& words) {
  std::vector<std::string> out;
  const CLI::App* command = &app;
  int positionals = 0;
  std::string option;  // the flag whose value is wanted
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const auto& word = words[i];
    option.clear();
    if (word.starts_with('-')) {
      for (const auto* at = command; at != nullptr; at = at->get_parent())
        if (const auto* found = at->get_option_no_throw(word);
            found != nullptr && found->get_expected_max() > 0)
          option = word;
    } else if (i > 0 && words[i - 1].starts_with('-') && words[i - 1].find('=') == std::string::npos) {
      bool value = false;
      for (const auto* at = command; at != nullptr; at = at->get_parent())
        if (const auto* found = at->get_option_no_throw(words[i - 1]);
            found != nullptr && found->get_expected_max() > 0)
          value = true;
      if (!value) ++positionals;
    } else if (const auto* next = positionals == 0 ? subcommand(*command, word) : nullptr) {
      command = next;
    } else {
      ++positionals;
    }
  }
  const std::string last = words.empty() ? "" : words.back();
  const auto name = command->get_name();
  if (option == "-o" || option == "--output") return {"json", "yaml", "name", "wide"};
  if (option == "--sidecars") return {"drop", "native", "keep"};
  if (option == "--init-containers") return {"run", "skip"};
  if (option == "--state")
    return {"starting", "running", "succeeded", "failed", "timed_out", "cancelled", "lost", "denied"};
  if (option == "--context" ||
      (command->get_parent() != nullptr && command->get_parent()->get_name() == "context" &&
       positionals == 0 && !last.starts_with('-'))) {
    if (const auto config = load_cli_config(config_path(invocation.environment)))
      for (const auto& c : config->contexts) out.push_back(c.name);
    return out;
  }
  if (!option.empty() && option != "--workload") return out;  // a value that only the user knows
  if (last.starts_with('-')) {
    for (const auto* at = command; at != nullptr; at = at->get_parent())
      for (const auto* o : at->get_options())
        for (const auto& l : o->get_lnames()) out.push_back("--" + l);
    return out;
  }
  for (const auto* sub : command->get_subcommands(
           [](const CLI::App* s) { return !s->get_name().empty() && !s->get_name().starts_with("__"); }))
    out.push_back(sub->get_name());
  if (!out.empty()) return out;
  if (option == "--workload" || (name == "run" && positionals == 0))
    return from_server(invocation, "/api/v1/workloads?", "workload", true);
  if ((name == "logs" || name == "show" || name == "cancel") && positionals == 0) {
    for (auto& id : from_server(invocation, "/api/v1/runs?limit=20", "id", false))
      out.push_back(short_run_id(id));
  }
  if (name == "completion") return {"bash", "zsh", "fish"};
  return out;
}

}  // namespace

void add_completion(CLI::App& app, Invocation& invocation) {
  auto* command =
      app.add_subcommand("completion", "Print a completion script for bash, zsh or fish")->fallthrough();
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("  source <(oddjob completion bash)");
  command->callback([&invocation, shell] {
    invocation.action = [shell](Invocation&) {
      write_out(*shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish);
      return 0;
    };
  });
  auto* hidden = app.add_subcommand("__complete", "")->group("");
  hidden->callback([&invocation, &app] {
    invocation.action = [&app](Invocation& i) {
      const std::string last = i.command.empty() ? "" : i.command.back();
      for (const auto& c : candidates(app, i, i.command))
        if (c.starts_with(last)) write_out(c + "\n");
      return 0;
    };
  });
}

}  // namespace oddjob::cli
