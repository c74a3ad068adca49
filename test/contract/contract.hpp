// What OddJob relies on in any Kubernetes API server, as tests.
//
// They run against the cluster of $ODDJOB_TEST_KUBECONFIG, or else against a dev
// cluster that is started here. $ODDJOB_TEST_IMAGE names an image with a POSIX
// shell. Each test has a namespace of its own, removed afterwards.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "kube/client.hpp"
#include "net/async.hpp"

namespace oddjob::contract {

using kube::Resource;
namespace resources = kube::resources;
inline const Resource leases{"coordination.k8s.io", "v1", "leases", true, "Lease"};
inline const Resource crds{"apiextensions.k8s.io", "v1", "customresourcedefinitions", false,
                           "CustomResourceDefinition"};

class Contract : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  template <class T>
  T run(net::Task<T> task) {
    return loop().block_on(std::move(task));
  }
  net::Loop& loop();
  kube::Client& api() { return *client_; }
  const std::string& ns() const { return ns_; }
  static std::string image();
  static bool real_cluster();

  // The verbs in this test's namespace; a failure fails the test.
  json::value create(const Resource& r, json::value object);
  std::optional<json::value> get(const Resource& r, std::string_view name);  // nullopt: not there
  std::vector<json::value> list(const Resource& r, std::string label_selector = {},
                                std::string field_selector = {});
  void remove(const Resource& r, std::string_view name, kube::Propagation p = kube::Propagation::background);
  json::value patch(const Resource& r, std::string_view name, json::value merge);
  Result<json::value> try_create(const Resource& r, json::value object, kube::WriteOptions o = {});

  // Polls until `good` says yes of the object; the last one seen is returned, and
  // the test fails after `seconds`.
  using Good = std::function<bool(const json::value&)>;
  json::value wait_for(const Resource& r, std::string_view name, const Good& good, int seconds = 60);
  bool wait_gone(const Resource& r, std::string_view name, int seconds = 60);
  bool until(const std::function<bool()>& condition, int seconds = 60);

  // Objects.
  json::value config_map(std::string_view name, std::string_view value = "v") const;
  json::value pod(std::string_view name, std::string_view script) const;
  json::value job(std::string_view name, std::string_view script) const;
  // The Job's condition of this type with status True, or null.
  static const json::value* condition(const json::value& object, std::string_view type);
  json::value wait_condition(const Resource& r, std::string_view name, std::string_view type,
                             int seconds = 60);
  std::vector<json::value> pods_of(std::string_view job);
  std::string log_of(std::string_view pod, kube::LogOptions options = {});
  // To the end, or so many bytes; a failure after `seconds`.
  std::string read_all(net::HttpStream& stream, int seconds = 60);
  std::string read_some(net::HttpStream& stream, std::size_t bytes, int seconds = 60);

  // Reads watch events until `enough` or the time is over: "ADDED name" and so on.
  struct Seen {
    std::string type;
    json::value object;
  };
  std::vector<Seen> watch(const Resource& r, kube::ListOptions options, std::string_view version,
                          const std::function<bool(const std::vector<Seen>&)>& enough, int seconds = 30,
                          const std::function<void()>& meanwhile = {});

 private:
  std::unique_ptr<kube::Client> client_;
  std::string ns_;
};

inline std::string_view name_of(const json::value& v) { return get_string(v, {"metadata", "name"}); }
inline std::string_view version_of(const json::value& v) {
  return get_string(v, {"metadata", "resourceVersion"});
}

}  // namespace oddjob::contract
