// The server's own certificate, as it lies in two files that others renew:
// cert-manager by way of a mounted Secret, an ACME client, a person.
#pragma once

#include <optional>
#include <string>

#include "core/error.hpp"

namespace oddjob::server {

class CertificateFiles {
 public:
  struct Pair {
    std::string cert_pem, key_pem;
  };

  CertificateFiles(std::string cert_file, std::string key_file);
  // What is there now. Error: "config.tls_unreadable", which names the file.
  [[nodiscard]] Result<Pair> read() const;
  // The pair, where it differs from the last one that taken() was told of.
  [[nodiscard]] Result<std::optional<Pair>> changed() const;
  void taken(const Pair& pair);

 private:
  std::string cert_file_, key_file_;
  std::string taken_;  // digest, so that the key is not kept twice
};

}  // namespace oddjob::server
