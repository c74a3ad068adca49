// Where copies of the audit go besides the database: a file of JSON lines, and
// a collector that speaks syslog. (Webhooks are told of records by `hooks`.)
//
// A sink is used by one thread at a time, and its calls block: on the disk, or
// on the network for at most a minute. Errors leave the sink as it was, to be
// called again with the same records.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/audit.hpp"
#include "core/error.hpp"
#include "net/byte_stream.hpp"

namespace oddjob::audit {

class Sink {
 public:
  virtual ~Sink() = default;
  // For messages, and the key under which its place in the audit is kept.
  [[nodiscard]] virtual const std::string& name() const = 0;
  // Is it one copy for all servers on the database? Then one of them at a time writes it.
  [[nodiscard]] virtual bool shared() const { return false; }
  // The last record that the copy itself holds; nullopt: the copy does not tell.
  virtual Result<std::optional<AuditEvent>> last() = 0;
  // Takes all of them, in order, or fails.
  virtual Result<> take(std::span<const AuditEvent> events) = 0;
  // A signed checkpoint (core/checkpoint.hpp) of all that was taken.
  virtual Result<> take_checkpoint(std::string_view note) = 0;
};

// The format of `oddjob audit export` (docs/formats/audit.md), mode 0600, synced to the disk before
// take() returns. A line that a crash left unfinished is cut off. When somebody has renamed the file
// (logrotate), a new one begins. The checkpoint is `path` + ".checkpoint". Errors: "audit.file".
std::unique_ptr<Sink> make_file_sink(std::string path);

// "tcp://host:port" or "tls://host:port". Error "audit.bad_address".
Result<net::ByteStreamTarget> parse_syslog_address(std::string_view address);
// RFC 5424 over TCP (RFC 6587, counted octets) or TLS (RFC 5425): facility 13 (log audit), severity 5;
// MSGID is the record's type, the message its JSON. The protocol has no receipt: what a collector loses
// after the network took it is lost there. Errors: "audit.syslog".
std::unique_ptr<Sink> make_syslog_sink(net::ByteStreamTarget target);

}  // namespace oddjob::audit
