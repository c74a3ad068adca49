// Locked, full, damaged, killed: a clear error, or the record, and nothing half.
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdlib>

#include "core/fault.hpp"
#include "fixture.hpp"

// What happens to a file; of PostgreSQL, postgresql_test.cpp tells.
#ifndef ODDJOB_STORE_ON_POSTGRESQL

namespace oddjob::store {
namespace {

TEST_F(StoreTest, ALockedDatabaseIsUnavailableAndSaysSoInTime) {
  const oddjob::Run r = create(sample_run());
  {
    Raw other(path());
    ASSERT_EQ(other.exec("BEGIN IMMEDIATE"), "");
    const auto begin = std::chrono::steady_clock::now();
    auto c = store_->create_run(sample_run(), "k", "d", event("run.requested"));
    ASSERT_FALSE(c);
    EXPECT_EQ(c.error().code, "store.unavailable");
    EXPECT_EQ(c.error().kind, Errc::unavailable);
    EXPECT_NE(c.error().message.find("locked"), std::string::npos) << c.error().message;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
    EXPECT_FALSE(store_->ping());
    EXPECT_TRUE(store_->get_run(r.id)) << "reading goes on";
    ASSERT_EQ(other.exec("ROLLBACK"), "");
  }
  EXPECT_TRUE(store_->ping());
  auto c = store_->create_run(sample_run(), "k", "d", event("run.requested"));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_FALSE(c->replayed) << "the refused attempt kept no key";
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsCalledCorrupt) {
  const std::string file = dir_.file("junk.db");
  std::ofstream(file) << std::string(8192, 'j');
  StoreOptions o = options();
  o.url = "sqlite:" + file;
  auto s = Store::open(o);
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, "store.corrupt");
  EXPECT_NE(s.error().message.find("junk.db"), std::string::npos) << s.error().message;
}

TEST_F(StoreTest, ADamagedFileIsCalledCorrupt) {
  for (int i = 0; i < 50; ++i) create(sample_run());
  store_.reset();
  Raw(path()).exec("PRAGMA wal_checkpoint(TRUNCATE)");
  {
    // The first page stays, so that it opens; all the others become rubbish.
    std::fstream f(path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto size = std::filesystem::file_size(path());
    f.seekp(4096 * 2);
    f << std::string(size - 4096 * 2, '\x5a');
  }
  auto s = Store::open(options());
  const Error e = !s ? s.error() : (*s)->list_runs({}, "", 100).error();
  EXPECT_EQ(e.code, "store.corrupt") << e.message;
}

// Fills until it is refused; checks that the refusal is right and that nothing
// of it is there. 0: as promised.
int fill(Store& store) {
  int made = 0;
  for (; made < 2000; ++made) {
    oddjob::Run r = sample_run();
    r.reason = std::string(8000, 'r');
    const std::string id = r.id;
    auto c = store.create_run(std::move(r), "key" + std::to_string(made), "d", event("run.requested"));
    if (c) continue;
    if (c.error().code != "store.unavailable" || c.error().kind != Errc::unavailable) return 2;
    auto gone = store.get_run(id);
    if (gone || gone.error().code != "store.not_found") return 3;
    break;
  }
  if (made == 2000) return 4;
  auto v = store.verify_audit();
  if (!v || !v->ok || v->events != made) return 5;
  return 0;
}

TEST_F(StoreTest, AFileThatMayNotGrowIsUnavailableAndNothingIsHalfDone) {
  store_.reset();
  EXPECT_EQ(in_child([this] {
              ::signal(SIGXFSZ, SIG_IGN);
              rlimit limit{2 << 20, 2 << 20};
              ::setrlimit(RLIMIT_FSIZE, &limit);
              auto s = Store::open(options());
              return s ? fill(**s) : 1;
            }),
            0);
  open();
  EXPECT_TRUE(store_->verify_audit()->ok);
  EXPECT_GT(store_->verify_audit()->events, 10);
  EXPECT_TRUE(store_->ping());
}

TEST_F(StoreTest, AFullDiskIsUnavailableAndSaysSo) {
  const std::string mount = dir_.file("small");
  ASSERT_EQ(::mkdir(mount.c_str(), 0700), 0);
  if (::mount("tmpfs", mount.c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "this machine allows no tmpfs mount; the limit on file size is tested above";
  }
  StoreOptions o = options();
  o.url = "sqlite:" + mount + "/oddjob.db";
  {
    auto s = Store::open(o);
    EXPECT_TRUE(s);
    if (s) {
      EXPECT_EQ(fill(**s), 0);
      auto e = (*s)->append_audit(event("t", "a", {{"pad", std::string(900'000, 'x')}}));
      EXPECT_FALSE(e);
      if (!e) {
        EXPECT_NE(e.error().message.find("full"), std::string::npos) << e.error().message;
      }
    }
  }
  ::umount(mount.c_str());
}

// ---- kill -9 ---------------------------------------------------------------

#ifdef ODDJOB_FAULT_POINTS
// Runs in a process of its own, which ODDJOB_CRASH_AT kills on the way.
TEST(CrashChild, DISABLED_Work) {
  const char* file = std::getenv("ODDJOB_TEST_DB");
  ASSERT_NE(file, nullptr);
  StoreOptions o;
  o.url = std::string("sqlite:") + file;
  auto s = Store::open(o);
  ASSERT_TRUE(s);
  auto c = (*s)->create_run(sample_run(), "k", "d", event("run.requested"));
  ASSERT_TRUE(c);
  LogChunk chunk;
  chunk.pod_uid = "p";
  chunk.data = "line\n";
  chunk.cursor.timestamp = "t";
  ASSERT_TRUE((*s)->append_log(c->run.id, chunk));
  c->run.state = RunState::succeeded;
  ASSERT_TRUE((*s)->update_run(c->run, {event("run.finished"), event("run.logged")}));
  ASSERT_TRUE((*s)->append_audit(event("last")));
}

struct Picture {
  std::size_t runs;
  std::int64_t log, audit;
  bool final;
  friend bool operator==(const Picture&, const Picture&) = default;
};

TEST(Crash, AtAnyCommitLeavesAllOfItOrNothing) {
  // After the k-th commit: 1 migrates, 2 creates, 3 logs, 4 updates, 5 audits.
  const Picture after[] = {{0, 0, 0, false}, {0, 0, 0, false}, {1, 0, 1, false},
                           {1, 5, 1, false}, {1, 5, 3, true},  {1, 5, 4, true}};
  for (const std::string point : {"store.commit.before", "store.commit.after"}) {
    for (int n = 1; n <= 6; ++n) {
      SCOPED_TRACE(point + ":" + std::to_string(n));
      TempDir dir;
      const bool killed = crash("CrashChild.DISABLED_Work", dir.file("x.db"), point, n);
      EXPECT_EQ(killed, n <= 5);
      StoreOptions o;
      o.url = "sqlite:" + dir.file("x.db");
      auto s = Store::open(o);
      ASSERT_TRUE(s) << s.error().message;
      const auto runs = (*s)->list_runs({}, "", 10)->runs;
      const auto verdict = (*s)->verify_audit();
      EXPECT_TRUE(verdict->ok) << verdict->problem;
      Picture seen{runs.size(), runs.empty() ? 0 : (*s)->log_length(runs[0].id).value(), verdict->events,
                   !runs.empty() && is_final(runs[0].state)};
      const int done = std::min(5, point == "store.commit.before" ? n - 1 : n);
      EXPECT_EQ(seen, after[done]);
      if (!runs.empty()) {
        EXPECT_EQ((*s)->log_cursor(runs[0].id, "p").value().has_value(), seen.log > 0);
      }
    }
  }
}
#endif

}  // namespace
}  // namespace oddjob::store

#endif
