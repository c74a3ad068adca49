#include "server/images.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <set>

#include "core/text.hpp"
#include "fs/files.hpp"

namespace oddjob::server {
namespace {

constexpr std::size_t kMaxPem = 1U << 20U;
constexpr Duration kLookEvery = std::chrono::seconds(2);
constexpr auto kTryAgain = std::chrono::minutes(10);

struct Known {
  std::string version, image;
  std::chrono::steady_clock::time_point looked{};
};

net::Task<> look_at(WorkloadRef ref, Known& known, runs::WorkloadImages& workloads, image::Service& images) {
  auto reading = workloads.read_anew(ref, {});
  const auto found = co_await std::move(reading);
  if (!found) {
    spdlog::debug("the image of {} is not indexed ahead: {}", to_string(ref), found.error().message);
    co_return;
  }
  const auto reference = image::parse_reference(found->image);
  if (!reference) co_return;
  image::Wanted wanted;
  wanted.image = *reference;
  if (!found->architecture.empty())
    wanted.platform = image::Platform{found->os.empty() ? "linux" : found->os, found->architecture, ""};
  // Also one that is known already: so it counts as used.
  auto finding = images.find(wanted);
  if (co_await std::move(finding)) {
    known.image = found->image;
    co_return;
  }
  auto secrets = workloads.pull_secrets(*found);
  for (const auto& text : co_await std::move(secrets))
    if (auto config = image::parse_docker_config(text, "an imagePullSecret"))
      wanted.pull_secrets.push_back(std::move(*config));
  images.prepare(std::move(wanted));
  known.image = found->image;
}

}  // namespace

std::string image_directory(const ServerConfig& config) {
  if (!config.images_directory.empty()) return config.images_directory;
  const std::string_view url = config.database_url;
  const auto slash = url.rfind('/');
  if (!url.starts_with("sqlite:") || slash == std::string_view::npos) return "/var/lib/oddjob/images";
  return std::string(url.substr(7, slash - 7)) + "/images";
}

Result<image::ServiceOptions> image_options(const ServerConfig& config,
                                            const std::map<std::string, std::string>& environment) {
  image::ServiceOptions out;
  out.directory = image_directory(config);
  out.max_bytes = static_cast<std::uint64_t>(config.images_max_index_bytes);
  out.max_image_bytes = static_cast<std::uint64_t>(config.images_max_image_bytes);
  out.max_pulls = static_cast<std::size_t>(config.images_concurrent_pulls);
  out.max_layers = static_cast<std::size_t>(config.images_concurrent_layers);
  out.background_rate = static_cast<std::uint64_t>(config.images_background_rate);
  if (!config.images_platform.empty()) {
    OJ_TRY(out.platform, image::parse_platform(config.images_platform));
  }
  for (const auto& entry : config.images_layouts) {
    const auto equals = entry.find('=');
    if (equals == std::string::npos || equals + 1 == entry.size()) {
      return fail(Errc::invalid_argument, "config.bad_value",
                  fmt::format("images.layouts: '{}' is not REPOSITORY=FOLDER", printable(entry, 200)));
    }
    OJ_TRY(const auto name, image::parse_reference(std::string_view(entry).substr(0, equals)));
    out.layouts[name.registry + "/" + name.repository] = entry.substr(equals + 1);
  }
  out.layout_directory = config.images_layout_directory;
  if (!config.images_docker_config_file.empty()) {
    OJ_TRY(const auto text,
           fs::read_file(config.images_docker_config_file, image::kMaxDockerConfig, "config.unreadable"));
    OJ_TRY(out.docker_config, image::parse_docker_config(text, config.images_docker_config_file));
  }
  out.helper_environment = environment;
  out.registry.plain_http = config.images_plain_http_registries;
  out.registry.insecure_tls = config.images_insecure_tls_registries;
  out.registry.user_agent = "oddjobd/" ODDJOB_VERSION;
  if (!config.images_ca_file.empty()) {
    OJ_TRY(out.registry.ca_pem, fs::read_file(config.images_ca_file, kMaxPem, "config.unreadable"));
  }
  return out;
}

net::Task<> index_ahead(runs::Engine& engine, runs::WorkloadImages& workloads, image::Service& images,
                        net::CancelToken stop) {
  std::map<std::string, Known, std::less<>> known;
  runs::Caller nobody;
  nobody.subject.user = "oddjob";
  nobody.subject.how = AuthMethod::internal;
  while (!stop.cancelled()) {
    auto listing = engine.workloads(nobody, {});
    const auto all = co_await std::move(listing);
    std::set<std::string, std::less<>> there;
    if (all) {
      for (const auto& w : *all) {
        if (stop.cancelled()) co_return;
        const auto key = w.ref.name_space + "/" + to_string(w.ref);
        there.insert(key);
        auto& k = known[key];
        const auto now = std::chrono::steady_clock::now();
        if (k.version == w.version && now - k.looked < kTryAgain) continue;
        k.version = w.version;
        k.looked = now;
        auto looking = look_at(w.ref, k, workloads, images);
        co_await std::move(looking);
      }
      std::erase_if(known, [&](const auto& e) { return !there.contains(e.first); });
    }
    const auto until = std::chrono::steady_clock::now() + kLookEvery;
    while (!stop.cancelled() && std::chrono::steady_clock::now() < until)
      co_await net::sleep_for(Duration(200));
  }
}

}  // namespace oddjob::server
