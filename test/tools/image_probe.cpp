// Indexes one image and says what came of it, for tests that hold the index to
// other tools and for bench/.
//
//   image_probe REFERENCE --directory DIR [--docker-config FILE] [--layouts DIR]
//               [--platform linux/arm64] [--walk] [--time-completions N]
//
// The last line of standard output is JSON: what was read, how long it took,
// memory at its peak. With --walk each path is a line of JSON before it.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "core/digest.hpp"
#include "core/json.hpp"
#include "fs/files.hpp"
#include "image/service/service.hpp"
#include "image/service/words.hpp"

using namespace oddjob;

namespace {

struct Flags {
  std::string reference, directory, docker_config, layouts, platform;
  std::vector<std::string> environment;
  bool walk = false;
  int completions = 0;
};

double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

std::string_view kind_of(const image::PathInfo& p) {
  switch (p.kind) {
    case image::EntryKind::directory:
      return "directory";
    case image::EntryKind::symlink:
      return "symlink";
    case image::EntryKind::file:
      return "file";
    default:
      return "special";
  }
}

// Prefixes that people type: of paths that are there, cut somewhere.
json::object time_completions(const image::ImageIndex& index, int count) {
  std::vector<std::string> prefixes;
  std::uint64_t n = 0;
  const auto every = std::max<std::uint64_t>(1, index.stats().paths / static_cast<std::uint64_t>(count));
  (void)index.walk("/", [&](std::string_view path, const image::PathInfo&) {
    if (n++ % every == 0)
      prefixes.emplace_back(
          path.substr(0, path.rfind('/') + 1 + std::min<std::size_t>(2, path.size() - path.rfind('/') - 1)));
    return true;
  });
  std::vector<double> took;
  const image::Surroundings around;
  for (const auto& p : prefixes) {
    const auto begin = std::chrono::steady_clock::now();
    (void)image::complete_words(index, around, {"node"}, p, 100);
    took.push_back(seconds_since(begin) * 1e6);
  }
  std::ranges::sort(took);
  const auto at = [&](double q) {
    return took.empty() ? 0.0 : took[static_cast<std::size_t>(q * static_cast<double>(took.size() - 1))];
  };
  return {{"count", took.size()}, {"p50us", at(0.5)}, {"p99us", at(0.99)}, {"maxus", at(1)}};
}

Result<json::object> probe(const Flags& flags) {
  net::Loop loop;
  image::ServiceOptions options;
  options.directory = flags.directory;
  options.layout_directory = flags.layouts;
  options.registry.proxy = "";
  if (!flags.docker_config.empty()) {
    OJ_TRY(const auto text, fs::read_file(flags.docker_config, image::kMaxDockerConfig, "probe.unreadable"));
    OJ_TRY(options.docker_config, image::parse_docker_config(text, flags.docker_config));
  }
  for (const auto* name : {"PATH", "HOME"})
    if (const char* value = std::getenv(name); value != nullptr) options.helper_environment[name] = value;
  image::Wanted wanted;
  OJ_TRY(wanted.image, image::parse_reference(flags.reference));
  if (!flags.platform.empty()) {
    OJ_TRY(wanted.platform, image::parse_platform(flags.platform));
  }
  image::Service service(loop, options);
  OJ_CHECK(service.start());
  const auto begin = std::chrono::steady_clock::now();
  auto copy = wanted;
  auto got = loop.block_on(service.get(std::move(copy), std::chrono::minutes(30)));
  if (!got) return std::unexpected(got.error());
  if (!*got) return fail(Errc::deadline_exceeded, "probe.late", "not indexed in time");
  const auto& index = **got;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto status = service.status(wanted);
  json::object out{
      {"seconds", seconds_since(begin)},
      {"digest", index.facts().digest},
      {"platform", index.facts().platform},
      {"paths", index.stats().paths},
      {"indexBytes", index.stats().bytes},
      {"compressedBytes", service.stats().bytes_read},
      {"layersShared", status.layers_shared},
      {"resumed", service.stats().blobs_resumed},
      {"cpuSeconds", static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6},
      {"peakKiB", usage.ru_maxrss}};
  if (flags.walk) {
    const auto walked = index.walk("/", [](std::string_view path, const image::PathInfo& p) {
      json::object line{
          {"path", base64_encode(path)}, {"kind", kind_of(p)}, {"mode", p.mode}, {"size", p.size}};
      if (!p.link.empty()) line["link"] = base64_encode(p.link);
      std::cout << json::serialize(line) << "\n";
      return true;
    });
    if (!walked) return std::unexpected(walked.error());
  }
  if (flags.completions > 0) out["completions"] = time_completions(index, flags.completions);
  loop.block_on(service.stop());
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("probe"));
  spdlog::set_level(spdlog::level::warn);
  Flags flags;
  CLI::App app{"Indexes one image."};
  app.add_option("reference", flags.reference)->required();
  app.add_option("--directory", flags.directory)->required();
  app.add_option("--docker-config", flags.docker_config);
  app.add_option("--layouts", flags.layouts);
  app.add_option("--platform", flags.platform);
  app.add_flag("--walk", flags.walk);
  app.add_option("--time-completions", flags.completions);
  CLI11_PARSE(app, argc, argv);
  const auto done = probe(flags);
  if (!done) {
    std::cerr << done.error().code << ": " << done.error().message << "\n";
    return 1;
  }
  std::cout << json::serialize(*done) << "\n";
  return 0;
}
