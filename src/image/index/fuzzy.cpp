// ImageIndex::fuzzy: subsequence search over whole paths.
#include <algorithm>

#include "image/index/image_index_impl.hpp"
#include "image/index/lookup.hpp"

namespace oddjob::image {
namespace {

constexpr std::size_t kMaxPattern = 256;
constexpr std::size_t kMaxMatches = 1000;

// What a matched byte is worth, and where it stands best.
constexpr int kMatch = 16;
constexpr int kAfterSlash = 12;
constexpr int kAfterPunctuation = 8;  // '-', '_', '.', ' '
constexpr int kCapital = 6;           // in camelCase
constexpr int kConsecutive = 8;
constexpr int kGap = -3;        // begins
constexpr int kGapMore = -1;    // goes on
constexpr int kInName = 24;     // all of it in the last segment
constexpr int kWholeName = 48;  // and it is the last segment, or that without its extension

bool upper(char c) { return c >= 'A' && c <= 'Z'; }
char lower(char c) { return upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

class Matcher {
 public:
  explicit Matcher(std::string_view pattern)
      : pattern_(pattern), any_case_(std::none_of(pattern.begin(), pattern.end(), upper)) {}

  // How many bytes of the pattern are used up by `text`, `from` being used up before.
  [[nodiscard]] std::size_t advance(std::string_view text, std::size_t from) const {
    for (const char c : text) {
      if (from == pattern_.size()) break;
      if (same(c, pattern_[from])) ++from;
    }
    return from;
  }
  [[nodiscard]] std::size_t size() const { return pattern_.size(); }

  // Requires that the pattern is a subsequence of path[start, …). The shortest
  // stretch that ends first, as fzf's quick algorithm finds it.
  int score(std::string_view path, std::size_t start, std::vector<std::uint32_t>& positions) const {
    std::size_t used = 0;
    std::size_t end = start;
    for (; used < pattern_.size(); ++end) {
      if (same(path[end], pattern_[used])) ++used;
    }
    positions.resize(pattern_.size());
    for (std::size_t at = end; used > 0;) {
      if (same(path[--at], pattern_[used - 1])) positions[--used] = static_cast<std::uint32_t>(at);
    }
    int total = 0;
    for (std::size_t i = 0; i < positions.size(); ++i) {
      total += kMatch + bonus(path, positions[i]);
      if (i == 0) continue;
      const auto gap = static_cast<int>(positions[i] - positions[i - 1]) - 1;
      total += gap == 0 ? kConsecutive : kGap + kGapMore * std::min(gap - 1, 20);
    }
    return total;
  }

 private:
  [[nodiscard]] bool same(char c, char p) const { return any_case_ ? lower(c) == p : c == p; }
  static int bonus(std::string_view path, std::size_t at) {
    const char before = at == 0 ? '/' : path[at - 1];
    if (before == '/') return kAfterSlash;
    if (before == '-' || before == '_' || before == '.' || before == ' ') return kAfterPunctuation;
    return upper(path[at]) && !upper(before) ? kCapital : 0;
  }

  std::string_view pattern_;
  bool any_case_;
};

bool better(const FuzzyMatch& a, const FuzzyMatch& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.path.size() != b.path.size()) return a.path.size() < b.path.size();
  return a.path < b.path;
}

}  // namespace

std::vector<FuzzyMatch> ImageIndex::fuzzy(const FuzzyQuery& query) const {
  const auto& file = *impl_->file;
  if (query.pattern.empty() || query.pattern.size() > kMaxPattern) return {};
  const auto top = find_directory(file, query.under, 0);
  if (!top) return {};
  std::string path;
  for (std::string_view rest = query.under; !rest.empty();) {
    const auto segment = rest.substr(0, rest.find('/'));
    if (!segment.empty() && segment != ".") path.append("/").append(segment);
    rest.remove_prefix(std::min(rest.size(), segment.size() + 1));
  }
  const std::size_t base = path.size();
  const std::size_t limit = std::clamp<std::size_t>(query.limit, 1, kMaxMatches);
  const Matcher matcher(query.pattern);

  std::vector<FuzzyMatch> heap;     // the worst on top
  std::vector<std::size_t> used{};  // of the pattern, by the directories so far
  std::size_t entered = 0;
  std::vector<std::uint32_t> positions;
  traverse(
      file, *top, path,
      [&](const IndexFile::Found& found) {
        const auto name = found.name();
        if (!may_be_shown(name)) return Visit::past;
        const std::size_t after = matcher.advance(name, matcher.advance("/", used.back()));
        entered = after;
        if (after < matcher.size()) return Visit::into;
        const std::size_t name_at = path.size() - name.size();
        const bool in_name = matcher.advance(name, 0) == matcher.size();
        int score = matcher.score(path, in_name ? name_at : base, positions);
        if (in_name) {
          score += kInName;
          const auto stem = name.substr(0, name.rfind('.'));
          if (matcher.size() == name.size() || matcher.size() == stem.size()) score += kWholeName;
        }
        if (heap.size() == limit && heap.front().score > score) return Visit::into;
        FuzzyMatch match{.path = path,
                         .score = score,
                         .is_dir = is_directory(file, found.entry()),
                         .executable = is_executable(file, found.entry()),
                         .positions = positions};
        if (heap.size() == limit) {
          if (!better(match, heap.front())) return Visit::into;
          std::pop_heap(heap.begin(), heap.end(), better);
          heap.pop_back();
        }
        heap.push_back(std::move(match));
        std::push_heap(heap.begin(), heap.end(), better);
        return Visit::into;
      },
      [&] { used.push_back(entered); }, [&] { used.pop_back(); });
  std::sort_heap(heap.begin(), heap.end(), better);
  return heap;
}

}  // namespace oddjob::image
