// oddjob completion bash|zsh|fish, and the hidden `oddjob __complete` that the
// scripts ask: never an error into the terminal, never more than 300 ms.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>

#include "cli/command.hpp"
#include "cli/complete.hpp"
#include "cli/complete_files.hpp"
#include "cli/request_flags.hpp"
#include "core/text.hpp"
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
    [[ $answer == *[/=] ]] && compopt -o nospace
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
    if [[ $answer == *[/=] ]]; then compadd -V oddjob -S '' -- $answer; else compadd -V oddjob -- $answer; fi
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

// What the server answers to each, asked at once, within our patience; null: nothing.
std::vector<json::value> ask_server(const Invocation& invocation, std::vector<std::string> paths) {
  std::vector<json::value> answers(paths.size());
  const auto settings = invocation.settings();
  if (!settings) return answers;
  net::Loop loop;
  auto client = ApiClient::make(loop, *settings, invocation.environment);
  if (!client) return answers;
  struct Ask {
    static net::Task<> go(ApiClient& api, std::string target, json::value& answer, std::size_t& left,
                          net::Notifier& told) {
      auto got = co_await api.call("GET", std::move(target));
      if (got) answer = std::move(*got);
      --left;
      told.notify_all();
    }
    static net::Task<> wait(std::size_t& left, net::Notifier& told) {
      const auto until = std::chrono::steady_clock::now() + kPatience;
      while (left > 0 && std::chrono::steady_clock::now() < until) {
        const auto seen = told.ticket();
        co_await told.wait_beyond(seen,
                                  std::chrono::ceil<Duration>(until - std::chrono::steady_clock::now()));
      }
    }
  };
  std::size_t left = paths.size();
  net::Notifier told;
  for (std::size_t i = 0; i < paths.size(); ++i)
    loop.spawn("completion", Ask::go(**client, std::move(paths[i]), answers[i], left, told));
  loop.block_on(Ask::wait(left, told));
  // Destroying the client ends a request that is still under way.
  client->reset();
  return answers;
}
json::value ask_server(const Invocation& invocation, std::string path) {
  std::vector<std::string> one{std::move(path)};
  return ask_server(invocation, std::move(one)).front();
}

// The names that a list of the server's holds under `key`, each after `prefix`.
std::vector<std::string> names_in(const json::value& list, std::string_view key, bool only_mine,
                                  std::string_view prefix = {}) {
  std::vector<std::string> out;
  if (const auto* items = find_array(list, {"items"}))
    for (const auto& item : *items)
      if (!only_mine || get_bool(item, {"mayRun"}))
        out.push_back(std::string(prefix) + std::string(get_string(item, {key})));
  return out;
}
std::vector<std::string> from_server(const Invocation& invocation, std::string path, std::string_view key,
                                     bool only_mine) {
  return names_in(ask_server(invocation, std::move(path)), key, only_mine);
}

// Those of the template that the command line names, and their values.
std::vector<std::string> params(const Invocation& invocation, const Place& place,
                                const std::string& name_space) {
  const auto of = place.arguments.empty() ? std::nullopt : template_name(place.arguments.front());
  if (!of || !is_dns_subdomain(*of)) return {};
  return param_candidates(
      place, ask_server(invocation, "/api/v1/templates/" + net::percent_encode(name_space) + "/" + *of));
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
  // By way of Kubernetes they are the kubeconfig's, which only kubectl lists.
  if (const auto config = load_cli_config(config_path(invocation.environment));
      config && !invocation.plugin && !place.flags.via_kubernetes)
    for (const auto& c : config->contexts) contexts.push_back(c.name);
  auto out = fixed_candidates(place, contexts);
  const auto name = place.command->get_name();
  const bool first = place.positionals == 0 && place.option.empty() && !place.word.starts_with('-');
  const auto* parent = place.command->get_parent();
  const bool of_image =
      parent != nullptr && parent->get_name() == "image" && (name == "files" || name == "status");
  const std::string templates = "/api/v1/templates?limit=500&namespace=" + net::percent_encode(name_space);
  if (place.option == "--param") {
    out = params(invocation, place, name_space);
  } else if (parent != nullptr && parent->get_name() == "template" && name == "show" && first) {
    out = from_server(invocation, templates, "name", false);
  } else if (name == "run" && first) {
    std::vector<std::string> both{"/api/v1/workloads?limit=1000&namespace=" + net::percent_encode(name_space),
                                  templates};
    const auto answers = ask_server(invocation, std::move(both));
    out = names_in(answers[0], "workload", true);
    std::ranges::move(names_in(answers[1], "name", true, "template/"), std::back_inserter(out));
  } else if (place.option == "--workload" || (of_image && first)) {
    net::Query q;
    q.add("limit", "1000");
    q.add("namespace", name_space);
    out = from_server(invocation, "/api/v1/workloads?" + q.encode(), "workload", of_image);
  } else if (of_image && name == "files" && place.positionals == 1 && place.option.empty()) {
    // The second argument is a folder of the image.
    Place inside = place;
    inside.in_command = true;
    inside.command_words = {"ls"};
    if (const auto question = files_question(inside, name_space))
      out = files_answer(ask_server(invocation, *question));
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
  auto for_kubectl = std::make_shared<bool>(false);
  hidden->add_flag("--kubectl", *for_kubectl, "Answer as kubectl asks its plugins");
  hidden->callback([&invocation, &app, of, for_kubectl] {
    invocation.action = [&app, of, for_kubectl](Invocation& i) {
      auto& words = i.command;
      // fish takes the quotes off all but the last.
      for (std::size_t n = *of == "fish" && !words.empty() ? words.size() - 1 : 0;
           n < words.size() && !of->empty(); ++n)
        words[n] = unquoted(words[n]);
      const auto place = locate(app, words);
      std::vector<std::string> out;
      bool files = false;
      for (const auto& c : candidates(place, i)) {
        files = files || c == kFiles;
        if (c != kFiles && c.starts_with(place.word)) out.push_back(place.head + c);
      }
      for (const auto& c : out) write_out(c + "\n");
      if (*for_kubectl)
        write_out(fmt::format(":{}\n", kubectl_directive(out, files)));
      else if (files)
        write_out(std::string(kFiles) + "\n");
      return 0;
    };
  });
}

}  // namespace oddjob::cli
