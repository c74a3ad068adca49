// A store on a database of its own, and the means to spoil it. The same tests
// are built twice: on SQLite, and with ODDJOB_STORE_ON_POSTGRESQL.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "core/words.hpp"
#include "store/store.hpp"
#ifdef ODDJOB_STORE_ON_POSTGRESQL
#include "testing/postgresql.hpp"
#endif

namespace oddjob::store {

class TempDir {
 public:
  TempDir() {
    std::string t = (std::filesystem::temp_directory_path() / "oddjob-store-XXXXXX").string();
    path_ = ::mkdtemp(t.data());
  }
  ~TempDir() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] std::string file(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

#ifdef ODDJOB_STORE_ON_POSTGRESQL
// Another program with access to the database.
using Raw = oddjob::testing::PgConnection;
#define BYTES(hex) "'\\x" hex "'"
#else
#define BYTES(hex) "x'" hex "'"
// Another program with access to the file.
class Raw {
 public:
  explicit Raw(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    sqlite3_busy_timeout(db_, 2000);
  }
  ~Raw() { sqlite3_close(db_); }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  // Empty, or SQLite's complaint.
  std::string exec(const std::string& sql) {
    char* message = nullptr;
    sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &message);
    std::string out = message == nullptr ? "" : message;
    sqlite3_free(message);
    return out;
  }
  std::string one(const std::string& sql) {
    std::string out;
    sqlite3_exec(
        db_, sql.c_str(),
        [](void* p, int n, char** v, char**) {
          if (n > 0 && v[0] != nullptr) *static_cast<std::string*>(p) = v[0];
          return 0;
        },
        &out, nullptr);
    return out;
  }

 private:
  sqlite3* db_ = nullptr;
};
#endif

inline Run sample_run(std::string_view requester = "ann", std::string_view workload = "deploy/payments") {
  static std::atomic<std::int64_t> tick = 1'790'000'000'000'000;
  Run r;
  r.created = Time(std::chrono::microseconds(tick += 1'000));
  r.id = new_run_id(r.created);
  r.workload = parse_workload(workload, "shop").value();
  r.requester = requester;
  r.requester_teams = {"payments", "ops"};
  r.command = {"node", "backfill.js", "--from", "2026-01-01"};
  r.container = "app";
  r.image = "registry.example/app@sha256:0123";
  r.reason = "backfill";
  r.request = json::object{{"namespace", "shop"}, {"retries", 2}};
  r.job_name = "oj-payments-" + short_run_id(r.id);
  r.digest = "sha256:abcd";
  r.job = json::object{{"kind", "Job"}, {"spec", json::object{{"suspend", true}}}};
  r.report = json::array{json::object{{"path", "spec.x"}, {"action", "removed"}}};
  return r;
}

inline AuditEvent event(std::string_view type, std::string_view actor = "ann", json::object detail = {}) {
  AuditEvent e;
  e.type = type;
  e.actor = actor;
  e.detail = std::move(detail);
  return e;
}

// Its exit code, or 128 and the signal.
inline int in_child(const std::function<int()>& fn) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(fn());
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Runs a disabled test in a process of its own, which finds the database by ODDJOB_TEST_DB, and
// kills it at passage n of `point`; true if it was killed.
inline bool crash(const std::string& test, const std::string& db, const std::string& point, int n) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setenv("ODDJOB_CRASH_AT", (point + ":" + std::to_string(n)).c_str(), 1);
    ::setenv("ODDJOB_TEST_DB", db.c_str(), 1);
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, 1);
    ::dup2(null, 2);
    ::execl("/proc/self/exe", "store_test", ("--gtest_filter=" + test).c_str(),
            "--gtest_also_run_disabled_tests", static_cast<char*>(nullptr));
    ::_exit(99);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status)) {
    EXPECT_EQ(WEXITSTATUS(status), 0) << point << ":" << n;
    return false;
  }
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  return true;
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    auto s = Store::open(options());
    ASSERT_TRUE(s) << s.error().message;
    store_ = std::move(*s);
  }
  [[nodiscard]] StoreOptions options() const {
    StoreOptions o;
    o.url = url();
    o.busy_timeout = std::chrono::milliseconds(50);
    return o;
  }
#ifdef ODDJOB_STORE_ON_POSTGRESQL
  // What Raw takes.
  [[nodiscard]] std::string path() const { return database_; }
  [[nodiscard]] std::string url() const { return database_; }
  std::string database_ = oddjob::testing::Postgres::instance().fresh();
#else
  [[nodiscard]] std::string path() const { return dir_.file("oddjob.db"); }
  [[nodiscard]] std::string url() const { return "sqlite:" + path(); }
#endif
  oddjob::Run create(oddjob::Run r) {
    auto c = store_->create_run(std::move(r), "", "", event("run.requested"));
    EXPECT_TRUE(c) << c.error().message;
    return c ? c->run : oddjob::Run{};
  }

  TempDir dir_;
  std::unique_ptr<Store> store_;
};

}  // namespace oddjob::store
