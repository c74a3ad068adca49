#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "audit/sink.hpp"
#include "core/text.hpp"

namespace oddjob::audit {
namespace {

constexpr int kLogAudit = 13, kNotice = 5;
constexpr std::size_t kMaxMessageId = 32;  // RFC 5424, section 6

std::string this_host() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "-";
  return printable(name.data(), 255);
}

class SyslogSink final : public Sink {
 public:
  explicit SyslogSink(net::ByteStreamTarget t) : target_(std::move(t)), host_(this_host()) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] bool shared() const override { return true; }
  Result<std::optional<AuditEvent>> last() override { return std::nullopt; }

  Result<> take(std::span<const AuditEvent> events) override {
    std::string frames;
    for (const auto& e : events) frames += frame(e.time, e.type, json::serialize(to_json(e)));
    return send(frames);
  }

  Result<> take_checkpoint(std::string_view note) override {
    const json::object message{{"checkpoint", note}};
    return send(frame(system_clock().now(), "audit.checkpoint", json::serialize(message)));
  }

 private:
  [[nodiscard]] std::string frame(Time time, std::string_view type, std::string_view message) const {
    // The byte order mark says that the message is UTF-8.
    const auto line =
        fmt::format("<{}>1 {} {} oddjobd {} {} - \xef\xbb\xbf{}", kLogAudit * 8 + kNotice,
                    format_time_micro(time), host_, ::getpid(), type.substr(0, kMaxMessageId), message);
    return fmt::format("{} {}", line.size(), line);
  }

  Result<> send(std::string_view frames) {
    if (!stream_) {
      auto made = net::ByteStream::connect(target_);
      if (!made) return failed(made.error());
      stream_.emplace(std::move(*made));
    }
    if (const auto sent = stream_->send(frames); !sent) {
      stream_.reset();  // a frame that was begun is not gone on with
      return failed(sent.error());
    }
    return {};
  }

  static std::unexpected<Error> failed(const Error& e) {
    return fail(Errc::unavailable, "audit.syslog",
                fmt::format("the syslog collector did not take the audit: {}", e.message));
  }

  net::ByteStreamTarget target_;
  std::string host_, name_ = "syslog";
  std::optional<net::ByteStream> stream_;
};

}  // namespace

Result<net::ByteStreamTarget> parse_syslog_address(std::string_view address) {
  constexpr std::string_view kTcp = "tcp://", kTls = "tls://";
  const auto bad = [&](std::string_view what) {
    return fail(Errc::invalid_argument, "audit.bad_address",
                fmt::format("'{}' {}", printable(address, 200), what),
                "write tls://host:6514 or tcp://host:601");
  };
  net::ByteStreamTarget out;
  if (!address.starts_with(kTcp) && !address.starts_with(kTls)) return bad("is neither tls:// nor tcp://");
  out.tls = address.starts_with(kTls);
  auto rest = address.substr(kTls.size());
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos) return bad("has no port");
  auto host = rest.substr(0, colon);
  const auto port = rest.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad("is no host and port");
  }
  unsigned number = 0;
  const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (ec != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535)
    return bad("has no port from 1 to 65535");
  if (host.empty() || host.size() > 253 ||
      host.find_first_of(" \t\r\n/@?#[]%\"'<>\\") != std::string_view::npos)
    return bad("has no host");
  out.host = std::string(host);
  out.port = std::string(port);
  return out;
}

std::unique_ptr<Sink> make_syslog_sink(net::ByteStreamTarget target) {
  return std::make_unique<SyslogSink>(std::move(target));
}

}  // namespace oddjob::audit
