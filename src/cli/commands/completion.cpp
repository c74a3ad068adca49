// oddjob completion bash|zsh|fish, and the hidden `oddjob __complete` that the
// scripts ask: never an error into the terminal, never more than 300 ms.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>

#include "cli/command.hpp"
#include "cli/complete.hpp"
#include "cli/complete_files.hpp"
#include "core/words.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

constexpr Duration kPatience = std::chrono::milliseconds(300);

// Words go out as the shell has them, quotes and all; what bash takes apart at
// `=` and `:` is put together first. Answers come in the order to show them.
constexpr std::string_view kBash =
    R"sh(# bash completion of oddjob; source it, or put it into /etc/bash_completion.d
_oddjob() {
  local line=$COMP_LINE word i answer head
  local -a words=()
  COMPREPLY=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $line == [[:space:]]* || ${#words[@]} == 0 ]]; then
      line=${line#"${line%%[![:space:]]*}"}
      words+=("$word")
    else
      words[${#words[@]} - 1]+=$word
    fi
    line=${line#"$word"}
  done
  local current=${words[${#words[@]} - 1]}
  head=
  [[ $current == *[=:]* ]] && head=${current%"${current##*[=:]}"}
  while IFS= read -r answer; do
    if [[ $answer == :files ]]; then
      COMPREPLY=()
      compopt -o default
      return 0
    fi
    [[ $answer == */ ]] && compopt -o nospace
    [[ $current == [\"\']* ]] || printf -v answer %q "$answer"
    COMPREPLY+=("${answer#"$head"}")
  done < <("${COMP_WORDS[0]}" __complete --shell bash -- "${words[@]:1}" 2>/dev/null)
  compopt -o nosort 2>/dev/null
  return 0
}
complete -F _oddjob oddjob
)sh";

constexpr std::string_view kZsh = R"sh(#compdef oddjob
# zsh completion of oddjob; put it as _oddjob into a folder of $fpath
_oddjob() {
  local -a answers
  local answer
  answers=("${(@f)$(${(Q)words[1]} __complete --shell zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ ${answers[1]} == :files ]]; then
    _files
    return
  fi
  for answer in $answers; do
    if [[ $answer == */ ]]; then compadd -V oddjob -S '' -- $answer; else compadd -V oddjob -- $answer; fi
  done
}
if [[ $funcstack[1] == _oddjob ]]; then _oddjob "$@"; else compdef _oddjob oddjob; fi
)sh";

constexpr std::string_view kFish =
    R"sh(# fish completion of oddjob; put it as oddjob.fish into ~/.config/fish/completions
function __oddjob_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l answers ($words[1] __complete --shell fish -- $words[2..-1] 2>/dev/null)
  if test "$answers[1]" = :files
    __fish_complete_path (commandline -ct)
  else if test -n "$answers[1]"
    printf '%s\n' $answers
  end
end
complete -c oddjob -f -k -a '(__oddjob_complete)'
)sh";

// What the server answers within our patience; null: nothing.
json::value ask_server(const Invocation& invocation, std::string path) {
  const auto settings = invocation.settings();
  if (!settings) return {};
  net::Loop loop;
  auto client = ApiClient::make(loop, *settings, invocation.environment);
  if (!client) return {};
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
  json::value got = done ? answer : json::value();
  client->reset();
  return got;
}

// The names that a list of the server's holds under `key`.
std::vector<std::string> from_server(const Invocation& invocation, std::string path, std::string_view key,
                                     bool only_mine) {
  std::vector<std::string> out;
  const auto got = ask_server(invocation, std::move(path));
  if (const auto* items = find_array(got, {"items"}))
    for (const auto& item : *items)
      if (!only_mine || get_bool(item, {"mayRun"})) out.emplace_back(get_string(item, {key}));
  return out;
}

std::vector<std::string> candidates(const Place& place, Invocation invocation) {
  invocation.flags = place.flags;
  const auto settings = invocation.settings();
  const std::string name_space = settings && !settings->name_space.empty() ? settings->name_space : "default";
  const std::string in_namespace =
      settings && !settings->name_space.empty() ? "&namespace=" + net::percent_encode(name_space) : "";
  if (place.in_command) {
    const auto question = files_question(place, name_space);
    return question ? files_answer(ask_server(invocation, *question)) : std::vector<std::string>{};
  }
  std::vector<std::string> contexts;
  if (const auto config = load_cli_config(config_path(invocation.environment)))
    for (const auto& c : config->contexts) contexts.push_back(c.name);
  auto out = fixed_candidates(place, contexts);
  const auto name = place.command->get_name();
  const bool first = place.positionals == 0 && place.option.empty() && !place.word.starts_with('-');
  const auto* parent = place.command->get_parent();
  const bool of_image = parent != nullptr && parent->get_name() == "image" && (name == "files" || name == "status");
  if (place.option == "--workload" || ((name == "run" || of_image) && first)) {
    net::Query q;
    q.add("limit", "1000");
    q.add("namespace", name_space);
    out = from_server(invocation, "/api/v1/workloads?" + q.encode(), "workload", name == "run" || of_image);
  } else if (of_image && name == "files" && place.positionals == 1 && place.option.empty()) {
    // The second argument is a folder of the image.
    Place inside = place;
    inside.in_command = true;
    inside.command_words = {"ls"};
    if (const auto question = files_question(inside, name_space)) out = files_answer(ask_server(invocation, *question));
    std::erase_if(out, [](const std::string& s) { return !s.ends_with('/'); });
  } else if ((name == "approve" || name == "deny") && first) {
    out = from_server(invocation, "/api/v1/runs?approvable=true&limit=20" + in_namespace, "id", false);
    for (auto& id : out) id = short_run_id(id);
  } else if (place.option == "--run" || ((name == "logs" || name == "show" || name == "cancel") && first)) {
    out = from_server(invocation, "/api/v1/runs?limit=20" + in_namespace, "id", false);
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
  auto of = std::make_shared<std::string>();
  hidden->add_option("--shell", *of, "Whose quotes the words have");
  hidden->callback([&invocation, &app, of] {
    invocation.action = [&app, of](Invocation& i) {
      auto& words = i.command;
      // fish takes the quotes off all but the last.
      for (std::size_t n = *of == "fish" && !words.empty() ? words.size() - 1 : 0; n < words.size() && !of->empty(); ++n)
        words[n] = unquoted(words[n]);
      const auto place = locate(app, words);
      for (const auto& c : candidates(place, i)) {
        if (c == kFiles)
          write_out(c + "\n");
        else if (c.starts_with(place.word))
          write_out(place.head + c + "\n");
      }
      return 0;
    };
  });
}

}  // namespace oddjob::cli
