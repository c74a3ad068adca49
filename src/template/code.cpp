// Where a program takes an argument for code: no parameter may stand there, so
// that no value ever reaches a shell or an interpreter.
//
// Not a sandbox: a program that hands its arguments to a shell itself cannot be
// told from one that does not. It catches what is written in the template.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/text.hpp"
#include "template/text.hpp"

namespace oddjob::templates {
namespace {

enum class Reads {
  shell,        // -c takes a script; else the first word that is no option is one
  interpreter,  // likewise, with flags of its own for code
  wrapper,      // runs the program that its first word names
  words,        // makes a shell's line of all its words
  queries,      // a flag takes a statement of another language, such as SQL
};

struct Program {
  std::string_view name;
  Reads reads;
  std::string_view letters;                      // of short flags that take code: "-c", "-ne"
  std::array<std::string_view, 4> long_flags{};  // "--eval"
  std::string_view letters_with_value{};         // short flags that take a word of their own
  bool code_ends_options = false;                // python -c CODE ARGUMENTS
};

constexpr auto kPrograms = std::to_array<Program>({
    {"sh", Reads::shell, "c", {}, "oO"},
    {"bash", Reads::shell, "c", {"--rcfile", "--init-file"}, "oO"},
    {"rbash", Reads::shell, "c", {}, "oO"},
    {"dash", Reads::shell, "c", {}, "o"},
    {"ash", Reads::shell, "c", {}, "o"},
    {"zsh", Reads::shell, "c", {}, "o"},
    {"ksh", Reads::shell, "c", {}, "o"},
    {"mksh", Reads::shell, "c", {}, "o"},
    {"csh", Reads::shell, "c", {}, ""},
    {"tcsh", Reads::shell, "c", {}, ""},
    {"fish", Reads::interpreter, "cC", {"--command", "--init-command"}, ""},
    {"pwsh", Reads::words, "", {}, ""},
    {"powershell", Reads::words, "", {}, ""},
    {"powershell.exe", Reads::words, "", {}, ""},
    {"cmd", Reads::words, "", {}, ""},
    {"cmd.exe", Reads::words, "", {}, ""},
    {"env", Reads::wrapper, "S", {"--split-string"}, "uC"},
    {"busybox", Reads::wrapper, "", {}, ""},
    {"nohup", Reads::wrapper, "", {}, ""},
    {"setsid", Reads::wrapper, "", {}, ""},
    {"nice", Reads::wrapper, "", {}, "n"},
    {"ionice", Reads::wrapper, "", {}, "cnp"},
    {"stdbuf", Reads::wrapper, "", {}, "ioe"},
    {"xargs", Reads::wrapper, "", {}, "adEIiLnPs"},
    {"sudo", Reads::wrapper, "", {}, "ugh"},
    {"doas", Reads::wrapper, "", {}, "u"},
    {"tini", Reads::wrapper, "", {}, "e"},
    {"dumb-init", Reads::wrapper, "", {}, ""},
    {"eval", Reads::words, "", {}, ""},
    {"ssh", Reads::words, "", {}, ""},
    {"su", Reads::words, "", {}, ""},
    {"watch", Reads::words, "", {}, ""},
    {"script", Reads::words, "", {}, ""},
    {"python", Reads::interpreter, "cm", {}, "WX", true},
    {"python2", Reads::interpreter, "cm", {}, "WX", true},
    {"python3", Reads::interpreter, "cm", {}, "WX", true},
    {"perl", Reads::interpreter, "eE", {}, ""},
    {"ruby", Reads::interpreter, "e", {}, "rIC"},
    {"node", Reads::interpreter, "ep", {"--eval", "--print"}, "r"},
    {"nodejs", Reads::interpreter, "ep", {"--eval", "--print"}, "r"},
    {"bun", Reads::interpreter, "ep", {"--eval", "--print"}, ""},
    {"php",
     Reads::interpreter,
     "rBRE",
     {"--run", "--process-code", "--process-begin", "--process-end"},
     "cdz"},
    {"lua", Reads::interpreter, "e", {}, "l"},
    {"Rscript", Reads::interpreter, "e", {}, ""},
    {"awk", Reads::interpreter, "", {"--source"}, "fFv"},
    {"gawk", Reads::interpreter, "e", {"--source"}, "fFv"},
    {"mawk", Reads::interpreter, "", {}, "fFv"},
    {"sed", Reads::interpreter, "e", {"--expression"}, "f"},
    {"psql", Reads::queries, "c", {"--command"}, ""},
    {"mysql", Reads::queries, "e", {"--execute"}, ""},
    {"mariadb", Reads::queries, "e", {"--execute"}, ""},
    {"mongo", Reads::queries, "", {"--eval"}, ""},
    {"mongosh", Reads::queries, "", {"--eval"}, ""},
    {"clickhouse-client", Reads::queries, "q", {"--query"}, ""},
});

// The literal text of an element; where it begins with a parameter, nothing of it.
std::string literal_start(const Pieces& pieces) {
  return pieces.empty() || pieces.front().parameter ? std::string() : pieces.front().text;
}

const Program* program_of(const Pieces& pieces) {
  if (pieces.size() != 1 || pieces.front().parameter) return nullptr;
  std::string_view name = pieces.front().text;
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  const auto exact = std::ranges::find(kPrograms, name, &Program::name);
  if (exact != kPrograms.end()) return &*exact;
  // python3.11, ruby3.1, php8.2
  const auto bare = name.substr(0, name.find_last_not_of("0123456789.") + 1);
  const auto near = bare.empty() ? kPrograms.end() : std::ranges::find(kPrograms, bare, &Program::name);
  return near == kPrograms.end() ? nullptr : &*near;
}

bool contains(std::string_view letters, char c) { return letters.find(c) != std::string_view::npos; }

class Check {
 public:
  Check(const std::vector<Pieces>& argv, const std::vector<std::string>& paths, const JobTemplate& t)
      : argv_(argv), paths_(paths), template_(t) {}

