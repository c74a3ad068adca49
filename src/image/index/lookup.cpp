#include "image/index/lookup.hpp"

#include <algorithm>

#include "core/text.hpp"

namespace oddjob::image {
namespace {

// Takes the next segment off the front of `path`; false at its end.
bool next_segment(std::string_view& path, std::string_view& segment) {
  while (path.starts_with('/')) path.remove_prefix(1);
  if (path.empty()) return false;
  segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return true;
}

std::uint32_t step_into(const IndexFile& file, std::uint32_t directory, std::string_view segment) {
  if (segment == ".") return directory;
  const auto here = file.directory(directory);
  if (segment == "..") return here.parent;
  IndexFile::Found found;
  return file.find(here, segment, found) ? file.directory_of(found.entry(), directory) : kNoDirectory;
}

}  // namespace

std::optional<std::uint32_t> find_directory(const IndexFile& file, std::string_view path,
                                            std::uint32_t from) {
  if (path.size() > kMaxPathBytes) return std::nullopt;
  std::uint32_t at = path.starts_with('/') ? 0 : from;
  std::string_view segment;
  while (next_segment(path, segment)) {
    at = step_into(file, at, segment);
    if (at == kNoDirectory) return std::nullopt;
  }
  return at;
}

std::optional<Place> find_place(const IndexFile& file, std::string_view path, std::uint32_t from) {
  if (path.size() > kMaxPathBytes) return std::nullopt;
  std::uint32_t at = path.starts_with('/') ? 0 : from;
  std::string_view segment;
  while (next_segment(path, segment)) {
    const bool last = path.find_first_not_of('/') == std::string_view::npos;
    if (last && segment != "." && segment != "..") {
      Place place{.parent = at, .entry = IndexFile::Found(), .directory = kNoDirectory};
      if (!file.find(file.directory(at), segment, *place.entry)) return std::nullopt;
      place.directory = file.directory_of(place.entry->entry(), at);
      return place;
    }
    at = step_into(file, at, segment);
    if (at == kNoDirectory) return std::nullopt;
  }
  return Place{.parent = file.directory(at).parent, .entry = std::nullopt, .directory = at};
}

bool may_be_shown(std::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c < '\x7f'; });
  return plain || (valid_utf8(name) && printable(name, name.size() + 1) == name);
}

bool is_directory(const IndexFile& file, const Block::Entry& entry) {
  return format::has_directory(file.attribute(entry)) && entry.directory < file.directories();
}

bool is_executable(const IndexFile& file, const Block::Entry& entry) {
  const auto& a = file.attribute(entry);
  if (a.kind == EntryKind::symlink) return a.leads == format::Leads::executable;
  return a.kind == EntryKind::file && (a.mode & 0111U) != 0;
}

PathInfo info_of(const IndexFile& file, const IndexFile::Found& found) {
  const auto& e = found.entry();
  const auto& a = file.attribute(e);
  PathInfo out;
  out.name = found.name();
  out.kind = a.kind;
  out.mode = a.mode;
  out.uid = a.uid;
  out.gid = a.gid;
  out.size = e.size;
  out.link = found.block->link(e);
  out.is_dir = is_directory(file, e);
  out.executable = is_executable(file, e);
  out.printable = may_be_shown(out.name);
  return out;
}

PathInfo info_of_directory(const IndexFile& file, std::uint32_t number) {
  if (number != 0) {
    const auto parent = file.directory(number).parent;
    auto walk = file.walk(file.directory(parent));
    while (walk.next()) {
      if (walk.entry().directory == number && file.attribute(walk.entry()).kind == EntryKind::directory)
        return info_of(file, walk.found());
    }
  }
  const auto& a = file.root_attribute();
  PathInfo out;
  out.kind = EntryKind::directory;
  out.mode = a.mode;
  out.uid = a.uid;
  out.gid = a.gid;
  out.is_dir = true;
  return out;
}

}  // namespace oddjob::image
