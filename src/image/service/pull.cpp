// One image, from its name to its index.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/json.hpp"
#include "core/text.hpp"
#include "fs/files.hpp"
#include "image/index/image_builder.hpp"
#include "image/index/layer_reader.hpp"
#include "image/registry/layout.hpp"
#include "image/service/service_impl.hpp"

namespace oddjob::image {
namespace {

using Steady = std::chrono::steady_clock;
using Impl = Service::Impl;

constexpr int kMaxNesting = 3;  // indexes within indexes

struct Resolved {
  std::string digest;
  Manifest manifest;
};

net::Task<Result<Resolved>> resolve(Source& source, Reference image, Platform platform) {
  std::string name(manifest_name(image));
  const auto what = oddjob::image::to_string(image);
  for (int depth = 0; depth < kMaxNesting; ++depth) {
    auto fetching = source.manifest(name);
    auto document = co_await std::move(fetching);
    if (!document) co_return std::unexpected(std::move(document).error());
    OJ_CO_TRY(auto parsed, parse_manifest(document->body, document->media_type, what));
    if (auto* manifest = std::get_if<Manifest>(&parsed)) {
      Resolved out{document->digest, std::move(*manifest)};
      co_return out;
    }
    OJ_CO_TRY(const auto chosen, choose_platform(std::get<Index>(parsed), platform, what));
    name = chosen.digest;
  }
  co_return fail(Errc::failed_precondition, "image.bad_manifest",
                 what + ": its indexes are nested too deeply");
}

// Several coroutines at once, waited for together; the first error is kept.
struct Group {
  std::size_t left = 0;
  std::optional<Error> error;
  net::Notifier changed;
};
net::Task<> member(std::shared_ptr<Group> group, net::Task<Result<>> task) {
  auto done = co_await std::move(task);
  if (!done && !group->error) group->error = std::move(done).error();
  --group->left;
  group->changed.notify_all();
}

// Layers that one image needs stay until it is merged.
class Pins {
 public:
  Pins(IndexFiles& files, const Manifest& manifest) : files_(files) {
    for (const auto& l : manifest.layers) digests_.push_back(l.blob.digest);
    for (const auto& d : digests_) files_.pin(d);
  }
  ~Pins() {
    for (const auto& d : digests_) files_.unpin(d);
  }
  Pins(const Pins&) = delete;
  Pins& operator=(const Pins&) = delete;

