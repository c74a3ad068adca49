// Errors as values, and the macros that pass them on.
#include "core/error.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include "core/fault.hpp"

namespace oddjob {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return fail(Errc::invalid_argument, "test.odd", "odd", "an even one");
  return n / 2;
}
Result<> check(int n) {
  OJ_TRY(const int h, half(n));
  OJ_CHECK(half(h));
  return {};
}

TEST(Errors, TravelUpAsTheyAre) {
  EXPECT_TRUE(check(4));
  EXPECT_EQ(check(3).error().code, "test.odd");
  EXPECT_EQ(check(6).error().hint, "an even one");
}

TEST(Errors, GainContextInFrontAndKeepTheirCode) {
  const auto e = Error(check(3).error()).with_context("reading x").with_hint("other");
  EXPECT_EQ(e.message, "reading x: odd");
  EXPECT_EQ(e.code, "test.odd");
  EXPECT_EQ(e.hint, "other");
}

TEST(Errors, EachKindHasAStatusAndAName) {
  for (const auto& [kind, status, name] : std::vector<std::tuple<Errc, int, std::string_view>>{
           {Errc::invalid_argument, 400, "invalid_argument"},
           {Errc::unauthenticated, 401, "unauthenticated"},
           {Errc::forbidden, 403, "forbidden"},
           {Errc::not_found, 404, "not_found"},
           {Errc::already_exists, 409, "already_exists"},
           {Errc::conflict, 409, "conflict"},
           {Errc::gone, 410, "gone"},
           {Errc::too_large, 413, "too_large"},
           {Errc::failed_precondition, 422, "failed_precondition"},
           {Errc::rate_limited, 429, "rate_limited"},
           {Errc::cancelled, 499, "cancelled"},
           {Errc::internal, 500, "internal"},
           {Errc::unsupported, 501, "unsupported"},
           {Errc::unavailable, 503, "unavailable"},
           {Errc::deadline_exceeded, 504, "deadline_exceeded"}}) {
    EXPECT_EQ(http_status(kind), status);
    EXPECT_EQ(to_string(kind), name);
  }
}

#ifdef ODDJOB_FAULT_POINTS
TEST(FaultPointsDeathTest, KillTheProcessAtTheNamedPassageAndNotBefore) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::setenv("ODDJOB_CRASH_AT", "store.commit.after:2", 1);
        fault_point("store.commit.after");
        fault_point("store.commit.before");
        fault_point("kube.call.after");
        fault_point("store.commit.after");
        ::_exit(0);
      },
      ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(
      {
        ::setenv("ODDJOB_CRASH_AT", "*:3", 1);
        fault_point("a");
        fault_point("b");
        ::_exit(7);
      },
      ::testing::ExitedWithCode(7), "");
}
#endif

}  // namespace
}  // namespace oddjob
