// What the files of the service share. Not for other folders.
#pragma once

#include <deque>
#include <functional>
#include <set>

#include "image/registry/hasher.hpp"
#include "image/registry/source.hpp"
#include "image/service/files.hpp"
#include "image/service/service.hpp"

namespace oddjob::image {

// One image that is, was or will be indexed. Lives in Impl::jobs.
struct Job {
  Wanted wanted;
  std::string key;
  Status status;
  std::string tried;    // which pull secrets it was asked for with: a hash of what fits of them
  bool urgent = false;  // somebody waits for it
  bool under_way = false;
  std::chrono::steady_clock::time_point looked_up{};  // when the name was; ended, when it failed
  std::chrono::steady_clock::time_point deadline{};
  net::Notifier changed;
};
using JobPtr = std::shared_ptr<Job>;

// A bound on what goes on at once; those in a hurry come first.
class Slots {
 public:
  explicit Slots(std::size_t free) : free_(free) {}
  // Until there is one, or `over` says that it is too late (false).
  net::Task<bool> take(std::function<bool()> urgent, std::function<bool()> over);
  void give();

 private:
  std::size_t free_;
  std::size_t urgent_waiting_ = 0;
  net::Notifier freed_;
};

struct Service::Impl : std::enable_shared_from_this<Service::Impl> {
  using Ptr = std::shared_ptr<Impl>;
  Impl(net::Loop& l, ServiceOptions o);

  net::Loop& loop;
  ServiceOptions options;
  Registry registry;
  IndexFiles files;
  net::BlockingPool inflating, disk, helpers;
  std::map<std::string, JobPtr, std::less<>> jobs;      // by key
  std::map<std::string, IndexPtr, std::less<>> opened;  // by manifest digest; bounded
  std::deque<std::string> opened_order;
  std::set<std::string, std::less<>> layers_under_way;
  net::Notifier layers_changed, idle;
  Slots urgent_pulls, background_pulls, layer_slots;
  std::chrono::steady_clock::time_point rate_free{};  // when the next byte in the background may come
  std::atomic<bool> stopping = false;
  std::size_t working = 0;
  std::uint64_t indexed = 0, failed = 0, layers_read = 0, layers_shared = 0, bytes_read = 0;

  [[nodiscard]] std::string key_of(const Wanted& w) const;
  [[nodiscard]] Platform platform_of(const Wanted& w) const { return w.platform.value_or(options.platform); }
  // Takes the job up unless it is ready, under way or failed a moment ago.
  JobPtr job_for(const Wanted& w, bool urgent);
  static net::Task<IndexPtr> open(Ptr self, std::string digest);

  // ---- pull.cpp
  static net::Task<> work(Ptr self, JobPtr job);
  static net::Task<Result<>> index(Ptr self, JobPtr job);
  static net::Task<Result<std::unique_ptr<Source>>> source_of(Ptr self, Wanted wanted);
  static net::Task<Result<>> layer(Ptr self, JobPtr job, Source& source, Layer layer);
  static net::Task<Result<>> read_layer(Ptr self, JobPtr job, Source& source, Descriptor d);
  static net::Task<> throttle(Ptr self, JobPtr job, std::size_t bytes);
  [[nodiscard]] Result<> may_go_on(const Job& job) const;
};

}  // namespace oddjob::image
