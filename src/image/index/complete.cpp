// ImageIndex::complete.
#include <algorithm>
#include <array>
#include <set>

#include "image/index/image_index_impl.hpp"
#include "image/index/interpreters.hpp"
#include "image/index/lookup.hpp"

namespace oddjob::image {
namespace {

// Of one directory. A folder of a million files is answered from its first
// names; what is typed narrows it.
constexpr std::uint32_t kMaxLooked = 4096;
constexpr std::size_t kMaxCandidates = 10'000;
constexpr std::size_t kMaxPathDirs = 64;

// Ranks: 0 to 3 by kind, and hidden names after all others.
constexpr int kHidden = 8;
constexpr std::size_t kRanks = 2 * kHidden;

// What a shell has where an image sets no PATH.
constexpr std::array<std::string_view, 6> kUsualPath = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                                        "/usr/bin",        "/sbin",          "/bin"};

class Completer {
 public:
  Completer(const IndexFile& file, const CompletionQuery& query)
      : file_(file), query_(query), limit_(std::clamp<std::size_t>(query.limit, 1, kMaxCandidates)) {
    const std::string_view cwd =
        !query.cwd.empty() ? std::string_view(query.cwd) : std::string_view(file.facts().working_dir);
    cwd_ = find_directory(file, cwd, 0);
    if (query.kind == WordKind::argument) extensions_ = script_extensions(query.interpreter);
  }

  Completion run() {
    const std::string_view prefix = query_.prefix;
    if (prefix.size() > kMaxPathBytes || prefix.find('\0') != std::string_view::npos) return {};
    const auto slash = prefix.rfind('/');
    if (query_.kind == WordKind::command && slash == std::string_view::npos) {
      along_path(prefix);
      if (cwd_) in_directory(*cwd_, {}, prefix, /*directories_only=*/true);
      return best();
    }
    const auto directory = prefix.substr(0, slash == std::string_view::npos ? 0 : slash + 1);
    const auto name = prefix.substr(directory.size());
    if (!cwd_ && !directory.starts_with('/')) return {};
    const auto at = find_directory(file_, directory, cwd_.value_or(0));
    if (!at) return {};
    if (name == "..")
      found_.push_back({0, Candidate{.text = std::string(directory) + "../", .is_dir = true}});
    in_directory(*at, directory, name, /*directories_only=*/false);
    return best();
  }

 private:
  struct Ranked {
    int rank;
    Candidate candidate;
  };

  // Names of one directory come in order, so of each rank the first `limit_`
  // are the best; the others are counted, not made.
  class Room {
   public:
    explicit Room(std::size_t limit) : limit_(limit) {}
    bool take(int rank) { return taken_[static_cast<std::size_t>(rank)]++ < limit_; }
    [[nodiscard]] bool best_is_full() const { return taken_[0] > limit_; }

   private:
    std::size_t limit_;
    std::array<std::size_t, kRanks> taken_{};
  };

  template <class Make>
  void add(Room& room, int rank, Make make) {
    if (room.take(rank)) {
      found_.push_back({rank, make()});
    } else {
      more_ = true;
    }
  }

  // Goes through the names of a directory that begin with `name`, not too many,
  // until f says that it has enough.
  template <class F>
  void for_names(std::uint32_t directory, std::string_view name, F f) {
    auto walk = file_.walk(file_.directory(directory), name);
    for (std::uint32_t looked = 0; walk.next(); ++looked) {
      if (!walk.name().starts_with(name)) return;
      if (looked == kMaxLooked) {
        more_ = true;
        return;
      }
      if (may_be_shown(walk.name()) && !f(walk)) return;
    }
  }

  void along_path(std::string_view name) {
    std::vector<std::string_view> directories(query_.path_dirs.begin(), query_.path_dirs.end());
    if (directories.empty())
      directories.assign(file_.facts().path_dirs.begin(), file_.facts().path_dirs.end());
    if (directories.empty()) directories.assign(kUsualPath.begin(), kUsualPath.end());
    if (directories.size() > kMaxPathDirs) directories.resize(kMaxPathDirs);
    std::set<std::uint32_t> seen;  // /bin is /usr/bin in many images
    std::set<std::string, std::less<>> names;
    for (const auto path : directories) {
      if (!cwd_ && !path.starts_with('/')) continue;
      const auto at = find_directory(file_, path, cwd_.value_or(0));
      if (!at || !seen.insert(*at).second) continue;
      Room room(limit_);
      for_names(*at, name, [&](const IndexFile::Walk& walk) {
        if (!is_executable(file_, walk.entry()) || names.contains(walk.name())) return true;
        names.emplace(walk.name());
        add(room, rank_of(walk.name(), name, 0), [&] { return candidate(walk, {}, false); });
        return !room.best_is_full();
      });
    }
    std::sort(found_.begin(), found_.end(),
              [](const Ranked& a, const Ranked& b) { return a.candidate.text < b.candidate.text; });
  }

  void in_directory(std::uint32_t number, std::string_view typed, std::string_view name,
                    bool directories_only) {
    Room room(limit_);
    for_names(number, name, [&](const IndexFile::Walk& walk) {
      const bool is_dir = is_directory(file_, walk.entry());
      const bool runs = is_executable(file_, walk.entry());
      if (directories_only && !is_dir) return true;
      if (query_.kind == WordKind::command && !is_dir && !runs) return true;
      add(room, rank_of(walk.name(), name, rank_of_kind(walk.name(), is_dir, runs)),
          [&] { return candidate(walk, typed, is_dir); });
      return !room.best_is_full();
    });
  }

  [[nodiscard]] int rank_of_kind(std::string_view name, bool is_dir, bool runs) const {
    switch (query_.kind) {
      case WordKind::command:
        return is_dir ? 1 : 0;
      case WordKind::argument:
        if (extensions_.empty()) return 0;
        if (!is_dir && has_extension(name, extensions_)) return 0;
        return is_dir ? 1 : runs ? 2 : 3;
      default:
        return 0;
    }
  }

  // Hidden names come after all others, unless they are asked for.
  static int rank_of(std::string_view name, std::string_view typed, int rank) {
    return typed.empty() && name.starts_with('.') ? rank + kHidden : rank;
  }

  [[nodiscard]] Candidate candidate(const IndexFile::Walk& walk, std::string_view typed, bool is_dir) const {
    Candidate c;
    c.text.reserve(typed.size() + walk.name().size() + 1);
    c.text.append(typed).append(walk.name());
    if (is_dir) c.text.push_back('/');
    c.is_dir = is_dir;
    c.executable = is_executable(file_, walk.entry());
    c.is_link = file_.attribute(walk.entry()).kind == EntryKind::symlink;
    c.size = walk.entry().size;
    return c;
  }

  // What was found stands in order of the names already.
  Completion best() {
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Ranked& a, const Ranked& b) { return a.rank < b.rank; });
    Completion out;
    out.more = more_ || found_.size() > limit_;
    const auto kept = std::min(limit_, found_.size());
    out.candidates.reserve(kept);
    for (std::size_t i = 0; i < kept; ++i) out.candidates.push_back(std::move(found_[i].candidate));
    return out;
  }

  const IndexFile& file_;
  const CompletionQuery& query_;
  std::size_t limit_;
  std::optional<std::uint32_t> cwd_;  // none: it is not in the image
  std::span<const std::string_view> extensions_;
  std::vector<Ranked> found_;
  bool more_ = false;
};

}  // namespace

Completion ImageIndex::complete(const CompletionQuery& query) const {
  return Completer(*impl_->file, query).run();
}

}  // namespace oddjob::image
