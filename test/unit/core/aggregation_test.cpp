// One API under two roofs: every path there has its place here, and back.
#include "core/aggregation.hpp"

#include <gtest/gtest.h>

namespace oddjob {
namespace {

const std::string kRoot(kAggregatedRoot);

TEST(Aggregation, EveryPathHasItsPlaceAndComesBack) {
  const std::pair<std::string, std::string> rows[] = {
      {"/runs", "/runs"},
      {"/runs/abc", "/runs/abc"},
      {"/runs/abc/approve", "/runs/abc/approve"},
      {"/runs/abc/log", "/runs/abc/log"},
      {"/runs/abc/stream", "/runs/abc/log/stream"},
      {"/workloads", "/workloads"},
      {"/templates", "/templates"},
      {"/templates/payments/backfill", "/namespaces/payments/templates/backfill"},
      {"/audit", "/audit"},
      {"/audit/export", "/audit/export/log"},
      {"/audit/verify", "/audit/verify/log"},
      {"/whoami", "/whoami"},
  };
  for (const auto& [rest, aggregated] : rows) {
    EXPECT_EQ(to_aggregated("/api/v1" + rest), kRoot + aggregated);
    EXPECT_EQ(from_aggregated(kRoot + aggregated), "/api/v1" + rest);
    EXPECT_EQ(to_aggregated("/api/v1" + rest + "?a=/b&c=%2F"), kRoot + aggregated + "?a=/b&c=%2F");
  }
}

TEST(Aggregation, NothingHasTwoNames) {
  // A role that grants templates in one namespace would grant all by the other name.
  for (const auto* path :
       {"/runs/abc/stream", "/templates/payments/backfill", "/audit/export", "/audit/verify"})
    EXPECT_EQ(from_aggregated(kRoot + path), std::nullopt) << path;
}

TEST(Aggregation, WhatIsElsewhereStaysThere) {
  for (const auto* path : {"", "/", "/healthz", "/metrics", "/apis", "/apis/run.oddjob.dev", "/api/v1/runs",
                           "/apis/run.oddjob.dev/v1alpha1", "/apis/run.oddjob.dev/v1alpha1/",
                           "/apis/run.oddjob.dev/v1alpha10/runs", "/apis/run.oddjob.dev/v1/runs"})
    EXPECT_EQ(from_aggregated(path), std::nullopt) << path;
  for (const auto* path : {"/healthz", "/api/v1", "/api/v1/", "/api/v10/runs"})
    EXPECT_EQ(to_aggregated(path), path);
}

}  // namespace
}  // namespace oddjob
