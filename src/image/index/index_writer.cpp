#include "image/index/index_writer.hpp"

#include <isa-l/crc64.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <vector>

#include "core/json.hpp"
#include "image/index/block.hpp"
#include "image/index/bytes.hpp"
#include "image/index/dictionary.hpp"
#include "image/index/index_format.hpp"

namespace oddjob::image {
namespace {

using Id = PathTree::Id;
using format::Attribute;

class Writer {
 public:
  explicit Writer(const PathTree& tree) : tree_(tree), number_(tree.size(), kNoDirectory) {}

  Result<std::string> write(const ImageFacts& facts, BuildStats& stats);

 private:
  void number_directories();
  void number_attributes();
  void make_blocks();
  Result<> pack_blocks();
  void write_directories();
  [[nodiscard]] Attribute attribute_of(Id id) const;
  // The children of a directory, by name.
  template <class F>
  void for_children(Id directory, F f) const {
    for (Id id = tree_.node(directory).first_child; id != PathTree::kNone; id = tree_.node(id).next) f(id);
  }

  const PathTree& tree_;
  std::vector<Id> directories_;        // in pre-order: the number of a directory is its place here
  std::vector<std::uint32_t> number_;  // of a node that is a directory
  std::map<Attribute, std::uint32_t> attribute_ids_;
  std::vector<Attribute> attributes_;  // the commonest first: short numbers
  std::uint64_t paths_ = 0;

