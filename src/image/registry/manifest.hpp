// Manifests, indexes and image configurations: OCI image specification v1.1 and
// Docker schema 2. Pure; every document is hostile until parsed.
// https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/error.hpp"

namespace oddjob::image {

inline constexpr std::size_t kMaxManifest = 4U << 20U;  // as registries bound it
inline constexpr std::size_t kMaxConfig = 8U << 20U;
inline constexpr std::size_t kMaxLayers = 1000, kMaxManifests = 10000;

struct Platform {
  std::string os = "linux", architecture, variant;  // "linux", "arm64", "v8" or empty
  friend bool operator==(const Platform&, const Platform&) = default;
};
// "linux/amd64", "linux/arm/v7". Error "image.bad_platform".
Result<Platform> parse_platform(std::string_view text);
std::string to_string(const Platform& p);
Platform own_platform();  // linux, and the architecture of this machine

struct Descriptor {
  std::string media_type, digest;  // the digest is well-formed
  std::int64_t size = 0;           // not negative
  std::optional<Platform> platform;
  std::string ref_name;  // org.opencontainers.image.ref.name
};

// How a layer is compressed is not kept: its first bytes tell, whatever the
// media type says.
struct Layer {
  Descriptor blob;
  // Non-distributable: a registry may refuse to have it. Deprecated since OCI
  // 1.1; base layers of Windows.
  bool foreign = false;
};

struct Manifest {
  Descriptor config;
  std::vector<Layer> layers;  // lowest first
};
struct Index {
  std::vector<Descriptor> manifests;
};

// What the Accept header of a request for a manifest says.
std::string_view manifest_media_types() noexcept;

// `media_type`: of the answer; where it says nothing known, that of the document
// decides. `what` names it in errors. Errors (failed_precondition unless said):
// "image.bad_manifest", "image.schema1" (Docker schema 1: unsupported, with what
// to do), "image.not_an_image" (an artifact whose layers are no file systems).
Result<std::variant<Manifest, Index>> parse_manifest(std::string_view body, std::string_view media_type,
                                                     std::string_view what);

// The entry for a platform: exact variant first, then one without variant (or,
// where the wish names none, any), attestations left out. Error
// "image.no_platform", which names those that there are.
Result<Descriptor> choose_platform(const Index& index, const Platform& wish, std::string_view what);

struct ImageConfig {
  std::string working_dir;  // "/" where the image says nothing
  std::string path;         // PATH of Env; may be empty
  std::string user;
  std::vector<std::string> entrypoint, command;
  std::string os, architecture;
};
Result<ImageConfig> parse_config(std::string_view body, std::string_view what);  // "image.bad_config"

}  // namespace oddjob::image
