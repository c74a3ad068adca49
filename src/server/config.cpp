#include "server/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>

#include "core/json.hpp"
#include "core/text.hpp"
#include "core/yaml.hpp"
#include "fs/files.hpp"
#include "hooks/deliverer.hpp"
#include "hooks/message.hpp"

namespace oddjob::server {
namespace {

constexpr std::size_t kMaxConfigBytes = 1U << 20U;
constexpr std::size_t kMaxHooks = 20;

using Setter = std::function<Result<>(ServerConfig&, const json::value&)>;
struct Key {
  std::string_view path, meaning;
  Setter set;
};

std::unexpected<Error> bad(std::string expected, const json::value& got) {
  return fail(Errc::invalid_argument, "config.bad_value",
              fmt::format("expected {}, got {}", expected, printable(json::serialize(got), 100)));
}

Setter text(std::string ServerConfig::*field) {
  return [field](ServerConfig& c, const json::value& v) -> Result<> {
    if (!v.is_string()) return bad("text", v);
    c.*field = std::string(sv(v.get_string()));
    return {};
  };
}

Setter one_of(std::string ServerConfig::*field, std::vector<std::string> words) {
  return [field, words = std::move(words)](ServerConfig& c, const json::value& v) -> Result<> {
    if (!v.is_string() || std::ranges::find(words, sv(v.get_string())) == words.end())
      return bad("one of " + join(words, ", "), v);
    c.*field = std::string(sv(v.get_string()));
    return {};
  };
}

// A number, or text that is one (environment variables are text).
template <class Int>
Setter number(Int ServerConfig::*field, std::int64_t low, std::int64_t high) {
  return [=](ServerConfig& c, const json::value& v) -> Result<> {
    std::int64_t n = 0;
    if (v.is_int64()) {
      n = v.get_int64();
    } else if (v.is_string()) {
      const auto s = sv(v.get_string());
      const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), n);
      if (ec != std::errc{} || end != s.data() + s.size()) return bad("a whole number", v);
    } else {
      return bad("a whole number", v);
    }
    if (n < low || n > high) return bad(fmt::format("a number from {} to {}", low, high), v);
    c.*field = static_cast<Int>(n);
    return {};
  };
}

Setter boolean(bool ServerConfig::*field) {
  return [field](ServerConfig& c, const json::value& v) -> Result<> {
    if (v.is_bool()) {
      c.*field = v.get_bool();
    } else if (v.is_string() && (v.get_string() == "true" || v.get_string() == "false")) {
      c.*field = v.get_string() == "true";
    } else {
      return bad("true or false", v);
    }
    return {};
  };
}

Setter duration(Duration ServerConfig::*field) {
  return [field](ServerConfig& c, const json::value& v) -> Result<> {
    if (!v.is_string()) return bad("a duration such as 30s", v);
    OJ_TRY(c.*field, parse_duration(sv(v.get_string())));
    return {};
  };
}

Setter words(std::vector<std::string> ServerConfig::*field) {
  return [field](ServerConfig& c, const json::value& v) -> Result<> {
    std::vector<std::string> out;
    if (v.is_string()) {
      for (const auto& part : split(sv(v.get_string()), ','))
        if (!trim(part).empty()) out.emplace_back(trim(part));
    } else if (v.is_array()) {
      for (const auto& item : v.get_array()) {
        if (!item.is_string()) return bad("a list of texts", v);
        out.emplace_back(sv(item.get_string()));
      }
    } else {
      return bad("a list of texts", v);
    }
    c.*field = std::move(out);
    return {};
  };
}

// A list of lists of names; in an environment variable "ann,a.smith;bob,robert".
Setter sets(std::vector<std::vector<std::string>> ServerConfig::*field) {
  return [field](ServerConfig& c, const json::value& v) -> Result<> {
    constexpr std::string_view kWanted = "a list of lists of at least two names";
    std::vector<std::vector<std::string>> out;
    const auto add = [&](std::vector<std::string> names) {
      for (auto& n : names) n = std::string(trim(n));
      if (names.size() < 2 || std::ranges::any_of(names, [](const std::string& n) { return n.empty(); }))
        return false;
      out.push_back(std::move(names));
      return true;
    };
    if (v.is_string()) {
      for (const auto& set : split(sv(v.get_string()), ';'))
        if (!trim(set).empty() && !add(split(set, ','))) return bad(std::string(kWanted), v);
    } else if (v.is_array()) {
      for (const auto& set : v.get_array()) {
        std::vector<std::string> names;
        if (!set.is_array()) return bad(std::string(kWanted), v);
        for (const auto& name : set.get_array()) {
          if (!name.is_string()) return bad(std::string(kWanted), v);
          names.emplace_back(sv(name.get_string()));
        }
        if (!add(std::move(names))) return bad(std::string(kWanted), v);
      }
    } else {
      return bad(std::string(kWanted), v);
    }
    c.*field = std::move(out);
    return {};
  };
}

