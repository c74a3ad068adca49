#include <fmt/format.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/quantity.hpp"
#include "core/text.hpp"
#include "devcluster/node/container.hpp"

namespace oddjob::devcluster {
namespace {

std::unexpected<Error> config_error(std::string message) {
  return fail(Errc::failed_precondition, "CreateContainerConfigError", std::move(message));
}

const std::string* value_of(const Environment& environment, std::string_view name) {
  const auto found = std::ranges::find_if(environment.rbegin(), environment.rend(),
                                          [&](const auto& e) { return e.first == name; });
  return found == environment.rend() ? nullptr : &found->second;
}

std::string text_of(const json::value& v) {
  return v.is_string() ? std::string(sv(v.get_string())) : json::serialize(v);
}

// One key of a ConfigMap or Secret; nullopt where it may be missing.
Result<std::optional<std::string>> key_of(Storage& storage, std::string_view ns, const json::value& reference,
                                          bool secret) {
  const auto name = get_string(reference, {"name"}), key = get_string(reference, {"key"});
  const bool optional = get_bool(reference, {"optional"});
  const auto object = storage.get(secret ? "/secrets" : "/configmaps", ns, name);
  const std::string kind = secret ? "secret" : "configmap";
  if (!object) {
    if (optional) return std::nullopt;
    return config_error(fmt::format("{} \"{}\" not found", kind, name));
  }
  const auto* value = find(*object, {"data", key});
  if (value == nullptr) {
    if (optional) return std::nullopt;
    return config_error(
        fmt::format("couldn't find key {} in {} {}/{}", key, secret ? "Secret" : "ConfigMap", ns, name));
  }
  if (!secret) return text_of(*value);
  OJ_TRY(auto bytes, base64_decode(text_of(*value)));
  return std::optional(std::move(bytes));
}

std::string field_of(const json::value& pod, std::string_view path) {
  const auto bracket = path.find("['");
  if (bracket != std::string_view::npos && path.ends_with("']")) {
    const auto key = path.substr(bracket + 2, path.size() - bracket - 4);
    return std::string(get_string(pod, {"metadata", path.substr(9, bracket - 9), key}));
  }
  if (path == "status.podIP" || path == "status.podIPs" || path == "status.hostIP" ||
      path == "status.hostIPs")
    return "127.0.0.1";
  if (path == "spec.nodeName") return "dev";
  const json::value* at = &pod;
  for (const auto& step : split(path, '.')) {
    at = find(*at, {step});
    if (at == nullptr) return {};
  }
  return text_of(*at);
}

std::string resource_of(const json::value& container, const json::value& reference) {
  const auto resource = get_string(reference, {"resource"});
  const auto dot = resource.find('.');
  const auto q = parse_quantity(get_string(
      container,
      {"resources", resource.substr(0, dot), dot == std::string_view::npos ? "" : resource.substr(dot + 1)},
      "0"));
  const auto divisor = parse_quantity(get_string(reference, {"divisor"}, "1"));
  if (!q || !divisor || divisor->milli == 0) return "0";
  return std::to_string(static_cast<std::int64_t>((q->milli + divisor->milli - 1) / divisor->milli));
}

}  // namespace

std::string expand(std::string_view text, const Environment& environment) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    if (text[i + 1] == '$') {
      out += '$';
      ++i;
      continue;
    }
    const auto close = text[i + 1] == '(' ? text.find(')', i) : std::string_view::npos;
    if (close == std::string_view::npos) {
      out += '$';
      continue;
    }
    const auto* value = value_of(environment, text.substr(i + 2, close - i - 2));
    out += value != nullptr ? *value : std::string(text.substr(i, close - i + 1));
    i = close;
  }
  return out;
}

