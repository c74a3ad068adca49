#include "net/async.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
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
