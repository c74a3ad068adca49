// Whose runs are: by leases, in the database's time.
#include <set>
#include <thread>

#include "fixture.hpp"

namespace oddjob::store {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

class LeaseTest : public StoreTest {
 protected:
  oddjob::Run create_for(std::string owner, Placement p = {}) {
    p.owner = std::move(owner);
    auto c = store_->create_run(sample_run(), "", "", event("run.requested"), p);
    EXPECT_TRUE(c) << c.error().message;
    return c ? c->run : oddjob::Run{};
  }
  void join(const std::string& replica, Duration time = minutes(1)) {
    auto t = store_->take_lease(replica_lease(replica), replica, time);
    ASSERT_TRUE(t) << t.error().message;
    ASSERT_TRUE(*t);
  }
  // Until the lease of a replica that is given 1 ms has ended.
  void let_it_end(const std::string& replica) {
    join(replica, milliseconds(1));
    std::this_thread::sleep_for(milliseconds(20));
  }
  std::string owner_of(const std::string& id) {
    const auto live = store_->live_runs();
    for (const auto& l : live.value())
      if (l.id == id) return l.owner;
    return "(ended)";
  }
};

TEST_F(LeaseTest, OneHolderAtATime) {
  EXPECT_TRUE(store_->take_lease("hook/x", "a", minutes(1)).value());
  EXPECT_FALSE(store_->take_lease("hook/x", "b", minutes(1)).value());
  EXPECT_TRUE(store_->take_lease("hook/x", "a", minutes(1)).value()) << "again: renewed";
  EXPECT_FALSE(store_->renew_lease("hook/x", "b", minutes(1)).value());
  EXPECT_TRUE(store_->renew_lease("hook/x", "a", milliseconds(1)).value());
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_TRUE(store_->take_lease("hook/x", "b", minutes(1)).value()) << "it had ended";
  EXPECT_FALSE(store_->renew_lease("hook/x", "a", minutes(1)).value());
}

TEST_F(LeaseTest, ALeaseThatEndedUnnoticedCanStillBeRenewed) {
  let_it_end("a");
  EXPECT_TRUE(store_->renew_lease(replica_lease("a"), "a", minutes(1)).value());
}

TEST_F(LeaseTest, RunsOfTheLivingAreLeftAlone) {
  join("a");
  join("b");
  const auto r = create_for("a");
  EXPECT_EQ(store_->claim_runs("b", 10).value(), 0);
  EXPECT_EQ(owner_of(r.id), "a");
  EXPECT_FALSE(store_->live_runs()->at(0).free);
}

TEST_F(LeaseTest, RunsOfTheDeadAreClaimedOldestFirstAndOnce) {
  let_it_end("a");
  const auto first = create_for("a"), second = create_for("a"), third = create_for("a");
  EXPECT_TRUE(store_->live_runs()->at(0).free);
  join("b");
  join("c");
  EXPECT_EQ(store_->claim_runs("b", 2).value(), 2);
  EXPECT_EQ(store_->claim_runs("c", 2).value(), 1);
  EXPECT_EQ(store_->claim_runs("c", 2).value(), 0);
  EXPECT_EQ(owner_of(first.id), "b");
  EXPECT_EQ(owner_of(third.id), "c");
  EXPECT_EQ(store_->get_run(first.id)->version, 2);
  EXPECT_FALSE(store_->renew_lease(replica_lease("a"), "a", minutes(1)).value())
      << "it learns that it is dead";
}

TEST_F(LeaseTest, WhoLostARunChangesNothingOfItAnyMore) {
  let_it_end("a");
  auto r = create_for("a");
  join("b");
  ASSERT_EQ(store_->claim_runs("b", 10).value(), 1);
  r.state = RunState::running;
  auto late = store_->update_run(r, {event("run.started")}, "a");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, "store.not_owner");
  LogChunk chunk;
  chunk.pod_uid = "p";
  chunk.data = "line\n";
  auto log = store_->append_log(r.id, chunk, "a");
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, "store.not_owner");
  EXPECT_EQ(store_->log_length(r.id).value(), 0);
  EXPECT_TRUE(store_->append_log(r.id, chunk, "b"));
  auto now = store_->get_run(r.id).value();
  EXPECT_NE(now.state, RunState::running);
  EXPECT_TRUE(store_->update_run(now, {}, "b"));
  now.version = 3;
  EXPECT_TRUE(store_->update_run(now, {})) << "a cancellation comes from anywhere";
  EXPECT_EQ(store_->verify_audit()->events, 1);
}

TEST_F(LeaseTest, WhoLeavesGivesAllBackAtOnce) {
  join("a");
  join("b");
  ASSERT_TRUE(store_->take_lease("sweeper", "a", minutes(1)).value());
  const auto r = create_for("a");
  ASSERT_TRUE(store_->leave("a"));
  EXPECT_TRUE(store_->live_runs()->at(0).free);
  EXPECT_TRUE(store_->take_lease("sweeper", "b", minutes(1)).value());
  EXPECT_EQ(store_->claim_runs("b", 10).value(), 1);
  EXPECT_EQ(owner_of(r.id), "b");
}

TEST_F(LeaseTest, WhoIsBelievedDeadClaimsNothing) {
  create_for("");
  EXPECT_EQ(store_->claim_runs("a", 10).value(), 0);
  join("a");
  EXPECT_EQ(store_->claim_runs("a", 10).value(), 1);
}

TEST_F(LeaseTest, RunsThatEndedAreNobodys) {
  let_it_end("a");
  auto r = create_for("a");
  r.state = RunState::succeeded;
  ASSERT_TRUE(store_->update_run(r, {event("run.finished")}, "a"));
  join("b");
  EXPECT_EQ(store_->claim_runs("b", 10).value(), 0);
  EXPECT_TRUE(store_->live_runs()->empty());
}

TEST_F(LeaseTest, LiveRunsTellVersionAndLog) {
  join("a");
  const auto r = create_for("a");
  LogChunk chunk;
  chunk.pod_uid = "p";
  chunk.data = "line\n";
  ASSERT_TRUE(store_->append_log(r.id, chunk, "a"));
  const auto live = store_->live_runs().value();
  ASSERT_EQ(live.size(), 1U);
  EXPECT_EQ(live[0].id, r.id);
  EXPECT_EQ(live[0].version, 1);
  EXPECT_EQ(live[0].log_bytes, 5);
}

TEST_F(LeaseTest, LimitsHoldAtTheMomentOfRecordingWhoeverAsks) {
  Placement two;
  two.max_on_workload = 2;
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      auto c = store_->create_run(sample_run(), "", "", event("run.requested"), two);
      if (c) {
        ++made;
      } else {
        EXPECT_EQ(c.error().code, "store.workload_busy") << c.error().message;
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(made, 2);
  Placement all;
  all.max_active = 2;
  auto c = store_->create_run(sample_run("ann", "deploy/other"), "k", "d", event("run.requested"), all);
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, "store.too_many_active");
  all.max_active = 3;
  c = store_->create_run(sample_run("ann", "deploy/other"), "k", "d", event("run.requested"), all);
  ASSERT_TRUE(c) << "the refused attempt kept no key";
  EXPECT_FALSE(c->replayed);
}

}  // namespace
}  // namespace oddjob::store
