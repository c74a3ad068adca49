#include "runs/log_follower.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/text.hpp"

namespace oddjob::runs {
namespace {

// Bytes in memory at which the upstream is not read on until the archive took some.
constexpr std::size_t kMaxTail = 1U << 20U;
constexpr auto kStatusLag = std::chrono::seconds(2);
constexpr auto kGoneLag = std::chrono::seconds(10);
constexpr auto kRefusedFor = std::chrono::seconds(3);
constexpr auto kAwayFor = std::chrono::minutes(15);
constexpr int kStopTries = 3;

Duration since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - t);
}

// The API server itself could not be asked, or has no time: that says nothing of the log.
bool unreached(const Error& e) { return e.code.starts_with("http.") || e.kind == Errc::rate_limited; }

}  // namespace

struct LogFollower::Reading {
  Pod pod;
  LogResume resume;
  bool follow = false;
  bool clean_end = false;  // the last stream that followed came to an orderly end
  bool told_forbidden = false;
  int notes = 0;
  std::optional<Steady::time_point> missing_since, refused_since, away_since;
  Duration backoff{};
};

LogFollower::LogFollower(kube::Client& client, store::Store& store, net::BlockingPool& db,
                         LogFollowerOptions options, StateOf state_of, std::function<void()> on_change)
    : client_(client),
      store_(store),
      db_(db),
      options_(std::move(options)),
      state_of_(std::move(state_of)),
      on_change_(std::move(on_change)) {}

net::Task<Result<>> LogFollower::load() {
  auto self = shared_from_this();
  auto ask = [self] { return self->store_.log_length(self->options_.run_id); };
  auto length = co_await db_.offload(ask);
  if (!length) co_return std::unexpected(std::move(length).error());
  archived_ = *length;
  if (static_cast<std::size_t>(archived_) >= options_.max_bytes) {
    truncated_ = true;
    give_up(fmt::format("the log is longer than {} bytes; the rest was not kept", options_.max_bytes));
  }
  co_return Result<>();
}

void LogFollower::follow(std::string pod_name, std::string pod_uid, std::string container) {
  queue_.push_back({std::move(pod_name), std::move(pod_uid), std::move(container)});
  if (stopping_) return;
  if (!keeping_) {
    keeping_ = true;
    client_.loop().spawn("runs.log_keeper", keep(shared_from_this()));
  }
  if (!reading_) {
    reading_ = true;
    client_.loop().spawn("runs.log", main(shared_from_this()));
  }
}

void LogFollower::poke() {
  if (current_ && !stopping_ && ended_since_ == Steady::time_point{} &&
      state_of_(current_->pod.uid) != PodState::running) {
    ended_since_ = Steady::now();
  }
  poked_.notify_all();
  wake_keeper_.notify_all();
}

net::Task<> LogFollower::stop() {
  auto self = shared_from_this();
  self->stopping_ = true;
  if (self->stream_) self->stream_->cancel();
  self->poked_.notify_all();
  self->wake_keeper_.notify_all();
  self->flushed_.notify_all();
  for (int i = 0; i < 100 && (self->reading_ || self->keeping_); ++i) {
    const auto seen = self->idle_.ticket();
    if (!self->reading_ && !self->keeping_) break;
    co_await self->idle_.wait_beyond(seen, std::chrono::milliseconds(100));
  }
}

bool LogFollower::drained() const noexcept {
  return queue_.empty() && !reading_ && inflight_.empty() && tail_.empty();
}

std::int64_t LogFollower::length() const noexcept {
  return archived_ + static_cast<std::int64_t>(inflight_.size() + tail_.size());
}

