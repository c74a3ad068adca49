#include "server/reload.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "fs/files.hpp"
#include "kube/config.hpp"

namespace oddjob::server {
namespace {

constexpr std::size_t kMaxFile = 8U << 20U;

}  // namespace

Reloader::Reloader(ServerConfig running, std::string file, std::function<Result<>(const ServerConfig&)> take)
    : running_(std::move(running)),
      file_(std::move(file)),
      take_(std::move(take)),
      seen_(contents()),
      success_time_(system_clock().now()) {}

std::string Reloader::contents() const {
  std::string all;
  for (const auto& path : {file_, running_.static_tokens_file}) {
    if (path.empty()) continue;
    const auto text = fs::read_file(path, kMaxFile, "config.unreadable");
    all += text ? sha256_hex(*text) : "unreadable";
  }
  return all;
}

std::vector<Error> Reloader::try_reload() {
  auto next = running_;
  if (!file_.empty()) {
    auto [config, problems] = check_config_file(file_, kube::process_environment());
    if (!problems.empty()) return std::move(problems);
    next = std::move(config);
  }
  auto plan = plan_reload(running_, next);
  if (auto taken = take_(plan.config); !taken) return {std::move(taken).error()};
  running_ = std::move(plan.config);
  spdlog::info("the configuration was read again; {}",
               plan.changed.empty() ? "no key changed" : "new: " + join(plan.changed, ", "));
  if (!plan.needs_restart.empty()) spdlog::warn("needs a restart: {}", join(plan.needs_restart, ", "));
  return {};
}

void Reloader::reload() {
  // Before it is read: what is written meanwhile is seen the next time.
  seen_ = contents();
  const auto problems = try_reload();
  successful_ = problems.empty();
  if (successful_) success_time_ = system_clock().now();
  for (const auto& e : problems)
    spdlog::error("kept the old configuration: {} [{}]{}", e.message, e.code,
                  e.hint.empty() ? std::string() : "; " + e.hint);
}

void Reloader::reload_if_changed() {
  if (contents() != seen_) reload();
}

}  // namespace oddjob::server
