#include "image/registry/credentials.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/json.hpp"
#include "core/text.hpp"
#include "process/credential_helper.hpp"

namespace oddjob::image {
namespace {

constexpr std::string_view kDockerHub = "https://index.docker.io/v1/";

std::string normal_key(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"})
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  while (key.ends_with('/')) key.remove_suffix(1);
  for (const std::string_view version : {"/v1", "/v2"})
    if (key.ends_with(version)) key.remove_suffix(version.size());
  std::string out(key);
  if (const auto slash = out.find('/');
      out.substr(0, slash) == "index.docker.io" || out.substr(0, slash) == "registry-1.docker.io")
    out.replace(0, std::min(slash, out.size()), "docker.io");
  return out;
}

bool part_fits(std::string_view pattern, std::string_view text) {
  const auto star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  const auto head = pattern.substr(0, star), tail = pattern.substr(star + 1);
  if (text.size() < head.size() + tail.size() || !text.starts_with(head)) return false;
  text.remove_prefix(head.size());
  if (tail.find('*') == std::string_view::npos) return text.ends_with(tail);
  for (std::size_t i = 0; i <= text.size(); ++i)
    if (part_fits(tail, text.substr(i))) return true;
  return false;
}

bool fits(std::string_view key, const Reference& image) {
  const auto slash = key.find('/');
  const auto pattern = key.substr(0, slash);
  const auto wanted = split(pattern, '.'), have = split(image.registry, '.');
  if (wanted.size() != have.size()) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!part_fits(wanted[i], have[i])) return false;
  if (slash == std::string_view::npos) return true;
  const auto path = key.substr(slash + 1);
  return image.repository == path || image.repository.starts_with(std::string(path) + "/");
}

std::unexpected<Error> bad(std::string_view what, std::string_view why) {
  return fail(Errc::invalid_argument, "image.bad_credentials", fmt::format("{}: {}", what, why));
}

Result<Credential> credential(const json::value& v, std::string_view what, std::string_view key) {
  Credential out;
  if (!v.is_object()) return bad(what, fmt::format("the entry '{}' is not an object", printable(key, 200)));
  out.username = get_string(v, {"username"});
  out.password = get_string(v, {"password"});
  out.identity_token = get_string(v, {"identitytoken"});
  out.registry_token = get_string(v, {"registrytoken"});
  if (const auto auth = get_string(v, {"auth"}); !auth.empty()) {
    const auto decoded = base64_decode(auth);
    const auto colon = decoded ? decoded->find(':') : std::string::npos;
    if (colon == std::string::npos)
      return bad(what, fmt::format("'auth' of the entry '{}' is not the base64 of user:password",
                                   printable(key, 200)));
    out.username = decoded->substr(0, colon);
    out.password = decoded->substr(colon + 1);
    while (out.password.ends_with('\0')) out.password.pop_back();
  }
  for (const auto* secret : {&out.identity_token, &out.registry_token})
    if (std::ranges::any_of(*secret, [](char c) { return c <= 0x20 || c == 0x7f; }))
      return bad(what, fmt::format("a token of the entry '{}' has white space", printable(key, 200)));
  return out;
}

}  // namespace

Result<DockerConfig> parse_docker_config(std::string_view text, std::string_view what) {
  const auto parsed = parse_json(text, what, kMaxDockerConfig);
  if (!parsed) return bad(what, "it is not JSON");  // parse errors may quote what is there
  if (!parsed->is_object()) return bad(what, "it is not a JSON object");
  const auto& top = parsed->get_object();
  const bool current = top.contains("auths") || top.contains("credHelpers") || top.contains("credsStore");
  DockerConfig out;
  const json::object* entries = current ? find_object(*parsed, {"auths"}) : &top;
  if (entries != nullptr) {
    for (const auto& [key, value] : *entries) {
      // Older files hold more than credentials.
      if (!current && !value.is_object()) continue;
      OJ_TRY(auto c, credential(value, what, key));
      if (!c.empty()) out.auths.emplace_back(normal_key(key), std::move(c));
    }
  }
  if (!current) return out;
  out.helper = get_string(*parsed, {"credsStore"});
  if (const auto* helpers = find_object(*parsed, {"credHelpers"}))
    for (const auto& [key, value] : *helpers)
      if (value.is_string()) out.helpers[normal_key(key)] = sv(value.get_string());
  const auto check = [&](const std::string& name) {
    return name.empty() || process::is_credential_helper_name(name);
  };
  bool good = check(out.helper);
  for (const auto& [key, name] : out.helpers) good = good && check(name);
  if (!good) return bad(what, "the name of a credential helper is malformed");
  return out;
}

std::vector<Credential> matching(const DockerConfig& config, const Reference& image) {
  std::vector<const std::pair<std::string, Credential>*> found;
  for (const auto& entry : config.auths)
    if (fits(entry.first, image)) found.push_back(&entry);
  std::ranges::stable_sort(found,
                           [](const auto* a, const auto* b) { return a->first.size() > b->first.size(); });
  std::vector<Credential> out;
  for (const auto* entry : found)
    if (std::ranges::find(out, entry->second) == out.end()) out.push_back(entry->second);
  return out;
}

std::string helper_for(const DockerConfig& config, const Reference& image) {
  const auto found = config.helpers.find(image.registry);
  return found != config.helpers.end() ? found->second : config.helper;
}

Result<Credential> parse_helper_output(std::string_view output, std::string_view helper) {
  const auto bad_output = [&](std::string_view why) {
    return fail(Errc::unavailable, "image.helper_failed",
                fmt::format("credential helper docker-credential-{}: {}", helper, why));
  };
  const auto parsed = parse_json(output, "its output", process::kMaxHelperOutput);
  if (!parsed || !parsed->is_object()) return bad_output("what it printed is not a JSON object");
  Credential out;
  const auto user = get_string(*parsed, {"Username"}), secret = get_string(*parsed, {"Secret"});
  if (secret.empty()) return bad_output("its answer has no Secret");
  // So says the protocol: this name means that the secret is a token.
  if (user == "<token>") {
    out.identity_token = secret;
  } else {
    out.username = user;
    out.password = secret;
  }
  return out;
}

Result<Credential> ask_helper(std::string_view helper, const Reference& image,
                              const std::map<std::string, std::string>& environment, Duration timeout,
                              const std::atomic<bool>& stop) {
  const auto registry = image.registry == "docker.io" ? std::string(kDockerHub) : image.registry;
  const auto answer = process::ask_credential_helper(helper, "get", registry, environment, timeout, stop);
  const auto& result = answer.process;
  const auto failed = [&](std::string_view why, std::string hint = {}) {
    return fail(Errc::unavailable, "image.helper_failed",
                fmt::format("credential helper docker-credential-{}: {}", helper, why), std::move(hint));
  };
  using process::ProcessEnd;
  if (result.end == ProcessEnd::not_started)
    return failed("it could not be started", "is it in the PATH of the server?");
  if (result.end == ProcessEnd::timed_out)
    return failed(fmt::format("it did not end within {}", human_duration(timeout)));
  if (result.end == ProcessEnd::too_much_output) return failed("it printed too much");
  if (result.end == ProcessEnd::stopped)
    return fail(Errc::cancelled, "image.stopped", "the server is stopping");
  if (answer.nothing) return Credential{};
  if (result.status != 0) return failed(fmt::format("it exited with {}", result.status));
  return parse_helper_output(result.output, helper);
}

}  // namespace oddjob::image
