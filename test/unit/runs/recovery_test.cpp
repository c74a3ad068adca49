// The server dies at every call it makes for a run, before the cluster did
// anything and after; started anew, it ends the run rightly, and once.
#include "engine_fixture.hpp"

namespace oddjob::runs::testing {
namespace {

class RecoveryTest : public EngineTest {
 protected:
  // Dies at the n-th call (from 0) of a run; the run's id.
  std::string die_at(int n, Fault::Kind how, RunRequest r = request()) {
    int seen = 0;
    bool dead = false;
    cluster.fault = [&, n, how](const net::ServerRequest&, const std::string& call) {
      if (!counts(call) || seen++ != n) return Fault{};
      dead = true;
      return Fault{how};
    };
    std::string id;
    const auto made = submit(std::move(r), "key");
    if (made) id = made->run.id;
    EXPECT_TRUE(until([&] { return dead || (!id.empty() && is_final(stored(id).state)); }));
    reached_ = dead;
    crash();
    cluster.fault = {};
    return id;
  }
  // The calls of a run's own life: those before it is recorded belong to submit.
  static bool counts(const std::string& call) {
    return call == "POST jobs" || call == "PATCH jobs" || call == "GET pods/log" || call == "GET jobs" ||
           call == "DELETE jobs";
  }
  bool reached_ = false;
};

TEST_F(RecoveryTest, WhereverItDiesTheRunEndsRightAndOnce) {
  for (const auto how : {Fault::Kind::hang_before, Fault::Kind::hang_after, Fault::Kind::cut_after}) {
    for (int n = 0; n < 8; ++n) {
      SCOPED_TRACE("call " + std::to_string(n) + ", " + std::to_string(static_cast<int>(how)));
      cluster.calls.clear();
      cluster.jobs_made = cluster.pods_made = 0;
      cluster.plan.lines = {"first", "second", "third"};
      cluster.plan.exit_code = 4;
      cluster.plan.takes = Duration(150);
      start();
      const std::string id = die_at(n, how);
      ASSERT_NE(id, "");
      begin();
      start();
      const Run r = finished(id);
      EXPECT_EQ(r.state, RunState::failed) << r.message;
      EXPECT_EQ(r.exit_code, 4);
      EXPECT_EQ(log_of(id), "first\nsecond\nthird\n");
      EXPECT_TRUE(r.log_complete) << r.message;
      EXPECT_EQ(cluster.jobs_made, 1);
      EXPECT_EQ(cluster.pods_made, 1);
      const auto types = story(id);
      for (const char* once : {"run.requested", "run.job_created", "run.started", "run.finished"}) {
        EXPECT_EQ(std::ranges::count(types, once), 1) << once;
      }
      EXPECT_TRUE(store_->verify_audit()->ok);
      const auto again = submit(request(), "key");
      ASSERT_TRUE(again) << again.error().message;
      EXPECT_TRUE(again->replayed) << "a client that saw the crash gets the same run";
      EXPECT_EQ(again->run.id, id);
      end();
      fresh();
      if (!reached_) break;
    }
  }
}

TEST_F(RecoveryTest, ACreateWhoseAnswerIsAnErrorIsNotMadeTwice) {
  start();
  int tries = 0;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call != "POST jobs" || tries++ > 0) return Fault{};
    return Fault{Fault::Kind::answer_after, 500, "InternalError", "etcdserver: request timed out"};
  };
  const auto made = submit();
  ASSERT_TRUE(made);
  EXPECT_EQ(finished(made->run.id).state, RunState::succeeded);
  EXPECT_EQ(cluster.jobs_made, 1);
  EXPECT_EQ(cluster.pods_made, 1);
}

TEST_F(RecoveryTest, EnvValuesThatDiedWithTheProcessEndTheRunUnstarted) {
  start();
  auto r = request();
  r.env = {{"SECRET", "gone", false}};
  const std::string id = die_at(0, Fault::Kind::hang_before, r);
  ASSERT_NE(id, "");
  begin();
  start();
  const Run done = finished(id);
  EXPECT_EQ(done.state, RunState::lost);
  EXPECT_NE(done.message.find("environment"), std::string::npos) << done.message;
  EXPECT_EQ(cluster.jobs_made, 0);
}

TEST_F(RecoveryTest, EnvValuesThatReachedTheClusterAreNotNeededAgain) {
  start();
  auto r = request();
  r.env = {{"SECRET", "there", false}};
  const std::string id = die_at(0, Fault::Kind::hang_after, r);
  ASSERT_NE(id, "");
  begin();
  start();
  EXPECT_EQ(finished(id).state, RunState::succeeded);
  EXPECT_EQ(cluster.jobs_made, 1);
}

