// Names of images, as Docker and Kubernetes write them. Pure.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
#pragma once

#include <string>
#include <string_view>

#include "core/error.hpp"

namespace oddjob::image {

// "sha256:<64 hex>" or "sha512:<128 hex>", lower case.
bool is_digest(std::string_view text) noexcept;

struct Reference {
  std::string registry;    // "docker.io", "registry.example.com:5000", "[::1]:5000"
  std::string repository;  // "library/nginx"
  std::string tag;         // may be empty only where there is a digest
  std::string digest;      // may be empty; where it is there, it decides and the tag is for people
  friend bool operator==(const Reference&, const Reference&) = default;
};

// "nginx" is docker.io/library/nginx:latest. At most 1024 bytes. Error
// "image.bad_reference", naming the text and what is wrong with it.
Result<Reference> parse_reference(std::string_view text);
std::string to_string(const Reference& r);
// What stands in the path of a request: the digest, else the tag.
std::string_view manifest_name(const Reference& r) noexcept;
// Host and port that serve the registry's API: docker.io is served elsewhere.
std::string_view api_host(const Reference& r) noexcept;
// localhost, 127.0.0.0/8 and ::1, with or without a port.
bool is_loopback(std::string_view host_and_port) noexcept;

}  // namespace oddjob::image
