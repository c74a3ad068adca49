// What a namespace's rules say before anything exists: a dry run is refused as the
// real thing would be.
#include "contract.hpp"

namespace oddjob::contract {
namespace {

class Admission : public Contract {
 protected:
  static kube::WriteOptions dry() {
    kube::WriteOptions o;
    o.dry_run = true;
    return o;
  }
};

TEST_F(Admission, AQuotaThatIsUsedUpRefusesThePodAndItsDryRun) {
  create(resources::resource_quotas,
         {{"metadata", {{"name", "none"}}}, {"spec", {{"hard", {{"pods", "0"}}}}}});
  wait_for(resources::resource_quotas, "none", [](const json::value& v) {
    return find(v, {"status", "hard", "pods"}) != nullptr;
  });
  for (const auto& options : {dry(), kube::WriteOptions()}) {
    const auto refused = try_create(resources::pods, pod("p", "true"), options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, "kube.quota");
    EXPECT_NE(refused.error().message.find("exceeded quota: none"), std::string::npos)
        << refused.error().message;
  }
  // A Job itself is no pod: it is made, and its controller tells what it could not do.
  create(resources::jobs, job("j", "true"));
  EXPECT_TRUE(until([&] {
    for (const auto& e : list(resources::events, "", "involvedObject.name=j"))
      if (get_string(e, {"reason"}) == "FailedCreate" &&
          get_string(e, {"message"}).find("exceeded quota") != std::string_view::npos)
        return true;
    return false;
  }));
}

TEST_F(Admission, AQuotaOnMemoryDemandsThatPodsNameTheirs) {
  create(resources::resource_quotas,
         {{"metadata", {{"name", "memory"}}}, {"spec", {{"hard", {{"limits.memory", "1Gi"}}}}}});
  wait_for(resources::resource_quotas, "memory", [](const json::value& v) {
    return find(v, {"status", "hard", "limits.memory"}) != nullptr;
  });
  const auto refused = try_create(resources::pods, pod("p", "true"), dry());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "kube.quota");
  EXPECT_NE(refused.error().message.find("must specify limits.memory"), std::string::npos)
      << refused.error().message;
}

TEST_F(Admission, ALimitRangeGivesDefaultsAndRefusesWhatIsOver) {
  create(resources::limit_ranges,
         {{"metadata", {{"name", "box"}}},
          {"spec",
           {{"limits", json::array{json::object{{"type", "Container"},
                                                {"default", {{"memory", "64Mi"}}},
                                                {"max", {{"memory", "128Mi"}}}}}}}}});
  Result<json::value> shown = fail(Errc::internal, "x", "x");
  // The server's cache may be a moment behind.
  ASSERT_TRUE(until([&] {
    shown = try_create(resources::pods, pod("p", "true"), dry());
    return shown &&
           get_string(shown->at("spec").at("containers").at(0), {"resources", "limits", "memory"}) == "64Mi";
  })) << (shown ? pretty_json(*shown) : shown.error().message);
  json::value big = pod("p", "true");
  big.at("spec").at("containers").as_array()[0].as_object()["resources"] =
      json::object{{"limits", {{"memory", "256Mi"}}}};
  const auto refused = try_create(resources::pods, big, dry());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "kube.admission");
  EXPECT_NE(refused.error().message.find("maximum memory usage per Container is 128Mi, but limit is 256Mi"),
            std::string::npos)
      << refused.error().message;
}

TEST_F(Admission, ARestrictedNamespaceRefusesAPodThatMayBecomeRootAndItsDryRun) {
  const auto labelled = run(api().patch(
      resources::namespaces, "", ns(), kube::PatchType::merge,
      json::object{{"metadata", {{"labels", {{"pod-security.kubernetes.io/enforce", "restricted"}}}}}}));
  ASSERT_TRUE(labelled) << labelled.error().message;
  Result<json::value> refused = json::value();
  ASSERT_TRUE(until([&] {
    refused = try_create(resources::pods, pod("p", "true"), dry());
    return !refused;
  }));
  EXPECT_EQ(refused.error().code, "kube.admission");
  for (const auto* part : {"violates PodSecurity \"restricted:latest\"", "allowPrivilegeEscalation != false",
                           "unrestricted capabilities", "runAsNonRoot != true", "seccompProfile"})
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;

  json::value good = pod("p", "true");
  good.at("spec").at("containers").as_array()[0].as_object()["securityContext"] =
      json::object{{"allowPrivilegeEscalation", false},
                   {"runAsNonRoot", true},
                   {"runAsUser", 1000},
                   {"capabilities", {{"drop", json::array{"ALL"}}}},
                   {"seccompProfile", {{"type", "RuntimeDefault"}}}};
  const auto taken = try_create(resources::pods, good, dry());
  EXPECT_TRUE(taken) << taken.error().message;
}

}  // namespace
}  // namespace oddjob::contract