  std::vector<Problem> run() {
    if (!argv_.empty() && has_parameter(argv_.front()))
      add(0, "the program itself may not be a parameter: whoever runs the template would choose what runs");
    for (std::size_t i = 0, next = 0; i < argv_.size(); i = next) {
      next = i + 1;
      const auto* program = program_of(argv_[i]);
      if (program == nullptr || !is_run(i, *program)) continue;
      if (program->reads == Reads::words)
        all_literal(i, *program);
      else
        next = options(i, *program);
    }
    return std::move(problems_);
  }

 private:
  // Is this word the program, and not an argument such as in `kubectl get node X`?
  // Of a shell's name anywhere it is taken to be.
  [[nodiscard]] bool is_run(std::size_t i, const Program& program) const {
    if (i == 0 || program.reads == Reads::shell) return true;
    if (program.reads == Reads::words || program.reads == Reads::wrapper) return false;
    const auto before = put_together(argv_[i - 1], {});
    if (before == "--" || before == "exec" || before == "run") return true;
    const auto* first = program_of(argv_.front());
    return first != nullptr && first->reads == Reads::wrapper;
  }

  void all_literal(std::size_t at, const Program& program) {
    for (std::size_t i = at + 1; i < argv_.size(); ++i)
      if (has_parameter(argv_[i]))
        add(i, fmt::format("'{}' makes a command line of its words, so a parameter among them would be code",
                           program.name));
  }

