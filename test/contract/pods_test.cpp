// Pods: logs, environment, volumes, and why one does not start.
#include "contract.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::contract {
namespace {

class Pods : public Contract {
 protected:
  void finish(std::string_view name) {
    wait_for(resources::pods, name, [](const json::value& v) {
      const auto phase = get_string(v, {"status", "phase"});
      return phase == "Succeeded" || phase == "Failed";
    });
  }
  void running(std::string_view name) {
    wait_for(resources::pods, name, [](const json::value& v) {
      return get_string(v, {"status", "phase"}) == "Running";
    });
  }
  static std::string waiting_reason(const json::value& pod) {
    const json::array* all = find_array(pod, {"status", "containerStatuses"});
    return all == nullptr || all->empty()
               ? std::string()
               : std::string(get_string(all->at(0), {"state", "waiting", "reason"}));
  }
  static json::object& container(json::value& pod) {
    return pod.at("spec").at("containers").as_array()[0].as_object();
  }
  bool event_about(std::string_view pod, std::string_view reason) {
    return until([&] {
      for (const auto& e : list(resources::events, "", "involvedObject.name=" + std::string(pod)))
        if (get_string(e, {"reason"}) == reason && !get_string(e, {"message"}).empty()) return true;
      return false;
    });
  }
};

TEST_F(Pods, AFastOneGivesItsWholeLog) {
  create(resources::pods, pod("fast", "i=0; while [ $i -lt 10000 ]; do echo line $i; i=$((i+1)); done"));
  finish("fast");
  const auto lines = split(log_of("fast"), '\n');
  ASSERT_EQ(lines.size(), 10001U);
  EXPECT_EQ(lines[0], "line 0");
  EXPECT_EQ(lines[9999], "line 9999");
}

TEST_F(Pods, BothOutputsAndALineWithoutEndAreInTheLog) {
  create(resources::pods, pod("both", "echo out; echo err >&2; printf last"));
  finish("both");
  const auto log = log_of("both");
  EXPECT_NE(log.find("out\n"), std::string::npos) << log;
  EXPECT_NE(log.find("err\n"), std::string::npos) << log;
  EXPECT_NE(log.find("last"), std::string::npos) << log;
}

TEST_F(Pods, FollowGivesLinesAsTheyComeAndEndsWithTheContainer) {
  create(resources::pods, pod("slow", "echo one; sleep 2; echo two"));
  running("slow");
  kube::LogOptions o;
  o.follow = true;
  auto stream = run(api().log(ns(), "slow", o));
  ASSERT_TRUE(stream) << stream.error().message;
  const std::string text = read_some(*stream, 4);
  EXPECT_EQ(text, "one\n");
  EXPECT_EQ(text + read_all(*stream), "one\ntwo\n");
}

TEST_F(Pods, FollowOfAFinishedOneGivesAllAndEnds) {
  create(resources::pods, pod("over", "echo all"));
  finish("over");
  kube::LogOptions o;
  o.follow = true;
  EXPECT_EQ(log_of("over", o), "all\n");
}

TEST_F(Pods, TimestampsAreNanosecondsInOrderAndSinceTimeSkipsWhatWasBefore) {
  create(resources::pods, pod("stamped", "echo one; sleep 3; echo two; sleep 600"));
  running("stamped");
  kube::LogOptions o;
  o.timestamps = true;
  std::vector<std::string> lines;
  ASSERT_TRUE(until([&] {
    lines = split(log_of("stamped", o), '\n');
    return lines.size() >= 3;
  }));
  std::vector<Time> times;
  for (int i = 0; i < 2; ++i) {
    const auto space = lines[static_cast<std::size_t>(i)].find(' ');
    ASSERT_NE(space, std::string::npos) << lines[0];
    const auto t = parse_time(lines[static_cast<std::size_t>(i)].substr(0, space));
    ASSERT_TRUE(t) << lines[0];
    times.push_back(*t);
  }
  EXPECT_EQ(lines[0].substr(lines[0].find(' ') + 1), "one");
  EXPECT_GT(times[1] - times[0], std::chrono::seconds(2));
  // The server knows whole seconds only, and includes the one that is named.
  o.since_time = format_time(std::chrono::time_point_cast<std::chrono::microseconds>(
      std::chrono::floor<std::chrono::seconds>(times[1])));
  const auto later = log_of("stamped", o);
  EXPECT_NE(later.find("two"), std::string::npos) << later;
  EXPECT_EQ(later.find("one"), std::string::npos) << later;
}

TEST_F(Pods, LimitBytesCutsTheLog) {
  create(resources::pods, pod("cut", "echo 0123456789"));
  finish("cut");
  kube::LogOptions o;
  o.limit_bytes = 4;
  EXPECT_EQ(log_of("cut", o), "0123");
}

TEST_F(Pods, BytesThatAreNoTextComeUnchanged) {
  create(resources::pods, pod("bytes", "printf '\\377\\000\\033[31m\\n'"));
  finish("bytes");
  EXPECT_EQ(log_of("bytes"), std::string("\xff\x00\x1b[31m\n", 8));
}

TEST_F(Pods, TheLogOfAnEarlierContainerIsPrevious) {
  json::value p = pod("again", "echo run; sleep 1; exit 1");
  p.at("spec").as_object()["restartPolicy"] = "Always";
  create(resources::pods, p);
  kube::LogOptions o;
  o.previous = true;
  running("again");
  const auto none = run(api().log(ns(), "again", o));
  EXPECT_FALSE(none);
  wait_for(resources::pods, "again", [](const json::value& v) {
    const json::array* all = find_array(v, {"status", "containerStatuses"});
    return all != nullptr && !all->empty() && get_int(all->at(0), {"restartCount"}).value_or(0) >= 1;
  });
  EXPECT_EQ(log_of("again", o), "run\n");
}

TEST_F(Pods, TheLogOfOneThatIsNotThereOrNotStartedIsAClearRefusal) {
  const auto missing = run(api().log(ns(), "nope", {}));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, "kube.not_found");
  json::value p = pod("held", "true");
  container(p)["envFrom"] = json::array{json::object{{"configMapRef", {{"name", "missing"}}}}};
  create(resources::pods, p);
  wait_for(resources::pods, "held", [](const json::value& v) { return !waiting_reason(v).empty(); });
  const auto held = run(api().log(ns(), "held", {}));
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code, "kube.invalid");
  EXPECT_NE(held.error().message.find("waiting to start"), std::string::npos) << held.error().message;
}

