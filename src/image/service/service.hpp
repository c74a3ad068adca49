// Indexes of images: made when asked for or ahead of time, kept on disk, shared.
//
// One image is indexed once at a time whoever asks, one layer too, so that
// images which share layers share the work. Work for somebody who waits goes
// before work in the background, which is also held to a rate.
//
// Loop thread only; inflating, merging and files are on threads of its own.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "image/index/image_index.hpp"
#include "image/registry/client.hpp"
#include "image/registry/credentials.hpp"
#include "image/registry/manifest.hpp"
#include "image/registry/reference.hpp"
#include "net/async.hpp"

namespace oddjob::image {

struct ServiceOptions {
  ServiceOptions() {}                                 // NOLINT(modernize-use-equals-default)
  std::string directory;                              // of the index files; made if missing
  std::uint64_t max_bytes = 2ULL << 30U;              // of all index files
  std::uint64_t max_image_bytes = 32ULL << 30U;       // compressed, of one image: "image.too_large"
  std::size_t max_pulls = 2;                          // images at once, of each kind of work
  std::size_t max_layers = 4;                         // layers at once, over all
  std::uint64_t background_rate = 32ULL << 20U;       // bytes a second; 0: no bound
  Duration max_time = std::chrono::hours(1);          // of one image
  Duration tag_lifetime = std::chrono::minutes(1);    // until a tag is looked up again
  Duration failure_pause = std::chrono::seconds(15);  // until what failed is tried again
  unsigned threads = 0;                               // 0: as many as the machine has processors
  Platform platform = own_platform();                 // where a workload does not say
  // Repositories that are folders: "registry.example.com/payments" to a layout;
  // and a folder that has layouts at <registry>/<repository>.
  std::map<std::string, std::string> layouts;
  std::string layout_directory;
  DockerConfig docker_config;  // of the server itself
  std::map<std::string, std::string> helper_environment;
  Duration helper_timeout = std::chrono::seconds(10);
  RegistryOptions registry;
};

// What is to be indexed, and with whose credentials it may be read.
struct Wanted {
  Wanted() {}  // NOLINT(modernize-use-equals-default)
  Reference image;
  std::optional<Platform> platform;
  std::vector<DockerConfig> pull_secrets;  // tried before those of the server
};

enum class IndexState { absent, queued, indexing, ready, failed };
std::string_view to_string(IndexState s) noexcept;

struct Status {
  IndexState state = IndexState::absent;
  std::string image, platform;
  std::string digest;                                          // of the manifest, once it is known
  std::uint64_t bytes_done = 0, bytes_total = 0;               // of compressed layers that have to be read
  std::size_t layers = 0, layers_done = 0, layers_shared = 0;  // shared: known from other images
  std::size_t foreign_layers = 0;  // not distributed with the image, so their paths are missing
  IndexStats index;                // when ready
  std::optional<Error> error;      // when failed
  Time last_used{};
};

using IndexPtr = std::shared_ptr<const ImageIndex>;

class Service {
 public:
  Service(net::Loop& loop, ServiceOptions options);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Looks at the folder. Error "image.store_unwritable". Blocks for a moment.
  Result<> start();
  net::Task<> stop();

  // The index if it is there; never waits for the network. Null: not ready. A
  // tag answers for as long as it is known what it stands for.
  net::Task<IndexPtr> find(Wanted wanted);
  // The index, made if need be: waits for it at most `patience`. Null when it is
  // not ready by then; the work goes on. Errors: those of the registry and of
  // the layers, the limits', "image.stopped". A failure is told again for
  // failure_pause, then tried again.
  net::Task<Result<IndexPtr>> get(Wanted wanted, Duration patience);
  // In the background, within the rate.
  void prepare(Wanted wanted);

  [[nodiscard]] Status status(const Wanted& wanted) const;
  // All that is known: under way, failed, and on disk.
  [[nodiscard]] std::vector<Status> all() const;

  struct Stats {
    std::uint64_t images = 0, layers = 0, index_bytes = 0, evicted = 0;  // on disk
    std::uint64_t working = 0, queued = 0;
    std::uint64_t indexed = 0, failed = 0, layers_read = 0, layers_shared = 0, bytes_read = 0;
    std::uint64_t registry_requests = 0, registry_retries = 0, blobs_resumed = 0;
  };
  [[nodiscard]] Stats stats() const;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace oddjob::image