Result<HookConfig> read_hook(const json::value& v) {
  HookConfig hook;
  if (!v.is_object()) return bad("a webhook with name, url and secretFile", v);
  for (const auto& [key, value] : v.get_object()) {
    const std::string_view name = key;
    if (name == "events") {
      if (!value.is_array()) return bad("events: a list of types of events", value);
      for (const auto& item : value.get_array()) {
        const auto known = hooks::event_types();
        if (!item.is_string() || std::ranges::find(known, sv(item.get_string())) == known.end())
          return bad("events: " + join(std::vector<std::string>(known.begin(), known.end()), ", "), item);
        hook.events.emplace_back(sv(item.get_string()));
      }
      continue;
    }
    if (!value.is_string()) return bad(fmt::format("{}: text", name), value);
    const std::string text(sv(value.get_string()));
    if (name == "name") {
      hook.name = text;
    } else if (name == "url") {
      OJ_CHECK(hooks::check_url(text));
      hook.url = text;
    } else if (name == "secretFile") {
      hook.secret_file = text;
    } else if (name == "caFile") {
      hook.ca_file = text;
    } else if (name == "timeout") {
      OJ_TRY(hook.timeout, parse_duration(text));
      if (hook.timeout > std::chrono::minutes(1)) return bad("timeout: at most 1m", value);
    } else {
      return bad("name, url, secretFile, caFile, events or timeout", json::value(json::string(key)));
    }
  }
  if (!is_dns_label(hook.name)) return bad("name: lower-case letters, digits and dashes", v);
  if (hook.url.empty()) return bad("url", v);
  if (hook.secret_file.empty()) return bad("secretFile: what is told is signed", v);
  return hook;
}

Setter hook_list(std::vector<HookConfig> ServerConfig::*field) {
  return [field](ServerConfig& c, const json::value& v) -> Result<> {
    if (!v.is_array()) return bad("a list of webhooks", v);
    std::vector<HookConfig> out;
    for (const auto& item : v.get_array()) {
      OJ_TRY(auto hook, read_hook(item));
      if (std::ranges::any_of(out, [&](const HookConfig& h) { return h.name == hook.name; }))
        return bad("names that differ", item);
      out.push_back(std::move(hook));
    }
    if (out.size() > kMaxHooks) return bad(fmt::format("at most {} webhooks", kMaxHooks), v);
    c.*field = std::move(out);
    return {};
  };
}

const std::vector<Key>& keys() {
  using C = ServerConfig;
  static const std::vector<Key> table = {
      {"listen.address", "address to listen on, or unix:/path", text(&C::listen_address)},
      {"listen.port", "port; 0 takes a free one", number(&C::listen_port, 0, 65535)},
      {"listen.tlsCertFile", "PEM certificate chain; with tlsKeyFile", text(&C::tls_cert_file)},
      {"listen.tlsKeyFile", "PEM private key", text(&C::tls_key_file)},
      {"database.url", "sqlite:/path/to/oddjob.db", text(&C::database_url)},
      {"database.busyTimeout", "how long to wait for a locked database", duration(&C::database_busy_timeout)},
      {"kubernetes.kubeconfig", "a kubeconfig file; empty: as kubectl finds it, or the pod's own account",
       text(&C::kubeconfig)},
      {"kubernetes.context", "the context to use", text(&C::kube_context)},
      {"kubernetes.namespaces", "watch these namespaces only; empty: all", words(&C::namespaces)},
      {"auth.staticTokensFile", "YAML file of static tokens", text(&C::static_tokens_file)},
      {"auth.tokenReview", "accept Kubernetes tokens by TokenReview", boolean(&C::token_review)},
      {"auth.tokenReviewAudiences", "audiences a Kubernetes token must have one of",
       words(&C::token_review_audiences)},
      {"auth.adminTeams", "teams whose members are admins", words(&C::admin_teams)},
      {"auth.auditorTeams", "teams whose members may read the whole audit", words(&C::auditor_teams)},
      {"auth.aliases", "lists of user names that are one person, for approvals", sets(&C::aliases)},
      {"runs.pendingJobs",
       "suspended: a run that waits for approval has its Job already; deferred: it is made then",
       one_of(&C::pending_jobs, {"suspended", "deferred"})},
      {"hooks", "webhooks that are told of runs; in the file only", hook_list(&C::hooks)},
      {"limits.maxActiveRuns", "runs under way at once; more get 429",
       number(&C::max_active_runs, 1, 100000)},
      {"limits.maxStreamsPerSubject", "open streams of one caller",
       number(&C::max_streams_per_subject, 1, 10000)},
      {"limits.maxLogBytes", "bytes of log kept of one run", number(&C::max_log_bytes, 1024, 1LL << 40)},
      {"limits.startTimeout", "how long a pod may take to start", duration(&C::start_timeout)},
      {"limits.shutdownGrace", "how long open exchanges get at the end", duration(&C::shutdown_grace)},
      {"images.enabled", "keep an index of the paths in images, for completion", boolean(&C::images_enabled)},
      {"images.ahead", "index images before somebody asks", boolean(&C::images_ahead)},
      {"images.directory", "folder of the index files; empty: beside the database",
       text(&C::images_directory)},
      {"images.maxIndexBytes", "bytes of all index files",
       number(&C::images_max_index_bytes, 1LL << 20, 1LL << 44)},
      {"images.maxImageBytes", "compressed bytes of one image",
       number(&C::images_max_image_bytes, 1LL << 20, 1LL << 44)},
      {"images.backgroundBytesPerSecond", "read ahead of time at most so fast; 0: no bound",
       number(&C::images_background_rate, 0, 1LL << 40)},
      {"images.concurrentPulls", "images read at once", number(&C::images_concurrent_pulls, 1, 64)},
      {"images.concurrentLayers", "layers read at once", number(&C::images_concurrent_layers, 1, 64)},
      {"images.platform", "such as linux/arm64, where the workload does not say", text(&C::images_platform)},
      {"images.dockerConfigFile", "credentials for registries: a docker config.json",
       text(&C::images_docker_config_file)},
      {"images.caFile", "PEM file of the authorities that sign registries' certificates",
       text(&C::images_ca_file)},
      {"images.layoutDirectory", "folder of OCI image layouts, at <registry>/<repository>",
       text(&C::images_layout_directory)},
      {"images.layouts", "OCI image layouts, each REPOSITORY=FOLDER", words(&C::images_layouts)},
      {"images.plainHttpRegistries", "registries without TLS", words(&C::images_plain_http_registries)},
      {"images.insecureTlsRegistries", "registries whose certificate is not checked",
       words(&C::images_insecure_tls_registries)},
      {"log.level", "trace, debug, info, warn or error",
       one_of(&C::log_level, {"trace", "debug", "info", "warn", "error"})},
      {"log.format", "text or json", one_of(&C::log_format, {"text", "json"})},
  };
  return table;
}

