// Pods: how they end, and what they are given of themselves.
#include "contract.hpp"
#include "core/text.hpp"

namespace oddjob::contract {
namespace {

class PodsLife : public Contract {
 protected:
  json::value finish(std::string_view name, int seconds = 120) {
    return wait_for(
        resources::pods, name,
        [](const json::value& v) {
          const auto phase = get_string(v, {"status", "phase"});
          return phase == "Succeeded" || phase == "Failed";
        },
        seconds);
  }
  static json::object& container(json::value& pod) {
    return pod.at("spec").at("containers").as_array()[0].as_object();
  }
  static const json::value* status_of(const json::value& pod, std::string_view container,
                                      std::string_view list = "containerStatuses") {
    if (const json::array* all = find_array(pod, {"status", list}))
      for (const auto& c : *all)
        if (get_string(c, {"name"}) == container) return &c;
    return nullptr;
  }
};

TEST_F(PodsLife, OneThatTakesMoreMemoryThanItsLimitIsOOMKilled) {
  json::value p = pod("hungry", "x=$(head -c 300000000 /dev/zero | tr '\\0' x); sleep 600");
  container(p)["resources"] = json::object{{"limits", {{"memory", "64Mi"}}}};
  create(resources::pods, p);
  const auto over = finish("hungry");
  EXPECT_EQ(get_string(over, {"status", "phase"}), "Failed");
  const auto* c = status_of(over, "main");
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(get_string(*c, {"state", "terminated", "reason"}), "OOMKilled") << json::serialize(*c);
  EXPECT_EQ(get_int(*c, {"state", "terminated", "exitCode"}), 137);
}

TEST_F(PodsLife, OneThatWritesMoreThanItsVolumeMayHoldIsEvicted) {
  json::value p = pod("greedy", "echo written; head -c 8000000 /dev/zero > /oj-scratch/f; sleep 600");
  container(p)["volumeMounts"] = json::array{json::object{{"name", "tmp"}, {"mountPath", "/oj-scratch"}}};
  p.at("spec").as_object()["volumes"] =
      json::array{json::object{{"name", "tmp"}, {"emptyDir", {{"sizeLimit", "1Mi"}}}}};
  create(resources::pods, p);
  const auto over = finish("greedy", 180);
  EXPECT_EQ(get_string(over, {"status", "phase"}), "Failed");
  EXPECT_EQ(get_string(over, {"status", "reason"}), "Evicted");
  EXPECT_NE(get_string(over, {"status", "message"}).find("exceeds the limit"), std::string_view::npos)
      << get_string(over, {"status", "message"});
}

TEST_F(PodsLife, ItsOwnDeadlineEndsIt) {
  json::value p = pod("late", "sleep 600");
  p.at("spec").as_object()["activeDeadlineSeconds"] = 3;
  create(resources::pods, p);
  const auto over = finish("late");
  EXPECT_EQ(get_string(over, {"status", "phase"}), "Failed");
  EXPECT_EQ(get_string(over, {"status", "reason"}), "DeadlineExceeded");
}

TEST_F(PodsLife, ANativeSidecarStartsFirstAndEndsAfterTheMainContainer) {
  const auto version = run(api().version());
  ASSERT_TRUE(version);
  if (version->minor < 29) GTEST_SKIP() << "native sidecars came with 1.29";
  // The main container waits for the sidecar's word: being started is not having said something.
  json::value p = pod("sided", "while ! [ -e /shared/up ]; do sleep 0.1; done; echo main; exit 4");
  const json::array mounts{json::object{{"name", "shared"}, {"mountPath", "/shared"}}};
  p.at("spec").as_object()["volumes"] =
      json::array{json::object{{"name", "shared"}, {"emptyDir", json::object()}}};
  p.at("spec").at("containers").at(0).as_object()["volumeMounts"] = mounts;
  p.at("spec").as_object()["initContainers"] =
      json::array{json::object{{"name", "proxy"},
                               {"image", image()},
                               {"restartPolicy", "Always"},
                               {"volumeMounts", mounts},
                               {"command", json::array{"sh", "-c",
                                                       "trap 'echo proxy over; exit 0' TERM; echo proxy up; touch /shared/up; "
                                                       "while :; do sleep 0.1; done"}}}};
  create(resources::pods, p);
  const auto over = finish("sided");
  EXPECT_EQ(get_string(over, {"status", "phase"}), "Failed");
  const auto* c = status_of(over, "main");
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(get_int(*c, {"state", "terminated", "exitCode"}), 4);
  kube::LogOptions o;
  o.container = "proxy";
  EXPECT_EQ(log_of("sided", o).substr(0, 9), "proxy up\n");
}

TEST_F(PodsLife, AFailingInitContainerFailsThePodAndTheMainOneNeverRuns) {
  json::value p = pod("init", "echo main");
  p.at("spec").as_object()["initContainers"] = json::array{
      json::object{{"name", "first"}, {"image", image()}, {"command", json::array{"sh", "-c", "exit 5"}}}};
  create(resources::pods, p);
  const auto over = finish("init");
  EXPECT_EQ(get_string(over, {"status", "phase"}), "Failed");
  const auto* first = status_of(over, "first", "initContainerStatuses");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(get_int(*first, {"state", "terminated", "exitCode"}), 5);
  const auto* main = status_of(over, "main");
  ASSERT_NE(main, nullptr);
  EXPECT_EQ(find(*main, {"state", "terminated", "startedAt"}) != nullptr &&
                !get_string(*main, {"state", "terminated", "startedAt"}).empty(),
            false)
      << json::serialize(*main);
}

TEST_F(PodsLife, ACommandThatIsNotThereIsAStartErrorThatNamesIt) {
  json::value p = pod("nothing", "true");
  container(p)["command"] = json::array{"no-such-program"};
  create(resources::pods, p);
  const auto over = finish("nothing");
  EXPECT_EQ(get_string(over, {"status", "phase"}), "Failed");
  const auto* c = status_of(over, "main");
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(get_int(*c, {"state", "terminated", "exitCode"}), 128);
  EXPECT_EQ(get_string(*c, {"state", "terminated", "reason"}), "StartError");
  EXPECT_NE(get_string(*c, {"state", "terminated", "message"}).find("no-such-program"),
            std::string_view::npos);
}

TEST_F(PodsLife, ItsTokenIsMountedAndIsItsServiceAccounts) {
  create(resources::pods, pod("self",
                              "cat /var/run/secrets/kubernetes.io/serviceaccount/token; echo; "
                              "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace"));
  finish("self");
  const auto lines = split(log_of("self"), '\n');
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1], ns());
  const auto review = try_create(resources::token_reviews, {{"spec", {{"token", lines[0]}}}});
  ASSERT_TRUE(review) << review.error().message;
  EXPECT_EQ(get_string(*review, {"status", "user", "username"}),
            "system:serviceaccount:" + ns() + ":default");
}