 private:
  IndexFiles& files_;
  std::vector<std::string> digests_;
};

}  // namespace

Result<> Impl::may_go_on(const Job& job) const {
  if (stopping) return fail(Errc::unavailable, "image.stopped", "the server is stopping");
  if (Steady::now() > job.deadline) {
    return fail(Errc::deadline_exceeded, "image.too_slow",
                fmt::format("indexing took longer than {}", human_duration(options.max_time)));
  }
  return {};
}

net::Task<> Impl::throttle(Ptr self, JobPtr job, std::size_t bytes) {
  if (self->options.background_rate == 0 || job->urgent) co_return;
  const auto now = Steady::now();
  const auto cost = std::chrono::nanoseconds(static_cast<std::int64_t>(
      static_cast<double>(bytes) * 1e9 / static_cast<double>(self->options.background_rate)));
  self->rate_free = std::max(self->rate_free, now) + cost;
  // Somebody may begin to wait for it meanwhile: then it hurries.
  while (!job->urgent && !self->stopping) {
    const auto left = self->rate_free - Steady::now();
    if (left <= std::chrono::milliseconds(1)) break;
    co_await net::sleep_for(std::min(std::chrono::ceil<Duration>(left), Duration(100)));
  }
}

net::Task<> Impl::work(Ptr self, JobPtr job) {
  const auto over = [self, job] { return self->stopping.load(); };
  // A job that becomes urgent while it stands in the other line goes on in the
  // line of those in a hurry.
  bool in_urgent_line = job->urgent;
  bool got = false;
  while (!got && !self->stopping) {
    in_urgent_line = job->urgent;
    auto& line = in_urgent_line ? self->urgent_pulls : self->background_pulls;
    const auto leave = [over, job, in_urgent_line] { return over() || job->urgent != in_urgent_line; };
    auto taking = line.take([] { return false; }, leave);
    got = co_await std::move(taking);
  }
  job->deadline = Steady::now() + self->options.max_time;
  Result<> done = fail(Errc::unavailable, "image.stopped", "the server is stopping");
  if (got) {
    if (job->status.state != IndexState::ready) job->status.state = IndexState::indexing;
    std::string threw;
    try {
      auto indexing = index(self, job);
      done = co_await std::move(indexing);
    } catch (const std::exception& e) {
      threw = e.what();
    }
    if (!threw.empty()) done = fail(Errc::internal, "image.internal", "indexing failed: " + threw);
    (in_urgent_line ? self->urgent_pulls : self->background_pulls).give();
  }
  job->looked_up = Steady::now();
  job->under_way = false;
  job->wanted.pull_secrets.clear();
  // What could not be looked up again is still what it was.
  const bool still_there =
      job->status.state == IndexState::ready && self->files.has(FileKind::image, job->status.digest);
  if (done) {
    job->status.error.reset();
    job->status.state = IndexState::ready;
  } else if (still_there) {
    spdlog::info("{} could not be looked up again: {}", job->status.image, done.error().message);
  } else if (done.error().code != "image.stopped") {
    ++self->failed;
    spdlog::warn("{} was not indexed: {} [{}]", job->status.image, done.error().message, done.error().code);
    job->status.error = std::move(done).error();
    job->status.state = IndexState::failed;
  } else {
    job->status.state = IndexState::absent;
  }
  --self->working;
  job->changed.notify_all();
  self->idle.notify_all();
}

net::Task<Result<std::unique_ptr<Source>>> Impl::source_of(Ptr self, Wanted wanted) {
  const auto repository = wanted.image.registry + "/" + wanted.image.repository;
  std::string folder;
  if (const auto found = self->options.layouts.find(repository); found != self->options.layouts.end()) {
    folder = found->second;
  } else if (!self->options.layout_directory.empty()) {
    const auto there = self->options.layout_directory + "/" + repository;
    if (fs::read_file(there + "/oci-layout", 4096, "image.bad_layout")) folder = there;
  }
  if (!folder.empty()) co_return open_layout(folder, self->disk);

  std::vector<Credential> credentials;
  const auto add = [&](const DockerConfig& config) {
    for (auto& c : matching(config, wanted.image)) credentials.push_back(std::move(c));
  };
  for (const auto& secret : wanted.pull_secrets) add(secret);
  add(self->options.docker_config);
  // Helpers run programs: only those that the server's own configuration names.
  if (const auto helper = helper_for(self->options.docker_config, wanted.image); !helper.empty()) {
    auto asking = [self, &helper, &wanted] {
      return ask_helper(helper, wanted.image, self->options.helper_environment, self->options.helper_timeout,
                        self->stopping);
    };
    auto answer = co_await self->helpers.offload(asking);
    if (answer && !answer->empty()) credentials.push_back(std::move(*answer));
    if (!answer) spdlog::warn("{}", answer.error().message);
  }
  co_return self->registry.repository(wanted.image, std::move(credentials));
}

net::Task<Result<>> Impl::index(Ptr self, JobPtr job) {
  auto finding = source_of(self, job->wanted);
  OJ_CO_TRY(const auto source, co_await std::move(finding));
  auto resolving = resolve(*source, job->wanted.image, self->platform_of(job->wanted));
  OJ_CO_TRY(const auto resolved, co_await std::move(resolving));
  const auto name_path = self->files.path(FileKind::name, sha256_hex(job->key));
  const auto name_text =
      json::serialize(json::value(json::object{{"manifest", resolved.digest}, {"image", job->key}}));
  auto remember = [self, &name_path, &name_text, &job] {
    auto written = fs::write_private_file(name_path, name_text);
    if (written) self->files.added(FileKind::name, sha256_hex(job->key));
    return written;
  };

  Status& s = job->status;
  if (self->files.has(FileKind::image, resolved.digest)) {
    auto opening = open(self, resolved.digest);
    if (const auto index = co_await std::move(opening)) {
      OJ_CO_CHECK(co_await self->disk.offload(remember));
      s.digest = resolved.digest;
      s.index = index->stats();
      co_return Result<>{};
    }
  }
  auto reading = read_blob(*source, resolved.manifest.config, kMaxConfig);
  OJ_CO_TRY(const auto config_text, co_await std::move(reading));
  OJ_CO_TRY(const auto config, parse_config(config_text, "the configuration of " + s.image));

  // What has to be read, each layer once.
  const Pins pins(self->files, resolved.manifest);
  std::vector<Layer> missing;
  std::set<std::string, std::less<>> seen;
  s.layers = resolved.manifest.layers.size();
  s.layers_done = s.layers_shared = s.foreign_layers = 0;
  s.bytes_done = s.bytes_total = 0;
  std::uint64_t total = 0;
  for (const auto& l : resolved.manifest.layers) {
    total += static_cast<std::uint64_t>(l.blob.size);
    if (!seen.insert(l.blob.digest).second) {
      ++s.layers_done;
    } else if (self->files.has(FileKind::layer, l.blob.digest)) {
      self->files.touch(FileKind::layer, l.blob.digest);
      ++s.layers_done;
      ++s.layers_shared;
      ++self->layers_shared;
    } else {
      s.bytes_total += static_cast<std::uint64_t>(l.blob.size);
      missing.push_back(l);
    }
  }
  if (total > self->options.max_image_bytes) {
    co_return fail(Errc::too_large, "image.too_large",
                   fmt::format("{} has {} bytes of layers; at most {} are read", s.image, total,
                               self->options.max_image_bytes),
                   "images.maxImageBytes is the bound");
  }
  auto group = std::make_shared<Group>();
  for (const auto& l : missing) {
    ++group->left;
    self->loop.spawn("image.layer", member(group, layer(self, job, *source, l)));
  }
  while (group->left > 0) {
    const auto ticket = group->changed.ticket();
    if (group->left == 0) break;
    co_await group->changed.wait_beyond(ticket, std::chrono::minutes(1));
  }
  if (group->error) co_return fail(*group->error);

  ImageFacts facts;
  facts.digest = resolved.digest;
  facts.platform = oddjob::image::to_string(self->platform_of(job->wanted));
  facts.working_dir = config.working_dir;
  if (!config.path.empty())
    for (auto& folder : split(config.path, ':'))
      if (!folder.empty()) facts.path_dirs.push_back(std::move(folder));
  facts.entrypoint = config.entrypoint;
  facts.command = config.command;
  auto merge = [self, &resolved, &facts]() -> Result<> {
    ImageBuilder builder;
    for (const auto& l : resolved.manifest.layers) {
      const auto file = self->files.path(FileKind::layer, l.blob.digest);
      auto loaded = LayerIndex::load(file);
      if (!loaded) {
        // Foreign layers have no file; others may have been damaged or dropped.
        if (l.foreign) continue;
        self->files.remove(FileKind::layer, l.blob.digest);
        return fail(std::move(loaded).error());
      }
      OJ_CHECK(builder.add(*loaded));
    }
    OJ_TRY(const auto bytes, builder.finish(facts));
    if (bytes.size() > self->options.max_bytes) {
      return fail(Errc::too_large, "image.index_too_large",
                  fmt::format("the index has {} bytes, more than all indexes may have", bytes.size()),
                  "images.maxIndexBytes is the bound");
    }
    OJ_CHECK(fs::write_private_file(self->files.path(FileKind::image, facts.digest), bytes));
    self->files.added(FileKind::image, facts.digest);
    return {};
  };
  OJ_CO_CHECK(co_await self->inflating.offload(merge));
  OJ_CO_CHECK(co_await self->disk.offload(remember));
  self->opened.erase(resolved.digest);
  std::erase(self->opened_order, resolved.digest);
  auto opening = open(self, resolved.digest);
  const auto index = co_await std::move(opening);
  if (!index)
    co_return fail(Errc::internal, "image.internal", "the index that was just written cannot be read");
  s.digest = resolved.digest;
  s.index = index->stats();
  ++self->indexed;
  spdlog::info("{} is indexed: {} paths, {} bytes; {} of {} layers were known", s.image, s.index.paths,
               s.index.bytes, s.layers_shared, s.layers);
  co_return Result<>{};
}

net::Task<Result<>> Impl::layer(Ptr self, JobPtr job, Source& source, Layer layer) {
  const auto& digest = layer.blob.digest;
  for (;;) {
    OJ_CO_CHECK(self->may_go_on(*job));
    if (self->files.has(FileKind::layer, digest)) {
      // Another image had it read meanwhile.
      ++job->status.layers_done;
      ++job->status.layers_shared;
      ++self->layers_shared;
      job->status.bytes_done += static_cast<std::uint64_t>(layer.blob.size);
      job->changed.notify_all();
      co_return Result<>{};
    }
    if (self->layers_under_way.insert(digest).second) break;
    const auto seen = self->layers_changed.ticket();
    co_await self->layers_changed.wait_beyond(seen, std::chrono::seconds(1));
  }
  auto taking =
      self->layer_slots.take([job] { return job->urgent; }, [self] { return self->stopping.load(); });
  const bool slot = co_await std::move(taking);
  Result<> done = fail(Errc::unavailable, "image.stopped", "the server is stopping");
  if (slot) {
    auto reading = read_layer(self, job, source, layer.blob);
    done = co_await std::move(reading);
    self->layer_slots.give();
  }
  self->layers_under_way.erase(digest);
  self->layers_changed.notify_all();
  if (!done && layer.foreign && done.error().kind == Errc::not_found) {
    // The specification lets a registry refuse to have these. Fetching them from
    // the addresses that the manifest gives would let an image send the server
    // anywhere, so their paths are missing, and the status says so.
    ++job->status.foreign_layers;
    done = Result<>{};
  }
  if (done) ++job->status.layers_done;
  job->changed.notify_all();
  if (!done) co_return fail(std::move(done).error());
  co_return Result<>{};
}

net::Task<Result<>> Impl::read_layer(Ptr self, JobPtr job, Source& source, Descriptor d) {
  auto opening = source.blob(d);
  OJ_CO_TRY(const auto blob, co_await std::move(opening));
  struct Work {
    BlobCheck check;
    LayerReader reader;
  };
  auto work = std::make_shared<Work>(BlobCheck(d), LayerReader());
  for (;;) {
    auto reading = blob->read();
    OJ_CO_TRY(const auto piece, co_await std::move(reading));
    if (piece.empty()) break;
    auto take = [&work, &piece]() -> Result<> {
      OJ_CHECK(work->check.update(piece));
      return work->reader.feed(std::as_bytes(std::span(piece)));
    };
    OJ_CO_CHECK(co_await self->inflating.offload(take));
    self->bytes_read += piece.size();
    job->status.bytes_done += piece.size();
    OJ_CO_CHECK(self->may_go_on(*job));
    auto waiting = throttle(self, job, piece.size());
    co_await std::move(waiting);
  }
  auto end = [self, &work, &d]() -> Result<> {
    OJ_CHECK(work->check.finish());
    OJ_TRY(const auto index, work->reader.finish());
    OJ_CHECK(index.save(self->files.path(FileKind::layer, d.digest)));
    self->files.added(FileKind::layer, d.digest);
    return {};
  };
  auto ended = co_await self->inflating.offload(end);
  if (!ended) co_return std::unexpected(std::move(ended).error().with_context("layer " + d.digest));
  ++self->layers_read;
  co_return Result<>{};
}

}  // namespace oddjob::image
