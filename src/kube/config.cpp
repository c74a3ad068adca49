#include "kube/config.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/text.hpp"
#include "kube/files.hpp"
#include "kube/kubeconfig.hpp"
#include "net/http.hpp"

// NOLINTNEXTLINE(readability-redundant-declaration)
extern char** environ;

namespace oddjob::kube {
namespace {

using Environment = std::map<std::string, std::string>;

std::string variable(const Environment& env, const std::string& name) {
  const auto it = env.find(name);
  return it == env.end() ? std::string() : it->second;
}

std::unexpected<Error> malformed(const Entry& e, std::string_view what, std::string hint = {}) {
  return fail(Errc::invalid_argument, "kubeconfig.malformed", fmt::format("{}: {}", e.where(), what),
              std::move(hint));
}

std::string known(const std::vector<KubeconfigFile>& files, std::string_view list) {
  auto names = entry_names(files, list);
  if (names.empty()) return fmt::format("there are no {} in it", list);
  const bool more = names.size() > 10;
  if (more) names.resize(10);
  for (auto& n : names) n = printable(n, 100);
  return fmt::format("{} there: {}{}", list, join(names, ", "), more ? ", …" : "");
}

std::string paths(const std::vector<KubeconfigFile>& files) {
  std::vector<std::string> all;
  for (const auto& f : files) all.push_back(f.path);
  return join(all, ":");
}

bool has_control(std::string_view s) {
  return std::any_of(s.begin(), s.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<> read_cluster(const Entry& e, Config& out) {
  OJ_TRY(out.server, string_field(e, "server"));
  OJ_TRY(out.ca_pem, pem_field(e, "certificate-authority"));
  OJ_TRY(out.insecure_skip_tls_verify, bool_field(e, "insecure-skip-tls-verify"));
  OJ_TRY(out.tls_server_name, string_field(e, "tls-server-name"));
  OJ_TRY(out.proxy_url, string_field(e, "proxy-url"));
  if (out.server.empty()) return malformed(e, "server is missing");
  if (out.insecure_skip_tls_verify && !out.ca_pem.empty())
    return malformed(e, "insecure-skip-tls-verify and a certificate authority exclude each other",
                     "remove insecure-skip-tls-verify: the certificate authority makes it needless");
  if (out.server.find("://") == std::string::npos)
    out.server = (out.ca_pem.empty() && !out.insecure_skip_tls_verify ? "http://" : "https://") + out.server;
  while (out.server.ends_with('/')) out.server.pop_back();
  const auto url = net::parse_url(out.server);
  if (!url || (url->scheme != "https" && url->scheme != "http") || url->host.empty() || !url->query.empty())
    return malformed(e, fmt::format("server \"{}\" is not an http or https URL", printable(out.server, 200)));
  if (!out.proxy_url.empty()) {
    const auto scheme = out.proxy_url.substr(0, out.proxy_url.find("://"));
    if (out.proxy_url.find("://") == std::string::npos || has_control(out.proxy_url) ||
        (scheme != "http" && scheme != "https" && scheme != "socks5" && scheme != "socks5h"))
      return malformed(e, "proxy-url must begin with http://, https:// or socks5://");
  }
  return {};
}

Result<std::optional<ExecPlugin>> read_exec(const Entry& user, const Entry& cluster) {
  const json::value* body = find(*user.body, {"exec"});
  if (body == nullptr || body->is_null()) return std::nullopt;
  const auto bad = [&](std::string_view what, std::string hint = {}) {
    return fail(Errc::invalid_argument, "kubeconfig.bad_exec",
                fmt::format("{}: exec plugin: {}", user.where(), what), std::move(hint));
  };
  if (!body->is_object()) return bad("must be a mapping");
  Entry e = user;
  e.body = body;
  ExecPlugin p;
  OJ_TRY(p.api_version, string_field(e, "apiVersion"));
  OJ_TRY(p.command, string_field(e, "command"));
  OJ_TRY(p.args, strings_field(e, "args"));
  OJ_TRY(p.install_hint, string_field(e, "installHint"));
  OJ_TRY(p.provide_cluster_info, bool_field(e, "provideClusterInfo"));
  OJ_TRY(const std::string mode, string_field(e, "interactiveMode"));
  p.install_hint = printable(p.install_hint, 1000);
  if (p.command.empty()) return bad("command is missing");
  if (p.command.find('/') != std::string::npos) p.command = resolve_path(user, p.command);
  if (p.api_version != "client.authentication.k8s.io/v1" &&
      p.api_version != "client.authentication.k8s.io/v1beta1")
    return bad(p.api_version.empty()
                   ? std::string("apiVersion is missing")
                   : fmt::format("apiVersion \"{}\" is not supported", printable(p.api_version, 100)),
               "use client.authentication.k8s.io/v1 or v1beta1");
  if (mode == "Always")
    return bad("interactiveMode is Always, but OddJob runs plugins without a terminal",
               "set interactiveMode to IfAvailable or Never, or log in first with the plugin itself");
  if (mode.empty() && p.api_version.ends_with("/v1"))
    return bad("interactiveMode is missing", "set it to Never");
  if (!mode.empty() && mode != "Never" && mode != "IfAvailable")
    return bad(fmt::format("interactiveMode \"{}\" is unknown", printable(mode, 60)),
               "use Never or IfAvailable");
  const json::value* env = find(*body, {"env"});
  if (env != nullptr && !env->is_null()) {
    if (!env->is_array()) return bad("env must be a list");
    for (const json::value& v : env->get_array()) {
      const std::string name(get_string(v, {"name"}));
      const json::value* value = find(v, {"value"});
      if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos)
        return bad("an entry of env has no valid name");
      if (value != nullptr && !value->is_string() && !value->is_null())
        return bad(fmt::format("the value of env {} must be a string", printable(name, 100)));
      p.env.emplace_back(name, std::string(get_string(v, {"value"})));
    }
  }
  if (const json::array* extensions = find_array(*cluster.body, {"extensions"}))
    for (const json::value& x : *extensions)
      if (get_string(x, {"name"}) == "client.authentication.k8s.io/exec")
        if (const json::value* extension = find(x, {"extension"})) p.cluster_config = *extension;
  return p;
}

Result<> read_user(const Entry& e, const Entry& cluster, Config& out) {
  OJ_TRY(out.client_cert_pem, pem_field(e, "client-certificate"));
  OJ_TRY(out.client_key_pem, pem_field(e, "client-key"));
  OJ_TRY(out.token, string_field(e, "token"));
  OJ_TRY(out.token_file, path_field(e, "tokenFile"));
  OJ_TRY(out.username, string_field(e, "username"));
  OJ_TRY(out.password, string_field(e, "password"));
  OJ_TRY(out.exec, read_exec(e, cluster));
  OJ_TRY(out.impersonate_user, string_field(e, "as"));
  OJ_TRY(out.impersonate_uid, string_field(e, "as-uid"));
  OJ_TRY(out.impersonate_groups, strings_field(e, "as-groups"));
  if (const json::value* provider = find(*e.body, {"auth-provider"});
      provider != nullptr && !provider->is_null())
    return fail(
        Errc::unsupported, "kubeconfig.auth_provider",
        fmt::format("{}: auth-provider \"{}\" is not supported", e.where(),
                    printable(get_string(*provider, {"name"}), 60)),
        "auth-provider was replaced by exec plugins: use your provider's one (gke-gcloud-auth-plugin, "
        "kubelogin, aws eks get-token), or kubectl create token");
  if (const json::value* extra = find(*e.body, {"as-user-extra"}); extra != nullptr && !extra->is_null()) {
    if (!extra->is_object()) return malformed(e, "as-user-extra must be a mapping of lists");
    Entry inner = e;
    inner.body = extra;
    for (const auto& kv : extra->get_object()) {
      OJ_TRY(out.impersonate_extra[std::string(kv.key())], strings_field(inner, kv.key()));
    }
  }
  if (out.client_cert_pem.empty() != out.client_key_pem.empty())
    return malformed(e, out.client_key_pem.empty()
                            ? "a client certificate without client-key or client-key-data"
                            : "a client key without a client certificate");
  if (!out.token.empty() && !(out.username.empty() && out.password.empty()))
    return malformed(e, "token and username/password exclude each other");
  if (out.impersonate_user.empty() &&
      !(out.impersonate_uid.empty() && out.impersonate_groups.empty() && out.impersonate_extra.empty()))
    return malformed(e, "as-groups, as-uid and as-user-extra need `as`");
  for (const auto* s :
       {&out.token, &out.username, &out.password, &out.impersonate_user, &out.impersonate_uid})
    if (has_control(*s)) return malformed(e, "token, username, password or as has a control character");
  for (const auto& g : out.impersonate_groups)
    if (has_control(g)) return malformed(e, "as-groups has a control character");
  if (out.username.find(':') != std::string::npos) return malformed(e, "username has a colon");
  return {};
}

Result<Config> resolve(const std::vector<KubeconfigFile>& files, const std::string& wanted_context) {
  Config out;
  out.context = wanted_context;
  for (const auto& f : files)
    if (out.context.empty()) out.context = std::string(get_string(f.document, {"current-context"}));
  if (out.context.empty())
    return fail(Errc::invalid_argument, "kubeconfig.no_context",
                fmt::format("kubeconfig {} has no current-context", paths(files)),
                "name one with --context, or run kubectl config use-context; " + known(files, "contexts"));
  OJ_TRY(const Entry context, find_entry(files, "contexts", "context", out.context));
  if (context.body == nullptr)
    return fail(Errc::invalid_argument, "kubeconfig.no_context",
                fmt::format("kubeconfig {} has no context \"{}\"", paths(files), printable(out.context, 200)),
                known(files, "contexts"));
  OJ_TRY(const std::string cluster_name, string_field(context, "cluster"));
  OJ_TRY(const std::string user_name, string_field(context, "user"));
  OJ_TRY(const std::string name_space, string_field(context, "namespace"));
  if (!name_space.empty() && !is_dns_label(name_space))
    return malformed(context, fmt::format("namespace \"{}\" is not a DNS label", printable(name_space, 100)));
  if (!name_space.empty()) out.name_space = name_space;

  OJ_TRY(const Entry cluster, find_entry(files, "clusters", "cluster", cluster_name));
  if (cluster.body == nullptr)
    return fail(Errc::invalid_argument, "kubeconfig.no_cluster",
                fmt::format("{} names cluster \"{}\", which is not in {}", context.where(),
                            printable(cluster_name, 200), paths(files)),
                known(files, "clusters"));
  OJ_CHECK(read_cluster(cluster, out));

  if (user_name.empty()) return out;  // anonymous, as kubectl takes it
  OJ_TRY(const Entry user, find_entry(files, "users", "user", user_name));
  if (user.body == nullptr)
    return fail(Errc::invalid_argument, "kubeconfig.no_user",
                fmt::format("{} names user \"{}\", which is not in {}", context.where(),
                            printable(user_name, 200), paths(files)),
                known(files, "users"));
  OJ_CHECK(read_user(user, cluster, out));
  return out;
}

bool is_empty(const KubeconfigFile& f) {
  for (const std::string_view list : {"clusters", "contexts", "users"})
    if (const auto* a = find_array(f.document, {list}); a != nullptr && !a->empty()) return false;
  return get_string(f.document, {"current-context"}).empty();
}

}  // namespace

std::map<std::string, std::string> process_environment() {
  Environment env;
  for (char** p = environ; p != nullptr && *p != nullptr; ++p) {
    const char* eq = std::strchr(*p, '=');
    if (eq != nullptr) env.emplace(std::string(*p, static_cast<std::size_t>(eq - *p)), std::string(eq + 1));
  }
  return env;
}

Result<Config> in_cluster_config(const Environment& environment, std::string_view root) {
  std::string host = variable(environment, "KUBERNETES_SERVICE_HOST");
  const std::string port = variable(environment, "KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty())
    return fail(Errc::not_found, "kubeconfig.not_found",
                "no kubeconfig was found, and this process does not run in a pod "
                "(KUBERNETES_SERVICE_HOST and _PORT are not set)",
                "pass --kubeconfig, or set KUBECONFIG");
  if (host.find(':') != std::string::npos && !host.starts_with('[')) host = "[" + host + "]";
  Config out;
  out.context = "in-cluster";
  out.server = "https://" + host + ":" + port;
  if (!net::parse_url(out.server))
    return fail(Errc::invalid_argument, "kubeconfig.malformed",
                "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT make no valid address");
  const auto read = [&](std::string_view name, std::size_t max) -> Result<std::string> {
    const std::string path = std::string(root) + "/" + std::string(name);
    FileRead file = read_file(path, max);
    if (file.error != 0)
      return fail(Errc::invalid_argument, "kubeconfig.file_unreadable",
                  fmt::format("cannot read the service account's {}: {}", path, errno_text(file.error)),
                  "does the pod set automountServiceAccountToken: false?");
    return std::move(file.bytes);
  };
  OJ_TRY(const std::string token, read("token", kMaxCredentialFile));
  out.token_file = std::string(root) + "/token";
  if (trim(token).empty())
    return fail(Errc::invalid_argument, "kubeconfig.file_unreadable",
                fmt::format("the service account's {} is empty", out.token_file));
  OJ_TRY(out.ca_pem, read("ca.crt", kMaxCredentialFile));
  if (out.ca_pem.find("-----BEGIN ") == std::string::npos)
    return fail(Errc::invalid_argument, "kubeconfig.malformed",
                fmt::format("the service account's {}/ca.crt holds no PEM block", root));
  if (auto ns = read("namespace", 4096); ns && is_dns_label(trim(*ns)))
    out.name_space = std::string(trim(*ns));
  return out;
}

Result<Config> load_config(const LoadOptions& options) {
  std::vector<KubeconfigFile> files;
  if (!options.kubeconfig.empty()) {
    OJ_TRY(ReadKubeconfig read, read_kubeconfig(options.kubeconfig));
    if (read.missing)
      return fail(Errc::not_found, "kubeconfig.not_found",
                  fmt::format("kubeconfig {} does not exist", printable(options.kubeconfig, 500)));
    files.push_back(std::move(read.file));
    return resolve(files, options.context);
  }

  std::vector<std::string> missing;
  for (const auto& path : split(variable(options.environment, "KUBECONFIG"), ':')) {
    const auto same = [&](const KubeconfigFile& f) { return f.path == path; };
    if (path.empty() || std::any_of(files.begin(), files.end(), same)) continue;
    OJ_TRY(ReadKubeconfig read, read_kubeconfig(path));
    if (read.missing) {
      missing.push_back(path);
    } else {
      files.push_back(std::move(read.file));
    }
  }
  if (!files.empty()) return resolve(files, options.context);
  if (!missing.empty())
    return fail(Errc::not_found, "kubeconfig.not_found",
                fmt::format("none of the files that KUBECONFIG names exists: {}",
                            printable(join(missing, ", "), 1000)),
                "unset KUBECONFIG to use ~/.kube/config");

  if (const std::string home = variable(options.environment, "HOME"); !home.empty()) {
    OJ_TRY(ReadKubeconfig read, read_kubeconfig(home + "/.kube/config"));
    // An empty file is what `kubectl config unset` leaves behind; in a pod, the
    // pod's own account is then meant.
    const bool use = !read.missing && (!is_empty(read.file) || !options.context.empty() ||
                                       variable(options.environment, "KUBERNETES_SERVICE_HOST").empty());
    if (use) {
      files.push_back(std::move(read.file));
      return resolve(files, options.context);
    }
  }
  if (!options.context.empty())
    return fail(
        Errc::not_found, "kubeconfig.not_found",
        fmt::format("there is no kubeconfig that could hold context \"{}\"", printable(options.context, 200)),
        "pass --kubeconfig, or set KUBECONFIG");
  return in_cluster_config(options.environment);
}

}  // namespace oddjob::kube
