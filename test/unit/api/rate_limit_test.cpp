#include "api/rate_limit.hpp"

#include <gtest/gtest.h>

namespace oddjob::api {
namespace {

using namespace std::chrono_literals;
using Steady = RateLimit::Steady;

TEST(RateLimit, AMinutesWorthAtOnceAndThenEvenly) {
  RateLimit limit(60);
  const Steady::time_point t{};
  for (int i = 0; i < 60; ++i) EXPECT_EQ(limit.take("ann", t), 0ns) << i;
  EXPECT_EQ(limit.take("ann", t), 1s) << "one a second comes back";
  EXPECT_EQ(limit.take("ann", t), 1s) << "a refusal takes nothing";
  EXPECT_EQ(limit.take("bob", t), 0ns) << "others have their own";
  EXPECT_EQ(limit.take("ann", t + 400ms), 600ms);
  EXPECT_EQ(limit.take("ann", t + 1s), 0ns);
  EXPECT_GT(limit.take("ann", t + 1s), 0ns);
  for (int i = 0; i < 60; ++i)
    EXPECT_EQ(limit.take("ann", t + 1h), 0ns) << "never more than a minute's: " << i;
  EXPECT_GT(limit.take("ann", t + 1h), 0ns);
  EXPECT_GT(limit.take("ann", t), 0ns) << "a time that goes back gives nothing";
}

TEST(RateLimit, ZeroIsNoBoundAndKeepsNothing) {
  RateLimit limit(0);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(limit.take("ann", {}), 0ns);
  EXPECT_EQ(limit.size(), 0U);
}

TEST(RateLimit, ANewBoundHoldsAtOnce) {
  RateLimit limit(100);
  EXPECT_EQ(limit.take("ann", {}), 0ns);
  limit.set(2);
  EXPECT_EQ(limit.take("ann", {}), 0ns);
  EXPECT_EQ(limit.take("ann", {}), 0ns);
  EXPECT_EQ(limit.take("ann", {}), 30s);
}

TEST(RateLimit, TheLeastRecentlySeenMakesRoom) {
  RateLimit limit(1, 3);
  for (const char* who : {"a", "b", "c", "a", "d"}) limit.take(who, {});
  EXPECT_EQ(limit.size(), 3U);
  EXPECT_GT(limit.take("a", {}), 0ns) << "still known";
  EXPECT_EQ(limit.take("b", {}), 0ns) << "forgotten, so full";
  for (int i = 0; i < 100000; ++i) limit.take(std::to_string(i), {});
  EXPECT_EQ(limit.size(), 3U);
}

}  // namespace
}  // namespace oddjob::api
