// oddjob completion bash|zsh|fish, and the hidden `oddjob __complete` that the
// scripts ask: never an error into the terminal, never more than 300 ms.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>

#include "cli/command.hpp"
#include "cli/complete.hpp"
#include "core/words.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

constexpr Duration kPatience = std::chrono::milliseconds(300);

constexpr std::string_view kBash =
    R"sh(# bash completion of oddjob; source it, or put it into /etc/bash_completion.d
_oddjob() {
  local line i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do [[ ${COMP_WORDS[i]} == -- ]] && return 0; done
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <("${COMP_WORDS[0]}" __complete -- "${words[@]}" 2>/dev/null)
  if [[ ${COMPREPLY[0]-} == :files ]]; then
    COMPREPLY=()
    compopt -o default
  fi
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
  if [[ ${answers[1]} == :files ]]; then
    _files
  elif [[ -n ${answers[1]} ]]; then
    compadd -- $answers
  fi
}
if [[ $funcstack[1] == _oddjob ]]; then _oddjob "$@"; else compdef _oddjob oddjob; fi
)sh";

constexpr std::string_view kFish =
    R"sh(# fish completion of oddjob; put it as oddjob.fish into ~/.config/fish/completions
function __oddjob_complete
  set -l words (commandline -opc) (commandline -ct)
  contains -- -- $words[2..-2]; and return
  set -l answers (oddjob __complete -- $words[2..-1] 2>/dev/null)
  if test "$answers[1]" = :files
    __fish_complete_path (commandline -ct)
  else
    printf '%s\n' $answers
  end
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

std::vector<std::string> candidates(const CLI::App& app, Invocation invocation) {
  const auto place = locate(app, invocation.command);
  invocation.flags = place.flags;
  std::vector<std::string> contexts;
  if (const auto config = load_cli_config(config_path(invocation.environment)))
    for (const auto& c : config->contexts) contexts.push_back(c.name);
  auto out = fixed_candidates(place, contexts);
  const auto name = place.command->get_name();
  const bool first = place.positionals == 0 && place.option.empty() && !place.word.starts_with('-');
  if (place.option == "--workload" || (name == "run" && first)) {
    const auto settings = invocation.settings();
    net::Query q;
    q.add("limit", "1000");
    if (settings) q.add("namespace", settings->name_space.empty() ? "default" : settings->name_space);
    out = from_server(invocation, "/api/v1/workloads?" + q.encode(), "workload", name == "run");
  } else if ((name == "approve" || name == "deny") && first) {
    out = from_server(invocation, "/api/v1/runs?approvable=true&limit=20", "id", false);
    for (auto& id : out) id = short_run_id(id);
  } else if (place.option == "--run" || ((name == "logs" || name == "show" || name == "cancel") && first)) {
    out = from_server(invocation, "/api/v1/runs?limit=20", "id", false);
    for (auto& id : out) id = short_run_id(id);
  }
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
      // What bash takes apart at `=` arrives as a word of its own.
      const std::string last = i.command.empty() || i.command.back() == "=" ? "" : i.command.back();
      for (const auto& c : candidates(app, i))
        if (c.starts_with(last) || c == kFiles) write_out(c + "\n");
      return 0;
    };
  });
}

}  // namespace oddjob::cli
