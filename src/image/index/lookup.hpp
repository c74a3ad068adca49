// How a path of the container is found in an index, and how everything below a
// directory is visited. Links need no walking here: where each one leads stands
// in the index.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "image/index/image_index.hpp"
#include "image/index/index_file.hpp"

namespace oddjob::image {

// What is at a path: an entry of a directory, or a directory that was reached by
// "/", "." or "..".
struct Place {
  std::uint32_t parent = 0;  // directory that holds `entry`
  std::optional<IndexFile::Found> entry;
  std::uint32_t directory = kNoDirectory;  // what it is or leads to
};

// The directory at `path`, from directory `from` if it is relative.
std::optional<std::uint32_t> find_directory(const IndexFile& file, std::string_view path, std::uint32_t from);
std::optional<Place> find_place(const IndexFile& file, std::string_view path, std::uint32_t from);

// May the name be offered to a terminal: UTF-8 without control characters.
bool may_be_shown(std::string_view name);

// A directory, or a link to one.
bool is_directory(const IndexFile& file, const Block::Entry& entry);
bool is_executable(const IndexFile& file, const Block::Entry& entry);
PathInfo info_of(const IndexFile& file, const IndexFile::Found& found);
// Of a directory by its number: its entry is looked for in its parent.
PathInfo info_of_directory(const IndexFile& file, std::uint32_t number);

enum class Visit : std::uint8_t { into, past, stop };

// Depth first below directory `top`, names by bytes; links are not followed.
// `path` is that of `top` without '/' at its end ("" for the root) and grows and
// shrinks meanwhile; visit(found) sees it with the entry's name. enter()
// and leave() stand around the entries of a directory.
//
// A damaged file could name one directory many times: no more entries are
// visited than the file has paths, and none beyond kMaxPathBytes.
template <class VisitEntry, class Enter, class Leave>
void traverse(const IndexFile& file, std::uint32_t top, std::string& path, VisitEntry visit, Enter enter,
              Leave leave) {
  struct Frame {
    IndexFile::Walk walk;
    std::uint32_t directory;
    std::size_t path_size;
  };
  std::vector<Frame> frames;
  const auto push = [&](std::uint32_t directory) {
    frames.push_back({file.walk(file.directory(directory)), directory, path.size()});
    enter();
  };
  push(top);
  std::uint64_t left = file.paths();
  while (!frames.empty()) {
    auto& frame = frames.back();
    path.resize(frame.path_size);
    if (left == 0 || !frame.walk.next()) {
      frames.pop_back();
      leave();
      continue;
    }
    --left;
    const auto name = frame.walk.name();
    if (path.size() + 1 + name.size() > kMaxPathBytes + 1) continue;
    path.push_back('/');
    path.append(name);
    const Visit what = visit(frame.walk.found());
    if (what == Visit::stop) return;
    if (what == Visit::past || file.attribute(frame.walk.entry()).kind != EntryKind::directory) continue;
    const auto directory = file.directory_of(frame.walk.entry(), frame.directory);
    if (directory != kNoDirectory) push(directory);
  }
}

}  // namespace oddjob::image
