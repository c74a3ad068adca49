// Several calls with one commit: each has its own outcome, as if it had been alone.
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "fixture.hpp"

namespace oddjob::store {
namespace {

using Calls = std::vector<std::function<void()>>;

LogChunk chunk_at(std::int64_t offset, std::string data = "line\n") {
  LogChunk c;
  c.pod_uid = "p";
  c.offset = offset;
  c.data = std::move(data);
  c.cursor.timestamp = "t";
  return c;
}

std::vector<std::string> types(Store& store) {
  std::vector<std::string> out;
  const auto events = store.list_audit({}, 1000).value();
  for (const auto& e : events) out.push_back(e.type);
  return out;
}

TEST_F(StoreTest, TogetherEachCallHasItsOwnAnswerAndTheirOrderStays) {
  const oddjob::Run old = create(sample_run());
  Result<Store::Created> made = fail(Errc::internal, "", "not run"), again = made;
  Result<oddjob::Run> changed = fail(Errc::internal, "", "not run");
  Result<AuditEvent> noted = fail(Errc::internal, "", "not run");
  Result<> logged = fail(Errc::internal, "", "not run");
  const oddjob::Run fresh = sample_run(), twice = sample_run();
  oddjob::Run next = old;
  next.state = RunState::running;
  const Calls calls = {
      [&] { made = store_->create_run(fresh, "key", "d", event("run.requested")); },
      [&] { changed = store_->update_run(next, {event("run.started")}); },
      // What a call before it wrote is there for the next, before any commit.
      [&] { again = store_->create_run(twice, "key", "d", event("run.requested")); },
      [&] { logged = store_->append_log(fresh.id, chunk_at(0)); },
      [&] { noted = store_->append_audit(event("noted")); },
  };
  store_->together(calls);
  ASSERT_TRUE(made && again && changed && logged && noted);
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->run.id, fresh.id);
  EXPECT_EQ(changed->version, old.version + 1);
  EXPECT_EQ(noted->seq, 4);
  store_.reset();
  open();
  EXPECT_EQ(types(*store_),
            (std::vector<std::string>{"run.requested", "run.requested", "run.started", "noted"}));
  EXPECT_TRUE(store_->verify_audit()->ok);
  EXPECT_EQ(store_->get_run(old.id)->state, RunState::running);
  EXPECT_EQ(store_->read_log(fresh.id, 0, 100).value(), "line\n");
}

// Calls that fail, some after they wrote something, between two that do not.
TEST_F(StoreTest, TogetherACallThatFailsHarmsNoOther) {
  const oddjob::Run old = create(sample_run());
  Placement full;
  full.max_active = 0;
  oddjob::Run stale = old;
  stale.version += 7;
  struct Row {
    const char* code;
    std::function<std::string()> call;
  };
  const auto code_of = [](const auto& result) { return result ? std::string("done") : result.error().code; };
  const Row rows[] = {
      {"store.conflict", [&] { return code_of(store_->update_run(stale, {event("never")})); }},
      {"store.not_found", [&] { return code_of(store_->append_log(new_run_id(old.created), chunk_at(0))); }},
      {"store.log_offset", [&] { return code_of(store_->append_log(old.id, chunk_at(99))); }},
      // It has taken the key by then.
      {"store.too_many_active",
       [&] { return code_of(store_->create_run(sample_run(), "taken", "d", event("never"), full)); }},
      // It has changed the run by then.
      {"store.audit_too_large",
       [&] {
         oddjob::Run next = store_->get_run(old.id).value();
         next.message = "half";
         return code_of(store_->update_run(
             next, {event("never"), event("never", "a", {{"pad", std::string(2'000'000, 'x')}})}));
       }},
  };
  for (const auto& row : rows) {
    std::string said;
    const oddjob::Run before = sample_run(), after = sample_run();
    Result<Store::Created> first = fail(Errc::internal, "", "not run"), last = first;
    const Calls calls = {[&] { first = store_->create_run(before, "", "", event("run.requested")); },
                         [&] { said = row.call(); },
                         [&] { last = store_->create_run(after, "", "", event("run.requested")); }};
    store_->together(calls);
    EXPECT_EQ(said, row.code);
    EXPECT_TRUE(first && last) << row.code;
    EXPECT_TRUE(store_->get_run(before.id)) << row.code;
    EXPECT_TRUE(store_->get_run(after.id)) << row.code;
  }
  EXPECT_EQ(store_->get_run(old.id)->message, "");
  const auto all = types(*store_);
  EXPECT_EQ(std::ranges::count(all, "never"), 0);
  EXPECT_TRUE(store_->verify_audit()->ok);
  auto c = store_->create_run(sample_run(), "taken", "d", event("run.requested"));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_FALSE(c->replayed) << "the refused attempt kept no key";
}

TEST_F(StoreTest, TogetherAndCallsOfOtherThreadsKeepTheChainWhole) {
  constexpr int kRounds = 20, kCalls = 5;
  std::atomic<int> good = 0;
  const auto note = [&] {
    if (store_->append_audit(event("noted"))) ++good;
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      const Calls calls(kCalls, note);
      for (int i = 0; i < kRounds; ++i) store_->together(calls);
    });
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        note();
        EXPECT_TRUE(store_->list_runs({}, "", 10));
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(good, 2 * kRounds * (kCalls + 1));
  const auto v = store_->verify_audit().value();
  EXPECT_TRUE(v.ok) << v.problem;
  EXPECT_EQ(v.events, good);
}

