// Where every symlink of a merged image leads in the end.
#include <algorithm>

#include "image/index/path_tree.hpp"

namespace oddjob::image {
namespace {

constexpr std::uint32_t kMaxLinks = 40;  // the kernel's: ELOOP beyond

}  // namespace

void PathTree::sort_children(Id directory, std::vector<Id>& scratch) {
  scratch.clear();
  for (Id id = nodes_[directory].first_child; id != kNone; id = nodes_[id].next) {
    if (!nodes_[id].dead) scratch.push_back(id);
  }
  std::sort(scratch.begin(), scratch.end(), [this](Id a, Id b) { return name(nodes_[a]) < name(nodes_[b]); });
  Id next = kNone;
  for (auto at = scratch.rbegin(); at != scratch.rend(); ++at) {
    nodes_[*at].next = next;
    next = *at;
  }
  nodes_[directory].first_child = next;
}

Result<> PathTree::settle() {
  std::vector<Id> todo{kRoot};
  std::vector<Id> scratch;
  while (!todo.empty()) {
    const Id directory = todo.back();
    todo.pop_back();
    sort_children(directory, scratch);
    for (const Id id : scratch) {
      if (nodes_[id].kind == EntryKind::directory) todo.push_back(id);
      if (nodes_[id].kind == EntryKind::symlink) symlinks_.push_back(id);
    }
  }
  std::sort(symlinks_.begin(), symlinks_.end());
  return find_targets();
}

PathTree::Id PathTree::target(Id symlink) const {
  const auto at = std::lower_bound(symlinks_.begin(), symlinks_.end(), symlink);
  if (at == symlinks_.end() || *at != symlink) return kNone;
  return targets_[static_cast<std::size_t>(at - symlinks_.begin())];
}

// One link on its way: `rest` of its text is left to walk from `at`.
struct PathTree::LinkWalk {
  std::size_t index = 0;  // into symlinks_
  std::string_view rest;
  Id at = kRoot;
  std::uint32_t hops = 1;
  bool lost = false;
};

// Each link is walked once: a link on the way is walked first, and what came of
// it is remembered. One that is met while it is being walked leads into a circle.
Result<> PathTree::find_targets() {
  enum class Mark : std::uint8_t { fresh, walking, done };
  std::vector<Mark> marks(symlinks_.size(), Mark::fresh);
  std::vector<std::uint32_t> hops(symlinks_.size(), 0);
  targets_.assign(symlinks_.size(), kNone);
  const auto index_of = [this](Id id) {
    return static_cast<std::size_t>(std::lower_bound(symlinks_.begin(), symlinks_.end(), id) -
                                    symlinks_.begin());
  };
  std::vector<LinkWalk> walks;
  const auto begin = [&](std::size_t index) {
    const Node& n = nodes_[symlinks_[index]];
    marks[index] = Mark::walking;
    LinkWalk w{.index = index, .rest = link(n), .at = n.parent};
    if (w.rest.starts_with('/')) w.at = kRoot;
    walks.push_back(w);
  };
  for (std::size_t first = 0; first < symlinks_.size(); ++first) {
    if (marks[first] == Mark::fresh) begin(first);
    while (!walks.empty()) {
      LinkWalk& w = walks.back();
      if (w.rest.empty() || w.lost) {
        const bool found = !w.lost && w.hops <= kMaxLinks;
        marks[w.index] = Mark::done;
        targets_[w.index] = found ? w.at : kNone;
        hops[w.index] = w.hops;
        walks.pop_back();
        continue;
      }
      OJ_CHECK(step());
      const auto slash = std::min(w.rest.find('/'), w.rest.size());
      const auto segment = w.rest.substr(0, slash);
      const auto after = w.rest.substr(std::min(slash + 1, w.rest.size()));
      // "file/" and "file/." do not exist either.
      if (nodes_[w.at].kind != EntryKind::directory) {
        w.lost = true;
        continue;
      }
      Id child = w.at;
      if (segment == "..") {
        child = w.at == kRoot ? kRoot : nodes_[w.at].parent;
      } else if (!segment.empty() && segment != ".") {
        child = find_live(w.at, segment);
      }
      if (child == kNone) {
        w.lost = true;
        continue;
      }
      if (nodes_[child].kind == EntryKind::symlink) {
        const auto index = index_of(child);
        if (marks[index] == Mark::fresh) {
          begin(index);  // invalidates w; this step is taken again afterwards
          continue;
        }
        if (marks[index] == Mark::walking || targets_[index] == kNone) {
          w.lost = true;
          continue;
        }
        w.hops += hops[index];
        child = targets_[index];
      }
      // A '/' behind the segment asks for a directory, also at the end.
      if (slash < w.rest.size() && nodes_[child].kind != EntryKind::directory) w.lost = true;
      w.at = child;
      w.rest = after;
    }
  }
  return {};
}

}  // namespace oddjob::image
