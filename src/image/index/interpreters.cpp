#include "image/index/interpreters.hpp"

#include <algorithm>
#include <array>

namespace oddjob::image {
namespace {

using Extensions = std::array<std::string_view, 6>;
struct Row {
  std::string_view program;
  Extensions extensions;  // empty ones at the end
};

// Names without their version: python3.11 is python.
constexpr Row kRows[] = {
    {"ash", {".sh"}},
    {"bash", {".sh", ".bash"}},
    {"bun", {".js", ".mjs", ".cjs", ".ts", ".mts", ".tsx"}},
    {"dash", {".sh"}},
    {"deno", {".ts", ".mts", ".js", ".mjs", ".tsx"}},
    {"dotnet", {".dll", ".csx"}},
    {"elixir", {".exs", ".ex"}},
    {"escript", {".escript", ".erl"}},
    {"fish", {".fish"}},
    {"gawk", {".awk"}},
    {"awk", {".awk"}},
    {"groovy", {".groovy"}},
    {"java", {".jar", ".java", ".class"}},
    {"jruby", {".rb"}},
    {"julia", {".jl"}},
    {"ksh", {".sh", ".ksh"}},
    {"lua", {".lua"}},
    {"luajit", {".lua"}},
    {"mariadb", {".sql"}},
    {"mysql", {".sql"}},
    {"node", {".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"}},
    {"nodejs", {".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"}},
    {"perl", {".pl", ".pm", ".t"}},
    {"php", {".php", ".phar"}},
    {"psql", {".sql"}},
    {"pwsh", {".ps1"}},
    {"pypy", {".py", ".pyz"}},
    {"python", {".py", ".pyz", ".pyc"}},
    {"Rscript", {".R", ".r"}},
    {"ruby", {".rb", ".ru"}},
    {"sh", {".sh"}},
    {"sqlite", {".sql"}},
    {"tclsh", {".tcl"}},
    {"ts-node", {".ts", ".mts", ".cts", ".js"}},
    {"tsx", {".ts", ".mts", ".cts", ".tsx", ".js", ".mjs"}},
    {"zsh", {".zsh", ".sh"}},
};

}  // namespace

std::span<const std::string_view> script_extensions(std::string_view interpreter) {
  interpreter.remove_prefix(interpreter.rfind('/') + 1);  // npos + 1 is 0
  const auto last = interpreter.find_last_not_of("0123456789.-");
  if (last != std::string_view::npos) interpreter = interpreter.substr(0, last + 1);
  for (const auto& row : kRows) {
    if (row.program != interpreter) continue;
    const auto end = std::find(row.extensions.begin(), row.extensions.end(), std::string_view());
    return std::span(row.extensions).first(static_cast<std::size_t>(end - row.extensions.begin()));
  }
  return {};
}

bool has_extension(std::string_view name, std::span<const std::string_view> extensions) {
  return std::any_of(extensions.begin(), extensions.end(),
                     [&](std::string_view e) { return name.size() > e.size() && name.ends_with(e); });
}

}  // namespace oddjob::image
