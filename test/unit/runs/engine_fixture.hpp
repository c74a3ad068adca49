// An engine over a mini cluster and a real database, which can be "killed" and
// started anew.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>

#include "mini_cluster.hpp"
#include "runs/engine.hpp"

namespace oddjob::runs::testing {

// The real store, but for writes that fail on demand.
class FailingStore final : public store::Store {
 public:
  store::Store* real = nullptr;
  std::atomic<bool> fail_writes = false;
  // The types of the events of each update that was asked for and had any.
  std::vector<std::string> updates() {
    const std::lock_guard lock(mutex_);
    return updates_;
  }

  Result<Created> create_run(Run run, std::string_view key, std::string_view digest, AuditEvent event,
                             store::Placement placement) override {
    if (fail_writes) return down();
    return real->create_run(std::move(run), key, digest, std::move(event), std::move(placement));
  }
  Result<Run> update_run(const Run& run, const std::vector<AuditEvent>& events, std::string_view owner) override {
    if (fail_writes) return down();
    std::string types;
    for (const auto& e : events) types += (types.empty() ? "" : " ") + e.type;
    if (!types.empty()) {
      const std::lock_guard lock(mutex_);
      updates_.push_back(std::move(types));
    }
    return real->update_run(run, events, owner);
  }
  Result<Run> get_run(std::string_view id) override { return real->get_run(id); }
  Result<store::RunPage> list_runs(const store::RunFilter& f, std::string_view cursor, int limit) override {
    return real->list_runs(f, cursor, limit);
  }
  Result<std::vector<Run>> unfinished_runs() override { return real->unfinished_runs(); }
  Result<int> count_active(const WorkloadRef& w) override { return real->count_active(w); }
  Result<AuditEvent> append_audit(AuditEvent e) override {
    if (fail_writes) return down();
    return real->append_audit(std::move(e));
  }
  Result<std::vector<AuditEvent>> list_audit(const store::AuditFilter& f, int limit) override {
    return real->list_audit(f, limit);
  }
  Result<store::AuditVerdict> verify_audit() override { return real->verify_audit(); }
  Result<> append_log(std::string_view id, const store::LogChunk& chunk, std::string_view owner) override {
    if (fail_writes) return down();
    return real->append_log(id, chunk, owner);
  }
  Result<std::string> read_log(std::string_view id, std::int64_t offset, std::size_t max) override {
    return real->read_log(id, offset, max);
  }
  Result<std::int64_t> log_length(std::string_view id) override { return real->log_length(id); }
  Result<std::optional<store::DroppedLog>> dropped_log(std::string_view id) override {
    return real->dropped_log(id);
  }
  Result<std::optional<store::LogCursor>> log_cursor(std::string_view id, std::string_view pod) override {
    return real->log_cursor(id, pod);
  }
  Result<store::DroppedLogs> drop_logs(const store::LogRetention& rule, int most) override {
    return real->drop_logs(rule, most);
  }
  Result<bool> purge_logs(int chunks) override { return real->purge_logs(chunks); }
  Result<std::optional<std::int64_t>> hook_cursor(std::string_view hook) override {
    return real->hook_cursor(hook);
  }
  Result<> set_hook_cursor(std::string_view hook, std::int64_t seq) override {
    return real->set_hook_cursor(hook, seq);
  }
  Result<std::int64_t> audit_end() override { return real->audit_end(); }
  Result<> ping() override { return real->ping(); }
  void together(std::span<const std::function<void()>> calls) override { real->together(calls); }
  [[nodiscard]] bool shared() const override { return real->shared(); }
  Result<bool> take_lease(std::string_view name, std::string_view holder, Duration time) override {
    if (fail_writes) return down();
    return real->take_lease(name, holder, time);
  }
  Result<bool> renew_lease(std::string_view name, std::string_view holder, Duration time) override {
    if (fail_writes) return down();
    return real->renew_lease(name, holder, time);
  }
  Result<> leave(std::string_view replica) override { return real->leave(replica); }
  Result<int> claim_runs(std::string_view replica, int most) override {
    return real->claim_runs(replica, most);
  }
  Result<std::vector<store::LiveRun>> live_runs() override { return real->live_runs(); }

 private:
  std::mutex mutex_;
  std::vector<std::string> updates_;
  static std::unexpected<Error> down() {
    return oddjob::fail(Errc::unavailable, "store.unavailable", "the database is locked");
  }
};

class EngineTest : public ::testing::Test {
 protected:
  using Run = oddjob::Run;  // not testing::Test's