net::Task<Result<std::string>> LogFollower::read(std::int64_t offset, std::size_t max_bytes) {
  auto self = shared_from_this();
  if (offset < 0 || offset >= self->length() || max_bytes == 0) co_return std::string();
  if (offset < self->archived_) {
    auto ask = [self, offset, max_bytes] {
      return self->store_.read_log(self->options_.run_id, offset, max_bytes);
    };
    auto bytes = co_await self->db_.offload(ask);
    co_return bytes;
  }
  std::size_t at = static_cast<std::size_t>(offset - self->archived_);
  std::string out;
  for (const std::string* part : {&self->inflight_, &self->tail_}) {
    if (at >= part->size()) {
      at -= part->size();
      continue;
    }
    out.append(*part, at, max_bytes - out.size());
    at = 0;
    if (out.size() >= max_bytes) break;
  }
  co_return out;
}

void LogFollower::changed() {
  if (!stopping_) on_change_();
}

void LogFollower::give_up(std::string why) {
  if (problem_.empty()) problem_ = std::move(why);
}

void LogFollower::take(std::string bytes, const store::LogCursor& cursor) {
  if (bytes.empty()) return;
  const auto room =
      options_.max_bytes - std::min<std::size_t>(options_.max_bytes, static_cast<std::size_t>(length()));
  if (bytes.size() > room) {
    bytes.resize(room);
    truncated_ = true;
    give_up(fmt::format("the log is longer than {} bytes; the rest was not kept", options_.max_bytes));
  }
  if (tail_.empty()) {
    tail_since_ = Steady::now();
    tail_ = std::move(bytes);
    wake_keeper_.notify_all();
  } else {
    tail_ += bytes;
    if (tail_.size() >= options_.flush_bytes) wake_keeper_.notify_all();
  }
  tail_cursor_ = cursor;
  changed();
}

// ---- archiving --------------------------------------------------------------

// Writes to the archive in time, and ends streams that outlive their container.
net::Task<> LogFollower::keep(Ptr self) {
  while (true) {
    const auto seen = self->wake_keeper_.ticket();
    Duration wait = std::chrono::minutes(10);
    if (!self->tail_.empty()) {
      const auto left = self->options_.flush_after - since(self->tail_since_);
      if (self->flush_now_ || self->stopping_ || self->tail_.size() >= self->options_.flush_bytes ||
          left.count() <= 0) {
        co_await flush(self);
        continue;
      }
      wait = left;
    }
    if (self->stopping_ && !self->reading_) break;
    if (!self->stopping_ && self->stream_ && self->ended_since_ != Steady::time_point{}) {
      const auto quiet = std::min(since(self->last_byte_), since(self->ended_since_));
      if (quiet >= self->options_.stuck_after) {
        self->stream_->cancel();
      } else {
        wait = std::min(wait, self->options_.stuck_after - quiet + std::chrono::milliseconds(1));
      }
    }
    co_await self->wake_keeper_.wait_beyond(seen, wait);
  }
  self->keeping_ = false;
  self->idle_.notify_all();
}

