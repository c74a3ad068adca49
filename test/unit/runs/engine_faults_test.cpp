// What goes wrong around a run: policies that change, Jobs that are taken, refused,
// deleted or touched, pods that do not start, logs that cannot be read.
#include "engine_fixture.hpp"
#include "runs/engine.hpp"

namespace oddjob::runs::testing {
namespace {

using Strings = std::vector<std::string>;

TEST_F(EngineTest, APolicyThatChangedIsAskedAtTheMomentOfStarting) {
  start();
  bool changed = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call == "POST jobs" && !std::exchange(changed, true))
      cluster.put_deployment({{"oddjob.dev/allowed-users", "bob"}});
    return Fault{};
  };
  const auto made = submit();
  ASSERT_TRUE(made);
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::denied);
  EXPECT_NE(r.message.find("at the moment of starting"), std::string::npos) << r.message;
  EXPECT_EQ(cluster.pods_made, 0);
  EXPECT_EQ(cluster.object(job_key(r.id)), nullptr) << "its Job is gone";
  EXPECT_EQ(story(r.id), (Strings{"run.requested", "run.job_created", "run.denied", "run.finished"}));
}

TEST_F(EngineTest, AJobWhoseNameIsTakenIsNeverAdopted) {
  start();
  cluster.fault = [&](const net::ServerRequest& q, const std::string& call) {
    if (call == "POST jobs") {
      json::value other = json::parse(R"({"apiVersion": "batch/v1", "kind": "Job", "spec": {}})");
      ensure(other, {"metadata", "name"}) = get_string(json::parse(q.body), {"metadata", "name"});
      ensure(other, {"metadata", "namespace"}) = "shop";
      cluster.put("jobs", other);
    }
    return Fault{};
  };
  const auto made = submit();
  ASSERT_TRUE(made);
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::failed);
  EXPECT_NE(r.message.find(r.job_name), std::string::npos);
  EXPECT_NE(cluster.object(job_key(r.id)), nullptr) << "somebody else's Job is left alone";
}

TEST_F(EngineTest, AJobThatTheClusterRefusesEndsTheRunWithItsWords) {
  start();
  cluster.fault = [](const net::ServerRequest&, const std::string& call) {
    return call == "POST jobs"
               ? Fault{Fault::Kind::answer, 403, "Forbidden",
                       "jobs.batch \"x\" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1"}
               : Fault{};
  };
  const auto made = submit();
  ASSERT_TRUE(made);
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::failed);
  EXPECT_EQ(r.exit_code, std::nullopt);
  EXPECT_NE(r.message.find("exceeded quota: jobs"), std::string::npos) << r.message;
}

TEST_F(EngineTest, AJobDeletedBySomebodyIsALostRunWithItsLog) {
  start();
  cluster.plan.lines = {"up"};
  cluster.plan.ends = false;
  const auto made = submit();
  ASSERT_TRUE(made);
  ASSERT_TRUE(until([&] { return log_of(made->run.id) == "up\n"; }));
  cluster.delete_job(job_key(made->run.id));
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::lost);
  EXPECT_NE(r.message.find("deleted"), std::string::npos);
  EXPECT_EQ(log_of(r.id), "up\nstopping\n");
  EXPECT_EQ(cluster.jobs_made, 1) << "never made again";
}

TEST_F(EngineTest, WhatAPodWaitsForIsShownAndEndsInTime) {
  end();
  options.start_timeout = Duration(1200);
  begin();
  start();
  cluster.plan.waits_with = "ImagePullBackOff";
  const auto made = submit();
  ASSERT_TRUE(made);
  EXPECT_TRUE(until([&] {
    return run(engine->get(caller("ann"), made->run.id))->progress == "ImagePullBackOff: because";
  }));
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::failed);
  EXPECT_NE(r.message.find("ImagePullBackOff"), std::string::npos) << r.message;
  EXPECT_EQ(cluster.object(job_key(r.id)), nullptr);
  EXPECT_EQ(r.version, 1 + std::ssize(failing.updates())) << "what is only shown is no commit of its own";
}