TEST_F(PodsLife, ProjectedVolumesAndSubPathsHoldWhatTheyName) {
  create(resources::config_maps, config_map("cfg", "config-text"));
  json::value p = pod("projected", "cat /oj-all/here/cfg; echo; cat /oj-all/labels; echo; cat /oj-one.txt");
  p.at("metadata").as_object()["labels"] = json::object{{"app", "x"}};
  const json::array items{json::object{{"key", "key"}, {"path", "here/cfg"}}};
  const json::array fields{
      json::object{{"path", "labels"}, {"fieldRef", {{"fieldPath", "metadata.labels"}}}}};
  const json::array sources{json::object{{"configMap", {{"name", "cfg"}, {"items", items}}}},
                            json::object{{"downwardAPI", {{"items", fields}}}}};
  p.at("spec").as_object()["volumes"] =
      json::array{json::object{{"name", "all"}, {"projected", {{"sources", sources}}}},
                  json::object{{"name", "cfg"}, {"configMap", {{"name", "cfg"}}}}};
  container(p)["volumeMounts"] =
      json::array{json::object{{"name", "all"}, {"mountPath", "/oj-all"}},
                  json::object{{"name", "cfg"}, {"mountPath", "/oj-one.txt"}, {"subPath", "key"}}};
  create(resources::pods, p);
  finish("projected");
  EXPECT_EQ(log_of("projected"), "config-text\napp=\"x\"\nconfig-text");
}

TEST_F(PodsLife, ALongLineComesWhole) {
  create(resources::pods, pod("long", "head -c 100000 /dev/zero | tr '\\0' a; echo; echo end"));
  finish("long");
  std::string expected(100000, 'a');
  expected += "\nend\n";
  EXPECT_EQ(log_of("long"), expected);
}

}  // namespace
}  // namespace oddjob::contract
