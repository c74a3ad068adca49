// A connection that bytes are pushed into, TCP or TLS, by way of libcurl: for
// protocols that are not HTTP and never answer (syslog).
//
// Blocks; for a thread of a BlockingPool, one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/error.hpp"

namespace oddjob::net {

struct ByteStreamTarget {
  bool tls = true;  // the name and the chain of its certificate are checked
  std::string host, port;
  std::string ca_pem;                           // empty: the system's trust store
  Duration timeout = std::chrono::seconds(20);  // to connect, and again for each send()
};

class ByteStream {
 public:
  // Errors (kind unavailable) name host and port: "stream.connect", "stream.tls".
  static Result<ByteStream> connect(const ByteStreamTarget& target);
  ByteStream(ByteStream&&) noexcept;
  ByteStream& operator=(ByteStream&&) noexcept;
  ~ByteStream();  // closes
  // All of it, or "stream.broken": then some of it may have gone, and the connection is of no use.
  Result<> send(std::string_view bytes);

 private:
  struct Impl;
  explicit ByteStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace oddjob::net