TEST_F(EngineTest, APodThatCannotBeMadeIsShownFromEvents) {
  start();
  cluster.plan.makes_pod = false;
  const auto made = submit();
  ASSERT_TRUE(made);
  ASSERT_TRUE(until([&] { return cluster.object(job_key(made->run.id)) != nullptr; }));
  json::value event =
      json::parse(R"({"apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "FailedCreate",
      "message": "Error creating: pods \"x\" is forbidden: exceeded quota: pods", "lastTimestamp": "2026-01-02T03:04:05Z",
      "metadata": {"name": "e1", "namespace": "shop"}})");
  ensure(event, {"involvedObject", "uid"}) =
      get_string(*cluster.object(job_key(made->run.id)), {"metadata", "uid"});
  cluster.put("events", event);
  EXPECT_TRUE(until([&] {
    return run(engine->get(caller("ann"), made->run.id))->progress.find("exceeded quota: pods") !=
           std::string::npos;
  }));
  ASSERT_TRUE(run(engine->cancel(caller("ann"), made->run.id)));
  EXPECT_EQ(finished(made->run.id).state, RunState::cancelled);
}

TEST_F(EngineTest, ALogOverItsBoundIsCutAndSaysSo) {
  end();
  options.max_log_bytes = 1000;
  begin();
  start();
  cluster.plan.lines = {std::string(600, 'a'), std::string(600, 'b'), std::string(600, 'c')};
  const auto made = submit();
  ASSERT_TRUE(made);
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::succeeded) << "the result does not suffer";
  EXPECT_EQ(log_of(r.id), std::string(600, 'a') + "\n" + std::string(399, 'b'));
  EXPECT_FALSE(r.log_complete);
  EXPECT_NE(r.message.find("1000 bytes"), std::string::npos) << r.message;
}

TEST_F(EngineTest, ALineOf20MegabytesAndBytesThatAreNoTextPassUnchanged) {
  start();
  std::string odd = std::string("a\0b", 3) + "\xff\xfe\x1b[31m";
  cluster.plan.lines = {odd, std::string(20'000'000, 'x'), "after"};
  cluster.plan.takes = Duration(0);
  const auto made = submit();
  ASSERT_TRUE(made);
  const Run r = finished(made->run.id);
  const std::string all = odd + "\n" + std::string(20'000'000, 'x') + "\nafter\n";
  ASSERT_EQ(r.log_bytes, static_cast<std::int64_t>(all.size()));
  std::string got;
  while (got.size() < all.size()) {
    const auto piece = run(engine->read_log(r.id, static_cast<std::int64_t>(got.size()), 1U << 20U)).value();
    ASSERT_FALSE(piece.empty());
    got += piece;
  }
  EXPECT_TRUE(got == all);
  EXPECT_TRUE(r.log_complete);
}

TEST_F(EngineTest, APodThatWentBeforeItsLogWasReadSaysSo) {
  start();
  cluster.plan.lines = {"never read"};
  cluster.plan.ends = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    return call == "GET pods/log" ? Fault{Fault::Kind::answer, 503, "ServiceUnavailable", "kubelet is away"}
                                  : Fault{};
  };
  const auto made = submit();
  ASSERT_TRUE(made);
  ASSERT_TRUE(until([&] { return stored(made->run.id).state == RunState::running; }));
  ASSERT_TRUE(run(engine->cancel(caller("ann"), made->run.id)));
  ASSERT_TRUE(until([&] { return cluster.keys("pods").empty(); }));
  cluster.fault = {};
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::cancelled);
  EXPECT_FALSE(r.log_complete);
  EXPECT_NE(r.message.find("deleted before its log was read"), std::string::npos) << r.message;
}

