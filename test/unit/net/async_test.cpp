#include "net/async.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>

namespace oddjob::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

Task<int> seven() {
  co_await sleep_for(milliseconds(1));
  co_return 7;
}
Task<> throws() {
  co_await yield_now();
  throw std::runtime_error("as asked");
}
Task<> sets(bool& flag) {
  flag = true;
  co_return;
}
Task<> stops(Loop& loop) {
  loop.stop();
  co_await sleep_for(seconds(60));
}

TEST(LoopTest, BlockOnGivesTheResultAndCanBeCalledAgain) {
  Loop loop;
  EXPECT_EQ(loop.block_on(seven()), 7);
  EXPECT_EQ(loop.block_on(seven()), 7);
}

TEST(LoopTest, BlockOnThrowsWhatTheTaskThrew) {
  Loop loop;
  EXPECT_THROW(loop.block_on(throws()), std::runtime_error);
  EXPECT_EQ(loop.block_on(seven()), 7);
}

TEST(LoopTest, StopEndsRunAndBlockOnAndTheLoopGoesOnAfterwards) {
  Loop loop;
  loop.spawn("stopper", stops(loop));
  loop.run();
  EXPECT_THROW(loop.block_on(stops(loop)), std::runtime_error);
  EXPECT_EQ(loop.block_on(seven()), 7);
}

TEST(LoopTest, StopFromAnotherThreadIsNeverLost) {
  for (int i = 0; i < 50; ++i) {
    Loop loop;
    loop.spawn("sleeper", [](Loop&) -> Task<> { co_await sleep_for(seconds(60)); }(loop));
    std::thread stopper([&] { loop.stop(); });
    loop.run();
    stopper.join();
  }
}

TEST(LoopTest, SpawnNeverRunsInTheCaller) {
  Loop loop;
  bool ran = false, ran_early = true;
  loop.post([&] {
    loop.spawn("later", sets(ran));
    ran_early = ran;
  });
  loop.run();
  EXPECT_TRUE(ran);
  EXPECT_FALSE(ran_early);
}

TEST(LoopTest, AnExceptionThatNobodyCatchesEndsTheProcess) {
  EXPECT_DEATH(
      {
        Loop loop;
        loop.spawn("thrower", throws());
        loop.run();
      },
      "");
}

TEST(LoopTest, WhatStillWaitsIsDestroyedWithTheLoop) {
  auto witness = std::make_shared<int>(1);
  std::weak_ptr<int> left = witness;
  {
    Loop loop;
    Notifier notifier;
    loop.spawn("waits", [](std::shared_ptr<int>, Notifier& n) -> Task<> {
      co_await n.wait_beyond(0, seconds(60));
    }(std::move(witness), notifier));
    EXPECT_EQ(loop.block_on(seven()), 7);
  }
  EXPECT_TRUE(left.expired());
}

TEST(LoopTest, SleepTakesTheLongestDurationThereIs) {
  Loop loop;
  loop.spawn("sleeper", [](Loop&) -> Task<> { co_await sleep_for(Duration::max()); }(loop));
  EXPECT_EQ(loop.block_on(seven()), 7);
}

TEST(LoopTest, ASignalWakesItsWaiter) {
  Loop loop;
  loop.spawn("raise", [](Loop&) -> Task<> {
    co_await sleep_for(milliseconds(5));
    ::raise(SIGUSR2);
  }(loop));
  EXPECT_EQ(loop.block_on(wait_signal({SIGUSR1, SIGUSR2})), SIGUSR2);
}

TEST(BlockingPoolTest, RunsOffTheLoopsThreadAndComesBackToIt) {
  Loop loop;
  BlockingPool pool(2);
  const auto here = std::this_thread::get_id();
  std::thread::id there, after;
  loop.block_on([](BlockingPool& p, std::thread::id& t, std::thread::id& a) -> Task<> {
    auto work = [] { return std::this_thread::get_id(); };
    t = co_await p.offload(work);
    a = std::this_thread::get_id();
  }(pool, there, after));
  EXPECT_NE(there, here);
  EXPECT_EQ(after, here);
}