#ifndef ODDJOB_STORE_ON_POSTGRESQL

TEST_F(StoreTest, TogetherNothingIsKnownToOthersBeforeAllIsOnTheDisk) {
  std::string seen;
  const Calls calls = {[&] { EXPECT_TRUE(store_->append_audit(event("one"))); },
                       [&] { EXPECT_TRUE(store_->append_audit(event("two"))); },
                       [&] { seen = Raw(path()).one("SELECT COUNT(*) FROM audit"); }};
  store_->together(calls);
  EXPECT_EQ(seen, "0");
  EXPECT_EQ(Raw(path()).one("SELECT COUNT(*) FROM audit"), "2");
}

TEST_F(StoreTest, TogetherOthersReadMeanwhile) {
  const oddjob::Run old = create(sample_run());
  oddjob::Run next = old;
  next.state = RunState::running;
  std::optional<RunState> seen;
  const Calls calls = {[&] { EXPECT_TRUE(store_->update_run(next, {event("run.started")})); },
                       [&] { std::thread([&] { seen = store_->get_run(old.id)->state; }).join(); }};
  store_->together(calls);
  EXPECT_EQ(seen, old.state) << "what is not on the disk is not known";
  EXPECT_EQ(store_->get_run(old.id)->state, RunState::running);
}

// A statement that fails by itself: the transaction may be gone with it.
TEST_F(StoreTest, TogetherAStatementThatFailsHarmsNoOther) {
  for (const char* how : {"ABORT", "FAIL", "ROLLBACK"}) {
    ASSERT_EQ(Raw(path()).exec("CREATE TRIGGER poison BEFORE INSERT ON audit WHEN NEW.type = 'poison' BEGIN"
                               " SELECT RAISE(" +
                               std::string(how) + ", 'no'); END"),
              "");
    const auto before = store_->verify_audit()->events;
    Result<AuditEvent> first = fail(Errc::internal, "", "not run"), bad = first, last = first;
    int runs = 0;
    const Calls calls = {[&] { first = store_->append_audit(event("one")); },
                         [&] { bad = store_->append_audit(event("poison")); },
                         [&] {
                           ++runs;
                           last = store_->append_audit(event("two"));
                         }};
    store_->together(calls);
    ASSERT_TRUE(first && last) << how;
    EXPECT_FALSE(bad) << how;
    EXPECT_EQ(first->seq, before + 1) << how;
    EXPECT_EQ(last->seq, before + 2) << how;
    EXPECT_EQ(runs, 1) << how << ": those after it need not try before all is done again";
    EXPECT_TRUE(store_->verify_audit()->ok) << how;
    ASSERT_EQ(Raw(path()).exec("DROP TRIGGER poison"), "");
  }
}

TEST_F(StoreTest, TogetherALockedDatabaseIsWaitedForOnce) {
  Raw other(path());
  ASSERT_EQ(other.exec("BEGIN IMMEDIATE"), "");
  std::vector<std::string> codes;
  const Calls calls(100, [&] {
    const auto written = store_->append_audit(event("one"));
    codes.push_back(written ? "done" : written.error().code);
  });
  const auto begin = std::chrono::steady_clock::now();
  store_->together(calls);
  // Each by itself would wait for 50 ms.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
  EXPECT_EQ(codes, std::vector<std::string>(100, "store.unavailable"));
  ASSERT_EQ(other.exec("ROLLBACK"), "");
  codes.clear();
  store_->together(calls);
  EXPECT_EQ(codes, std::vector<std::string>(100, "done"));
  EXPECT_EQ(store_->verify_audit()->events, 100);
}

