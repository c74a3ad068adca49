#include "net/byte_stream.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>

#include "core/text.hpp"

namespace oddjob::net {

struct ByteStream::Impl {
  explicit Impl(ByteStreamTarget t) : target(std::move(t)), curl(curl_easy_init()) {}
  ~Impl() { curl_easy_cleanup(curl); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  [[nodiscard]] std::unexpected<Error> failed(std::string_view code, std::string_view what) const {
    return fail(Errc::unavailable, std::string(code),
                fmt::format("{}:{}: {}", target.host, target.port, printable(what, 300)));
  }

  ByteStreamTarget target;
  CURL* curl;
  std::array<char, CURL_ERROR_SIZE> why{};
};

ByteStream::ByteStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream& ByteStream::operator=(ByteStream&&) noexcept = default;
ByteStream::~ByteStream() = default;

Result<ByteStream> ByteStream::connect(const ByteStreamTarget& target) {
  auto impl = std::make_unique<Impl>(target);
  CURL* c = impl->curl;
  if (c == nullptr) return impl->failed("stream.connect", "no memory");
  const bool v6 = target.host.find(':') != std::string::npos;
  const auto url = fmt::format(fmt::runtime(v6 ? "{}://[{}]:{}/" : "{}://{}:{}/"),
                               target.tls ? "https" : "http", target.host, target.port);
  const auto milliseconds = static_cast<long>(target.timeout.count());
  curl_easy_setopt(c, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(c, CURLOPT_SSL_ENABLE_ALPN, 0L);
  curl_easy_setopt(c, CURLOPT_PROXY, "");
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, milliseconds);
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, impl->why.data());
  curl_blob ca{};
  if (!target.ca_pem.empty()) {
    ca.data = const_cast<char*>(target.ca_pem.data());
    ca.len = target.ca_pem.size();
    ca.flags = CURL_BLOB_COPY;
    curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
  }
  const auto code = curl_easy_perform(c);
  if (code == CURLE_OK) return ByteStream(std::move(impl));
  const bool tls = code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
                   code == CURLE_SSL_CACERT_BADFILE;
  return impl->failed(tls ? "stream.tls" : "stream.connect",
                      impl->why[0] != '\0' ? impl->why.data() : curl_easy_strerror(code));
}

Result<> ByteStream::send(std::string_view bytes) {
  const auto until = std::chrono::steady_clock::now() + impl_->target.timeout;
  curl_socket_t socket = CURL_SOCKET_BAD;
  curl_easy_getinfo(impl_->curl, CURLINFO_ACTIVESOCKET, &socket);
  if (socket == CURL_SOCKET_BAD) return impl_->failed("stream.broken", "the connection is closed");
  // The other side never speaks: what can be read is its end of the connection.
  std::array<char, 256> said{};
  std::size_t size = 0;
  const auto heard = curl_easy_recv(impl_->curl, said.data(), said.size(), &size);
  if (heard != CURLE_AGAIN && (heard != CURLE_OK || size == 0))
    return impl_->failed("stream.broken", "the other side closed the connection");
  while (!bytes.empty()) {
    const auto code = curl_easy_send(impl_->curl, bytes.data(), bytes.size(), &size);
    if (code == CURLE_OK) {
      bytes.remove_prefix(size);
      continue;
    }
    if (code != CURLE_AGAIN) return impl_->failed("stream.broken", curl_easy_strerror(code));
    const auto left = std::chrono::ceil<Duration>(until - std::chrono::steady_clock::now());
    pollfd wanted{socket, POLLOUT, 0};
    if (left <= Duration::zero() || ::poll(&wanted, 1, static_cast<int>(left.count())) == 0)
      return impl_->failed("stream.broken", "it takes nothing any more");
  }
  return {};
}

}  // namespace oddjob::net