TEST(BlockingPoolTest, AnExceptionReachesTheOneWhoWaits) {
  Loop loop;
  BlockingPool pool;
  auto work = []() -> int { throw std::runtime_error("as asked"); };
  EXPECT_THROW(loop.block_on(pool.offload(work)), std::runtime_error);
}

TEST(BlockingPoolTest, TheLoopTurnsMeanwhile) {
  Loop loop;
  BlockingPool pool;
  std::atomic<bool> turned = false;
  loop.spawn("turn", [](std::atomic<bool>& t) -> Task<> {
    co_await sleep_for(milliseconds(5));
    t = true;
  }(turned));
  auto work = [&] {
    const auto deadline = Clock::now() + seconds(10);
    while (!turned && Clock::now() < deadline) std::this_thread::yield();
    return turned.load();
  };
  EXPECT_TRUE(loop.block_on(pool.offload(work)));
}

TEST(BlockingPoolTest, ALoopMayGoWhileWorkIsQueued) {
  std::atomic<int> done = 0;
  {
    Loop loop;
    BlockingPool pool;
    for (int i = 0; i < 20; ++i) {
      loop.spawn("work", [](BlockingPool& p, std::atomic<int>& d) -> Task<> {
        auto work = [&d] { ++d; };
        co_await p.offload(work);
      }(pool, done));
    }
    loop.block_on(yield_now());
  }
  EXPECT_EQ(done, 20);
}

// Hands over `n` calls in one turn of the loop; the group's first call keeps the thread until all are there.
struct Gathering {
  Loop loop;
  std::atomic<int> handed_over = 0;
  std::vector<int> order, groups, answers;
  BlockingPool pool{1};

  explicit Gathering(std::size_t most) {
    pool.gather(
        [this](BlockingPool::Calls calls) {
          groups.push_back(static_cast<int>(calls.size()));
          for (const auto& call : calls) call();
        },
        most);
  }
  Task<> hand_over(int id, int all) {
    auto work = [this, id, all] {
      const auto deadline = Clock::now() + seconds(10);
      while (handed_over < all && Clock::now() < deadline) std::this_thread::yield();
      order.push_back(id);
      return id;
    };
    ++handed_over;
    answers.push_back(co_await pool.offload_together(work));
  }
  void run(int n) {
    for (int i = 0; i < n; ++i) loop.spawn("call", hand_over(i, n));
    loop.run();
  }
};

