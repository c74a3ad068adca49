// The paths of an image while its layers are laid over each other.
//
// Nodes are numbers; node 0 is the root. A node that was taken away stays in
// memory, dead, until the tree is gone. Thread safety: none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "image/index/image_builder.hpp"
#include "image/index/layer_index.hpp"

namespace oddjob::image {

class PathTree {
 public:
  using Id = std::uint32_t;
  static constexpr Id kNone = UINT32_MAX;
  static constexpr Id kRoot = 0;

  struct Node {
    Id parent = kNone;
    Id first_child = kNone;  // in no order, dead ones among them, until settle()
    Id next = kNone;         // sibling
    std::uint32_t name = 0;  // offset into text
    std::uint32_t link = 0;
    std::uint32_t layer = 0;  // the last layer that had it, or something below it
    std::uint32_t owner = 0;  // index into owners()
    std::uint16_t name_size = 0;
    std::uint16_t link_size = 0;
    std::uint16_t path_size = 0;  // of the whole path, its '/' included
    std::uint16_t mode = 0;
    EntryKind kind = EntryKind::directory;
    bool dead = false;
    std::uint64_t size = 0;
  };
  struct Owner {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    friend bool operator==(const Owner&, const Owner&) = default;
  };

  explicit PathTree(const BuildLimits& limits);

  // Lays a layer over what is there. Errors: as ImageBuilder::add.
  Result<> apply(const LayerIndex& layer);

  // After the last layer: dead nodes leave the lists of children, which are
  // then sorted by bytes of the name, and every symlink's target is found.
  // Errors: "image.too_complex".
  Result<> settle();

  [[nodiscard]] const Node& node(Id id) const { return nodes_[id]; }
  [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }  // dead nodes included
  [[nodiscard]] std::string_view name(const Node& n) const {
    return std::string_view(text_).substr(n.name, n.name_size);
  }
  [[nodiscard]] std::string_view link(const Node& n) const {
    return std::string_view(text_).substr(n.link, n.link_size);
  }
  [[nodiscard]] const Owner& owner(const Node& n) const { return owners_[n.owner]; }
  // After settle(): where a symlink leads in the end, or kNone where that does
  // not exist or takes over 40 links.
  [[nodiscard]] Id target(Id symlink) const;
  [[nodiscard]] std::uint64_t broken_links() const noexcept { return broken_links_; }

 private:
  struct Place;
  struct LinkWalk;

  Result<> apply(const LayerEntry& entry);
  Result<> put(const LayerEntry& entry);
  Result<> put_hard_link(const LayerEntry& entry);
  Result<> remove_lower(Id top, bool keep_top);
  Result<Id> place_for(std::string_view path, EntryKind kind);
  Result<Id> directory_of(std::string_view path, bool create);
  Result<Id> make(Id parent, std::string_view name);
  Id make_directory(Id id);
  [[nodiscard]] Id find(Id parent, std::string_view name) const;  // dead ones too
  [[nodiscard]] Id find_live(Id parent, std::string_view name) const;
  [[nodiscard]] std::size_t slot(Id parent, std::string_view name) const;
  void grow();
  void kill(Id id);
  void touch(Id id);
  std::uint32_t owner_index(Owner owner);
  Result<> step(std::uint64_t n = 1);
  Result<> check_memory() const;
  Result<> find_targets();
  void sort_children(Id directory, std::vector<Id>& scratch);

  BuildLimits limits_;
  std::vector<Node> nodes_;
  std::string text_;       // names and link texts
  std::vector<Id> table_;  // (parent, name) to node: open addressing, a power of two of slots
  std::uint64_t seed_;     // so that nobody can choose names that collide
  std::vector<Owner> owners_;
  std::uint32_t last_owner_ = 0;
  std::uint32_t layer_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t broken_links_ = 0;
  std::vector<Id> symlinks_;  // after settle(): sorted by node
  std::vector<Id> targets_;   // of symlinks_, in the same order

  // The directory where the last entry landed: the next one is most often there too.
  std::string last_path_;
  Id last_directory_ = kNone;
};

}  // namespace oddjob::image
