// A run's stream: nothing printed twice, nothing left out, nothing believed that does not fit.
#include <gtest/gtest.h>

#include "cli/follow.hpp"

namespace oddjob::cli {
namespace {

net::SseEvent log(std::int64_t offset, std::string data, std::int64_t end, const char* encoding = nullptr) {
  json::object o{{"offset", offset}, {"data", data}};
  if (encoding != nullptr) o["encoding"] = encoding;
  return {"log", json::serialize(o), std::to_string(end)};
}

TEST(StreamState, LogBytesComeInOrder) {
  StreamState s;
  EXPECT_EQ(s.apply(log(0, "abc", 3))->log, "abc");
  EXPECT_EQ(s.apply(log(3, "de", 5))->log, "de");
  EXPECT_EQ(s.offset(), 5);
}

TEST(StreamState, WhatWasPrintedBeforeAReconnectIsPassedOver) {
  StreamState s(4);
  EXPECT_EQ(s.apply(log(0, "abc", 3))->log, "");
  EXPECT_EQ(s.apply(log(3, "def", 6))->log, "ef") << "the part that is new";
  EXPECT_EQ(s.apply(log(3, "def", 6))->log, "");
  EXPECT_EQ(s.offset(), 6);
}

TEST(StreamState, BytesThatAreNoTextComeAsBase64) {
  StreamState s;
  EXPECT_EQ(s.apply(log(0, "AP8=", 2, "base64"))->log, std::string("\0\xff", 2));
  EXPECT_FALSE(s.apply(log(2, "!!", 4, "base64")));
}

TEST(StreamState, StatusAndEndCarryTheRun) {
  StreamState s;
  auto update = s.apply({"status", R"({"state":"running"})", "0"});
  ASSERT_TRUE(update && update->status);
  EXPECT_FALSE(update->ended);
  update = s.apply({"end", R"({"state":"failed","exitCode":3})", "0"});
  ASSERT_TRUE(update && update->status);
  EXPECT_TRUE(update->ended);
}

TEST(StreamState, EventsOfALaterServerArePassedOver) {
  StreamState s;
  const auto update = s.apply({"weather", "sunny", ""});
  ASSERT_TRUE(update);
  EXPECT_TRUE(update->log.empty() && !update->status && !update->ended);
}

TEST(StreamState, AStreamThatLiesIsAnError) {
  for (const auto& event :
       {log(2, "abc", 5), log(0, "abc", 4), log(0, "abc", -3), net::SseEvent{"log", R"({"data":"x"})", "1"},
        net::SseEvent{"log", R"({"offset":0,"data":"x"})", "1x"}, net::SseEvent{"log", "{", "1"},
        net::SseEvent{"status", "{}", ""}, net::SseEvent{"end", "[]", ""}, net::SseEvent{"end", "", ""}}) {
    StreamState s;
    EXPECT_FALSE(s.apply(event)) << event.event << " " << event.data;
    EXPECT_EQ(s.offset(), 0);
  }
}

TEST(Passing, TellsAServerThatIsAwayFromOneThatRefuses) {
  const auto of = [](Errc kind, const char* code = "x") { return Error{kind, code, {}, {}, 0}; };
  for (const auto kind : {Errc::unavailable, Errc::deadline_exceeded, Errc::rate_limited})
    EXPECT_TRUE(passing(of(kind)));
  for (const auto kind :
       {Errc::forbidden, Errc::not_found, Errc::unauthenticated, Errc::invalid_argument, Errc::internal})
    EXPECT_FALSE(passing(of(kind)));
  EXPECT_FALSE(passing(of(Errc::unavailable, "http.tls"))) << "a certificate does not get better by waiting";
}

}  // namespace
}  // namespace oddjob::cli