  EngineTest() {
    std::string name = (std::filesystem::temp_directory_path() / "oddjob-runs-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    cluster.put_deployment({{"oddjob.dev/allowed-users", "ann"}, {"oddjob.dev/allow-env", "*"}});
    options.retry_min = Duration(5);
    options.retry_max = Duration(50);
    db.gather([this](net::BlockingPool::Calls calls) { failing.together(calls); }, 8);
    begin();
  }
  ~EngineTest() override {
    end();
    cluster.stop();
    store_.reset();
    std::error_code ec;
    std::filesystem::remove_all(dir_, ec);
  }

  // A server process's life. `end` is orderly; `crash` leaves everything as it is.
  void begin() {
    if (!store_) {
      store::StoreOptions o;
      o.url = "sqlite:" + (dir_ / "oddjob.db").string();
      store_ = store::Store::open(o).value();
    }
    failing.real = store_.get();
    kube::ClientOptions quick;
    quick.call_timeout = std::chrono::seconds(5);
    quick.min_backoff = Duration(5);
    quick.max_backoff = Duration(20);
    client_ = std::make_unique<kube::Client>(loop, cluster.config(), quick);
    engine = std::make_unique<Engine>(loop, *client_, failing, db, options);
  }
  void start() {
    const auto started = run(engine->start());
    ASSERT_TRUE(started) << started.error().message;
  }
  void end() {
    if (!engine) return;
    loop.block_on(engine->stop());
    engine.reset();
    client_.reset();
  }
  void crash() {
    engine.reset();
    client_.reset();  // calls under way end with an error that nobody acts on
    run(pause(Duration(60)));
  }

  // Another database and an empty cluster, for the next round of a table.
  void fresh() {
    store_.reset();
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directory(dir_);
    for (const char* plural : {"jobs", "pods"}) {
      for (const auto& key : cluster.keys(plural)) cluster.remove(key);
    }
    begin();
  }
  [[nodiscard]] std::filesystem::path database() const { return dir_ / "oddjob.db"; }

  template <class T>
  T run(net::Task<T> task) {
    return loop.block_on(std::move(task));
  }
  bool until(std::function<bool()> condition, Duration limit = std::chrono::seconds(20)) {
    // The condition is asked between two turns of the loop, so that it may run the loop itself.
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      run(pause(Duration(5)));
    }
    return true;
  }

  static Caller caller(std::string user, bool admin = false) {
    Caller c;
    c.subject.user = std::move(user);
    c.subject.admin = admin;
    c.channel = "cli";
    c.from = "127.0.0.1";
    return c;
  }
  static RunRequest request(std::vector<std::string> command = {"echo", "hello"}) {
    RunRequest r;
    r.workload = {WorkloadKind::deployment, "shop", "pay"};
    r.command = std::move(command);
    return r;
  }
  Result<SubmitResult> submit(RunRequest r = request(), std::string key = {}) {
    return run(engine->submit(caller("ann"), std::move(r), std::move(key)));
  }
  Run stored(const std::string& id) { return store_->get_run(id).value(); }
  std::string log_of(const std::string& id) { return store_->read_log(id, 0, 1U << 24U).value(); }
  Run finished(const std::string& id) {
    EXPECT_TRUE(until([&] { return is_final(stored(id).state); }))
        << "state " << to_string(stored(id).state)
        << ", progress: " << run(engine->get(caller("ann"), id)).value().progress;
    return stored(id);
  }
  std::vector<std::string> story(const std::string& id) {
    store::AuditFilter f;
    f.run_id = id;
    std::vector<std::string> out;
    const auto events = store_->list_audit(f, 1000).value();
    for (const auto& e : events) out.push_back(e.type);
    return out;
  }
  std::string job_key(const std::string& id) { return "jobs/shop/" + stored(id).job_name; }

  net::Loop loop;
  MiniCluster cluster{loop};
  net::BlockingPool db;
  EngineOptions options;
  std::unique_ptr<store::Store> store_;
  FailingStore failing;
  std::unique_ptr<Engine> engine;

 private:
  static net::Task<> pause(Duration d) { co_await net::sleep_for(d); }

  std::filesystem::path dir_;
  std::unique_ptr<kube::Client> client_;
};

}  // namespace oddjob::runs::testing
