// The store behind the dev cluster's API: versions, conflicts, history.
#include "devcluster/storage.hpp"

#include <gtest/gtest.h>

namespace oddjob::devcluster {
namespace {

json::value object(std::string_view name, int value = 0) {
  return json::object{{"metadata", {{"name", name}, {"namespace", "a"}}}, {"value", value}};
}
std::string version(const json::value& v) {
  return std::string(get_string(v, {"metadata", "resourceVersion"}));
}

TEST(Storage, EveryWriteMovesTheVersionOn) {
  Storage s;
  const auto one = s.create("/pods", "a", "x", object("x")).value();
  const auto two = s.create("/pods", "a", "y", object("y")).value();
  EXPECT_LT(std::stoll(version(one)), std::stoll(version(two)));
  EXPECT_EQ(version(two), std::to_string(s.revision()));
}

TEST(Storage, AWriteThatChangesNothingIsNone) {
  Storage s;
  const auto made = s.create("/pods", "a", "x", object("x", 1)).value();
  const auto before = s.revision();
  EXPECT_EQ(s.update("/pods", "a", "x", object("x", 1)).value(), made);
  EXPECT_EQ(s.revision(), before);
}

TEST(Storage, AStaleVersionIsAConflict) {
  Storage s;
  auto mine = s.create("/pods", "a", "x", object("x")).value();
  ASSERT_TRUE(s.update("/pods", "a", "x", object("x", 1)));
  ensure(mine, {"value"}) = 2;
  const auto late = s.update("/pods", "a", "x", mine);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, "Conflict");
  EXPECT_EQ(late.error().message,
            "Operation cannot be fulfilled on pods \"x\": the object has been modified; please apply your "
            "changes to the "
            "latest version and try again");
}

TEST(Storage, NamesAreTakenOnce) {
  Storage s;
  ASSERT_TRUE(s.create("apps/deployments", "a", "x", object("x")));
  EXPECT_EQ(s.create("apps/deployments", "a", "x", object("x")).error().message,
            "deployments.apps \"x\" already exists");
  EXPECT_TRUE(s.create("apps/deployments", "b", "x", object("x")));
  EXPECT_EQ(s.erase("apps/deployments", "a", "y").error().code, "NotFound");
}

TEST(Storage, AListIsOneNamespaceOrAllSortedByName) {
  Storage s;
  for (const auto* ns : {"b", "a", "ab"})
    for (const auto* name : {"2", "1"}) ASSERT_TRUE(s.create("/pods", ns, name, object(name)));
  EXPECT_EQ(s.list("/pods", "").size(), 6U);
  const auto a = s.list("/pods", "a");
  ASSERT_EQ(a.size(), 2U);
  EXPECT_EQ(get_string(*a[0], {"metadata", "name"}), "1");
}

TEST(Storage, HistoryGivesTheEventsAfterAVersion) {
  Storage s;
  const auto start = s.revision();
  ASSERT_TRUE(s.create("/pods", "a", "x", object("x")));
  ASSERT_TRUE(s.create("/secrets", "a", "s", object("s")));
  ASSERT_TRUE(s.update("/pods", "a", "x", object("x", 1)));
  ASSERT_TRUE(s.erase("/pods", "a", "x"));
  const auto events = s.events_since("/pods", start).value();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].type, WatchEvent::Type::added);
  EXPECT_EQ(events[1].type, WatchEvent::Type::modified);
  EXPECT_EQ(get_int(*events[1].before, {"value"}), 0);
  EXPECT_EQ(events[2].type, WatchEvent::Type::deleted);
  EXPECT_EQ(version(*events[2].object), std::to_string(events[2].revision))
      << "a deletion has a version of its own";
  EXPECT_TRUE(s.events_since("/pods", s.revision()).value().empty());
}

TEST(Storage, WhatTheHistoryNoLongerHasIsGone) {
  Storage s(3);
  const auto start = s.revision();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(s.create("/pods", "a", std::to_string(i), object("x")));
  const auto old = s.events_since("/pods", start);
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().kind, Errc::gone);
  EXPECT_EQ(old.error().code, "Expired");
  EXPECT_EQ(s.events_since("/pods", s.oldest_revision()).value().size(), 3U);
}

TEST(Storage, AVersionOfAnEarlierClusterIsGone) {
  Storage s(100, 5000);
  EXPECT_EQ(s.events_since("/pods", 4000).error().kind, Errc::gone);
  EXPECT_TRUE(s.events_since("/pods", s.revision()));
}

TEST(Storage, ListenersSeeTheStateThatTheyAreToldOf) {
  Storage s;
  bool there = false;
  s.on_event([&](const WatchEvent& e) { there = s.get(e.resource, "a", "x") == e.object; });
  ASSERT_TRUE(s.create("/pods", "a", "x", object("x")));
  EXPECT_TRUE(there);
}

}  // namespace
}  // namespace oddjob::devcluster
