#include "image/index/path_tree.hpp"

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::image {
namespace {

constexpr std::size_t kFirstSlots = 1024;
constexpr int kMaxHops = 255;  // as the tools that unpack allow while they look for the place of an entry
constexpr std::uint16_t kImplicitMode = 0755;

std::uint64_t random_seed() {
  std::uint64_t v = 0;
  const auto bytes = random_bytes(sizeof v);
  std::memcpy(&v, bytes.data(), sizeof v);
  return v;
}

struct Split {
  std::string_view directory;
  std::string_view name;
};
Split split_last(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return {{}, path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

PathTree::PathTree(const BuildLimits& limits)
    : limits_(limits), table_(kFirstSlots, kNone), seed_(random_seed()) {
  owners_.push_back({});
  nodes_.push_back({.mode = kImplicitMode});
}

Result<> PathTree::step(std::uint64_t n) {
  steps_ += n;
  if (steps_ <= limits_.max_steps) return {};
  return fail(Errc::too_large, "image.too_complex",
              fmt::format("the image's links and whiteouts take over {} steps to follow", limits_.max_steps));
}

Result<> PathTree::check_memory() const {
  if (nodes_.size() > limits_.max_paths)
    return fail(Errc::too_large, "image.too_many_paths",
                fmt::format("the image has over {} paths", limits_.max_paths));
  if (nodes_.capacity() * sizeof(Node) + text_.capacity() + table_.size() * sizeof(Id) >
          limits_.max_memory_bytes ||
      text_.size() > UINT32_MAX - 2 * kMaxPathBytes)
    return fail(
        Errc::too_large, "image.too_large",
        fmt::format("merging the image's paths takes over {} bytes of memory", limits_.max_memory_bytes));
  return {};
}

// The slot of (parent, name), or the empty one where it belongs.
std::size_t PathTree::slot(Id parent, std::string_view wanted) const {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = static_cast<std::size_t>(XXH3_64bits_withSeed(wanted.data(), wanted.size(),
                                                                 seed_ + parent * 0x9E3779B97F4A7C15ULL)) &
                   mask;
  for (; table_[at] != kNone; at = (at + 1) & mask) {
    const Node& n = nodes_[table_[at]];
    if (n.parent == parent && name(n) == wanted) break;
  }
  return at;
}

PathTree::Id PathTree::find(Id parent, std::string_view wanted) const { return table_[slot(parent, wanted)]; }

PathTree::Id PathTree::find_live(Id parent, std::string_view wanted) const {
  const Id id = find(parent, wanted);
  return id == kNone || nodes_[id].dead ? kNone : id;
}

void PathTree::grow() {
  std::vector<Id> old(table_.size() * 2, kNone);
  old.swap(table_);
  for (const Id id : old) {
    if (id != kNone) table_[slot(nodes_[id].parent, name(nodes_[id]))] = id;
  }
}

// A node for (parent, name), an empty regular file for now. One that is there,
// alive or dead, is used again unless something may still hang below it.
Result<PathTree::Id> PathTree::make(Id parent, std::string_view wanted) {
  if (nodes_.size() * 4 > table_.size() * 3) grow();
  const std::size_t at = slot(parent, wanted);
  const Id old = table_[at];
  const std::size_t path_size = nodes_[parent].path_size + wanted.size() + 1;
  if (path_size > kMaxPathBytes)
    return fail(Errc::failed_precondition, "image.path_too_long",
                fmt::format("a path of the image has over {} bytes; it ends in {}", kMaxPathBytes,
                            printable(wanted, 200)));
  Node fresh{.parent = parent,
             .name_size = static_cast<std::uint16_t>(wanted.size()),
             .path_size = static_cast<std::uint16_t>(path_size),
             .kind = EntryKind::file};
  if (old != kNone) {
    Node& n = nodes_[old];
    fresh.name = n.name;
    if (n.kind != EntryKind::directory) {
      if (n.kind == EntryKind::symlink) last_directory_ = kNone;  // the way there may have led through it
      fresh.next = n.next;
      n = fresh;
      return old;
    }
    if (!n.dead) kill(old);
  } else {
    fresh.name = static_cast<std::uint32_t>(text_.size());
    text_.append(wanted);
  }
  const Id id = static_cast<Id>(nodes_.size());
  fresh.next = nodes_[parent].first_child;
  nodes_.push_back(fresh);
  nodes_[parent].first_child = id;
  table_[at] = id;
  OJ_CHECK(check_memory());
  return id;
}

void PathTree::kill(Id id) {
  nodes_[id].dead = true;
  last_directory_ = kNone;
}

// Now something of the layer being applied: whiteouts of this layer spare it.
void PathTree::touch(Id id) {
  for (; id != kNone && nodes_[id].layer != layer_; id = nodes_[id].parent) nodes_[id].layer = layer_;
}

std::uint32_t PathTree::owner_index(Owner owner) {
  if (owners_[last_owner_] == owner) return last_owner_;
  // Images have a handful. What a hostile one has beyond that is merely not shared.
  constexpr std::size_t kLook = 64;
  const auto end = owners_.begin() + static_cast<std::ptrdiff_t>(std::min(owners_.size(), kLook));
  const auto at = std::find(owners_.begin(), end, owner);
  if (at != end) return last_owner_ = static_cast<std::uint32_t>(at - owners_.begin());
  owners_.push_back(owner);
  return last_owner_ = static_cast<std::uint32_t>(owners_.size() - 1);
}

// The directory at `path`, symlinks followed inside the root. What is missing
// of it is made, or, without `create`, the answer is kNone; a file that stands
// in its place becomes a directory then.
Result<PathTree::Id> PathTree::directory_of(std::string_view path, bool create) {
  Id at = kRoot;
  std::string_view rest = path;
  if (last_directory_ != kNone && path.starts_with(last_path_) &&
      (path.size() == last_path_.size() || last_path_.empty() || path[last_path_.size()] == '/')) {
    at = last_directory_;
    rest.remove_prefix(last_path_.size());
  }
  std::string unfolded;  // rest, once a link was followed
  std::vector<std::string> missing;
  int hops = 0;
  while (!rest.empty()) {
    OJ_CHECK(step());
    const auto slash = std::min(rest.find('/'), rest.size());
    const auto segment = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (!missing.empty()) {
        missing.pop_back();
      } else if (at != kRoot) {
        at = nodes_[at].parent;
      }
      continue;
    }
    const bool here = missing.empty() && nodes_[at].kind == EntryKind::directory;
    const Id child = here ? find_live(at, segment) : kNone;
    if (child == kNone) {
      missing.emplace_back(segment);
      continue;
    }
    if (nodes_[child].kind != EntryKind::symlink) {
      at = child;
      continue;
    }
    if (++hops > kMaxHops)
      return fail(Errc::failed_precondition, "image.link_cycle",
                  fmt::format("the way to {} leads through over {} links", printable(path, 200), kMaxHops));
    std::string next(link(nodes_[child]));
    OJ_CHECK(step(1 + (next.size() + rest.size()) / 64));  // for the copying
    if (next.starts_with('/')) at = kRoot;
    next.push_back('/');
    next.append(rest);
    unfolded = std::move(next);
    rest = unfolded;
  }
  if (!create) return missing.empty() ? at : kNone;
  if (nodes_[at].kind != EntryKind::directory) at = make_directory(at);
  for (const auto& segment : missing) {
    OJ_TRY(at, make(at, segment));
    at = make_directory(at);
  }
  last_path_ = path;
  last_directory_ = at;
  return at;
}

// Of what is no directory: an empty one without an entry of its own.
PathTree::Id PathTree::make_directory(Id id) {
  Node& n = nodes_[id];
  n.kind = EntryKind::directory;
  n.mode = kImplicitMode;
  n.owner = 0;
  n.size = 0;
  n.link_size = 0;
  touch(id);
  return id;
}

Result<> PathTree::apply(const LayerIndex& layer) {
  ++layer_;
  last_directory_ = kNone;
  LayerIndex::Cursor cursor(layer);
  LayerEntry entry;
  for (;;) {
    OJ_TRY(const bool more, cursor.next(entry));
    if (!more) return {};
    OJ_CHECK(apply(entry));
  }
}

Result<> PathTree::apply(const LayerEntry& entry) {
  OJ_CHECK(step());
  switch (entry.kind) {
    case EntryKind::opaque: {
      OJ_TRY(const Id id, directory_of(entry.path, false));
      return id == kNone ? Result<>() : remove_lower(id, true);
    }
    case EntryKind::whiteout: {
      const auto [directory, name] = split_last(entry.path);
      OJ_TRY(const Id parent, directory_of(directory, false));
      const Id id = parent == kNone ? kNone : find_live(parent, name);
      return id == kNone ? Result<>() : remove_lower(id, false);
    }
    case EntryKind::hard_link:
      return put_hard_link(entry);
    default:
      return put(entry);
  }
}

// Takes away what is at or below `top` and was there before this layer.
Result<> PathTree::remove_lower(Id top, bool keep_top) {
  std::vector<Id> todo{top};
  while (!todo.empty()) {
    const Id id = todo.back();
    todo.pop_back();
    OJ_CHECK(step());
    Node& n = nodes_[id];
    if (n.dead) continue;
    if (n.layer != layer_ && !(keep_top && id == top)) {
      kill(id);
      continue;
    }
    for (Id child = n.first_child; child != kNone; child = nodes_[child].next) todo.push_back(child);
  }
  return {};
}

// A live node at `path` that is, or may become, a `kind`; what stood there and
// is something else is gone.
Result<PathTree::Id> PathTree::place_for(std::string_view path, EntryKind kind) {
  const auto [directory, name] = split_last(path);
  OJ_TRY(const Id parent, directory_of(directory, true));
  Id id = find_live(parent, name);
  const bool stays = id != kNone && kind == EntryKind::directory && nodes_[id].kind == EntryKind::directory;
  if (!stays) {
    OJ_TRY(id, make(parent, name));
    nodes_[id].kind = kind;
  }
  touch(id);
  return id;
}

Result<> PathTree::put(const LayerEntry& entry) {
  Id id = kRoot;
  if (!entry.path.empty()) {
    OJ_TRY(id, place_for(entry.path, entry.kind));
  }
  const auto owner = owner_index({entry.uid, entry.gid});
  Node& n = nodes_[id];
  n.layer = layer_;
  n.mode = entry.mode;
  n.owner = owner;
  n.size = entry.size;
  if (entry.kind == EntryKind::symlink) {
    n.link = static_cast<std::uint32_t>(text_.size());
    n.link_size = static_cast<std::uint16_t>(entry.link.size());
    text_.append(entry.link);
    return check_memory();
  }
  return {};
}

// What its target is at this moment, whatever becomes of that later.
Result<> PathTree::put_hard_link(const LayerEntry& entry) {
  OJ_CHECK(
      directory_of(split_last(entry.path).directory, false));  // a circle of links is an error in any case
  const auto [directory, name] = split_last(entry.link);
  OJ_TRY(const Id parent, directory_of(directory, false));
  const Id target = parent == kNone ? kNone : find_live(parent, name);
  if (target == kNone || nodes_[target].kind == EntryKind::directory) {
    ++broken_links_;
    return {};
  }
  const Node was = nodes_[target];
  OJ_TRY(const Id id, place_for(entry.path, was.kind));
  Node& n = nodes_[id];
  n.mode = was.mode;
  n.owner = was.owner;
  n.size = was.size;
  n.link = was.link;
  n.link_size = was.link_size;
  return {};
}

}  // namespace oddjob::image
