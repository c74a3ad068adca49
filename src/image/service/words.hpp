// From the words of a command line to what may stand next. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "image/index/image_index.hpp"

namespace oddjob::image {

// How the container differs from the image alone.
struct Surroundings {
  Surroundings() {}                 // NOLINT(modernize-use-equals-default)
  std::string working_dir;          // empty: the image's
  std::string path;                 // PATH; empty: the image's
  std::vector<std::string> mounts;  // volumes: what the image has below them is hidden
};

// `words`: the command before the word in hand; `prefix`: that word as far as it
// was typed. Nothing is said of flags (but of the value in `--flag=value`), of
// the inside of volumes, and of a shell's script after `-c`.
Completion complete_words(const ImageIndex& index, const Surroundings& around,
                          const std::vector<std::string>& words, std::string_view prefix, std::size_t limit);

std::vector<FuzzyMatch> search(const ImageIndex& index, const Surroundings& around, std::string_view pattern,
                               std::size_t limit);
// A directory's entries that are not hidden; relative to the working directory. Errors as ImageIndex::list.
Result<Listing> list_directory(const ImageIndex& index, const Surroundings& around,
                               std::string_view directory, std::string_view after, std::size_t limit);

// Absolute, without "." and ".." (taken as text).
std::string absolute_path(std::string_view cwd, std::string_view path);

}  // namespace oddjob::image
