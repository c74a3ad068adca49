// Internal to net: the writing half of a server connection.
#pragma once

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <string>
#include <string_view>

#include "net/http_server.hpp"

namespace oddjob::net {

// Puts answers into bytes; what carries the bytes is below.
struct ResponseWriter::Impl {
  virtual ~Impl() = default;
  bool begun = false, streaming = false, aborted = false;
  bool head_only = false, old_http = false, keep_alive = true;
  CancelToken gone;

  Task<Result<>> send(ServerResponse response);
  Task<Result<>> begin(int status, Headers headers);
  Task<Result<>> write(std::string_view bytes);
  Task<Result<>> finish();

 protected:
  // Writes both, whole, within the write deadline.
  virtual Task<Result<>> put(std::string head, std::string_view body) = 0;

 private:
  [[nodiscard]] std::string head_of(int status, const Headers& headers) const;
};

template <class Stream, class Lower>
struct Connection final : ResponseWriter::Impl {
  Stream& stream;
  Lower& lower;
  Duration write_timeout;
  Connection(Stream& s, Lower& l, Duration t) : stream(s), lower(l), write_timeout(t) {}

 protected:
  Task<Result<>> put(std::string head, std::string_view body) override {
    namespace asio = boost::asio;
    if (aborted) co_return fail(Errc::cancelled, "http.client_gone", "the exchange was cut");
    lower.expires_after(write_timeout);
    const std::array<asio::const_buffer, 2> buffers = {asio::buffer(head), asio::buffer(body.data(), body.size())};
    const auto [error, n] = co_await asio::async_write(stream, buffers, asio::as_tuple(asio::use_awaitable));
    lower.expires_never();
    if (!error) co_return Result<>{};
    aborted = true;
    gone.cancel();
    if (error == boost::beast::error::timeout)
      co_return fail(Errc::cancelled, "http.write_timeout", "the client does not read its answer");
    co_return fail(Errc::cancelled, "http.client_gone", "the client went away");
  }
};

}  // namespace oddjob::net
