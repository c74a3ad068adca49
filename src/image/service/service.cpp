#include "image/service/service.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>

#include "core/digest.hpp"
#include "core/json.hpp"
#include "fs/files.hpp"
#include "image/service/service_impl.hpp"

namespace oddjob::image {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxOpened = 64, kMaxJobs = 5000, kMaxName = 4096;
constexpr Duration kStopPatience = std::chrono::seconds(5);

bool busy(const Job& job) { return job.under_way; }

// Tells pull secrets apart without keeping them; empty where none fits the image.
std::string fingerprint(const Wanted& w) {
  std::string text;
  for (const auto& secret : w.pull_secrets)
    for (const auto& c : matching(secret, w.image))
      for (const auto* part : {&c.username, &c.password, &c.identity_token, &c.registry_token})
        text.append(std::to_string(part->size())).append(":").append(*part);
  return text.empty() ? std::string() : sha256_hex(text);
}

}  // namespace

std::string_view to_string(IndexState s) noexcept {
  switch (s) {
    case IndexState::absent:
      return "absent";
    case IndexState::queued:
      return "queued";
    case IndexState::indexing:
      return "indexing";
    case IndexState::ready:
      return "ready";
    case IndexState::failed:
      return "failed";
  }
  return "absent";
}

// ---- slots -------------------------------------------------------------------

net::Task<bool> Slots::take(std::function<bool()> urgent, std::function<bool()> over) {
  bool counted = false;
  while (!over()) {
    if (urgent() && !counted) {
      counted = true;
      ++urgent_waiting_;
    }
    if (free_ > 0 && (counted || urgent_waiting_ == 0)) {
      --free_;
      if (counted) --urgent_waiting_;
      co_return true;
    }
    const auto seen = freed_.ticket();
    co_await freed_.wait_beyond(seen, std::chrono::milliseconds(250));
  }
  if (counted) --urgent_waiting_;
  co_return false;
}

void Slots::give() {
  ++free_;
  freed_.notify_all();
}

// ---- service -----------------------------------------------------------------

Service::Impl::Impl(net::Loop& l, ServiceOptions o)
    : loop(l),
      options(std::move(o)),
      registry(l, options.registry),
      files(options.directory, options.max_bytes),
      inflating(options.threads > 0 ? options.threads : std::max(2U, std::thread::hardware_concurrency())),
      disk(2),
      helpers(2),
      urgent_pulls(std::max<std::size_t>(options.max_pulls, 1)),
      background_pulls(std::max<std::size_t>(options.max_pulls, 1)),
      layer_slots(std::max<std::size_t>(options.max_layers, 1)) {}

// The digest decides where there is one, so that a tag beside it makes no second job.
std::string Service::Impl::key_of(const Wanted& w) const {
  Reference r = w.image;
  if (!r.digest.empty()) r.tag.clear();
  return oddjob::image::to_string(r) + " " + oddjob::image::to_string(platform_of(w));
}

Service::Service(net::Loop& loop, ServiceOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}
Service::~Service() { impl_->stopping = true; }

Result<> Service::start() { return impl_->files.open(); }

net::Task<> Service::stop() {
  const auto self = impl_;
  self->stopping = true;
  self->registry.close();
  const auto until = Steady::now() + kStopPatience;
  while (self->working > 0 && Steady::now() < until) {
    const auto seen = self->idle.ticket();
    co_await self->idle.wait_beyond(seen, std::chrono::milliseconds(50));
  }
}

net::Task<IndexPtr> Service::Impl::open(Ptr self, std::string digest) {
  if (const auto found = self->opened.find(digest); found != self->opened.end()) {
    self->files.touch(FileKind::image, digest);
    const auto index = found->second;
    co_return index;
  }
  if (!self->files.has(FileKind::image, digest)) co_return nullptr;
  auto work = [self, &digest] { return ImageIndex::open(self->files.path(FileKind::image, digest)); };
  auto opened = co_await self->disk.offload(work);
  if (!opened) {
    spdlog::warn("the index of {} cannot be used and is made again: {}", digest, opened.error().message);
    self->files.remove(FileKind::image, digest);
    co_return nullptr;
  }
  const auto index = std::make_shared<const ImageIndex>(std::move(*opened));
  self->files.touch(FileKind::image, digest);
  if (self->opened.emplace(digest, index).second) self->opened_order.push_back(digest);
  if (self->opened_order.size() > kMaxOpened) {
    self->opened.erase(self->opened_order.front());
    self->opened_order.pop_front();
  }
  co_return index;
}

net::Task<IndexPtr> Service::find(Wanted wanted) {
  const auto self = impl_;
  const auto key = self->key_of(wanted);
  std::string digest;
  const auto known = self->jobs.find(key);
  if (known != self->jobs.end()) digest = known->second->status.digest;
  if (digest.empty()) {
    // Of an earlier process: the name's file says which manifest it was.
    auto read = [self, &key] {
      return fs::read_file(self->files.path(FileKind::name, sha256_hex(key)), kMaxName, "image.no_name");
    };
    const auto text = co_await self->disk.offload(read);
    if (!text) co_return nullptr;
    const auto parsed = parse_json(*text, "name", kMaxName);
    if (!parsed) co_return nullptr;
    digest = get_string(*parsed, {"manifest"});
    if (!is_digest(digest)) co_return nullptr;
  }
  auto opening = Impl::open(self, digest);
  const auto index = co_await std::move(opening);
  if (index && !self->jobs.contains(key)) {
    auto job = std::make_shared<Job>();
    job->wanted = wanted;
    job->wanted.pull_secrets.clear();
    job->key = key;
    job->status.state = IndexState::ready;
    job->status.image = oddjob::image::to_string(wanted.image);
    job->status.platform = oddjob::image::to_string(self->platform_of(wanted));
    job->status.digest = digest;
    job->status.index = index->stats();
    self->jobs[key] = std::move(job);
  }
  // A tag that was looked up long ago is looked up again, while this answer goes out.
  if (index && wanted.image.digest.empty()) self->job_for(wanted, false);
  co_return index;
}