  // Of the words after the program: its options, and the code or script. Returns
  // where to look for the next program.
  std::size_t options(std::size_t at, const Program& program) {
    bool code_given = false, script_given = false;
    const bool shell = program.reads == Reads::shell, queries = program.reads == Reads::queries;
    std::size_t i = at + 1;
    for (; i < argv_.size(); ++i) {
      const auto& pieces = argv_[i];
      const auto text = literal_start(pieces);
      const bool option = (text.starts_with('-') || (shell && text.starts_with('+'))) && text.size() > 1;
      if (text == "--") {
        ++i;
        break;
      }
      // env NAME=VALUE… PROGRAM
      if (program.name == "env" && !option && is_env_name(std::string_view(text).substr(0, text.find('='))) &&
          text.find('=') != std::string::npos) {
        const auto name = std::string_view(text).substr(0, text.find('='));
        if (has_parameter(pieces) && steers_programs(name))
          add(i, fmt::format("{} makes programs load or run something, so no parameter may be in it", name));
        continue;
      }
      if (!option) break;
      const auto flag = std::string_view(text).substr(0, text.find('='));
      if (std::ranges::find(program.long_flags, flag) != program.long_flags.end()) {
        code_given = true;
        if (flag.size() < text.size() || has_parameter(pieces))
          literal(i, program, "code");  // --eval=CODE
        else if (++i < argv_.size())
          literal(i, program, "code");
        continue;
      }
      if (has_parameter(pieces) && !harmless(pieces, shell, queries))
        add(i, fmt::format("a parameter among the options of '{}' could make it run something else",
                           program.name));
      if (text.starts_with("--")) continue;
      // A cluster of short flags: the first that takes something ends it.
      for (std::size_t k = 1; k < text.size(); ++k) {
        const bool code = contains(program.letters, text[k]);
        if (!code && !contains(program.letters_with_value, text[k])) continue;
        // A shell's -c only says that the first word that is no option is code.
        if (shell && code) {
          script_given = true;
          continue;
        }
        if (code) code_given = true;
        if (k + 1 == text.size() && pieces.size() == 1) {
          if (++i < argv_.size()) literal(i, program, code ? "code" : "an option's value");
        } else {
          literal(i, program, code ? "code" : "an option's value");
        }
        if (code && program.code_ends_options) return at + 1;
        break;
      }
    }
    if (queries) {
      for (; i < argv_.size(); ++i) query(i, program);
      return at + 1;
    }
    // What comes now is a script, or with a shell's -c the code.
    if (i < argv_.size() && !code_given) literal(i, program, shell ? "a script" : "the program to run");
    // The word after a shell's code is only its name: sh -c CODE sh ARGUMENTS.
    return script_given ? i + 2 : at + 1;
  }

  // psql takes its options anywhere.
  void query(std::size_t& i, const Program& program) {
    const auto text = literal_start(argv_[i]);
    const auto flag = std::string_view(text).substr(0, text.find('='));
    const bool taken = std::ranges::find(program.long_flags, flag) != program.long_flags.end() ||
                       (text.size() == 2 && text[0] == '-' && contains(program.letters, text[1]));
    if (!taken) return;
    if (flag.size() < text.size())
      literal(i, program, "code");
    else if (++i < argv_.size())
      literal(i, program, "code");
  }

  // Numbers, days and the like as the value of an interpreter's --option=….
  bool harmless(const Pieces& pieces, bool shell, bool queries) const {
    if (shell || !literal_start(pieces).starts_with("--")) return false;
    if (queries) return true;
    if (literal_start(pieces).find('=') == std::string::npos) return false;
    return std::ranges::all_of(pieces, [&](const Piece& p) {
      const auto* parameter = p.parameter ? template_.parameter(p.text) : nullptr;
      return !p.parameter || (parameter != nullptr && parameter->type != ParameterType::string);
    });
  }

  void literal(std::size_t i, const Program& program, std::string_view what) {
    if (!has_parameter(argv_[i])) return;
    if (program.reads == Reads::queries)
      problems_.push_back({paths_[i],
                           fmt::format("'{}' reads this as code: a value could change the statement; use the "
                                       "client's own variables (psql -v) where it has them",
                                       program.name),
                           true});
    else
      add(i, fmt::format("'{}' reads this as {}, so a parameter here would be run; {}", program.name, what,
                         program.reads == Reads::shell
                             ? "pass it as an argument after the script and use \"$1\" there"
                             : "pass it as an argument after the code"));
  }

  void add(std::size_t i, std::string message) {
    const Problem made{paths_[i], std::move(message), false};
    if (std::ranges::find(problems_, made) == problems_.end()) problems_.push_back(made);
  }

  const std::vector<Pieces>& argv_;
  const std::vector<std::string>& paths_;
  const JobTemplate& template_;
  std::vector<Problem> problems_;
};

}  // namespace

std::vector<Problem> code_problems(const std::vector<Pieces>& argv, const std::vector<std::string>& paths,
                                   const JobTemplate& t) {
  return Check(argv, paths, t).run();
}

}  // namespace oddjob::templates
