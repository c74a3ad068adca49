// The index of images in the server: its options from the configuration, and
// the watch that has images indexed before somebody asks.
#pragma once

#include <map>
#include <string>

#include "core/error.hpp"
#include "image/service/service.hpp"
#include "net/async.hpp"
#include "runs/engine.hpp"
#include "runs/images.hpp"
#include "server/config.hpp"

namespace oddjob::server {

// Errors: those of the files that are named (dockerConfigFile, caFile, the layouts).
Result<image::ServiceOptions> image_options(const ServerConfig& config,
                                            const std::map<std::string, std::string>& environment);
// images.directory, or the folder "images" beside the database's file.
std::string image_directory(const ServerConfig& config);

// Has the image of each workload that opted in indexed when it is new or has
// changed, until `stop`. Everything is borrowed.
net::Task<> index_ahead(runs::Engine& engine, runs::WorkloadImages& workloads, image::Service& images,
                        net::CancelToken stop);

}  // namespace oddjob::server
