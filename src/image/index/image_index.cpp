#include "image/index/image_index.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "image/index/image_index_impl.hpp"
#include "image/index/lookup.hpp"

namespace oddjob::image {
namespace {

constexpr std::size_t kMaxListed = 10'000;

std::unexpected<Error> no_such_path(std::string_view path) {
  return fail(Errc::not_found, "index.no_such_path",
              fmt::format("there is no {} in the image", printable(path, 300)));
}

std::unexpected<Error> not_a_directory(std::string_view path) {
  return fail(Errc::failed_precondition, "index.not_a_directory",
              fmt::format("{} is no directory in the image", printable(path, 300)));
}

}  // namespace

ImageIndex::ImageIndex(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ImageIndex::ImageIndex(ImageIndex&&) noexcept = default;
ImageIndex& ImageIndex::operator=(ImageIndex&&) noexcept = default;
ImageIndex::~ImageIndex() = default;

Result<ImageIndex> ImageIndex::open(const std::string& path) {
  OJ_TRY(auto file, IndexFile::open(path));
  return ImageIndex(std::unique_ptr<Impl>(new Impl{std::move(file)}));
}

Result<ImageIndex> ImageIndex::from_bytes(std::string bytes) {
  OJ_TRY(auto file, IndexFile::from_bytes(std::move(bytes)));
  return ImageIndex(std::unique_ptr<Impl>(new Impl{std::move(file)}));
}

const ImageFacts& ImageIndex::facts() const noexcept { return impl_->file->facts(); }

IndexStats ImageIndex::stats() const noexcept {
  return {.paths = impl_->file->paths(),
          .directories = impl_->file->directories(),
          .bytes = impl_->file->bytes()};
}

Result<PathInfo> ImageIndex::stat(std::string_view path, std::string_view cwd) const {
  const auto& file = *impl_->file;
  const auto from = find_directory(file, cwd, 0);
  const auto place = from || path.starts_with('/') ? find_place(file, path, from.value_or(0)) : std::nullopt;
  if (!place || path.empty()) return no_such_path(path);
  const bool follow = path.ends_with('/');
  if (follow && place->directory == kNoDirectory) return not_a_directory(path);
  if (!place->entry || follow) return info_of_directory(file, place->directory);
  return info_of(file, *place->entry);
}

namespace {

Result<std::uint32_t> directory_at(const IndexFile& file, std::string_view dir, std::string_view cwd) {
  const auto from = find_directory(file, cwd, 0);
  const auto place = from || dir.starts_with('/') ? find_place(file, dir, from.value_or(0)) : std::nullopt;
  if (!place) return no_such_path(dir);
  if (place->directory == kNoDirectory) return not_a_directory(dir);
  return place->directory;
}

}  // namespace

Result<Listing> ImageIndex::list(std::string_view dir, std::string_view after, std::size_t limit,
                                 std::string_view cwd) const {
  const auto& file = *impl_->file;
  OJ_TRY(const auto number, directory_at(file, dir, cwd));
  limit = std::clamp<std::size_t>(limit, 1, kMaxListed);
  Listing out;
  auto walk = file.walk(file.directory(number), after);
  while (walk.next()) {
    if (!after.empty() && walk.name() == after) continue;
    if (out.entries.size() == limit) {
      out.more = true;
      break;
    }
    out.entries.push_back(info_of(file, walk.found()));
  }
  return out;
}

Result<> ImageIndex::walk(std::string_view dir, const Visitor& visit) const {
  const auto& file = *impl_->file;
  OJ_TRY(const auto number, directory_at(file, dir, "/"));
  // As it was asked for, but for "." and empty segments and '/' at its end.
  std::string path;
  for (const auto& segment : split(dir, '/')) {
    if (!segment.empty() && segment != ".") path.append("/").append(segment);
  }
  traverse(
      file, number, path,
      [&](const IndexFile::Found& found) {
        return visit(path, info_of(file, found)) ? Visit::into : Visit::stop;
      },
      [] {}, [] {});
  return {};
}

}  // namespace oddjob::image