TEST_F(Pods, EnvironmentComesFromValuesConfigMapsSecretsAndThePodItself) {
  create(resources::config_maps, config_map("cfg", "from-config"));
  create(resources::secrets,
         {{"metadata", {{"name", "sec"}}}, {"stringData", {{"PASSWORD", "from-secret"}}}});
  json::value p = pod("env", "echo $PLAIN $CFG $PASSWORD $NAME $COMPOSED");
  container(p)["env"] = json::array{
      json::object{{"name", "PLAIN"}, {"value", "plain"}},
      json::object{{"name", "CFG"}, {"valueFrom", {{"configMapKeyRef", {{"name", "cfg"}, {"key", "key"}}}}}},
      json::object{{"name", "NAME"}, {"valueFrom", {{"fieldRef", {{"fieldPath", "metadata.name"}}}}}},
      json::object{{"name", "COMPOSED"}, {"value", "$(PLAIN)-and-more"}}};
  container(p)["envFrom"] = json::array{json::object{{"secretRef", {{"name", "sec"}}}}};
  create(resources::pods, p);
  finish("env");
  EXPECT_EQ(log_of("env"), "plain from-config from-secret env plain-and-more\n");
}

TEST_F(Pods, VolumesHoldConfigMapsAndSecrets) {
  create(resources::config_maps, config_map("cfg", "config-text"));
  create(resources::secrets,
         {{"metadata", {{"name", "sec"}}}, {"data", {{"token", base64_encode("secret-text")}}}});
  json::value p = pod(
      "vol",
      "cat /etc/oj-cfg/key; echo; cat /etc/oj-sec/token; echo; echo x > /oj-scratch/f && cat /oj-scratch/f");
  container(p)["volumeMounts"] = json::array{json::object{{"name", "cfg"}, {"mountPath", "/etc/oj-cfg"}},
                                             json::object{{"name", "sec"}, {"mountPath", "/etc/oj-sec"}},
                                             json::object{{"name", "tmp"}, {"mountPath", "/oj-scratch"}}};
  p.at("spec").as_object()["volumes"] =
      json::array{json::object{{"name", "cfg"}, {"configMap", {{"name", "cfg"}}}},
                  json::object{{"name", "sec"}, {"secret", {{"secretName", "sec"}}}},
                  json::object{{"name", "tmp"}, {"emptyDir", json::object{}}}};
  create(resources::pods, p);
  finish("vol");
  EXPECT_EQ(log_of("vol"), "config-text\nsecret-text\nx\n");
}