  std::vector<std::uint32_t> block_first_;  // the number of each block's first entry
  std::vector<std::string> block_columns_, block_sizes_;
  std::string dictionary_;
  std::string block_table_;
  std::string blocks_;
  std::string groups_;
  std::string directory_table_;
};

void Writer::number_directories() {
  std::vector<Id> todo{PathTree::kRoot};
  std::vector<Id> children;
  while (!todo.empty()) {
    const Id directory = todo.back();
    todo.pop_back();
    number_[directory] = static_cast<std::uint32_t>(directories_.size());
    directories_.push_back(directory);
    children.clear();
    for_children(directory, [&](Id id) {
      if (tree_.node(id).kind == EntryKind::directory) children.push_back(id);
    });
    todo.insert(todo.end(), children.rbegin(), children.rend());
  }
}

Attribute Writer::attribute_of(Id id) const {
  const auto& n = tree_.node(id);
  const auto& owner = tree_.owner(n);
  Attribute a{.kind = n.kind, .mode = n.mode, .uid = owner.uid, .gid = owner.gid};
  if (n.kind == EntryKind::symlink) {
    const Id target = tree_.target(id);
    if (target == PathTree::kNone) {
      a.leads = format::Leads::nowhere;
    } else if (tree_.node(target).kind == EntryKind::directory) {
      a.leads = format::Leads::directory;
    } else {
      const bool runs = tree_.node(target).kind == EntryKind::file && (tree_.node(target).mode & 0111U) != 0;
      a.leads = runs ? format::Leads::executable : format::Leads::other;
    }
  }
  return a;
}

void Writer::number_attributes() {
  std::map<Attribute, std::uint64_t> counts;
  ++counts[attribute_of(PathTree::kRoot)];
  for (const Id directory : directories_) {
    for_children(directory, [&](Id id) {
      ++counts[attribute_of(id)];
      ++paths_;
    });
  }
  std::vector<std::pair<std::uint64_t, Attribute>> order;
  order.reserve(counts.size());
  for (const auto& [attribute, count] : counts) order.emplace_back(count, attribute);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [count, attribute] : order) {
    attribute_ids_.emplace(attribute, static_cast<std::uint32_t>(attributes_.size()));
    attributes_.push_back(attribute);
  }
}

void Writer::make_blocks() {
  BlockBuilder block;
  std::uint32_t entry = 0;
  const auto close = [&] {
    auto parts = block.finish();
    block_columns_.push_back(std::move(parts.columns));
    block_sizes_.push_back(std::move(parts.sizes));
  };
  for (const Id directory : directories_) {
    bool first = true;
    for_children(directory, [&](Id id) {
      if (block.entries() == 0) block_first_.push_back(entry);
      const auto& n = tree_.node(id);
      const auto at = attribute_ids_.find(attribute_of(id));
      BlockBuilder::Entry e;
      e.name = tree_.name(n);
      e.attribute_id = at->second;
      e.attribute = &at->first;
      if (n.kind == EntryKind::directory) e.directory = number_[id];
      if (n.kind == EntryKind::symlink) {
        e.link = tree_.link(n);
        if (at->first.leads == format::Leads::directory) e.directory = number_[tree_.target(id)];
      }
      if (n.kind == EntryKind::file) e.size = n.size;
      block.add(e, std::exchange(first, false));
      ++entry;
      if (block.full()) close();
    });
  }
  if (block.entries() != 0) close();
  block_first_.push_back(entry);  // where the last one ends
}

Result<> Writer::pack_blocks() {
  dictionary_ = train_dictionary(block_columns_);
  Compressor compressor(dictionary_);
  for (std::size_t i = 0; i < block_first_.size(); ++i) {
    put_word(block_table_, block_first_[i]);
    put_word(block_table_, static_cast<std::uint32_t>(blocks_.size()));
    if (i == block_columns_.size()) break;
    OJ_TRY(const auto frame, compressor.compress(block_columns_[i]));
    put_varint(blocks_, frame.size());
    blocks_.append(frame).append(block_sizes_[i]);
    if (blocks_.size() > format::kMaxFileBytes)
      return fail(Errc::too_large, "image.too_large",
                  "the image's index would be over " + std::to_string(format::kMaxFileBytes) + " bytes");
  }
  return {};
}

void Writer::write_directories() {
  std::uint32_t first_entry = 0;
  for (std::uint32_t number = 0; number < directories_.size(); ++number) {
    if (number % format::kGroup == 0) {
      put_word(groups_, first_entry);
      put_word(groups_, static_cast<std::uint32_t>(directory_table_.size()));
    }
    std::uint32_t children = 0;
    for_children(directories_[number], [&](Id) { ++children; });
    const Id parent = tree_.node(directories_[number]).parent;
    put_varint(directory_table_, children);
    put_varint(directory_table_, parent == PathTree::kNone ? 0 : number - number_[parent]);
    first_entry += children;
  }
}

Result<std::string> Writer::write(const ImageFacts& facts, BuildStats& stats) {
  number_directories();
  number_attributes();
  make_blocks();
  OJ_CHECK(pack_blocks());
  write_directories();
  const std::string about = facts_to_json(facts);
  if (about.size() > format::kMaxFactsBytes)
    return fail(Errc::too_large, "image.too_large",
                "the image's configuration is over " + std::to_string(format::kMaxFactsBytes) + " bytes");

  std::string out(format::kMagic);
  out.push_back(static_cast<char>(format::kVersion));
  put_word(out, std::uint64_t{0});  // the checksum, below
  const std::uint64_t size = format::kHeaderBytes + about.size() +
                             attributes_.size() * format::kAttributeBytes + block_table_.size() +
                             groups_.size() + directory_table_.size() + dictionary_.size() + blocks_.size();
  put_word(out, size);
  put_word(out, static_cast<std::uint32_t>(paths_));
  put_word(out, static_cast<std::uint32_t>(directories_.size()));
  put_word(out, static_cast<std::uint32_t>(block_table_.size() / format::kBlockEntryBytes - 1));
  put_word(out, static_cast<std::uint32_t>(attributes_.size()));
  put_word(out, attribute_ids_.at(attribute_of(PathTree::kRoot)));
  put_word(out, static_cast<std::uint32_t>(about.size()));
  put_word(out, static_cast<std::uint32_t>(directory_table_.size()));
  put_word(out, static_cast<std::uint32_t>(blocks_.size()));
  put_word(out, static_cast<std::uint32_t>(dictionary_.size()));
  out.resize(format::kHeaderBytes, '\0');
  out.reserve(static_cast<std::size_t>(size));
  out.append(about);
  for (const auto& a : attributes_) {
    put_word(out, static_cast<std::uint8_t>(a.kind));
    put_word(out, static_cast<std::uint8_t>(a.leads));
    put_word(out, a.mode);
    put_word(out, a.uid);
    put_word(out, a.gid);
  }
  out.append(block_table_).append(groups_).append(directory_table_).append(dictionary_).append(blocks_);
  std::string sum;
  put_word(sum, static_cast<std::uint64_t>(crc64_ecma_refl(
                    0, reinterpret_cast<const unsigned char*>(out.data()) + format::kCheckedFrom,
                    out.size() - format::kCheckedFrom)));
  out.replace(format::kChecksumAt, sum.size(), sum);
  stats.paths = paths_;
  stats.directories = directories_.size();
  stats.bytes = out.size();
  for (const auto& sizes : block_sizes_) stats.size_bytes += sizes.size();
  stats.directory_bytes = groups_.size() + directory_table_.size();
  stats.dictionary_bytes = dictionary_.size();
  stats.name_bytes = blocks_.size() - stats.size_bytes;
  return out;
}

json::array to_array(const std::vector<std::string>& words) {
  json::array out;
  for (const auto& word : words) out.emplace_back(word);
  return out;
}

std::vector<std::string> strings(const json::value& v, std::string_view key) {
  std::vector<std::string> out;
  if (const auto* array = find_array(v, {key})) {
    for (const auto& item : *array) {
      if (item.is_string()) out.emplace_back(sv(item.as_string()));
    }
  }
  return out;
}

}  // namespace

std::string facts_to_json(const ImageFacts& f) {
  json::object o;
  o["digest"] = f.digest;
  o["platform"] = f.platform;
  o["workingDir"] = f.working_dir;
  o["path"] = to_array(f.path_dirs);
  o["entrypoint"] = to_array(f.entrypoint);
  o["cmd"] = to_array(f.command);
  return json::serialize(o);
}

Result<ImageFacts> facts_from_json(std::string_view text) {
  OJ_TRY(const json::value v, parse_json(text, "facts of an image index", format::kMaxFactsBytes));
  ImageFacts f;
  f.digest = get_string(v, {"digest"});
  f.platform = get_string(v, {"platform"});
  f.working_dir = get_string(v, {"workingDir"});
  f.path_dirs = strings(v, "path");
  f.entrypoint = strings(v, "entrypoint");
  f.command = strings(v, "cmd");
  return f;
}

Result<std::string> write_index(const PathTree& tree, const ImageFacts& facts, BuildStats& stats) {
  OJ_TRY(auto bytes, Writer(tree).write(facts, stats));
  stats.broken_links = tree.broken_links();
  return bytes;
}

}  // namespace oddjob::image
