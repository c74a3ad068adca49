// The patch formats and server-side apply, as tables.
#include "devcluster/api/patch.hpp"

#include <gtest/gtest.h>

namespace oddjob::devcluster {
namespace {

json::value j(std::string_view text) {
  auto v = parse_json(text, "test");
  EXPECT_TRUE(v) << text;
  return v ? *v : json::value();
}

struct Case {
  std::string_view why, target, patch, result;  // result "": an error
};

TEST(JsonPatch, DoesWhatRfc6902Says) {
  const Case cases[] = {
      {"add", R"({"a":1})", R"([{"op":"add","path":"/b","value":2}])", R"({"a":1,"b":2})"},
      {"add into a list", R"({"a":[1,3]})", R"([{"op":"add","path":"/a/1","value":2}])", R"({"a":[1,2,3]})"},
      {"add at the end", R"({"a":[1]})", R"([{"op":"add","path":"/a/-","value":2}])", R"({"a":[1,2]})"},
      {"remove", R"({"a":1,"b":2})", R"([{"op":"remove","path":"/a"}])", R"({"b":2})"},
      {"replace", R"({"a":1})", R"([{"op":"replace","path":"/a","value":{"x":1}}])", R"({"a":{"x":1}})"},
      {"escapes", R"({"a/b":{"c~d":1}})", R"([{"op":"replace","path":"/a~1b/c~0d","value":2}])",
       R"({"a/b":{"c~d":2}})"},
      {"move", R"({"a":1})", R"([{"op":"move","from":"/a","path":"/b"}])", R"({"b":1})"},
      {"copy", R"({"a":1})", R"([{"op":"copy","from":"/a","path":"/b"}])", R"({"a":1,"b":1})"},
      {"test holds", R"({"a":1})", R"([{"op":"test","path":"/a","value":1}])", R"({"a":1})"},
      {"test fails", R"({"a":1})", R"([{"op":"test","path":"/a","value":2}])", ""},
      {"remove what is not there", R"({"a":1})", R"([{"op":"remove","path":"/b"}])", ""},
      {"replace what is not there", R"({"a":1})", R"([{"op":"replace","path":"/b","value":1}])", ""},
      {"past the end", R"({"a":[]})", R"([{"op":"add","path":"/a/1","value":2}])", ""},
      {"unknown operation", R"({"a":1})", R"([{"op":"frob","path":"/a"}])", ""},
      {"no list", R"({"a":1})", R"({"op":"add"})", ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.why);
    const auto got = json_patch(j(c.target), j(c.patch));
    ASSERT_EQ(got.has_value(), !c.result.empty());
    if (got) {
      EXPECT_EQ(*got, j(c.result));
    }
  }
}

TEST(MergePatch, DoesWhatRfc7386Says) {
  const Case cases[] = {
      {"set and remove", R"({"a":1,"b":2})", R"({"a":null,"c":3})", R"({"b":2,"c":3})"},
      {"nested", R"({"a":{"b":1,"c":2}})", R"({"a":{"b":null}})", R"({"a":{"c":2}})"},
      {"lists are values", R"({"a":[1,2]})", R"({"a":[3]})", R"({"a":[3]})"},
      {"scalar becomes object", R"({"a":1})", R"({"a":{"b":1}})", R"({"a":{"b":1}})"},
  };
  for (const auto& c : cases) EXPECT_EQ(merge_patch(j(c.target), j(c.patch)), j(c.result)) << c.why;
}

TEST(StrategicMerge, MergesListsByTheirKeys) {
  const Case cases[] = {
      {"one container by name", R"({"containers":[{"name":"a","image":"1"},{"name":"b","image":"1"}]})",
       R"({"containers":[{"name":"b","image":"2"}]})",
       R"({"containers":[{"name":"a","image":"1"},{"name":"b","image":"2"}]})"},
      {"a new one goes last", R"({"containers":[{"name":"a"}]})", R"({"containers":[{"name":"b"}]})",
       R"({"containers":[{"name":"a"},{"name":"b"}]})"},
      {"$patch delete", R"({"containers":[{"name":"a"},{"name":"b"}]})",
       R"({"containers":[{"name":"a","$patch":"delete"}]})", R"({"containers":[{"name":"b"}]})"},
      {"$patch replace of a list", R"({"containers":[{"name":"a"}]})",
       R"({"containers":[{"$patch":"replace"},{"name":"b"}]})", R"({"containers":[{"name":"b"}]})"},
      {"$patch replace of an object", R"({"m":{"a":1}})", R"({"m":{"$patch":"replace","b":2}})",
       R"({"m":{"b":2}})"},
      {"order as asked", R"({"containers":[{"name":"a"},{"name":"b"}]})",
       R"({"$setElementOrder/containers":[{"name":"b"},{"name":"a"}],"containers":[{"name":"b","image":"x"}]})",
       R"({"containers":[{"name":"b","image":"x"},{"name":"a"}]})"},
      {"$retainKeys", R"({"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}})",
       R"({"strategy":{"$retainKeys":["type"],"type":"Recreate"}})", R"({"strategy":{"type":"Recreate"}})"},
      {"plain lists are values", R"({"command":["a","b"]})", R"({"command":["c"]})", R"({"command":["c"]})"},
      {"primitive list", R"({"finalizers":["a","b"]})", R"({"$deleteFromPrimitiveList/finalizers":["a"]})",
       R"({"finalizers":["b"]})"},
      {"service ports by port, container ports by containerPort", R"({"ports":[{"port":80,"name":"x"}]})",
       R"({"ports":[{"port":80,"name":"y"}]})", R"({"ports":[{"port":80,"name":"y"}]})"},
      {"null removes", R"({"a":1,"b":2})", R"({"a":null})", R"({"b":2})"},
      {"an element without its key", R"({"containers":[{"name":"a"}]})", R"({"containers":[{"image":"x"}]})",
       ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.why);
    const auto got = strategic_merge(j(c.target), j(c.patch));
    ASSERT_EQ(got.has_value(), !c.result.empty());
    if (got) {
      EXPECT_EQ(*got, j(c.result));
    }
  }
}