TEST(BlockingPoolTest, WhatComesWhileAGroupIsAtWorkIsTheNextGroup) {
  Gathering g(100);
  g.run(6);
  EXPECT_EQ(g.order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(g.answers, g.order);
  EXPECT_EQ(std::accumulate(g.groups.begin(), g.groups.end(), 0), 6);
  // The first holds the thread until all but perhaps the last one are there.
  EXPECT_LE(g.groups.size(), 3U);
}

TEST(BlockingPoolTest, AGroupIsBounded) {
  Gathering g(2);
  g.run(7);
  EXPECT_EQ(g.answers, (std::vector<int>{0, 1, 2, 3, 4, 5, 6}));
  for (const int size : g.groups) EXPECT_LE(size, 2);
}

TEST(BlockingPoolTest, TheLastRunOfACallIsItsAnswer) {
  Loop loop;
  BlockingPool pool;
  pool.gather(
      [](BlockingPool::Calls calls) {
        for (const auto& call : calls) call();
        for (const auto& call : calls) call();
      },
      8);
  int runs = 0;
  auto work = [&runs] {
    if (++runs == 1) throw std::runtime_error("only the first time");
    return runs;
  };
  EXPECT_EQ(loop.block_on(pool.offload_together(work)), 2);
  auto always = []() -> int { throw std::runtime_error("as asked"); };
  EXPECT_THROW(loop.block_on(pool.offload_together(always)), std::runtime_error);
}

TEST(BlockingPoolTest, WithoutAGathererTogetherIsAlone) {
  Loop loop;
  BlockingPool pool;
  auto work = [] { return 7; };
  EXPECT_EQ(loop.block_on(pool.offload_together(work)), 7);
}

TEST(BlockingPoolTest, OtherWorkIsDoneWhileAGroupIs) {
  for (const unsigned threads : {1U, 2U}) {
    Loop loop;
    BlockingPool pool(threads);
    std::atomic<bool> other = false;
    pool.gather(
        [&](BlockingPool::Calls calls) {
          // One thread alone does both in turn.
          const auto deadline = Clock::now() + seconds(10);
          while (threads == 2 && !other && Clock::now() < deadline) std::this_thread::yield();
          for (const auto& call : calls) call();
        },
        8);
    bool seen = false;
    loop.spawn("group", [](BlockingPool& p, std::atomic<bool>& o, bool& s) -> Task<> {
      auto work = [&o] { return o.load(); };
      s = co_await p.offload_together(work);
    }(pool, other, seen));
    loop.spawn("other", [](BlockingPool& p, std::atomic<bool>& o) -> Task<> {
      auto work = [&o] { o = true; };
      co_await p.offload(work);
    }(pool, other));
    loop.run();
    EXPECT_TRUE(other);
    EXPECT_TRUE(seen || threads == 1);
  }
}

TEST(BlockingPoolTest, ALoopMayGoWhileAGroupIsQueued) {
  std::atomic<int> done = 0;
  {
    Loop loop;
    BlockingPool pool;
    pool.gather(
        [](BlockingPool::Calls calls) {
          for (const auto& call : calls) call();
        },
        3);
    for (int i = 0; i < 20; ++i) {
      loop.spawn("work", [](BlockingPool& p, std::atomic<int>& d) -> Task<> {
        auto work = [&d] { ++d; };
        co_await p.offload_together(work);
      }(pool, done));
    }
    loop.block_on(yield_now());
  }
  EXPECT_EQ(done, 20);
}

struct Waits {
  Notifier notifier;
  std::vector<int> woken;
  Task<> wait(int id, Duration timeout) {
    const auto seen = notifier.ticket();
    const bool good = co_await notifier.wait_beyond(seen, timeout);
    woken.push_back(good ? id : -id);
  }
};

TEST(NotifierTest, WakesAllWhoWait) {
  Loop loop;
  Waits w;
  for (int i = 1; i <= 3; ++i) loop.spawn("wait", w.wait(i, seconds(60)));
  loop.block_on(sleep_for(milliseconds(2)));
  w.notifier.notify_all();
  loop.block_on(sleep_for(milliseconds(2)));
  EXPECT_EQ(w.woken, (std::vector<int>{1, 2, 3}));
}

TEST(NotifierTest, ANotificationBeforeTheWaitIsNotMissed) {
  Loop loop;
  Notifier n;
  const auto seen = n.ticket();
  n.notify_all();
  EXPECT_TRUE(loop.block_on(n.wait_beyond(seen, seconds(60))));
}

TEST(NotifierTest, SaysFalseWhenTimeIsUp) {
  Loop loop;
  Notifier n;
  EXPECT_FALSE(loop.block_on(n.wait_beyond(n.ticket(), milliseconds(3))));
}

TEST(NotifierTest, WaitersAreReleasedWhenItGoes) {
  Loop loop;
  auto n = std::make_unique<Notifier>();
  loop.spawn("drop", [](std::unique_ptr<Notifier>& owner) -> Task<> {
    co_await sleep_for(milliseconds(2));
    owner.reset();
  }(n));
  EXPECT_FALSE(loop.block_on(n->wait_beyond(0, seconds(60))));
}

TEST(CancelTokenTest, TellsEveryCopyOnceAndLatecomersAtOnce) {
  CancelToken token;
  const CancelToken copy = token;
  int calls = 0;
  token.on_cancel([&] { ++calls; });
  const auto removed = token.on_cancel([&] { calls += 100; });
  token.remove(removed);
  token.cancel();
  token.cancel();
  EXPECT_TRUE(copy.cancelled());
  EXPECT_EQ(calls, 1);
  token.on_cancel([&] { ++calls; });
  EXPECT_EQ(calls, 2);
}

TEST(CancelTokenTest, ACallbackMayRemoveAnotherAndDropTheToken) {
  auto token = std::make_unique<CancelToken>();
  int calls = 0;
  std::uint64_t second = 0;
  token->on_cancel([&] {
    ++calls;
    token->remove(second);
    token.reset();
  });
  second = token->on_cancel([&] { ++calls; });
  CancelToken copy = *token;
  copy.cancel();
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace oddjob::net
