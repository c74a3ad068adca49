#include "image/registry/manifest.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>

#include "core/json.hpp"
#include "core/text.hpp"
#include "image/registry/reference.hpp"

namespace oddjob::image {
namespace {

constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";

std::unexpected<Error> bad(std::string_view what, std::string_view why) {
  return fail(Errc::failed_precondition, "image.bad_manifest", fmt::format("{}: {}", what, why));
}

std::optional<Platform> platform_of(const json::value& v) {
  const auto* p = find_object(v, {"platform"});
  if (p == nullptr) return std::nullopt;
  Platform out;
  out.os = get_string(v, {"platform", "os"});
  out.architecture = get_string(v, {"platform", "architecture"});
  out.variant = get_string(v, {"platform", "variant"});
  return out;
}

Result<Descriptor> descriptor(const json::value& v, std::string_view what) {
  Descriptor d;
  d.media_type = get_string(v, {"mediaType"});
  d.digest = get_string(v, {"digest"});
  if (!is_digest(d.digest))
    return bad(what, fmt::format("the digest '{}' is malformed or of an unknown algorithm",
                                 printable(d.digest, 100)));
  const auto size = get_int(v, {"size"});
  if (!size || *size < 0) return bad(what, fmt::format("the size of {} is missing or malformed", d.digest));
  d.size = *size;
  d.platform = platform_of(v);
  d.ref_name = get_string(v, {"annotations", kRefName});
  return d;
}

Result<Layer> layer(const json::value& v, std::string_view what) {
  OJ_TRY(auto blob, descriptor(v, what));
  Layer out{std::move(blob), false};
  const std::string_view type = out.blob.media_type;
  out.foreign = type.find("nondistributable") != std::string_view::npos ||
                type.find("rootfs.foreign") != std::string_view::npos;
  if (type.find(".tar") == std::string_view::npos) {
    return fail(
        Errc::failed_precondition, "image.not_an_image",
        fmt::format("{}: a layer is of the type '{}', which is no file system", what, printable(type, 200)));
  }
  return out;
}

Result<Manifest> manifest(const json::value& v, std::string_view what) {
  Manifest out;
  const auto* config = v.get_object().if_contains("config");
  if (config == nullptr) return bad(what, "it has no config");
  OJ_TRY(out.config, descriptor(*config, what));
  const auto* layers = find_array(v, {"layers"});
  if (layers == nullptr) return bad(what, "it has no layers");
  if (layers->size() > kMaxLayers) return bad(what, fmt::format("it has more than {} layers", kMaxLayers));
  for (const auto& l : *layers) {
    OJ_TRY(auto read, layer(l, what));
    out.layers.push_back(std::move(read));
  }
  return out;
}

Result<Index> index(const json::value& v, std::string_view what) {
  const auto* all = find_array(v, {"manifests"});
  if (all == nullptr) return bad(what, "it has no manifests");
  if (all->size() > kMaxManifests)
    return bad(what, fmt::format("it has more than {} manifests", kMaxManifests));
  Index out;
  for (const auto& m : *all) {
    OJ_TRY(auto d, descriptor(m, what));
    out.manifests.push_back(std::move(d));
  }
  return out;
}

std::vector<std::string> texts(const json::value& v, KeyPath path) {
  std::vector<std::string> out;
  if (const auto* list = find_array(v, path))
    for (const auto& item : *list)
      if (item.is_string()) out.emplace_back(sv(item.get_string()));
  return out;
}

// "arm64" is always v8, whether it is said or not.
std::string normal_variant(const Platform& p) {
  return p.architecture == "arm64" && p.variant == "v8" ? std::string() : p.variant;
}

}  // namespace

Result<Platform> parse_platform(std::string_view text) {
  const auto parts = split(text, '/');
  const auto good = [](const std::string& s) {
    return !s.empty() && s.size() <= 32 &&
           s.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
  };
  if (parts.size() < 2 || parts.size() > 3 || !std::ranges::all_of(parts, good)) {
    return fail(Errc::invalid_argument, "image.bad_platform",
                fmt::format("'{}' is no platform", printable(text, 100)),
                "such as linux/amd64 or linux/arm/v7");
  }
  return Platform{parts[0], parts[1], parts.size() == 3 ? parts[2] : ""};
}

std::string to_string(const Platform& p) {
  return p.os + "/" + p.architecture + (p.variant.empty() ? "" : "/" + p.variant);
}

Platform own_platform() {
  utsname name{};
  ::uname(&name);
  const std::string_view machine = name.machine;
  Platform out;
  if (machine == "x86_64") {
    out.architecture = "amd64";
  } else if (machine == "aarch64") {
    out.architecture = "arm64";
  } else if (machine.starts_with("armv7")) {
    out.architecture = "arm";
    out.variant = "v7";
  } else {
    out.architecture = machine;  // ppc64le, s390x, riscv64 are called the same
  }
  return out;
}

std::string_view manifest_media_types() noexcept {
  return "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
         "application/vnd.docker.distribution.manifest.v2+json, "
         "application/vnd.docker.distribution.manifest.list.v2+json";
}

Result<std::variant<Manifest, Index>> parse_manifest(std::string_view body, std::string_view media_type,
                                                     std::string_view what) {
  auto parsed = parse_json(body, what, kMaxManifest);
  if (!parsed) return bad(what, parsed.error().message);
  const json::value& v = *parsed;
  if (!v.is_object()) return bad(what, "it is not a JSON object");
  const auto own = get_string(v, {"mediaType"});
  auto type = std::string_view(media_type).substr(0, media_type.find(';'));
  const auto known = [](std::string_view t) {
    return t == kOciManifest || t == kOciIndex || t == kDockerManifest || t == kDockerList;
  };
  if (!known(type)) type = own;
  // Documents that say two things at once are refused: readers differ in which
  // of them they see.
  const bool has_list = v.get_object().contains("manifests"), has_layers = v.get_object().contains("layers");
  if (has_list && has_layers) return bad(what, "it has both manifests and layers");
  if (known(own) && known(type) && own != type)
    return bad(what, fmt::format("it says '{}' of itself and was given out as '{}'", own, type));
  const auto version = get_int(v, {"schemaVersion"});
  if (version == 1) {
    return fail(Errc::unsupported, "image.schema1",
                fmt::format("{}: it is a Docker schema 1 manifest, which no current tool writes", what),
                "push the image again with a current tool");
  }
  if (version != 2) return bad(what, "schemaVersion is not 2");
  if (type == kOciIndex || type == kDockerList || (!known(type) && has_list)) {
    OJ_TRY(auto read, index(v, what));
    return read;
  }
  OJ_TRY(auto read, manifest(v, what));
  return read;
}

Result<Descriptor> choose_platform(const Index& index, const Platform& wish, std::string_view what) {
  const Descriptor *exact = nullptr, *plain = nullptr, *any = nullptr, *nameless = nullptr;
  std::vector<std::string> there;
  for (const auto& d : index.manifests) {
    if (!d.platform) {
      if (nameless == nullptr) nameless = &d;
      continue;
    }
    const auto& p = *d.platform;
    if (p.os == "unknown") continue;  // attestations
    if (there.size() < 20) there.push_back(to_string(p));
    if (p.os != wish.os || p.architecture != wish.architecture) continue;
    if (exact == nullptr && normal_variant(p) == normal_variant(wish)) exact = &d;
    if (plain == nullptr && p.variant.empty()) plain = &d;
    if (any == nullptr && wish.variant.empty()) any = &d;
  }
  for (const auto* d : {exact, plain, any})
    if (d != nullptr) return *d;
  if (nameless != nullptr && index.manifests.size() == 1) return *nameless;
  return fail(Errc::failed_precondition, "image.no_platform",
              fmt::format("{} has nothing for {}; there is: {}", what, to_string(wish),
                          there.empty() ? "nothing" : printable(join(there, ", "), 400)));
}

Result<ImageConfig> parse_config(std::string_view body, std::string_view what) {
  const auto parsed = parse_json(body, what, kMaxConfig);
  if (!parsed || !parsed->is_object()) {
    return fail(Errc::failed_precondition, "image.bad_config",
                parsed ? fmt::format("{}: it is not a JSON object", what) : parsed.error().message);
  }
  const json::value& v = *parsed;
  ImageConfig out;
  out.working_dir = get_string(v, {"config", "WorkingDir"});
  if (out.working_dir.empty()) out.working_dir = "/";
  if (!out.working_dir.starts_with('/')) out.working_dir = "/" + out.working_dir;
  for (const auto& e : texts(v, {"config", "Env"}))
    if (e.starts_with("PATH=")) out.path = e.substr(5);
  out.user = get_string(v, {"config", "User"});
  out.entrypoint = texts(v, {"config", "Entrypoint"});
  out.command = texts(v, {"config", "Cmd"});
  out.os = get_string(v, {"os"});
  out.architecture = get_string(v, {"architecture"});
  return out;
}

}  // namespace oddjob::image
