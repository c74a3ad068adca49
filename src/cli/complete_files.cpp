#include "cli/complete_files.hpp"

#include "core/text.hpp"
#include "core/words.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

constexpr std::string_view kLimit = "500";  // what a shell can show and a person look through
constexpr std::size_t kMaxWords = 200;

}  // namespace

std::string unquoted(std::string_view word) {
  for (const std::string_view close : {"", "\\", "\"", "'"}) {
    const auto words = split_posix_words(std::string(word) + std::string(close));
    if (words) return words->empty() ? std::string() : words->front();
  }
  return std::string(word);
}

std::optional<std::string> files_question(const Place& place, std::string_view name_space) {
  if (!place.in_command || place.arguments.empty()) return std::nullopt;
  const auto workload = parse_workload(place.arguments.front(), name_space);
  if (!workload) return std::nullopt;
  net::Query q;
  q.add("namespace", workload->name_space);
  q.add("workload", to_string(*workload));
  if (!place.container.empty()) q.add("container", place.container);
  // The beginning of a very long line decides nothing.
  const auto& words = place.command_words;
  for (std::size_t i = 0; i < std::min(words.size(), kMaxWords); ++i) q.add("word", words[i]);
  q.add("prefix", place.word);
  q.add("limit", std::string(kLimit));
  return "/api/v1/files?" + q.encode();
}

std::vector<std::string> files_answer(const json::value& answer) {
  std::vector<std::string> out;
  if (get_string(answer, {"state"}) != "ready") return out;
  if (const auto* items = find_array(answer, {"items"}))
    for (const auto& item : *items)
      // What came over the net must not be able to speak to a terminal.
      if (const auto text = get_string(item, {"text"});
          !text.empty() && printable(text, text.size() + 1) == text)
        out.emplace_back(text);
  return out;
}

}  // namespace oddjob::cli
