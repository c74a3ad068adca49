// What holds for every workload, asked of the ones in examples/workloads.
// Whole Jobs are compared with golden/; ODDJOB_UPDATE_GOLDEN=1 writes them anew.
#include <fstream>

#include "core/text.hpp"
#include "support.hpp"

namespace oddjob::render::test {
namespace {

class Corpus : public testing::TestWithParam<std::filesystem::path> {
 protected:
  // As an engineer would ask: the container that the manifest means.
  Asked asked() const {
    Asked s(workload_in(GetParam()));
    s.request.command = {"bin/task", "--all", "räksmörgås"};
    const std::string_view container =
        get_string(s.workload, {"metadata", "annotations", "oddjob.dev/container"});
    if (!container.empty()) s.policy.container = container;
    const std::string_view sidecars =
        get_string(s.workload, {"metadata", "annotations", "oddjob.dev/sidecars"});
    if (!sidecars.empty()) s.policy.sidecars = parse_sidecar_mode(sidecars);
    const std::string_view keep =
        get_string(s.workload, {"metadata", "annotations", "oddjob.dev/keep-labels"});
    if (!keep.empty()) s.policy.keep_labels = {std::string(keep)};
    s.facts.minor = 31;
    return s;
  }
};

// Any object of the tree that has this key.
bool has_key(const json::value& v, std::string_view key) {
  if (const json::object* object = v.if_object()) {
    return object->contains(key) ||
           std::ranges::any_of(*object, [&](const auto& pair) { return has_key(pair.value(), key); });
  }
  const json::array* array = v.if_array();
  return array != nullptr &&
         std::ranges::any_of(*array, [&](const json::value& e) { return has_key(e, key); });
}

TEST_P(Corpus, TheJobHasNothingOfAService) {
  for (const SidecarMode mode : {SidecarMode::drop, SidecarMode::native, SidecarMode::keep}) {
    Asked s = asked();
    s.request.sidecars = mode;
    const Rendered r = s.must();
    const json::value pod = pod_of(r);
    for (const char* key : {"livenessProbe",
                            "readinessProbe",
                            "startupProbe",
                            "lifecycle",
                            "ports",
                            "hostPort",
                            "stdin",
                            "stdinOnce",
                            "tty",
                            "hostNetwork",
                            "hostPID",
                            "hostIPC",
                            "hostname",
                            "subdomain",
                            "setHostnameAsFQDN",
                            "nodeName",
                            "readinessGates",
                            "schedulingGates",
                            "ephemeralContainers",
                            "activeDeadlineSeconds",
                            "resizePolicy"}) {
      EXPECT_FALSE(has_key(pod, key)) << key;
    }
    EXPECT_FALSE(main_of(r).as_object().contains("args"));
    EXPECT_EQ(pod.at("restartPolicy"), json::value("Never"));
  }
}

TEST_P(Corpus, NoSelectorOfTheWorkloadMatchesTheRunsPod) {
  const Rendered r = asked().must();
  const json::object labels = at(r.job, "spec.template.metadata.labels").as_object();
  const json::value wanted = at(asked().workload, "spec.selector.matchLabels");
  if (const json::object* pairs = wanted.if_object()) {
    EXPECT_TRUE(std::ranges::any_of(*pairs, [&](const auto& pair) { return !labels.contains(pair.key()); }));
  }
  for (const auto& pair : labels) EXPECT_TRUE(is_label_value(sv(pair.value().as_string())));
}

TEST_P(Corpus, TheJobIsNamedWellAndBelongsToNobody) {
  const Rendered r = asked().must();
  EXPECT_TRUE(is_dns_label(r.job_name)) << r.job_name;
  EXPECT_FALSE(has_key(r.job, "ownerReferences"));
  EXPECT_FALSE(has_key(r.job, "finalizers"));
  EXPECT_FALSE(has_key(r.job, "creationTimestamp"));
  EXPECT_FALSE(has_key(r.job, "managedFields"));
}

TEST_P(Corpus, WhatMakesTheCommandRunTheSameWayIsUntouched) {
  const Asked s = asked();
  const json::value before = *pod_template(s.workload);
  const Rendered r = s.must();
  for (const char* key :
       {"imagePullSecrets", "serviceAccountName", "securityContext", "nodeSelector", "tolerations",
        "priorityClassName", "runtimeClassName", "dnsPolicy", "dnsConfig", "hostAliases", "resourceClaims",
        "terminationGracePeriodSeconds", "os", "schedulerName"}) {
    EXPECT_EQ(at(before, std::string("spec.") + key), at(pod_of(r), key)) << key;
  }
  const json::value containers = at(before, "spec.containers");
  for (const json::value& c : containers.as_array()) {
    if (get_string(c, {"name"}) != r.container) continue;
    for (const char* key :
         {"env", "envFrom", "securityContext", "workingDir", "imagePullPolicy", "resources", "image"}) {
      EXPECT_EQ(at(c, key), at(main_of(r), key)) << key;
    }
  }
}

TEST_P(Corpus, EveryMountHasItsVolume) {
  const json::value pod = pod_of(asked().must());
  std::vector<std::string_view> names;
  if (const json::array* volumes = find_array(pod, {"volumes"})) {
    for (const json::value& v : *volumes) names.push_back(get_string(v, {"name"}));
  }
  for (const char* list : {"containers", "initContainers"}) {
    const json::array* containers = find_array(pod, {list});
    if (containers == nullptr) continue;
    for (const json::value& c : *containers) {
      for (const char* mounts : {"volumeMounts", "volumeDevices"}) {
        const json::array* found = find_array(c, {mounts});
        if (found == nullptr) continue;
        for (const json::value& m : *found) {
          EXPECT_NE(std::ranges::find(names, get_string(m, {"name"})), names.end()) << json::serialize(m);
        }
      }
    }
  }
}

TEST_P(Corpus, EveryChangeHasAPathAnActionAndAReasonThatIsASentence) {
  const Rendered r = asked().must();
  EXPECT_GT(r.changes.size(), 10U);
  for (const Change& c : r.changes) {
    EXPECT_TRUE(c.path.starts_with("spec.")) << c.path;
    EXPECT_TRUE(c.action == "removed" || c.action == "set" || c.action == "kept" || c.action == "replaced")
        << c.action;
    EXPECT_TRUE(c.reason.ends_with('.')) << c.reason;
  }
  EXPECT_EQ(report_json(r).size(), r.changes.size() + r.warnings.size());
}

TEST_P(Corpus, EveryDifferenceInTheDiffHasAReason) {
  const Asked s = asked();
  const std::string diff = diff_text(s.workload, s.must(), false);
  // The first line of each hunk carries it; lines that go on are indented deeper,
  // and a `+` after its `-` shares it.
  char last = ' ';
  std::size_t hunk = std::string::npos;
  for (const std::string& line : split(diff, '\n')) {
    if (line.empty() || line.starts_with("---") || line.starts_with("+++") || line.starts_with('#')) continue;
    const char sign = line[0];
    const std::size_t indent = line.find_first_not_of(' ', 1);
    const bool goes_on = sign == last && hunk != std::string::npos && (indent > hunk || line[indent] == '-');
    const bool answers = sign == '+' && last == '-';
    if (sign != ' ' && !goes_on && !answers) {
      EXPECT_NE(line.find("  # "), std::string::npos) << line << "\n" << diff;
      hunk = indent;
    }
    if (sign == ' ') hunk = std::string::npos;
    last = sign;
  }
}

TEST_P(Corpus, TheWholeJobIsAsTheGoldenFileHasIt) {
  const Asked s = asked();
  const Rendered r = s.must();
  std::string text = to_yaml(r.job) + "---\n" + to_yaml(report_json(r)) + "---\n";
  const std::string diff = diff_text(s.workload, r, false);
  for (const std::string& line : split(diff, '\n')) text += line.empty() ? "" : "# " + line + "\n";
  const auto file =
      std::filesystem::path(ODDJOB_SOURCE_DIR) / "test/unit/render/golden" / GetParam().filename();
  if (std::getenv("ODDJOB_UPDATE_GOLDEN") != nullptr) std::ofstream(file, std::ios::binary) << text;
  EXPECT_EQ(text, read_file(file)) << "ODDJOB_UPDATE_GOLDEN=1 writes " << file;
}

INSTANTIATE_TEST_SUITE_P(Examples, Corpus, testing::ValuesIn(example_files()), [](const auto& test) {
  std::string name = test.param.stem().string();
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace oddjob::render::test
