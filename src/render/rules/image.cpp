// The image: the very one that the workload's pods run.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/text.hpp"
#include "render/rules/rules.hpp"

namespace oddjob::render::rules_of {
namespace {

struct ImageName {
  std::string repository;   // as written, registry and all
  std::string tag, digest;  // may be empty
};

ImageName split_image(std::string_view image) {
  ImageName out;
  if (const auto at = image.find('@'); at != std::string_view::npos) {
    out.digest = image.substr(at + 1);
    image = image.substr(0, at);
  }
  const auto slash = image.rfind('/');
  const auto colon = image.rfind(':');
  const bool tagged = colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash);
  if (tagged) out.tag = image.substr(colon + 1);
  out.repository = tagged ? image.substr(0, colon) : image;
  return out;
}

// "nginx" and "docker.io/library/nginx" are one repository.
std::string full_repository(std::string_view repository) {
  const auto slash = repository.find('/');
  const std::string_view first = repository.substr(0, slash);
  const bool has_registry = slash != std::string_view::npos &&
                            (first.find_first_of(".:") != std::string_view::npos || first == "localhost");
  if (has_registry && first != "docker.io" && first != "index.docker.io") return std::string(repository);
  const std::string_view path = has_registry ? repository.substr(slash + 1) : repository;
  return fmt::format("docker.io/{}{}", path.find('/') == std::string_view::npos ? "library/" : "", path);
}

bool is_digest(std::string_view s) noexcept {
  const auto colon = s.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view algorithm = s.substr(0, colon), hex = s.substr(colon + 1);
  const std::size_t length = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
  return length != 0 && hex.size() == length &&
         hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// imageID of a container status: "repo@sha256:…" (containerd, CRI-O),
// "docker-pullable://repo@sha256:…" (Docker). "sha256:…" or "docker://sha256:…"
// name an image on that node's disk, which no registry has.
std::optional<ImageName> pullable(std::string_view image_id) {
  if (const auto scheme = image_id.find("://"); scheme != std::string_view::npos)
    image_id.remove_prefix(scheme + 3);
  ImageName name = split_image(image_id);
  if (!is_digest(name.digest) || name.repository.empty()) return std::nullopt;
  return name;
}

struct Running {
  std::set<std::string> digests, elsewhere;  // the latter: repositories of another name
  bool local = false;                        // an image that only a node has
};

Running running(const ImageName& image, std::span<const std::string> ids) {
  Running out;
  for (const std::string& id : ids) {
    if (id.empty()) continue;  // not pulled yet
    const auto name = pullable(id);
    if (!name) {
      out.local = true;
      continue;
    }
    out.digests.insert(name->digest);
    if (full_repository(name->repository) != full_repository(image.repository))
      out.elsewhere.insert(name->repository);
  }
  return out;
}

}  // namespace

Result<> pin_image(Context& c) {
  Container& main = c.main();
  const std::string path = main.path + ".image";
  const json::value* written = main.spec.if_contains("image");
  if (written == nullptr || written->as_string().empty()) {
    return fail(Errc::failed_precondition, "render.malformed",
                fmt::format("{}: {} is missing", to_string(c.ref), path));
  }
  const ImageName image = split_image(sv(written->as_string()));
  if (!image.digest.empty()) {
    c.changed(path, "kept", "The workload names the image by digest already.");
    return {};
  }
  if (c.request.image_tag_as_written) {
    c.changed(path, "kept", "The image's tag is left as written, as asked for.");
    return {};
  }
  const auto [digests, elsewhere, local] = running(image, c.facts.running_image_ids);
  if (digests.empty() && !local) {
    c.changed(path, "kept", "No running pod of the workload tells the image's digest, so its tag stays.");
    return {};
  }
  if (local) {
    c.warn(fmt::format("image \"{}\" is not pinned: a pod runs an image that only its node has",
                       sv(written->as_string())));
    c.changed(path, "kept",
              "A pod of the workload runs an image without a registry's digest, so the tag stays.");
    return {};
  }
  if (digests.size() > 1) {
    c.warn(fmt::format(
        "image \"{}\" is not pinned: the workload's pods run {} different images (is a rollout going on?)",
        sv(written->as_string()), digests.size()));
    c.changed(path, "kept", "The workload's pods don't agree on the image's digest, so its tag stays.");
    return {};
  }
  if (!elsewhere.empty()) {
    c.warn(fmt::format(
        "the pods' image was pulled from {}; the digest is taken to be the same in \"{}\" (if it can't be "
        "pulled, ask for the tag as written)",
        quoted_list({elsewhere.begin(), elsewhere.end()}), image.repository));
  }
  c.changed(path, "replaced",
            fmt::format("Pinned to the digest that the workload's pods run; the workload says {}.",
                        image.tag.empty() ? std::string("no tag")
                                          : fmt::format("tag \"{}\"", printable(image.tag, 200))));
  main.spec["image"] = fmt::format("{}@{}", image.repository, *digests.begin());
  return {};
}

std::string pin(std::string_view written, std::span<const std::string> ids) {
  const ImageName image = split_image(written);
  if (!image.digest.empty()) return std::string(written);
  const auto [digests, elsewhere, local] = running(image, ids);
  if (local || digests.size() != 1) return std::string(written);
  return fmt::format("{}@{}", image.repository, *digests.begin());
}

}  // namespace oddjob::render::rules_of

namespace oddjob::render {

std::string pinned_image(std::string_view written, std::span<const std::string> running_image_ids) {
  return rules_of::pin(written, running_image_ids);
}

}  // namespace oddjob::render