JobPtr Service::Impl::job_for(const Wanted& w, bool urgent) {
  const auto key = key_of(w);
  auto& job = jobs[key];
  const auto now = Steady::now();
  if (!job) {
    job = std::make_shared<Job>();
    job->key = key;
    job->status.image = oddjob::image::to_string(w.image);
    job->status.platform = oddjob::image::to_string(platform_of(w));
  }
  const auto out = job;
  out->urgent = out->urgent || urgent;
  if (busy(*out) || stopping) return out;
  const bool pinned = !w.image.digest.empty();
  const auto age = now - out->looked_up;
  if (out->status.state == IndexState::ready && files.has(FileKind::image, out->status.digest) &&
      (pinned || age < options.tag_lifetime))
    return out;
  auto secrets = fingerprint(w);
  if (out->status.state == IndexState::failed && age < options.failure_pause) {
    // Another workload's secrets may open what this one's did not.
    const bool refused = out->status.error && out->status.error->code == "image.unauthorized";
    if (!refused || secrets.empty() || secrets == out->tried) return out;
  }
  out->tried = std::move(secrets);
  out->wanted = w;
  out->under_way = true;
  out->urgent = urgent;
  if (out->status.state != IndexState::ready) out->status.state = IndexState::queued;
  ++working;
  loop.spawn("image.index", work(shared_from_this(), out));
  if (jobs.size() > kMaxJobs)
    std::erase_if(jobs, [&](const auto& entry) { return !busy(*entry.second) && entry.second != out; });
  return out;
}

net::Task<Result<IndexPtr>> Service::get(Wanted wanted, Duration patience) {
  const auto self = impl_;
  const auto until = Steady::now() + patience;
  for (;;) {
    auto finding = find(wanted);
    if (auto index = co_await std::move(finding)) co_return index;
    if (self->stopping) co_return fail(Errc::unavailable, "image.stopped", "the server is stopping");
    const auto job = self->job_for(wanted, true);
    if (job->status.state == IndexState::failed && job->status.error && !job->under_way) {
      // Told again to those who come meanwhile, with what it was.
      co_return std::unexpected(*job->status.error);
    }
    while (job->under_way) {
      const auto now = Steady::now();
      if (now >= until) co_return IndexPtr();
      const auto seen = job->changed.ticket();
      co_await job->changed.wait_beyond(seen, std::chrono::ceil<Duration>(until - now));
    }
    if (job->status.state == IndexState::failed && job->status.error)
      co_return std::unexpected(*job->status.error);
    if (Steady::now() >= until) co_return IndexPtr();
  }
}

void Service::prepare(Wanted wanted) { impl_->job_for(wanted, false); }

Status Service::status(const Wanted& wanted) const {
  const auto found = impl_->jobs.find(impl_->key_of(wanted));
  if (found != impl_->jobs.end()) return found->second->status;
  Status out;
  out.image = oddjob::image::to_string(wanted.image);
  out.platform = oddjob::image::to_string(impl_->platform_of(wanted));
  return out;
}

std::vector<Status> Service::all() const {
  std::map<std::string, IndexFiles::Entry, std::less<>> on_disk;
  for (auto& e : impl_->files.images()) on_disk.emplace(e.digest, e);
  std::vector<Status> out;
  std::set<std::string, std::less<>> told;
  for (const auto& [key, job] : impl_->jobs) {
    out.push_back(job->status);
    auto& s = out.back();
    const auto file = on_disk.find(s.digest);
    if (s.state == IndexState::ready && file == on_disk.end()) s.state = IndexState::absent;
    if (file != on_disk.end()) s.last_used = file->second.last_used;
    told.insert(s.digest);
  }
  for (const auto& [digest, entry] : on_disk) {
    if (told.contains(digest)) continue;
    Status s;
    s.state = IndexState::ready;
    s.digest = digest;
    s.index.bytes = entry.bytes;
    s.last_used = entry.last_used;
    out.push_back(std::move(s));
  }
  return out;
}

Service::Stats Service::stats() const {
  Stats out;
  const auto totals = impl_->files.totals();
  out.images = totals.images;
  out.layers = totals.layers;
  out.index_bytes = totals.bytes;
  out.evicted = totals.evicted;
  for (const auto& [key, job] : impl_->jobs) {
    if (!job->under_way) continue;
    ++(job->status.state == IndexState::queued ? out.queued : out.working);
  }
  out.indexed = impl_->indexed;
  out.failed = impl_->failed;
  out.layers_read = impl_->layers_read;
  out.layers_shared = impl_->layers_shared;
  out.bytes_read = impl_->bytes_read;
  const auto r = impl_->registry.stats();
  out.registry_requests = r.requests;
  out.registry_retries = r.retries;
  out.blobs_resumed = r.resumed;
  return out;
}

}  // namespace oddjob::image
