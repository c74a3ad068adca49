// Internal to node/: what a container needs before it can start. No I/O but the
// registry's objects and the volume folders.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "devcluster/images/layout.hpp"
#include "devcluster/node.hpp"
#include "devcluster/registry.hpp"

namespace oddjob::devcluster {

using Environment = std::vector<std::pair<std::string, std::string>>;

// The container's variables in order, references resolved, $(VAR) expanded, and
// what the image sets beside them. Error "CreateContainerConfigError" worded as the kubelet's.
Result<Environment> container_environment(Storage& storage, const json::value& pod,
                                          const json::value& container, const ImageSettings& image = {});
// command + args with $(VAR) expanded, or what the image says in their place; a
// placeholder where neither says anything.
std::vector<std::string> container_argv(const json::value& container, const Environment& environment,
                                        const ImageSettings& image = {});
// $(VAR) and $$ as Kubernetes defines them.
std::string expand(std::string_view text, const Environment& environment);

struct ImageName {
  std::string normalised;  // docker.io/library/x:latest
  std::string id;          // with digest
  bool pullable = true;    // hosts under .invalid (RFC 2606) are not
};
// Error "InvalidImageName".
Result<ImageName> parse_image(std::string_view image);

struct Mount {
  std::filesystem::path source;
  std::string target;
  bool read_only = false;
};
// Makes the folders and files of the pod's volumes below `base` and says what to
// mount where. Errors: "CreateContainerConfigError" (a missing ConfigMap or Secret).
Result<std::vector<Mount>> prepare_mounts(Storage& storage, const NodeOptions& options,
                                          const std::filesystem::path& base, const json::value& pod,
                                          const json::value& container);

// What the kubelet says of an emptyDir volume that holds more than its sizeLimit; empty: none does.
std::string overfull_volume(const std::filesystem::path& base, const json::value& pod);

// argv of the process to start: under bubblewrap or plain. `argv[0]` is looked
// up in the container's PATH first; error "StartError" as runc words it. `root`: the
// files of the image, which are all that the process sees; empty: those of the machine.
Result<std::vector<std::string>> confined_argv(bool confine, const json::value& pod,
                                               const std::vector<std::string>& argv,
                                               const Environment& environment, const std::string& directory,
                                               const std::vector<Mount>& mounts,
                                               const std::filesystem::path& root = {});
// A copy of an image's files for one container to write into.
Result<std::filesystem::path> private_root(const std::filesystem::path& image,
                                           const std::filesystem::path& copy);
// Does bubblewrap work on this machine?
bool can_confine();

}  // namespace oddjob::devcluster