TEST_F(EngineTest, ASuspendedJobOfARunThatHasEndedIsRemovedAndOthersAreLeftAlone) {
  start();
  const auto made = submit();
  ASSERT_TRUE(made);
  const Run r = finished(made->run.id);
  ASSERT_TRUE(until([&] { return engine->stats().active == 0; }));
  json::value late = *cluster.object(job_key(r.id));
  cluster.remove(job_key(r.id));
  ensure(late, {"metadata", "uid"}) = "late-answer";
  ensure(late, {"metadata", "generation"}) = 1;
  ensure(late, {"spec", "suspend"}) = true;
  erase(late, {"status"});
  json::value stranger = late;
  ensure(stranger, {"metadata", "name"}) = "of-another-server";
  ensure(stranger, {"metadata", "uid"}) = "u-s";
  ensure(stranger, {"metadata", "labels", "oddjob.dev/run-id"}) = new_run_id(system_clock().now());
  cluster.put("jobs", stranger);
  cluster.put("jobs", late);
  EXPECT_TRUE(until([&] { return cluster.object(job_key(r.id)) == nullptr; }));
  EXPECT_NE(cluster.object("jobs/shop/of-another-server"), nullptr);
}

TEST_F(EngineTest, WhatAControllerNotesOfASuspendedJobDoesNotHoldUpItsStart) {
  start();
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call == "PATCH jobs") {
      json::value job = *cluster.object(cluster.keys("jobs").front());
      ensure(job, {"status", "conditions"}) = json::array{{{"type", "Suspended"}, {"status", "True"}}};
      cluster.put("jobs", job);
    }
    return Fault{};
  };
  const auto made = submit();
  ASSERT_TRUE(made);
  EXPECT_EQ(finished(made->run.id).state, RunState::succeeded);
  EXPECT_EQ(std::ranges::count(cluster.calls, "PATCH jobs"), 1);
  EXPECT_EQ(std::ranges::count(cluster.calls, "GET deployments"), 2);
  EXPECT_EQ(cluster.pods_made, 1);
}

TEST_F(EngineTest, AJobThatWasMadeAnewBeforeItsReleaseIsNotStarted) {
  start();
  bool once = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call == "PATCH jobs" && !std::exchange(once, true)) {
      const auto key = cluster.keys("jobs").front();
      json::value job = *cluster.object(key);
      cluster.remove(key);
      ensure(job, {"metadata", "uid"}) = "of-the-second";
      cluster.put("jobs", job);
    }
    return Fault{};
  };
  const auto made = submit();
  ASSERT_TRUE(made);
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::lost) << r.message;
  EXPECT_EQ(cluster.pods_made, 0);
}

// The same answer as for a test that failed, but nothing has changed: it is the cluster's own no.
TEST_F(EngineTest, AReleaseThatTheClusterCallsInvalidIsRefused) {
  start();
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call != "PATCH jobs") return Fault{};
    return Fault{Fault::Kind::answer, 422, "Invalid", "Job.batch \"oj-pay\" is invalid: spec.suspend"};
  };
  const auto made = submit();
  ASSERT_TRUE(made);
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::denied);
  EXPECT_NE(r.message.find("spec.suspend"), std::string::npos) << r.message;
  EXPECT_EQ(cluster.pods_made, 0);
}

TEST_F(EngineTest, AJobWhoseSpecificationWasChangedIsNeverReleased) {
  start();
  bool once = false;
  cluster.fault = [&](const net::ServerRequest&, const std::string& call) {
    if (call == "PATCH jobs" && !std::exchange(once, true)) {
      json::value job = *cluster.object(cluster.keys("jobs").front());
      ensure(job, {"spec", "parallelism"}) = 5;
      ensure(job, {"metadata", "generation"}) = 2;
      cluster.put("jobs", job);
    }
    return Fault{};
  };
  const auto made = submit();
  ASSERT_TRUE(made);
  const Run r = finished(made->run.id);
  EXPECT_EQ(r.state, RunState::denied);
  EXPECT_NE(r.message.find("changed by somebody"), std::string::npos) << r.message;
  EXPECT_EQ(cluster.pods_made, 0);
  EXPECT_EQ(cluster.object(job_key(r.id)), nullptr);
}

}  // namespace
}  // namespace oddjob::runs::testing
