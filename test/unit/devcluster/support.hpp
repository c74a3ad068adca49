// A dev cluster for tests, on a loop of its own or on the test's.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include "core/digest.hpp"
#include "core/yaml.hpp"
#include "devcluster/cluster.hpp"
#include "net/http_client.hpp"

namespace oddjob::devcluster {

struct TempFolder {
  std::filesystem::path path;
  TempFolder() {
    static std::atomic<int> n{0};
    path = std::filesystem::temp_directory_path() /
           ("oddjob-devcluster-" + std::to_string(::getpid()) + "-" + std::to_string(n++));
    std::filesystem::create_directories(path);
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

inline std::string file_text(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

// TLS material of the admin, as the kubeconfig has it.
inline net::TlsClientOptions admin_tls(const std::string& kubeconfig) {
  const auto config = parse_yaml(file_text(kubeconfig), "kubeconfig").value();
  const auto decoded = [&](std::string_view list, std::string_view what, std::string_view key) {
    return base64_decode(get_string(find_array(config, {list})->at(0), {what, key})).value();
  };
  net::TlsClientOptions tls;
  tls.ca_pem = decoded("clusters", "cluster", "certificate-authority-data");
  tls.client_cert_pem = decoded("users", "user", "client-certificate-data");
  tls.client_key_pem = decoded("users", "user", "client-key-data");
  return tls;
}

}  // namespace oddjob::devcluster
