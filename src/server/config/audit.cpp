#include "audit/sink.hpp"
#include "server/config/keys.hpp"

namespace oddjob::server::config {
namespace {

Result<> check_address(std::string_view address) {
  if (address.empty()) return {};
  OJ_TRY(const auto target, audit::parse_syslog_address(address));
  (void)target;
  return {};
}

}  // namespace

Keys audit_keys() {
  using C = ServerConfig;
  auto address = text_schema();
  address["pattern"] = R"(^$|^(tls|tcp)://([^\s/@?#\[\]%"'<>:\\]+|\[[^\s/@?#\[\]%"'<>\\]+\]):[0-9]{1,5}$)";
  auto name = text_schema();
  name["pattern"] = R"(^[^\s+]{1,200}$)";
  return {
      {"audit.file", "a copy of the audit as JSON lines", text(&C::audit_file)},
      {"audit.syslog", "a collector that every record is sent to: tls://host:6514 or tcp://host:601",
       checked_text(&C::audit_syslog, check_address, std::move(address))},
      {"audit.syslogCaFile", "PEM file of the authorities that sign the collector's certificate",
       text(&C::audit_syslog_ca_file)},
      {"audit.checkpointKeyFile", "PEM file of the Ed25519 private key that signs checkpoints",
       text(&C::audit_checkpoint_key_file)},
      {"audit.checkpointName", "whose chain it is, in checkpoints",
       value(&C::audit_checkpoint_name, std::move(name), as_text, text_from_text)},
  };
}

}  // namespace oddjob::server::config
