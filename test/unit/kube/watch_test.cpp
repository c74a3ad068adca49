#include "kube/watch.hpp"

#include <gtest/gtest.h>

#include "testing/fake_kube_api.hpp"

namespace oddjob::kube {
namespace {

using testing::Answer;
using testing::ApiTest;
using testing::Feed;
using testing::ok;
using testing::pod;
using testing::pod_list;
using testing::status;
using testing::stream;
using testing::text;

const std::string kPods = "GET /api/v1/namespaces/shop/pods";

class WatchTest : public ApiTest {
 protected:
  void TearDown() override {
    reflector.reset();
    client.reset();
    ApiTest::TearDown();
  }
  void start(ReflectorOptions o = {}) {
    o.list.name_space = "shop";
    o.min_backoff = Duration(5);
    o.max_backoff = Duration(100);
    client = std::make_unique<Client>(loop, config(), quick());
    reflector = std::make_unique<Reflector>(
        *client, resources::pods, std::move(o),
        [this](WatchEventType t, const json::value& v) {
          const char* word = t == WatchEventType::added ? "+" : t == WatchEventType::modified ? "~" : "-";
          events.push_back(word + std::string(get_string(v, {"metadata", "name"})));
        },
        [this](bool healthy, const Error* why) { states.push_back(healthy ? "ok" : why->code); });
    reflector->start();
  }
  std::shared_ptr<Feed> add_watch() {
    auto feed = std::make_shared<Feed>();
    api.add(kPods, stream(feed));
    return feed;
  }
  const net::ServerRequest& last() { return api.seen.back(); }
  std::size_t watches() const {
    std::size_t n = 0;
    for (const auto& q : api.seen) n += q.query.has("watch") ? 1U : 0U;
    return n;
  }
  std::unique_ptr<Client> client;
  std::unique_ptr<Reflector> reflector;
  std::vector<std::string> events, states;
};

using Events = std::vector<std::string>;

TEST_F(WatchTest, ListsThenFollows) {
  api.add(kPods, ok(pod_list("10", {pod("a", "1"), pod("b", "2")})));
  auto feed = add_watch();
  start();
  EXPECT_TRUE(run(reflector->wait_synced(std::chrono::seconds(5))));
  ASSERT_TRUE(until([&] { return watches() == 1; }));
  EXPECT_EQ(last().query.get("resourceVersion"), "10");
  EXPECT_EQ(last().query.get("allowWatchBookmarks"), "true");
  EXPECT_FALSE(last().query.get("timeoutSeconds").empty());
  feed->event("ADDED", pod("c", "11"));
  feed->event("MODIFIED", pod("a", "12"));
  feed->event("DELETED", pod("b", "13"));
  ASSERT_TRUE(until([&] { return events.size() == 5; }));
  EXPECT_EQ(events, (Events{"+a", "+b", "+c", "~a", "-b"}));
  EXPECT_EQ(reflector->resource_version(), "13");
  EXPECT_EQ(reflector->get("shop", "b"), nullptr);
  ASSERT_NE(reflector->get("shop", "c"), nullptr);
  EXPECT_EQ(get_string(*reflector->get("shop", "c"), {"kind"}), "Pod");
  EXPECT_EQ(reflector->items().size(), 2U);
  EXPECT_EQ(states, (Events{"ok"}));
}

TEST_F(WatchTest, ResumesAfterACutAtTheLastBookmarkWithoutListing) {
  api.add(kPods, ok(pod_list("10", {pod("a", "1")})));
  auto first = add_watch();
  auto second = add_watch();
  start();
  first->event("MODIFIED", pod("a", "11"));
  first->event("BOOKMARK", {{"kind", "Pod"}, {"metadata", {{"resourceVersion", "50"}}}});
  ASSERT_TRUE(until([&] { return reflector->resource_version() == "50"; }));
  first->break_off();
  ASSERT_TRUE(until([&] { return watches() == 2; }));
  EXPECT_EQ(last().query.get("resourceVersion"), "50");
  second->event("ADDED", pod("b", "51"));
  ASSERT_TRUE(until([&] { return events.size() == 3; }));
  EXPECT_EQ(reflector->stats().lists, 1U);
  EXPECT_EQ(events, (Events{"+a", "~a", "+b"}));
}

TEST_F(WatchTest, AnEventCutInTwoIsNotTakenAndComesAgain) {
  api.add(kPods, ok(pod_list("10", {})));
  auto first = add_watch();
  auto second = add_watch();
  start();
  ASSERT_TRUE(until([&] { return watches() == 1; }));
  first->event("ADDED", pod("a", "11"));
  ASSERT_TRUE(until([&] { return events.size() == 1; }));
  first->push(R"({"type":"ADDED","object":{"metadata":{"na)");
  first->close();
  ASSERT_TRUE(until([&] { return watches() == 2; }));
  EXPECT_EQ(last().query.get("resourceVersion"), "11");
  second->event("ADDED", pod("b", "12"));
  ASSERT_TRUE(until([&] { return events.size() == 2; }));
}

TEST_F(WatchTest, A410InTheStreamRelistsAndTellsOnlyWhatChanged) {
  api.add(kPods, ok(pod_list("10", {pod("a", "1"), pod("b", "2"), pod("c", "3")})));
  auto feed = add_watch();
  api.add(kPods, ok(pod_list("90", {pod("a", "1"), pod("b", "80"), pod("d", "81")})));
  add_watch();
  start();
  ASSERT_TRUE(until([&] { return events.size() == 3; }));
  feed->event(
      "ERROR",
      {{"kind", "Status"}, {"code", 410}, {"reason", "Expired"}, {"message", "too old resource version"}});
  ASSERT_TRUE(until([&] { return reflector->stats().lists == 2 && watches() == 2; }));
  EXPECT_EQ(Events(events.begin() + 3, events.end()), (Events{"-c", "~b", "+d"}));
  EXPECT_EQ(last().query.get("resourceVersion"), "90");
}

TEST_F(WatchTest, A410AtOpeningRelists) {
  api.add(kPods, ok(pod_list("10", {})));
  api.add(kPods, status(410, "Expired", "too old"));
  api.add(kPods, ok(pod_list("20", {pod("a", "15")})));
  add_watch();
  start();
  ASSERT_TRUE(until([&] { return watches() == 2; }));
  EXPECT_EQ(events, (Events{"+a"}));
}

TEST_F(WatchTest, AnObjectMadeAnewUnderItsNameIsADeletionAndAnAddition) {
  api.add(kPods, ok(pod_list("10", {pod("a", "1", "uid-1")})));
  api.add(kPods, status(410, "Expired", "too old"));
  api.add(kPods, ok(pod_list("20", {pod("a", "15", "uid-2")})));
  add_watch();
  start();
  ASSERT_TRUE(until([&] { return events.size() == 3; }));
  EXPECT_EQ(events, (Events{"+a", "-a", "+a"}));
}

TEST_F(WatchTest, FailuresAreReportedAndTriedAgainUntilTheyEnd) {
  api.add(kPods, status(403, "Forbidden", "pods is forbidden: User \"x\" cannot list resource \"pods\""));
  api.add(kPods, status(500, "InternalError", "oh"));
  api.add(kPods, text(200, "text/html", "<html>"));
  api.add(kPods, ok(pod_list("10", {})));
  api.add(kPods, status(403, "Forbidden", "pods is forbidden: User \"x\" cannot watch resource \"pods\""));
  api.add(kPods, status(401, "Unauthorized", "Unauthorized"));
  auto feed = add_watch();
  start();
  feed->event("ADDED", pod("a", "11"));
  ASSERT_TRUE(until([&] { return events.size() == 1; }));
  EXPECT_EQ(states, (Events{"kube.forbidden", "kube.server_error", "kube.not_json", "ok", "kube.forbidden",
                            "kube.unauthorized", "ok"}));
  EXPECT_EQ(reflector->stats().errors, 5U);
  EXPECT_EQ(reflector->stats().lists, 4U);
}

TEST_F(WatchTest, GarbageInTheStreamIsAFailureAndNotTheEnd) {
  api.add(kPods, ok(pod_list("10", {})));
  auto first = add_watch();
  auto second = add_watch();
  start();
  first->push("<html>nginx</html>\n");
  ASSERT_TRUE(until([&] { return watches() == 2; }));
  second->event("ADDED", pod("a", "11"));
  ASSERT_TRUE(until([&] { return events.size() == 1; }));
}

TEST_F(WatchTest, AServerThatEndsEveryWatchAtOnceIsNotAskedWithoutPause) {
  api.add(kPods, ok(pod_list("10", {})));
  auto feed = add_watch();
  feed->close();
  start();
  ASSERT_TRUE(until([&] { return watches() >= 4; }));
  const auto before = watches();
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(until([&] { return watches() >= before + 5; }));
  // Waits grow from 5 ms towards 100 ms.
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(25));
}

TEST_F(WatchTest, ReduceDecidesWhatIsHeldAndHeardOf) {
  api.add(kPods, ok(pod_list("10", {pod("keep", "1"), pod("skip", "2")})));
  auto feed = add_watch();
  ReflectorOptions o;
  o.list.metadata_only = true;
  o.reduce = [](json::value v) -> std::optional<json::value> {
    const std::string_view name = get_string(v, {"metadata", "name"});
    if (name == "skip" || get_string(v, {"metadata", "resourceVersion"}) == "13") return std::nullopt;
    return json::object{{"metadata", {{"name", name}}}};
  };
  start(std::move(o));
  feed->event("MODIFIED", pod("skip", "11"));
  feed->event("DELETED", pod("skip", "12"));
  feed->event("MODIFIED", pod("keep", "13"));  // no longer of interest
  feed->event("MODIFIED", pod("keep", "14"));  // again
  ASSERT_TRUE(until([&] { return events.size() == 3; }));
  EXPECT_EQ(events, (Events{"+keep", "-keep", "+keep"}));
  EXPECT_EQ(json::serialize(*reflector->get("shop", "keep")), R"({"metadata":{"name":"keep"}})");
  EXPECT_NE(api.seen[1].headers.get("Accept").find("as=PartialObjectMetadata;"), std::string_view::npos);
}

// What is kept must be whole when the event that it came in is long gone.
struct Keeper {
  const char* what;
  std::optional<json::value> (*reduce)(json::value);
};
const Keeper kKeepers[] = {
    {"everything", nullptr},
    {"the object itself", [](json::value v) { return std::optional(std::move(v)); }},
    {"a part moved out", [](json::value v) { return std::optional(std::move(v.at("metadata"))); }},
    {"a part copied", [](json::value v) { return std::optional(v.at("metadata")); }},
    {"parts moved into an object",
     [](json::value v) {
       json::object kept;
       kept["metadata"] = std::move(v.at("metadata"));
       kept["list"] = json::array{std::move(v.at("kind"))};
       return std::optional(json::value(std::move(kept)));
     }},
};
class KeepTest : public WatchTest, public ::testing::WithParamInterface<std::tuple<Keeper, bool>> {};

TEST_P(KeepTest, WhatIsKeptHasMemoryOfItsOwn) {
  const auto& [keeper, metadata_only] = GetParam();
  SCOPED_TRACE(keeper.what);
  // Of a few bytes, and larger than any buffer for events.
  const auto text = [](int version) {
    return std::string(version % 2 == 0 ? 100U : 300000U, static_cast<char>('a' + version % 26));
  };
  const auto object = [&](int version) {
    json::value v = pod("p" + std::to_string(version % 3), std::to_string(version));
    ensure(v, {"metadata", "annotations", "text"}) = text(version);
    ensure(v, {"metadata", "annotations", "deep"}) = json::array{json::object{{"version", version}}};
    return v;
  };
  api.add(kPods, ok(pod_list("10", {object(9), object(10)})));
  const auto feed = add_watch();
  ReflectorOptions o;
  o.list.metadata_only = metadata_only;
  if (keeper.reduce != nullptr) o.reduce = keeper.reduce;
  start(std::move(o));
  for (int version = 11; version < 40; ++version) feed->event("MODIFIED", object(version));
  feed->event("DELETED", object(40));
  ASSERT_TRUE(until([&] { return reflector->resource_version() == "40"; }));
  ASSERT_EQ(reflector->items().size(), 2U);
  for (const int version : {38, 39}) {
    const auto* kept = reflector->get("shop", "p" + std::to_string(version % 3));
    ASSERT_NE(kept, nullptr);
    EXPECT_EQ(kept->storage().get(), json::storage_ptr().get());
    const auto* metadata = find(*kept, {"metadata"});
    EXPECT_EQ(metadata != nullptr ? *metadata : *kept, object(version).at("metadata"));
  }
}

INSTANTIATE_TEST_SUITE_P(Keepers, KeepTest,
                         ::testing::Combine(::testing::ValuesIn(kKeepers), ::testing::Bool()));

TEST_F(WatchTest, WaitSyncedGivesUpInTime) {
  api.add(kPods, status(500, "InternalError", "oh"));
  start();
  EXPECT_FALSE(run(reflector->wait_synced(Duration(100))));
  EXPECT_FALSE(reflector->synced());
}

TEST_F(WatchTest, StoppedItTellsNothingMoreAndMayStartAgain) {
  api.add(kPods, ok(pod_list("10", {pod("a", "1")})));
  auto first = add_watch();
  api.add(kPods, ok(pod_list("20", {pod("a", "1"), pod("b", "15")})));
  add_watch();
  start();
  ASSERT_TRUE(until([&] { return watches() == 1; }));
  reflector->stop();
  first->event("ADDED", pod("z", "11"));
  reflector->start();
  ASSERT_TRUE(until([&] { return watches() == 2; }));
  EXPECT_EQ(events, (Events{"+a", "+b"}));
}

TEST_F(WatchTest, MayBeDestroyedFromItsOwnCallback) {
  api.add(kPods, ok(pod_list("10", {pod("a", "1"), pod("b", "2")})));
  add_watch();
  client = std::make_unique<Client>(loop, config(), quick());
  ReflectorOptions o;
  o.list.name_space = "shop";
  int heard = 0;
  reflector =
      std::make_unique<Reflector>(*client, resources::pods, o, [&](WatchEventType, const json::value&) {
        ++heard;
        reflector.reset();
      });
  reflector->start();
  ASSERT_TRUE(until([&] { return heard > 0; }));
  client.reset();
  EXPECT_EQ(heard, 1);
}

TEST_F(WatchTest, MayGoWithItsClientWhileAListIsUnderWay) {
  Answer a;
  a.hang = true;
  api.add(kPods, a);
  start();
  ASSERT_TRUE(until([&] { return api.seen.size() == 1; }));
  reflector.reset();
  client.reset();
  EXPECT_TRUE(states.empty());
}

TEST_F(WatchTest, ALargeObjectPassesAndAnEndlessLineDoesNot) {
  api.add(kPods, ok(pod_list("10", {})));
  auto first = add_watch();
  api.add(kPods, ok(pod_list("20", {})));
  add_watch();
  start();
  json::value big = pod("big", "11");
  big.as_object()["data"] = std::string(3U << 20U, 'x');
  first->event("ADDED", big);
  ASSERT_TRUE(until([&] { return events.size() == 1; }));
  for (int i = 0; i < 20; ++i) first->push(std::string(1U << 20U, 'y'));
  ASSERT_TRUE(until([&] { return reflector->stats().lists == 2; }));
}

}  // namespace
}  // namespace oddjob::kube