// ---- server-side apply ----------------------------------------------------------------

constexpr std::string_view kNow = "2026-01-01T00:00:00Z";

json::value config(std::string_view data) {
  return j(
      fmt::format(R"({{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c"}},"data":{}}})", data));
}
json::value applied(json::value live, const json::value& wanted, std::string_view manager,
                    bool force = false) {
  auto got = server_side_apply(std::move(live), wanted, manager, force, kNow);
  EXPECT_TRUE(got) << (got ? "" : got.error().message);
  return got.value_or(json::value());
}
json::value fresh() { return j(R"({"metadata":{"name":"c"}})"); }

TEST(ServerSideApply, FieldsThatAreNoLongerAppliedGo) {
  auto live = applied(fresh(), config(R"({"a":"1","b":"2"})"), "me");
  live = applied(live, config(R"({"a":"1"})"), "me");
  EXPECT_EQ(*find(live, {"data"}), j(R"({"a":"1"})"));
}

TEST(ServerSideApply, FieldsOfOthersStay) {
  auto live = applied(fresh(), config(R"({"a":"1"})"), "me");
  live = applied(live, config(R"({"b":"2"})"), "you");
  live = applied(live, config(R"({"a":"3"})"), "me");
  EXPECT_EQ(*find(live, {"data"}), j(R"({"a":"3","b":"2"})"));
}

TEST(ServerSideApply, AnotherManagersFieldIsAConflictThatNamesBoth) {
  const auto live = applied(fresh(), config(R"({"a":"1"})"), "me");
  const auto got = server_side_apply(live, config(R"({"a":"2"})"), "you", false, kNow);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "Conflict");
  EXPECT_EQ(got.error().message, "Apply failed with 1 conflict: conflict with \"me\": .data.a");
}

TEST(ServerSideApply, TheSameValueIsShared) {
  auto live = applied(fresh(), config(R"({"a":"1"})"), "me");
  live = applied(live, config(R"({"a":"1"})"), "you");
  live = applied(live, config("{}"), "me");
  EXPECT_EQ(*find(live, {"data"}), j(R"({"a":"1"})")) << "you still want it";
}

TEST(ServerSideApply, ForceTakesTheField) {
  auto live = applied(fresh(), config(R"({"a":"1"})"), "me");
  live = applied(live, config(R"({"a":"2"})"), "you", true);
  EXPECT_EQ(get_string(live, {"data", "a"}), "2");
  EXPECT_FALSE(server_side_apply(live, config(R"({"a":"1"})"), "me", false, kNow)) << "now it is yours";
}

TEST(ServerSideApply, WhatWasThereBeforeIsOwnedToo) {
  auto live = config(R"({"a":"1"})");
  ensure(live, {"metadata", "uid"}) = "u";
  const auto got = server_side_apply(live, config(R"({"a":"2"})"), "me", false, kNow);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message,
            "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a");
}

TEST(ServerSideApply, AnUpdateTakesWhatItChanges) {
  const auto live = applied(fresh(), config(R"({"a":"1","b":"2"})"), "me");
  auto next = live;
  ensure(next, {"data", "a"}) = "9";
  track_update(live, next, "kubectl-edit", "", kNow);
  const auto got = server_side_apply(next, config(R"({"a":"1","b":"3"})"), "me", false, kNow);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message,
            "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.a");
}

TEST(ServerSideApply, AListItemThatNobodyWantsGoesWhole) {
  const auto pod = [](std::string_view containers) {
    return j(fmt::format(
        R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"c"}},"spec":{{"containers":{}}}}})",
        containers));
  };
  auto live = applied(fresh(), pod(R"([{"name":"a","image":"1"},{"name":"b","image":"1"}])"), "me");
  find(live, {"spec", "containers"})->get_array()[1].get_object()["imagePullPolicy"] =
      "Always";  // as the server defaults it
  live = applied(live, pod(R"([{"name":"a","image":"1"}])"), "me");
  EXPECT_EQ(*find(live, {"spec", "containers"}), j(R"([{"name":"a","image":"1"}])"));
}

}  // namespace
}  // namespace oddjob::devcluster
