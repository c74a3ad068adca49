// Jobs: the life that OddJob gives a run.
#include "contract.hpp"

namespace oddjob::contract {
namespace {

class Jobs : public Contract {
 protected:
  json::value set(json::value job, std::string_view key, json::value v) {
    job.at("spec").as_object()[key] = std::move(v);
    return job;
  }
  std::string reason(const json::value& job, std::string_view type) {
    const auto* c = condition(job, type);
    return c == nullptr ? std::string() : std::string(get_string(*c, {"reason"}));
  }
  static const json::value* terminated(const json::value& pod) {
    const json::array* all = find_array(pod, {"status", "containerStatuses"});
    return all == nullptr || all->empty() ? nullptr : find(all->at(0), {"state", "terminated"});
  }
};

TEST_F(Jobs, OneThatSucceedsSaysSoWithTimesAndCounts) {
  const auto made = create(resources::jobs, job("good", "echo hello"));
  const auto done = wait_condition(resources::jobs, "good", "Complete");
  EXPECT_EQ(get_int(done, {"status", "succeeded"}), 1);
  EXPECT_FALSE(get_string(done, {"status", "startTime"}).empty());
  EXPECT_FALSE(get_string(done, {"status", "completionTime"}).empty());
  EXPECT_EQ(condition(done, "Failed"), nullptr);
  const auto pods = pods_of("good");
  ASSERT_EQ(pods.size(), 1U);
  EXPECT_EQ(get_string(pods[0], {"status", "phase"}), "Succeeded");
  ASSERT_NE(terminated(pods[0]), nullptr);
  EXPECT_EQ(get_int(*terminated(pods[0]), {"exitCode"}), 0);
  EXPECT_EQ(get_string(*terminated(pods[0]), {"reason"}), "Completed");
  EXPECT_FALSE(get_string(*terminated(pods[0]), {"finishedAt"}).empty());
  // By these OddJob finds the pods of a Job, under either name of the label.
  const json::object* labels = find_object(pods[0], {"metadata", "labels"});
  ASSERT_NE(labels, nullptr);
  EXPECT_TRUE(labels->contains("job-name"));
  EXPECT_TRUE(labels->contains("batch.kubernetes.io/job-name"));
  const json::array* owners = find_array(pods[0], {"metadata", "ownerReferences"});
  ASSERT_NE(owners, nullptr);
  EXPECT_EQ(get_string(owners->at(0), {"uid"}), get_string(made, {"metadata", "uid"}));
  EXPECT_TRUE(get_bool(owners->at(0), {"controller"}));
  EXPECT_EQ(log_of(name_of(pods[0])), "hello\n");
}

TEST_F(Jobs, OneThatFailsGivesTheExitCodeOfItsCommandAndDoesNotRunAgain) {
  create(resources::jobs, job("bad", "echo no; exit 3"));
  const auto done = wait_condition(resources::jobs, "bad", "Failed");
  EXPECT_EQ(reason(done, "Failed"), "BackoffLimitExceeded");
  EXPECT_EQ(get_int(done, {"status", "failed"}), 1);
  const auto pods = pods_of("bad");
  ASSERT_EQ(pods.size(), 1U);
  EXPECT_EQ(get_string(pods[0], {"status", "phase"}), "Failed");
  ASSERT_NE(terminated(pods[0]), nullptr);
  EXPECT_EQ(get_int(*terminated(pods[0]), {"exitCode"}), 3);
  EXPECT_EQ(get_string(*terminated(pods[0]), {"reason"}), "Error");
}

TEST_F(Jobs, RetriesMakeNewPodsUntilTheLimit) {
  create(resources::jobs, set(job("twice", "exit 1"), "backoffLimit", 1));
  const auto done = wait_condition(resources::jobs, "twice", "Failed", 120);
  EXPECT_EQ(reason(done, "Failed"), "BackoffLimitExceeded");
  EXPECT_EQ(pods_of("twice").size(), 2U);
}

TEST_F(Jobs, DollarsOfACommandAreReadAsVariableReferences) {
  // What a user typed is only what runs if OddJob escapes it: `$$` becomes `$`,
  // `$(NAME)` the variable's value where there is one.
  json::value j = job("dollars", R"(echo '$$(WHO)' '$(WHO)' '$(NOT_SET)' '$$' '$$$$' '$WHO')");
  auto& container = j.at("spec").at("template").at("spec").at("containers").as_array()[0].as_object();
  container["env"] = json::array{json::object{{"name", "WHO"}, {"value", "me"}}};
  create(resources::jobs, j);
  wait_condition(resources::jobs, "dollars", "Complete");
  const auto pods = pods_of("dollars");
  ASSERT_EQ(pods.size(), 1U);
  EXPECT_EQ(log_of(name_of(pods[0])), "$(WHO) me $(NOT_SET) $ $$ $WHO\n");
}

TEST_F(Jobs, ASuspendedOneMakesNoPodUntilItIsReleased) {
  const auto made = create(resources::jobs, set(job("held", "echo go"), "suspend", true));
  const auto held = wait_condition(resources::jobs, "held", "Suspended");
  EXPECT_TRUE(find(held, {"status", "startTime"}) == nullptr);
  EXPECT_TRUE(pods_of("held").empty());

  // Released if it is the Job that was made and its specification was never changed, whatever a controller
  // has noted in its status since; else not at all.
  const auto released_if = [this](json::array steps) {
    steps.push_back({{"op", "replace"}, {"path", "/spec/suspend"}, {"value", false}});
    return run(api().patch(resources::jobs, ns(), "held", kube::PatchType::json_patch, std::move(steps)));
  };
  const auto test = [](std::string_view path, json::value value) {
    return json::object{{"op", "test"}, {"path", path}, {"value", std::move(value)}};
  };
  const json::object same = test("/metadata/uid", json::value(get_string(made, {"metadata", "uid"})));
  for (const json::array& failing :
       {json::array{test("/metadata/uid", "of-another"), test("/metadata/generation", 1)},
        json::array{same, test("/metadata/generation", 2)},
        json::array{same, test("/metadata/resourceVersion", "1")}}) {
    const auto refused = released_if(failing);
    ASSERT_FALSE(refused) << json::serialize(failing);
    EXPECT_EQ(refused.error().code, "kube.invalid");
  }
  EXPECT_TRUE(pods_of("held").empty());
  const auto released = released_if({same, test("/metadata/generation", 1)});
  ASSERT_TRUE(released) << released.error().message;
  EXPECT_EQ(get_int(*released, {"metadata", "generation"}), 2);
  const auto done = wait_condition(resources::jobs, "held", "Complete");
  EXPECT_EQ(condition(done, "Suspended"), nullptr);
  EXPECT_EQ(pods_of("held").size(), 1U);
}

TEST_F(Jobs, ASuspendedOneCanBeDeletedUnrun) {
  create(resources::jobs, set(job("held", "echo go"), "suspend", true));
  remove(resources::jobs, "held");
  EXPECT_TRUE(wait_gone(resources::jobs, "held"));
  EXPECT_TRUE(list(resources::pods).empty());
}

TEST_F(Jobs, TheDeadlineEndsARunningOne) {
  create(resources::jobs, set(job("late", "sleep 600"), "activeDeadlineSeconds", 2));
  const auto done = wait_condition(resources::jobs, "late", "Failed");
  EXPECT_EQ(reason(done, "Failed"), "DeadlineExceeded");
  EXPECT_TRUE(until([this] {
    const auto pods = pods_of("late");
    return pods.empty() || get_string(pods[0], {"status", "phase"}) == "Failed";
  }));
}

TEST_F(Jobs, AFailurePolicyEndsTheJobAtOnceOnAnExitCode) {
  json::value j = set(job("policy", "exit 42"), "backoffLimit", 6);
  j.at("spec").as_object()["podFailurePolicy"] = json::object{
      {"rules",
       json::array{json::object{
           {"action", "FailJob"},
           {"onExitCodes", {{"containerName", "main"}, {"operator", "In"}, {"values", json::array{42}}}}}}}};
  create(resources::jobs, j);
  const auto done = wait_condition(resources::jobs, "policy", "Failed");
  EXPECT_EQ(reason(done, "Failed"), "PodFailurePolicy");
  EXPECT_EQ(pods_of("policy").size(), 1U);
}

TEST_F(Jobs, AFinishedOneIsRemovedAfterItsTimeToLive) {
  create(resources::jobs, set(job("brief", "true"), "ttlSecondsAfterFinished", 1));
  ASSERT_TRUE(wait_gone(resources::jobs, "brief"));
  EXPECT_TRUE(until([this] { return pods_of("brief").empty(); }));
}

TEST_F(Jobs, TheTemplateIsImmutable) {
  create(resources::jobs, set(job("fixed", "true"), "suspend", true));
  json::value p = json::object{{"spec", {{"template", {{"spec", {{"restartPolicy", "OnFailure"}}}}}}}};
  const auto r = run(api().patch(resources::jobs, ns(), "fixed", kube::PatchType::merge, p));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.invalid");
  EXPECT_NE(r.error().message.find("immutable"), std::string::npos) << r.error().message;
}

TEST_F(Jobs, BackgroundDeletionTakesPodsAlongAfterwards) {
  create(resources::jobs, job("bg", "sleep 600"));
  ASSERT_TRUE(until([this] { return pods_of("bg").size() == 1; }));
  remove(resources::jobs, "bg", kube::Propagation::background);
  EXPECT_TRUE(wait_gone(resources::jobs, "bg"));
  EXPECT_TRUE(until([this] { return pods_of("bg").empty(); })) << pretty_json(pods_of("bg").at(0));
}

TEST_F(Jobs, ForegroundDeletionEndsWithThePods) {
  create(resources::jobs, job("fg", "trap '' TERM; sleep 600"));
  ASSERT_TRUE(until([this] {
    const auto pods = pods_of("fg");
    return pods.size() == 1 && get_string(pods[0], {"status", "phase"}) == "Running";
  }));
  remove(resources::jobs, "fg", kube::Propagation::foreground);
  bool job_before_pods = false;
  EXPECT_TRUE(until([&] {
    const bool job_there = get(resources::jobs, "fg").has_value();
    const bool pods_there = !pods_of("fg").empty();
    job_before_pods = job_before_pods || (!job_there && pods_there);
    return !job_there && !pods_there;
  }));
  EXPECT_FALSE(job_before_pods);
}

TEST_F(Jobs, OrphanedPodsStay) {
  create(resources::jobs, job("left", "true"));
  wait_condition(resources::jobs, "left", "Complete");
  remove(resources::jobs, "left", kube::Propagation::orphan);
  ASSERT_TRUE(wait_gone(resources::jobs, "left"));
  const auto pods = pods_of("left");
  ASSERT_EQ(pods.size(), 1U);
  EXPECT_TRUE(until([this] {
    const auto now = pods_of("left");
    const json::array* owners = now.empty() ? nullptr : find_array(now[0], {"metadata", "ownerReferences"});
    return !now.empty() && (owners == nullptr || owners->empty());
  }));
}

TEST_F(Jobs, ADeploymentRunsItsReplicas) {
  json::value deployment = json::object{
      {"metadata", {{"name", "web"}}},
      {"spec",
       {{"replicas", 2},
        {"selector", {{"matchLabels", {{"app", "web"}}}}},
        {"template",
         {{"metadata", {{"labels", {{"app", "web"}}}}},
          {"spec",
           {{"terminationGracePeriodSeconds", 1},
            {"containers",
             json::array{json::object{{"name", "main"},
                                      {"image", image()},
                                      {"command", json::array{"sh", "-c", "sleep 600"}}}}}}}}}}}};
  create(resources::deployments, deployment);
  wait_for(resources::deployments, "web", [](const json::value& v) {
    return get_int(v, {"status", "availableReplicas"}) == 2;
  });
  const auto pods = list(resources::pods, "app=web", "status.phase=Running");
  ASSERT_EQ(pods.size(), 2U);
  // OddJob pins the image to what running pods report.
  const json::array* statuses = find_array(pods[0], {"status", "containerStatuses"});
  ASSERT_NE(statuses, nullptr);
  EXPECT_FALSE(get_string(statuses->at(0), {"imageID"}).empty());
  remove(resources::deployments, "web");
  EXPECT_TRUE(until([this] { return list(resources::pods, "app=web").empty(); }));
}

}  // namespace
}  // namespace oddjob::contract