// Moves what is in memory into the archive, however long the database takes.
net::Task<> LogFollower::flush(Ptr self) {
  self->inflight_ = std::exchange(self->tail_, {});
  self->flushing_ = true;
  store::LogChunk chunk;
  chunk.pod_uid = self->pod_uid_;
  chunk.offset = self->archived_;
  chunk.data = self->inflight_;
  chunk.cursor = self->tail_cursor_;
  Duration backoff = self->options_.retry_min;
  for (int tries = 1;; ++tries) {
    auto write = [self, &chunk] {
      return self->store_.append_log(self->options_.run_id, chunk, self->options_.owner);
    };
    auto done = co_await self->db_.offload_together(write);
    if (!done && done.error().code == "store.not_owner") {
      // Another server reads the log on, from where the archive ends.
      self->stopping_ = true;
      if (self->stream_) self->stream_->cancel();
      self->poked_.notify_all();
      self->wake_keeper_.notify_all();
      self->inflight_.clear();
      self->tail_.clear();
      break;
    }
    if (!done && done.error().code == "store.log_offset") {
      // Did an earlier attempt reach the disk although its answer was an error?
      auto ask = [self] { return self->store_.log_length(self->options_.run_id); };
      const auto length = co_await self->db_.offload(ask);
      if (length && *length == chunk.offset + static_cast<std::int64_t>(chunk.data.size())) {
        done = Result<>();
      } else if (length) {
        self->truncated_ = true;
        self->give_up("another process wrote to this run's log");
        self->inflight_.clear();
        self->tail_.clear();
        self->archived_ = *length;
        break;
      }
    }
    if (done) {
      self->archived_ += static_cast<std::int64_t>(self->inflight_.size());
      self->inflight_.clear();
      break;
    }
    spdlog::warn("log of run {} can't be archived now: {}", self->options_.run_id, done.error().message);
    if (self->stopping_ && tries >= kStopTries) {
      // Nothing is lost: the cursor has not moved, the next start reads it again.
      self->inflight_.clear();
      self->tail_.clear();
      break;
    }
    co_await net::sleep_for(backoff);
    backoff = std::min(backoff * 2, self->options_.retry_max);
  }
  self->flushing_ = false;
  if (self->tail_.empty()) self->flush_now_ = false;
  self->tail_since_ = Steady::now();
  self->flushed_.notify_all();
  self->changed();
}

net::Task<> LogFollower::flush_all(Ptr self) {
  while (self->keeping_ && (!self->tail_.empty() || self->flushing_)) {
    const auto seen = self->flushed_.ticket();
    self->flush_now_ = true;
    self->wake_keeper_.notify_all();
    co_await self->flushed_.wait_beyond(seen, std::chrono::seconds(1));
  }
}

// ---- reading ----------------------------------------------------------------

net::Task<> LogFollower::main(Ptr self) {
  while (!self->queue_.empty() && !self->stopping_) {
    Pod pod = std::move(self->queue_.front());
    self->queue_.pop_front();
    if (!self->truncated_) co_await read_pod(self, std::move(pod));
    co_await flush_all(self);
  }
  self->reading_ = false;
  self->idle_.notify_all();
  self->wake_keeper_.notify_all();
  self->changed();
}

net::Task<> LogFollower::pause(Ptr self, std::shared_ptr<Reading> r) {
  if (self->stopping_) co_return;
  r->backoff = std::clamp(r->backoff * 2, self->options_.retry_min, self->options_.retry_max);
  const auto seen = self->poked_.ticket();
  co_await self->poked_.wait_beyond(seen, r->backoff);
}

net::Task<> LogFollower::read_pod(Ptr self, Pod pod) {
  auto r = std::make_shared<Reading>();
  r->pod = std::move(pod);
  while (!self->over()) {
    auto ask = [self, r] { return self->store_.log_cursor(self->options_.run_id, r->pod.uid); };
    auto cursor = co_await self->db_.offload(ask);
    if (cursor) {
      if (*cursor) r->resume = LogResume(std::move(**cursor));
      break;
    }
    spdlog::warn("log of run {}: {}", self->options_.run_id, cursor.error().message);
    co_await pause(self, r);
  }
  self->pod_uid_ = r->pod.uid;
  self->last_byte_ = Steady::now();
  self->ended_since_ = {};
  self->current_ = r;
  self->poke();
  while (!self->over()) {
    r->follow = self->state_of_(r->pod.uid) == PodState::running;
    kube::LogOptions options;
    options.container = r->pod.container;
    options.follow = r->follow;
    options.timestamps = true;
    options.since_time = since_time(r->resume.cursor());
    auto opening = self->client_.log(self->options_.name_space, r->pod.name, std::move(options));
    auto opened = co_await std::move(opening);
    Next next = Next::again;
    if (opened) {
      auto stream = std::make_shared<net::HttpStream>(std::move(*opened));
      next = co_await read_stream(self, r, std::move(stream));
    } else {
      next = co_await open_failed(self, r, std::move(opened).error());
    }
    if (next == Next::done) break;
  }
  self->stream_.reset();
  self->current_.reset();
}