// listen.tlsCertFile -> ODDJOBD_LISTEN_TLS_CERT_FILE
std::string variable(std::string_view path) {
  std::string out = "ODDJOBD_";
  for (const char c : path) {
    if (c == '.') {
      out += '_';
    } else if (c >= 'A' && c <= 'Z') {
      out += '_';
      out += c;
    } else {
      out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
  }
  return out;
}

Result<> unknown(std::string_view where, std::string_view path) {
  std::vector<std::string_view> known;
  for (const auto& k : keys()) known.push_back(k.path);
  const auto near = closest(path, known);
  return fail(Errc::invalid_argument, "config.unknown_key",
              fmt::format("{}: unknown key '{}'", where, printable(path, 100)),
              near.empty() ? std::string{} : fmt::format("did you mean '{}'?", near));
}

Result<> apply(ServerConfig& c, const json::object& section, std::string_view prefix,
               std::string_view where) {
  for (const auto& [name, value] : section) {
    const std::string path =
        prefix.empty() ? std::string(name) : fmt::format("{}.{}", prefix, std::string_view(name));
    const auto key = std::ranges::find(keys(), path, &Key::path);
    if (key != keys().end()) {
      if (auto done = key->set(c, value); !done)
        return fail(std::move(done.error()).with_context(fmt::format("{}: {}", where, path)));
    } else if (prefix.empty() && value.is_object() &&
               std::ranges::any_of(keys(), [&](const Key& k) { return k.path.starts_with(path + "."); })) {
      OJ_CHECK(apply(c, value.get_object(), path, where));
    } else {
      return unknown(where, path);
    }
  }
  return {};
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> rows = [] {
    std::vector<ConfigKey> out;
    for (const auto& k : keys()) out.push_back({k.path, k.meaning});
    return out;
  }();
  return rows;
}

Result<ServerConfig> parse_config(std::string_view yaml, std::string_view where,
                                  const std::map<std::string, std::string>& environment) {
  ServerConfig c;
  if (!trim(yaml).empty()) {
    OJ_TRY(const auto document, parse_yaml(yaml, where));
    if (!document.is_object())
      return fail(Errc::invalid_argument, "config.malformed",
                  fmt::format("{}: expected a mapping of keys", where));
    OJ_CHECK(apply(c, document.get_object(), "", where));
  }
  for (const auto& key : keys()) {
    const auto name = variable(key.path);
    const auto found = environment.find(name);
    if (found == environment.end()) continue;
    if (auto done = key.set(c, json::value(json::string(found->second))); !done)
      return fail(std::move(done.error()).with_context("environment variable " + name));
  }
  if (c.tls_cert_file.empty() != c.tls_key_file.empty())
    return fail(
        Errc::invalid_argument, "config.bad_value",
        fmt::format("{}: listen.tlsCertFile and listen.tlsKeyFile go together; one of them is missing",
                    where));
  return c;
}

Result<ServerConfig> load_config(const std::string& path,
                                 const std::map<std::string, std::string>& environment) {
  if (path.empty()) return parse_config("", "defaults", environment);
  OJ_TRY(const auto text, fs::read_file(path, kMaxConfigBytes, "config.unreadable"));
  return parse_config(text, path, environment);
}

}  // namespace oddjob::server
