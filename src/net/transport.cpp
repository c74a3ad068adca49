#include "net/transport.hpp"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace oddjob::net {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

class Plain final : public Transport {
 public:
  explicit Plain(ServerSocket socket) : socket_(std::move(socket)) {}

  Task<error_code> handshake() override { co_return error_code{}; }
  Task<std::tuple<error_code, std::size_t>> read(asio::mutable_buffer into) override {
    co_return co_await socket_.async_read_some(into, kTuple);
  }
  void watch(asio::mutable_buffer into, WatchDone done) override {
    socket_.async_read_some(into, std::move(done));
  }
  Task<error_code> write(std::array<asio::const_buffer, 3> bytes) override {
    const auto [error, n] = co_await asio::async_write(socket_, bytes, kTuple);
    co_return error;
  }
  Task<> say_goodbye() override {
    error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
    co_return;
  }
  std::string client_certificate(bool /*chain*/) override { return {}; }
  ServerSocket& socket() override { return socket_; }

 private:
  ServerSocket socket_;
};

class Tls final : public Transport {
 public:
  Tls(ServerSocket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}

  Task<error_code> handshake() override {
    const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kTuple);
    co_return error;
  }
  Task<std::tuple<error_code, std::size_t>> read(asio::mutable_buffer into) override {
    co_return co_await stream_.async_read_some(into, kTuple);
  }
  void watch(asio::mutable_buffer into, WatchDone done) override {
    stream_.async_read_some(into, std::move(done));
  }
  Task<error_code> write(std::array<asio::const_buffer, 3> bytes) override {
    const auto [error, n] = co_await asio::async_write(stream_, bytes, kTuple);
    co_return error;
  }
  Task<> say_goodbye() override { co_await stream_.async_shutdown(kTuple); }
  std::string client_certificate(bool chain) override {
    std::string out;
    X509* certificate = SSL_get1_peer_certificate(stream_.native_handle());
    if (certificate == nullptr) return out;
    if (BIO* memory = BIO_new(BIO_s_mem()); memory != nullptr) {
      char* data = nullptr;
      bool written = PEM_write_bio_X509(memory, certificate) == 1;
      // Of a server's peer, the chain is without its own certificate.
      const STACK_OF(X509)* sent = SSL_get_peer_cert_chain(stream_.native_handle());
      for (int i = 0; chain && written && i < sk_X509_num(sent); ++i)
        written = PEM_write_bio_X509(memory, sk_X509_value(sent, i)) == 1;
      if (written) {
        const long size = BIO_get_mem_data(memory, &data);
        out.assign(data, static_cast<std::size_t>(size));
      }
      BIO_free(memory);
    }
    X509_free(certificate);
    return out;
  }
  ServerSocket& socket() override { return stream_.next_layer(); }

 private:
  asio::ssl::stream<ServerSocket> stream_;
};

int choose_http11(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                  unsigned in_length, void* /*arg*/) {
  static constexpr unsigned char kProtocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  const int chosen = SSL_select_next_proto(const_cast<unsigned char**>(out), out_length, kProtocols,
                                           sizeof kProtocols, in, in_length);
  return chosen == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Names the CAs in the request for a certificate, so that a client with one of
// another CA sends none, rather than be refused for it.
void name_client_cas(SSL_CTX* context, const std::string& pem) {
  BIO* memory = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  if (memory == nullptr) return;
  while (X509* ca = PEM_read_bio_X509(memory, nullptr, nullptr, nullptr)) {
    SSL_CTX_add_client_CA(context, ca);
    X509_free(ca);
  }
  ERR_clear_error();  // the end of the list is an error to OpenSSL
  BIO_free(memory);
}

// That the peer has the key of what it shows is checked in any case.
int take_any(X509_STORE_CTX* /*store*/, void* /*arg*/) { return 1; }

}  // namespace

void Transport::close(bool reset) {
  error_code ignored;
  if (reset) socket().set_option(asio::socket_base::linger(true, 0), ignored);
  socket().close(ignored);
}

std::unique_ptr<Transport> plain_transport(ServerSocket socket) {
  return std::make_unique<Plain>(std::move(socket));
}
std::unique_ptr<Transport> tls_transport(ServerSocket socket, asio::ssl::context& context) {
  return std::make_unique<Tls>(std::move(socket), context);
}

Result<std::shared_ptr<asio::ssl::context>> make_tls_context(const ServerOptions& options,
                                                             const std::string& named_authorities) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  error_code error;
  const auto failed = [&](std::string_view what) {
    return fail(Errc::invalid_argument, "server.tls", fmt::format("{}: {}", what, error.message()));
  };
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // an idle connection holds no record buffers
  SSL_CTX_set_alpn_select_cb(native, choose_http11, nullptr);
  // Without a context id OpenSSL refuses to resume a session that had a client certificate.
  static constexpr unsigned char kSessionId[] = {'o', 'd', 'd', 'j', 'o', 'b'};
  SSL_CTX_set_session_id_context(native, kSessionId, sizeof kSessionId);
  context->use_certificate_chain(asio::buffer(options.cert_pem), error);
  if (error) return failed("the server's certificate cannot be used");
  context->use_private_key(asio::buffer(options.key_pem), asio::ssl::context::pem, error);
  if (error) return failed("the server's private key cannot be used");
  if (SSL_CTX_check_private_key(native) != 1)
    return fail(Errc::invalid_argument, "server.tls",
                "the server's private key does not belong to its certificate");
  if (!options.client_ca_pem.empty()) {
    context->add_certificate_authority(asio::buffer(options.client_ca_pem), error);
    if (error) return failed("the CA of client certificates cannot be used");
    context->set_verify_mode(asio::ssl::verify_peer, error);
    name_client_cas(native, options.client_ca_pem);
  } else if (options.ask_client_cert) {
    context->set_verify_mode(asio::ssl::verify_peer, error);
    SSL_CTX_set_cert_verify_callback(native, &take_any, nullptr);
    name_client_cas(native, named_authorities);
  }
  return context;
}

}  // namespace oddjob::net
