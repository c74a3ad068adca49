// What render must know of the cluster, read concurrently and kept for about
// two seconds a namespace, so that a burst of runs reads it once. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/client.hpp"
#include "net/async.hpp"
#include "render/render.hpp"

namespace oddjob::runs {

// A task that runs by itself; any number of coroutines may wait for its value.
template <class T>
class Shared {
 public:
  static Shared start(net::Loop& loop, std::string_view name, net::Task<Result<T>> task) {
    Shared s;
    s.state_ = std::make_shared<State>();
    loop.spawn(name, run(s.state_, std::move(task)));
    return s;
  }
  // The value stays with the state, which the caller shares.
  net::Task<std::shared_ptr<const Result<T>>> wait() const { return wait_on(state_); }
  [[nodiscard]] bool done() const noexcept { return state_->value.has_value(); }
  [[nodiscard]] bool failed() const noexcept { return done() && !state_->value->has_value(); }
  [[nodiscard]] std::chrono::steady_clock::time_point done_at() const noexcept { return state_->at; }

 private:
  struct State {
    std::optional<Result<T>> value;
    std::chrono::steady_clock::time_point at{};
    net::Notifier ready;
  };
  static net::Task<> run(std::shared_ptr<State> s, net::Task<Result<T>> task) {
    Result<T> value = co_await std::move(task);
    s->value.emplace(std::move(value));
    s->at = std::chrono::steady_clock::now();
    s->ready.notify_all();
  }
  static net::Task<std::shared_ptr<const Result<T>>> wait_on(std::shared_ptr<State> s) {
    while (!s->value) {
      const auto seen = s->ready.ticket();
      if (s->value) break;
      co_await s->ready.wait_beyond(seen, std::chrono::minutes(5));
    }
    co_return std::shared_ptr<const Result<T>>(s, &*s->value);
  }
  std::shared_ptr<State> state_;
};

class Facts {
 public:
  Facts(kube::Client& client, Duration keep);

  // Begins to read the namespace's Services, PodDisruptionBudgets and claims,
  // so that it happens while the workload is read.
  void prefetch(const std::string& name_space);
  // Errors name what could not be read. `container`: whose images count;
  // `with_images` false leaves running_image_ids empty.
  net::Task<Result<render::ClusterFacts>> read(const std::string& name_space, const json::value& workload,
                                               const std::string& container, bool with_images);

 private:
  struct Namespace {
    std::vector<json::value> services, budgets, claims;
    std::string claims_problem;
  };
  struct Image {
    std::string container, written, id;  // of one container of a ready pod
  };
  template <class T>
  using Cache = std::map<std::string, Shared<T>, std::less<>>;

  static net::Task<Result<std::vector<json::value>>> list(kube::Client& client, kube::Resource resource,
                                                          std::string ns);
  static net::Task<Result<Namespace>> read_namespace(kube::Client& client, std::string ns);
  static net::Task<Result<std::vector<Image>>> read_images(kube::Client& client, std::string ns,
                                                           std::string selector);
  template <class T>
  Shared<T> cached(Cache<T>& cache, const std::string& key,
                   const std::function<net::Task<Result<T>>()>& make);

  kube::Client& client_;
  Duration keep_;
  Cache<Namespace> namespaces_;
  Cache<std::vector<Image>> images_;
};

// spec.selector of a workload as a label selector ("app=x,tier in (a,b)"); empty
// when it has none.
std::string selector_text(const json::value& workload);

}  // namespace oddjob::runs