TEST_F(Pods, InitContainersRunFirst) {
  json::value p = pod("init", "echo main");
  p.at("spec").as_object()["initContainers"] = json::array{json::object{
      {"name", "first"}, {"image", image()}, {"command", json::array{"sh", "-c", "echo first"}}}};
  create(resources::pods, p);
  finish("init");
  kube::LogOptions o;
  o.container = "first";
  EXPECT_EQ(log_of("init", o), "first\n");
  o.container = "main";
  EXPECT_EQ(log_of("init", o), "main\n");
}

TEST_F(Pods, AMissingConfigMapIsSeenInTheContainersState) {
  json::value p = pod("nocfg", "true");
  container(p)["env"] = json::array{
      json::object{{"name", "A"}, {"valueFrom", {{"configMapKeyRef", {{"name", "nope"}, {"key", "k"}}}}}}};
  create(resources::pods, p);
  wait_for(resources::pods, "nocfg",
           [](const json::value& v) { return waiting_reason(v) == "CreateContainerConfigError"; });
  // And it starts once what was missing is there.
  json::value cfg = config_map("nope");
  cfg.at("data").as_object()["k"] = "v";
  create(resources::config_maps, cfg);
  finish("nocfg");
}

TEST_F(Pods, AnImageThatCannotBePulledIsSeenInStateAndEvents) {
  json::value p = pod("noimage", "true");
  container(p)["image"] = "registry.invalid/none:1";
  create(resources::pods, p);
  wait_for(resources::pods, "noimage", [](const json::value& v) {
    const auto reason = waiting_reason(v);
    return reason == "ErrImagePull" || reason == "ImagePullBackOff";
  });
  EXPECT_TRUE(event_about("noimage", "Failed"));
}

TEST_F(Pods, OneThatFitsNowhereIsUnschedulableInConditionAndEvents) {
  json::value p = pod("nowhere", "true");
  p.at("spec").as_object()["nodeSelector"] = json::object{{"oddjob.dev/no-such-node", "true"}};
  create(resources::pods, p);
  const auto seen = wait_for(resources::pods, "nowhere", [](const json::value& v) {
    const json::array* all = find_array(v, {"status", "conditions"});
    if (all == nullptr) return false;
    for (const auto& c : *all)
      if (get_string(c, {"type"}) == "PodScheduled" && get_string(c, {"reason"}) == "Unschedulable")
        return true;
    return false;
  });
  EXPECT_EQ(get_string(seen, {"status", "phase"}), "Pending");
  EXPECT_TRUE(event_about("nowhere", "FailedScheduling"));
  // No node to ask: its log is empty, also followed, and that is no error and no end of it.
  kube::LogOptions o;
  o.follow = true;
  EXPECT_EQ(log_of("nowhere", o), "");
}

TEST_F(Pods, AJobWhosePodsAreRefusedSaysSoInItsEvents) {
  json::value j = job("refused", "true");
  j.at("spec").at("template").at("spec").as_object()["serviceAccountName"] = "no-such-account";
  create(resources::jobs, j);
  EXPECT_TRUE(event_about("refused", "FailedCreate"));
}

TEST_F(Pods, DeletionGivesACommandItsGraceAndThenEndsIt) {
  json::value p = pod("graceful", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done");
  p.at("spec").as_object()["terminationGracePeriodSeconds"] = 20;
  create(resources::pods, p);
  running("graceful");
  ASSERT_TRUE(until([this] { return log_of("graceful") == "up\n"; }));
  kube::LogOptions o;
  o.follow = true;
  auto stream = run(api().log(ns(), "graceful", o));
  ASSERT_TRUE(stream) << stream.error().message;
  remove(resources::pods, "graceful");
  EXPECT_EQ(read_all(*stream), "up\nbye\n");
  EXPECT_TRUE(wait_gone(resources::pods, "graceful"));
}

TEST_F(Pods, EventsAreListedByTheirObjectAndWatched) {
  create(resources::jobs, job("told", "true"));
  wait_condition(resources::jobs, "told", "Complete");
  EXPECT_TRUE(event_about("told", "SuccessfulCreate"));
  const auto events = list(resources::events, "", "involvedObject.kind=Job,involvedObject.name=told");
  ASSERT_FALSE(events.empty());
  for (const auto& e : events) {
    EXPECT_EQ(get_string(e, {"involvedObject", "name"}), "told");
    EXPECT_FALSE(get_string(e, {"involvedObject", "uid"}).empty());
    EXPECT_FALSE(get_string(e, {"type"}).empty());
  }
}

}  // namespace
}  // namespace oddjob::contract
