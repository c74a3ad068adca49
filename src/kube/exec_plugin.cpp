#include "kube/exec_plugin.hpp"

#include <algorithm>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "process/process.hpp"

namespace oddjob::kube {
namespace {

Error failed(const ExecPlugin& plugin, std::string_view what, std::string hint = {}) {
  if (hint.empty()) hint = plugin.install_hint;
  return {Errc::unavailable, "kube.exec_failed",
          fmt::format("credential plugin {}: {}", printable(plugin.command, 300), what), std::move(hint)};
}

// The last line that says something, without JWTs and without values that the
// kubeconfig hands to the plugin in its environment.
std::string last_words(std::string_view text, const ExecPlugin& plugin) {
  std::string line;
  for (const auto& l : split(text, '\n'))
    if (!trim(l).empty()) line = std::string(trim(l));
  for (const auto& [name, value] : plugin.env) {
    if (value.size() < 8) continue;
    for (auto at = line.find(value); at != std::string::npos; at = line.find(value, at + 10))
      line.replace(at, value.size(), "[redacted]");
  }
  std::string out;
  for (const auto& word : split(line, ' ')) {
    if (!out.empty()) out += ' ';
    const auto jwt = word.find("eyJ");
    out += jwt == std::string::npos ? word : word.substr(0, jwt) + "[redacted]";
  }
  return printable(out, 300);
}

}  // namespace

Result<ExecCredential> parse_exec_credential(std::string_view output, const ExecPlugin& plugin) {
  if (trim(output).empty()) return fail(failed(plugin, "it printed nothing"));
  const auto parsed = parse_json(output, "its output", kMaxPluginOutput);
  if (!parsed || !parsed->is_object()) return fail(failed(plugin, "what it printed is not a JSON object"));
  const json::value& v = *parsed;
  if (get_string(v, {"kind"}) != "ExecCredential")
    return fail(failed(plugin, "what it printed is not an ExecCredential"));
  if (get_string(v, {"apiVersion"}) != plugin.api_version)
    return fail(
        failed(plugin, fmt::format("it answered in apiVersion \"{}\", the kubeconfig says \"{}\"",
                                   printable(get_string(v, {"apiVersion"}), 80), plugin.api_version)));
  if (find_object(v, {"status"}) == nullptr) return fail(failed(plugin, "its answer has no status"));
  ExecCredential out;
  out.token = get_string(v, {"status", "token"});
  out.client_cert_pem = get_string(v, {"status", "clientCertificateData"});
  out.client_key_pem = get_string(v, {"status", "clientKeyData"});
  if (out.client_cert_pem.empty() != out.client_key_pem.empty())
    return fail(failed(plugin, "it gave only one of client certificate and key"));
  if (out.token.empty() && out.client_cert_pem.empty())
    return fail(failed(plugin, "it gave neither a token nor a client certificate"));
  if (std::any_of(out.token.begin(), out.token.end(), [](char c) { return c <= 0x20 || c == 0x7f; }))
    return fail(failed(plugin, "its token has white space or control characters"));
  if (const auto when = get_string(v, {"status", "expirationTimestamp"}); !when.empty()) {
    const auto time = parse_time(when);
    if (!time) return fail(failed(plugin, "its expirationTimestamp is not an RFC 3339 time"));
    out.expires = *time;
  }
  return out;
}

std::string exec_info(const ExecPlugin& plugin, const Config& config) {
  json::object spec;
  if (plugin.provide_cluster_info) {
    json::object cluster{{"server", config.server}};
    if (!config.tls_server_name.empty()) cluster["tls-server-name"] = config.tls_server_name;
    if (config.insecure_skip_tls_verify) cluster["insecure-skip-tls-verify"] = true;
    if (!config.ca_pem.empty()) cluster["certificate-authority-data"] = base64_encode(config.ca_pem);
    if (!config.proxy_url.empty()) cluster["proxy-url"] = config.proxy_url;
    if (!plugin.cluster_config.is_null()) cluster["config"] = plugin.cluster_config;
    spec["cluster"] = std::move(cluster);
  }
  spec["interactive"] = false;
  const json::object info{
      {"kind", "ExecCredential"}, {"apiVersion", plugin.api_version}, {"spec", std::move(spec)}};
  return json::serialize(info);
}

Result<ExecCredential> run_exec_plugin(const ExecPlugin& plugin, const Config& config, Duration timeout,
                                       const std::atomic<bool>& stop) {
  process::ProcessRequest request;
  request.argv.push_back(plugin.command);
  request.argv.insert(request.argv.end(), plugin.args.begin(), plugin.args.end());
  request.environment = process_environment();
  for (const auto& [name, value] : plugin.env) request.environment[name] = value;
  request.environment["KUBERNETES_EXEC_INFO"] = exec_info(plugin, config);
  request.timeout = timeout;
  request.max_output = kMaxPluginOutput;

  const process::ProcessResult r = process::run_process(request, stop);
  switch (r.end) {
    case process::ProcessEnd::not_started:
      if (r.error == ENOENT)
        return fail(failed(plugin, plugin.command.find('/') == std::string::npos
                                       ? "it is not installed (not in PATH)"
                                       : "there is no such file"));
      return fail(
          failed(plugin, fmt::format("it cannot be started: {}", std::generic_category().message(r.error))));
    case process::ProcessEnd::timed_out:
      return fail(failed(plugin, fmt::format("it did not end within {}", human_duration(timeout)),
                         "it may be waiting for a login: run it once by hand"));
    case process::ProcessEnd::stopped:
      return fail(Errc::cancelled, "kube.client_closed", "the client was closed");
    case process::ProcessEnd::too_much_output:
      return fail(failed(plugin, fmt::format("it printed more than {} bytes", kMaxPluginOutput)));
    case process::ProcessEnd::exited:
      break;
  }
  if (r.status != 0) {
    const std::string words = last_words(r.error_tail, plugin);
    return fail(
        failed(plugin, fmt::format("it {} {}{}{}", r.signalled ? "was killed by signal" : "exited with code",
                                   r.status, words.empty() ? "" : ": ", words)));
  }
  return parse_exec_credential(r.output, plugin);
}

}  // namespace oddjob::kube
