#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys images_keys() {
  using C = ServerConfig;
  return {
      {"images.enabled", "keep an index of the paths in images, for completion", boolean(&C::images_enabled)},
      {"images.ahead", "index images before somebody asks", boolean(&C::images_ahead)},
      {"images.directory", "folder of the index files; empty: beside the database",
       text(&C::images_directory)},
      {"images.maxIndexBytes", "bytes of all index files",
       number(&C::images_max_index_bytes, 1LL << 20, 1LL << 44)},
      {"images.maxImageBytes", "compressed bytes of one image",
       number(&C::images_max_image_bytes, 1LL << 20, 1LL << 44)},
      {"images.backgroundBytesPerSecond", "read ahead of time at most so fast; 0: no bound",
       number(&C::images_background_rate, 0, 1LL << 40)},
      {"images.concurrentPulls", "images read at once", number(&C::images_concurrent_pulls, 1, 64)},
      {"images.concurrentLayers", "layers read at once", number(&C::images_concurrent_layers, 1, 64)},
      {"images.platform", "such as linux/arm64, where the workload does not say", text(&C::images_platform)},
      {"images.dockerConfigFile", "credentials for registries: a docker config.json",
       text(&C::images_docker_config_file)},
      {"images.caFile", "PEM file of the authorities that sign registries' certificates",
       text(&C::images_ca_file)},
      {"images.layoutDirectory", "folder of OCI image layouts, at <registry>/<repository>",
       text(&C::images_layout_directory)},
      {"images.layouts", "OCI image layouts, each REPOSITORY=FOLDER", words(&C::images_layouts)},
      {"images.plainHttpRegistries", "registries without TLS", words(&C::images_plain_http_registries)},
      {"images.insecureTlsRegistries", "registries whose certificate is not checked",
       words(&C::images_insecure_tls_registries)},
  };
}

}  // namespace oddjob::server::config
