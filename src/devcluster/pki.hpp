// The dev cluster's own certificate authority and the certificates it gives (OpenSSL).
#pragma once

#include <string>
#include <vector>

#include "core/error.hpp"

namespace oddjob::devcluster {

struct KeyPair {
  std::string cert_pem, key_pem;
};

// ECDSA P-256, ten years. Errors: "pki.failed".
Result<KeyPair> make_ca(const std::string& common_name);
// `names`: DNS names or IP addresses for a server; empty: a client certificate.
Result<KeyPair> make_certificate(const KeyPair& ca, const std::string& common_name,
                                 const std::vector<std::string>& organizations,
                                 const std::vector<std::string>& names);

}  // namespace oddjob::devcluster
