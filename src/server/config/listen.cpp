#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys listen_keys() {
  using C = ServerConfig;
  return {
      {"listen.address", "address to listen on, or unix:/path", text(&C::listen_address)},
      {"listen.port", "port; 0 takes a free one", number(&C::listen_port, 0, 65535)},
      {"listen.tlsCertFile", "PEM certificate chain; with tlsKeyFile", text(&C::tls_cert_file)},
      {"listen.tlsKeyFile", "PEM private key", text(&C::tls_key_file)},
  };
}

}  // namespace oddjob::server::config
