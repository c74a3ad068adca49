#include "image/service/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/text.hpp"

namespace oddjob::image {
namespace {

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// Programs whose first argument is another command. Their flags that take a
// value are few enough to be left out: nothing is said then, or a file is.
constexpr std::array<std::string_view, 10> kWrappers = {"env",     "exec", "nice",      "nohup",  "time",
                                                        "timeout", "tini", "dumb-init", "setsid", "stdbuf"};

bool is_assignment(std::string_view word) {
  const auto equals = word.find('=');
  return equals != std::string_view::npos && is_env_name(word.substr(0, equals));
}

// The words of the command proper: `env A=b node x` is `node x`.
std::vector<std::string_view> proper(const std::vector<std::string>& words) {
  std::vector<std::string_view> out(words.begin(), words.end());
  while (!out.empty()) {
    const auto first = base_name(out.front());
    if (std::ranges::find(kWrappers, first) == kWrappers.end()) break;
    auto n = out.begin() + 1;
    while (n != out.end() &&
           (is_assignment(*n) || n->starts_with('-') || (first == "timeout" && n == out.begin() + 1)))
      ++n;
    out.erase(out.begin(), n);
  }
  return out;
}

bool is_shell(std::string_view name) {
  return name == "sh" || name == "bash" || name == "dash" || name == "ash" || name == "zsh" || name == "ksh";
}

bool hidden(const Surroundings& around, std::string_view directory) {
  return std::ranges::any_of(around.mounts, [&](const std::string& mount) {
    const auto m = absolute_path("/", mount);
    return m != "/" && (directory == m || directory.starts_with(m + "/"));
  });
}

std::string cwd_of(const ImageIndex& index, const Surroundings& around) {
  if (!around.working_dir.empty()) return absolute_path("/", around.working_dir);
  const auto& own = index.facts().working_dir;
  return own.empty() ? "/" : own;
}

}  // namespace

std::string absolute_path(std::string_view cwd, std::string_view path) {
  std::vector<std::string> parts;
  const std::string whole = path.starts_with('/') ? std::string(path) : fmt::format("{}/{}", cwd, path);
  for (auto& part : split(whole, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      parts.push_back(std::move(part));
    }
  }
  return "/" + join(parts, "/");
}

Completion complete_words(const ImageIndex& index, const Surroundings& around,
                          const std::vector<std::string>& words, std::string_view prefix, std::size_t limit) {
  CompletionQuery query;
  query.cwd = cwd_of(index, around);
  query.limit = limit;
  // `--config=/etc/x`: the value is a path like another; the flag stays before it.
  std::string_view flag;
  if (prefix.starts_with('-')) {
    const auto equals = prefix.find('=');
    if (equals == std::string_view::npos) return {};
    flag = prefix.substr(0, equals + 1);
    prefix.remove_prefix(equals + 1);
  }
  query.prefix = prefix;
  const auto command = proper(words);
  if (command.empty()) {
    if (!words.empty() && is_assignment(prefix)) return {};
    query.kind = WordKind::command;
    if (!around.path.empty()) query.path_dirs = split(around.path, ':');
    if (query.path_dirs.empty()) query.path_dirs = index.facts().path_dirs;
    std::erase_if(query.path_dirs,
                  [&](const std::string& d) { return d.empty() || hidden(around, absolute_path("/", d)); });
  } else {
    const auto program = base_name(command.front());
    if (is_shell(program) && command.back() == "-c") return {};
    query.kind = WordKind::argument;
    query.interpreter = program;
  }
  const auto slash = prefix.rfind('/');
  const auto directory = absolute_path(
      query.cwd, slash == std::string_view::npos ? std::string_view() : prefix.substr(0, slash + 1));
  const bool by_path = query.kind == WordKind::argument || slash != std::string_view::npos;
  if (by_path && hidden(around, directory)) return {};
  auto out = index.complete(query);
  if (!flag.empty())
    for (auto& c : out.candidates) c.text.insert(0, flag);
  return out;
}

std::vector<FuzzyMatch> search(const ImageIndex& index, const Surroundings& around, std::string_view pattern,
                               std::size_t limit) {
  FuzzyQuery query;
  query.pattern = pattern;
  query.limit = limit;
  auto out = index.fuzzy(query);
  std::erase_if(out,
                [&](const FuzzyMatch& m) { return hidden(around, m.path.substr(0, m.path.rfind('/'))); });
  return out;
}

Result<Listing> list_directory(const ImageIndex& index, const Surroundings& around,
                               std::string_view directory, std::string_view after, std::size_t limit) {
  const auto cwd = cwd_of(index, around);
  if (hidden(around, absolute_path(cwd, directory))) {
    return fail(Errc::failed_precondition, "files.in_a_volume",
                fmt::format("{} is in a volume of the pod, and what is in there is not in the image",
                            printable(absolute_path(cwd, directory), 300)));
  }
  return index.list(directory, after, limit, cwd);
}

}  // namespace oddjob::image
