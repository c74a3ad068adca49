#include "runs/workload_reads.hpp"

#include <fmt/format.h>

#include <map>
#include <optional>

#include "runs/shared.hpp"

namespace oddjob::runs {
namespace {

// A read that hangs does not hold up for longer those who ask after it.
constexpr auto kPatience = std::chrono::seconds(1);

}  // namespace

std::string workload_key(const WorkloadRef& w) { return w.name_space + "/" + to_string(w); }

net::Task<Result<json::value>> read_workload(kube::Client& client, WorkloadRef ref) {
  auto getting = client.get(kube::workload_resource(kind_name(ref.kind)), ref.name_space, ref.name);
  auto workload = co_await std::move(getting);
  if (workload) co_return workload;
  if (workload.error().kind == Errc::not_found) {
    co_return fail(Errc::not_found, "workload.not_found",
                   fmt::format("{} does not exist in namespace {}", to_string(ref), ref.name_space),
                   "`oddjob workloads` lists those that may be run");
  }
  co_return std::unexpected(std::move(workload).error().with_context("reading " + to_string(ref)));
}

struct WorkloadReads::State {
  using Ptr = std::shared_ptr<State>;
  using Reading = Shared<json::value>;
  struct Line {
    Reading begun;
    std::optional<Reading> next;  // of those who asked since `begun` began
  };

  // The read that others wait for; `after` an earlier one.
  static net::Task<Result<json::value>> read(Ptr self, WorkloadRef ref, std::optional<Reading> after) {
    const std::string key = workload_key(ref);
    if (after) {
      co_await after->done_within(kPatience);
      after.reset();
      Line& line = self->lines.at(key);
      line.begun = *std::exchange(line.next, std::nullopt);
    }
    if (self->stopped) co_return stopping();
    const Reading mine = self->lines.at(key).begun;
    auto reading = read_workload(*self->client, std::move(ref));
    auto got = co_await std::move(reading);
    const auto line = self->lines.find(key);
    if (line != self->lines.end() && line->second.begun == mine && !line->second.next)
      self->lines.erase(line);
    co_return got;
  }
  static std::unexpected<Error> stopping() {
    return fail(Errc::unavailable, "runs.stopping", "the server is stopping");
  }

  kube::Client* client;
  net::Loop* loop;
  bool stopped = false;
  std::map<std::string, Line, std::less<>> lines;
};

WorkloadReads::WorkloadReads(kube::Client& client)
    : state_(std::make_shared<State>(State{&client, &client.loop(), false, {}})) {}

void WorkloadReads::stop() noexcept { state_->stopped = true; }

net::Task<Result<WorkloadReads::Seen>> WorkloadReads::read(const WorkloadRef& ref) {
  return [](State::Ptr self, WorkloadRef of) -> net::Task<Result<Seen>> {
    if (self->stopped) co_return State::stopping();
    const auto start = [&](std::optional<State::Reading> after) {
      return State::Reading::start(*self->loop, "runs.workload", State::read(self, of, std::move(after)));
    };
    const auto line = self->lines.find(workload_key(of));
    std::optional<State::Reading> mine;
    if (line == self->lines.end()) {
      mine = start(std::nullopt);
      self->lines.emplace(workload_key(of), State::Line{*mine, std::nullopt});
    } else {
      if (!line->second.next) line->second.next = start(line->second.begun);
      mine = line->second.next;
    }
    const auto value = co_await mine->wait();
    if (!*value) co_return std::unexpected(value->error());
    co_return Seen(value, &**value);
  }(state_, ref);
}

}  // namespace oddjob::runs