net::Task<LogFollower::Next> LogFollower::read_stream(Ptr self, std::shared_ptr<Reading> r,
                                                      std::shared_ptr<net::HttpStream> stream) {
  self->stream_ = stream;
  self->wake_keeper_.notify_all();
  r->missing_since.reset();
  r->refused_since.reset();
  bool orderly = false;
  while (!self->over()) {
    auto piece = co_await stream->read();
    if (!piece) {
      spdlog::debug("log of run {}: {}", self->options_.run_id, piece.error().message);
      break;
    }
    if (piece->empty()) {
      orderly = true;
      break;
    }
    self->last_byte_ = Steady::now();
    r->backoff = Duration{};
    std::string fresh;
    r->resume.feed(*piece, fresh);
    self->take(std::move(fresh), r->resume.cursor());
    while (self->tail_.size() > kMaxTail && !self->over()) {
      const auto seen = self->flushed_.ticket();
      co_await self->flushed_.wait_beyond(seen, std::chrono::seconds(5));
    }
  }
  self->stream_.reset();
  if (self->over()) co_return Next::done;
  if (orderly && !r->follow) {
    std::string fresh;
    r->resume.settle(fresh);
    self->take(std::move(fresh), r->resume.cursor());
    if (r->resume.note().empty() || r->clean_end) co_return Next::done;
    // The kubelet's troubles came instead of log lines.
    if (++r->notes >= 5) {
      self->give_up("the node could not give the whole log: " + printable(trim(r->resume.note()), 256));
      co_return Next::done;
    }
    r->resume = LogResume(r->resume.cursor());
    co_await pause(self, r);
    co_return Next::again;
  }
  r->resume.reopen();
  r->clean_end = orderly;
  if (orderly) {
    // The end of the log comes before the pod's status that tells of it.
    const auto until = Steady::now() + kStatusLag;
    while (!self->over() && self->state_of_(r->pod.uid) == PodState::running && Steady::now() < until) {
      const auto seen = self->poked_.ticket();
      co_await self->poked_.wait_beyond(seen, std::chrono::milliseconds(200));
    }
    if (self->over() || self->state_of_(r->pod.uid) != PodState::running) co_return Next::again;
  }
  co_await pause(self, r);
  co_return Next::again;
}

net::Task<LogFollower::Next> LogFollower::open_failed(Ptr self, std::shared_ptr<Reading> r, Error error) {
  if (self->over()) co_return Next::done;
  const PodState state = self->state_of_(r->pod.uid);
  const auto now = Steady::now();
  if (error.kind == Errc::not_found) {
    if (!r->missing_since) r->missing_since = now;
    if (state == PodState::gone || since(*r->missing_since) > kGoneLag) {
      if (!r->clean_end) self->give_up("the pod was deleted before its log was read to the end");
      co_return Next::done;
    }
  }
  if (error.kind == Errc::forbidden && !std::exchange(r->told_forbidden, true))
    spdlog::warn("log of run {} cannot be read: {}", self->options_.run_id, error.message);
  if (!unreached(error)) {
    r->away_since.reset();
  } else {
    if (!r->away_since) r->away_since = now;
    // It still has the log when it is back: its silence meanwhile is not the log's.
    if (state != PodState::running && since(*r->away_since) < kAwayFor) self->ended_since_ = now;
  }
  if (state != PodState::running) {
    const bool refused = error.kind == Errc::invalid_argument;
    if (refused && !r->refused_since) r->refused_since = now;
    const bool silent =
        std::min(since(self->ended_since_), since(self->last_byte_)) > self->options_.give_up_after;
    if (silent || (refused && since(*r->refused_since) > kRefusedFor)) {
      if (!r->clean_end)
        self->give_up("the log could not be read to its end: " + printable(error.message, 512));
      co_return Next::done;
    }
  }
  co_await pause(self, r);
  co_return Next::again;
}

}  // namespace oddjob::runs
