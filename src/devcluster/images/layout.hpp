// OCI image layouts for the dev cluster: writes small ones, and unpacks those
// that it is given, so that pods see the files of their images (libarchive).
// https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
//
// Blocking. The layouts are the user's own, on the user's own machine: paths
// that leave the root are refused, but nothing here is a fence against an image
// that is too large.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace oddjob::devcluster {

struct TreeFile {
  std::string path;     // relative to the root
  std::string content;  // of a link: where it leads
  int mode = 0644;
  enum class Kind { file, directory, link } kind = Kind::file;
};

struct ImageSettings {
  std::string working_dir = "/";
  std::vector<std::string> env, entrypoint, command;  // env: "NAME=value"
};

// Adds an image to the layout in `folder`, which is made where there is none:
// one gzip layer for each list of files, the lowest first. The same input makes
// the same digest. An image of that tag is replaced. Error "devcluster.layout".
Result<> write_layout(const std::filesystem::path& folder, const std::string& tag,
                      const std::vector<std::vector<TreeFile>>& layers, const ImageSettings& settings);

struct LocalImage {
  std::string digest;          // of the manifest
  std::filesystem::path root;  // its files, unpacked
  ImageSettings settings;
};
// The image `reference` (a tag, or "sha256:…") of the layout in `folder`, unpacked
// under `unpacked`/<digest> unless it is there already. nullopt: the layout has
// none of that name. Error "devcluster.layout": it has, but it cannot be used.
Result<std::optional<LocalImage>> unpack_image(const std::filesystem::path& folder,
                                               std::string_view reference,
                                               const std::filesystem::path& unpacked);

}  // namespace oddjob::devcluster