TEST_F(StoreTest, TogetherOnAFullDiskWhatWasSaidToBeRecordedIs) {
  store_.reset();
  const auto fill = [this]() -> int {
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{2 << 20, 2 << 20};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto s = Store::open(options());
    if (!s) return 1;
    // Where the disk is full for a group, a small one of it may still fit.
    std::vector<std::string> said(3);
    Calls calls;
    for (std::size_t i = 0; i < said.size(); ++i) {
      calls.emplace_back([&, i] {
        const std::string pad(i == 1 ? 300'000 : 100, 'x');
        const auto e = (*s)->append_audit(event("t", "a", {{"pad", pad}}));
        said[i] = e ? "done" : e.error().code;
      });
    }
    std::int64_t made = 0;
    for (int i = 0, refused = 0; i < 100 && refused < 10; ++i) {
      (*s)->together(calls);
      made += std::ranges::count(said, "done");
      refused += std::ranges::count(said, "store.unavailable") > 0 ? 1 : 0;
      if (std::ranges::count(said, "done") + std::ranges::count(said, "store.unavailable") != 3) return 2;
      const auto v = (*s)->verify_audit();
      if (!v || !v->ok || v->events != made) return 3;
      if (refused == 10) return 0;
    }
    return 4;
  };
  EXPECT_EQ(in_child(fill), 0);
  open();
  EXPECT_TRUE(store_->verify_audit()->ok);
  EXPECT_GT(store_->verify_audit()->events, 3);
  EXPECT_TRUE(store_->ping());
}

// Kills a child in the middle of a group of four; how much of it is there then?
int left_after(const std::string& url, const std::string& file, const std::function<void(int)>& at) {
  const int status = in_child([&]() -> int {
    StoreOptions o;
    o.url = url;
    auto s = Store::open(o);
    if (!s) return 1;
    Calls calls;
    for (int i = 0; i < 4; ++i) {
      calls.emplace_back([&s, &at, i] {
        at(i);
        (void)(*s)->append_audit(event("noted"));
      });
    }
    (*s)->together(calls);
    return 0;
  });
  EXPECT_TRUE(status == 0 || status == 128 + SIGKILL) << status;
  StoreOptions o;
  o.url = url;
  auto s = Store::open(o);
  EXPECT_TRUE(s && (*s)->verify_audit()->ok);
  return std::stoi(Raw(file).one("SELECT COUNT(*) FROM audit"));
}

TEST_F(StoreTest, TogetherAProcessThatIsKilledLeavesAllOrNothing) {
  store_.reset();
  for (int at = 0; at < 4; ++at) {
    EXPECT_EQ(left_after(url(), path(),
                         [at](int i) {
                           if (i == at) ::raise(SIGKILL);
                         }),
              0)
        << at;
  }
  EXPECT_EQ(left_after(url(), path(), [](int) {}), 4);
}

#ifdef ODDJOB_FAULT_POINTS
TEST(TogetherChild, DISABLED_Work) {
  StoreOptions o;
  o.url = std::string("sqlite:") + std::getenv("ODDJOB_TEST_DB");
  auto s = Store::open(o);
  ASSERT_TRUE(s);
  const Calls calls(4, [&] { EXPECT_TRUE((*s)->append_audit(event("noted"))); });
  (*s)->together(calls);
}

TEST(Together, AProcessThatIsKilledAtTheCommitLeavesAllOrNothing) {
  // Each call passes points of its own: all the first ones before the commit, all the others after it.
  for (int n = 1; n <= 4; ++n) {
    for (const std::string point : {"store.commit.before", "store.commit.after"}) {
      TempDir dir;
      EXPECT_TRUE(crash("TogetherChild.DISABLED_Work", dir.file("x.db"), point + "/append_audit", n));
      StoreOptions o;
      o.url = "sqlite:" + dir.file("x.db");
      auto s = Store::open(o);
      ASSERT_TRUE(s) << s.error().message;
      const auto v = (*s)->verify_audit().value();
      EXPECT_TRUE(v.ok) << v.problem;
      EXPECT_EQ(v.events, point == "store.commit.before" ? 0 : 4) << point << n;
    }
  }
}
#endif

#endif

}  // namespace
}  // namespace oddjob::store