Result<Environment> container_environment(Storage& storage, const json::value& pod,
                                          const json::value& container, const ImageSettings& image) {
  const auto ns = get_string(pod, {"metadata", "namespace"});
  Environment out;
  if (const auto* sources = find_array(container, {"envFrom"})) {
    for (const auto& source : *sources) {
      const auto prefix = get_string(source, {"prefix"});
      for (const auto* key : {"configMapRef", "secretRef"}) {
        const auto* reference = find(source, {key});
        if (reference == nullptr) continue;
        const bool secret = std::string_view(key) == "secretRef";
        const auto name = get_string(*reference, {"name"});
        const auto object = storage.get(secret ? "/secrets" : "/configmaps", ns, name);
        if (!object) {
          if (get_bool(*reference, {"optional"})) continue;
          return config_error(fmt::format("{} \"{}\" not found", secret ? "secret" : "configmap", name));
        }
        if (const auto* data = find_object(*object, {"data"})) {
          for (const auto& [k, v] : *data) {
            auto value = text_of(v);
            if (secret) {
              OJ_TRY(value, base64_decode(value));
            }
            if (is_env_name(std::string_view(k)))
              out.emplace_back(fmt::format("{}{}", prefix, std::string_view(k)), std::move(value));
          }
        }
      }
    }
  }
  if (const auto* list = find_array(container, {"env"})) {
    for (const auto& e : *list) {
      const std::string name(get_string(e, {"name"}));
      if (const auto* map = find(e, {"valueFrom", "configMapKeyRef"})) {
        OJ_TRY(auto value, key_of(storage, ns, *map, false));
        if (value) out.emplace_back(name, std::move(*value));
      } else if (const auto* secret = find(e, {"valueFrom", "secretKeyRef"})) {
        OJ_TRY(auto value, key_of(storage, ns, *secret, true));
        if (value) out.emplace_back(name, std::move(*value));
      } else if (const auto* field = find(e, {"valueFrom", "fieldRef"})) {
        out.emplace_back(name, field_of(pod, get_string(*field, {"fieldPath"})));
      } else if (const auto* resource = find(e, {"valueFrom", "resourceFieldRef"})) {
        out.emplace_back(name, resource_of(container, *resource));
      } else {
        out.emplace_back(name, expand(get_string(e, {"value"}), out));
      }
    }
  }
  const auto fill = [&](std::string_view name, std::string value) {
    if (value_of(out, name) == nullptr) out.emplace_back(name, std::move(value));
  };
  for (const auto& line : image.env)
    if (const auto equals = line.find('='); equals != std::string::npos)
      fill(line.substr(0, equals), line.substr(equals + 1));
  fill("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  fill("HOSTNAME", std::string(get_string(pod, {"spec", "hostname"}, get_string(pod, {"metadata", "name"}))));
  fill("HOME", "/root");
  return out;
}

std::vector<std::string> container_argv(const json::value& container, const Environment& environment,
                                        const ImageSettings& image) {
  std::vector<std::string> out;
  const auto add = [&](std::string_view key, const std::vector<std::string>& otherwise) {
    const auto* words = find_array(container, {key});
    if (words == nullptr || words->empty()) {
      out.insert(out.end(), otherwise.begin(), otherwise.end());
      return false;
    }
    for (const auto& w : *words)
      if (w.is_string()) out.push_back(expand(sv(w.get_string()), environment));
    return true;
  };
  const bool own_command = add("command", image.entrypoint);
  add("args", own_command ? std::vector<std::string>{} : image.command);
  if (out.empty()) out = {"sleep", "infinity"};
  return out;
}

Result<ImageName> parse_image(std::string_view image) {
  const auto bad = [&] {
    return fail(Errc::invalid_argument, "InvalidImageName",
                fmt::format("Failed to apply default image tag \"{}\": couldn't parse image name \"{}\": "
                            "invalid reference format",
                            image, image));
  };
  std::string_view rest = image;
  std::string digest;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    digest = std::string(rest.substr(at + 1));
    rest = rest.substr(0, at);
    if (!digest.starts_with("sha256:") || digest.size() != 71) return bad();
  }
  const auto slash = rest.rfind('/');
  const auto colon = rest.rfind(':');
  std::string tag = "latest";
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    tag = std::string(rest.substr(colon + 1));
    rest = rest.substr(0, colon);
    if (!is_label_value(tag) || tag.empty()) return bad();
  }
  std::string repository(rest);
  const auto first = repository.substr(0, repository.find('/'));
  const bool has_host = repository.find('/') != std::string::npos &&
                        (first.find_first_of(".:") != std::string::npos || first == "localhost");
  if (!has_host)
    repository =
        "docker.io/" + std::string(repository.find('/') == std::string::npos ? "library/" : "") + repository;
  const auto path = repository.substr(repository.find('/') + 1);
  if (path.empty() || path.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-/") != std::string::npos)
    return bad();
  ImageName out;
  const auto host = repository.substr(0, repository.find('/'));
  out.pullable = !host.substr(0, host.find(':')).ends_with(".invalid");
  out.normalised = repository + (digest.empty() ? ":" + tag : "@" + digest);
  out.id = repository + "@" + (digest.empty() ? "sha256:" + sha256_hex(out.normalised) : digest);
  return out;
}

}  // namespace oddjob::devcluster