TEST_F(RecoveryTest, AJobThatVanishedWhileTheServerWasAwayIsNotMadeAgain) {
  start();
  cluster.plan.ends = false;
  const auto made = submit();
  ASSERT_TRUE(made);
  ASSERT_TRUE(until([&] { return stored(made->run.id).state == RunState::running; }));
  crash();
  cluster.delete_job(job_key(made->run.id));
  ASSERT_TRUE(until([&] { return cluster.keys("pods").empty(); }));
  begin();
  start();
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::lost);
  EXPECT_FALSE(r.log_complete);
  EXPECT_NE(r.message.find("incomplete"), std::string::npos) << r.message;
  EXPECT_EQ(cluster.jobs_made, 1);
}

// The record of the backup knows nothing of what came after it.
TEST_F(RecoveryTest, ABackupOfARunOnItsWayToItsJobDoesNotRunItAgain) {
  start();
  const std::string id = die_at(0, Fault::Kind::hang_before);
  ASSERT_NE(id, "");
  const auto file = database();
  const auto beside = [&](const char* suffix) { return std::filesystem::path(file.string() + suffix); };
  for (const char* wal : {"", "-wal"})
    std::filesystem::copy_file(beside(wal), beside((std::string(".kept") + wal).c_str()));
  begin();
  start();
  EXPECT_EQ(finished(id).state, RunState::succeeded);
  ASSERT_EQ(cluster.jobs_made, 1);
  crash();
  cluster.delete_job(job_key(id));
  cluster.put("events", json::parse(R"({"apiVersion": "v1", "kind": "Event", "reason": "Completed",
    "metadata": {"name": "x.1", "namespace": "shop"}, "involvedObject": {"kind": "Job"}})"));
  store_.reset();
  for (const char* wal : {"", "-wal"})
    std::filesystem::rename(beside((std::string(".kept") + wal).c_str()), beside(wal));
  begin();
  start();
  const Run r = finished(id);
  EXPECT_EQ(r.state, RunState::lost);
  EXPECT_EQ(r.result_reason, "ResultUnknown");
  EXPECT_NE(r.message.find("backup"), std::string::npos) << r.message;
  EXPECT_EQ(cluster.jobs_made, 1);
  EXPECT_TRUE(store_->verify_audit()->ok);
}

TEST_F(RecoveryTest, ARunOfLongAgoIsNotStartedByARestart) {
  start();
  const std::string id = die_at(0, Fault::Kind::hang_before);
  ASSERT_NE(id, "");
  options.start_timeout = Duration(1);
  begin();
  start();
  EXPECT_EQ(finished(id).state, RunState::lost);
  EXPECT_EQ(cluster.jobs_made, 0);
}

TEST_F(RecoveryTest, WithoutTheRightToReadEventsACrashIsRecoveredFrom) {
  start();
  const std::string id = die_at(0, Fault::Kind::hang_before);
  ASSERT_NE(id, "");
  cluster.fault = [](const net::ServerRequest&, const std::string& call) {
    return call == "GET events" ? Fault{Fault::Kind::answer, 403, "Forbidden", "events is forbidden"}
                                : Fault{};
  };
  begin();
  start();
  EXPECT_EQ(finished(id).state, RunState::succeeded);
  EXPECT_EQ(cluster.jobs_made, 1);
}

TEST_F(RecoveryTest, ACancellationSurvivesTheCrash) {
  start();
  cluster.plan.ends = false;
  cluster.plan.lines = {"up"};
  const auto made = submit();
  ASSERT_TRUE(made);
  ASSERT_TRUE(until([&] { return stored(made->run.id).state == RunState::running; }));
  bool dead = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call != "DELETE jobs") return Fault{};
    dead = true;
    return Fault{Fault::Kind::hang_before};
  };
  ASSERT_TRUE(run(engine->cancel(caller("ann"), made->run.id)));
  ASSERT_TRUE(until([&] { return dead; }));
  crash();
  cluster.fault = {};
  begin();
  start();
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::cancelled);
  EXPECT_EQ(log_of(r.id), "up\nstopping\n");
}

TEST_F(RecoveryTest, TheEndIsSeenAlsoWithoutWatches) {
  cluster.refuse_watches = true;
  (void)run(engine->start());
  const auto made = submit();
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(until([&] { return is_final(stored(made->run.id).state); }, std::chrono::seconds(40)));
  EXPECT_EQ(stored(made->run.id).state, RunState::succeeded);
}

TEST_F(RecoveryTest, AnOrderlyStopLosesNothingEither) {
  start();
  cluster.plan.lines = {"a", "b", "c", "d", "e", "f"};
  cluster.plan.takes = Duration(600);
  const auto made = submit();
  ASSERT_TRUE(made);
  ASSERT_TRUE(until([&] { return stored(made->run.id).state == RunState::running; }));
  end();
  begin();
  start();
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::succeeded);
  EXPECT_EQ(log_of(r.id), "a\nb\nc\nd\ne\nf\n");
}

}  // namespace
}  // namespace oddjob::runs::testing
