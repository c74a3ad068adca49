// Times and durations as text.
#include "core/clock.hpp"

#include <gtest/gtest.h>

namespace oddjob {
namespace {

using namespace std::chrono_literals;

Time at(std::int64_t micros) { return Time(std::chrono::microseconds(micros)); }

TEST(FormatTime, IsRfc3339InUtcWithAFractionOnlyWhereThereIsOne) {
  EXPECT_EQ(format_time(at(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_time(at(1'767'323'045'000'000)), "2026-01-02T03:04:05Z");
  EXPECT_EQ(format_time(at(1'767'323'045'123'456)), "2026-01-02T03:04:05.123456Z");
  EXPECT_EQ(format_time(at(1'767'323'045'000'007)), "2026-01-02T03:04:05.000007Z");
  EXPECT_EQ(format_time(at(-1)), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(format_time_micro(at(1'767'323'045'000'000)), "2026-01-02T03:04:05.000000Z");
}

TEST(ParseTime, TakesAnyOffsetAndUpToNineFractionDigits) {
  const auto expected = at(1'767'323'045'000'000);
  for (const auto text : {"2026-01-02T03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02T04:04:05+01:00",
                          "2026-01-01T21:34:05-05:30", "2026-01-02T03:04:05.000Z", "2026-01-02 03:04:05Z",
                          "2026-01-02T03:04:05.000000999Z"})
    EXPECT_EQ(parse_time(text).value(), expected) << text;
  EXPECT_EQ(parse_time("2026-01-02T03:04:05.5Z").value(), expected + 500ms);
  EXPECT_EQ(parse_time("2024-02-29T00:00:00Z").value() + 24h, parse_time("2024-03-01T00:00:00Z").value());
}

TEST(ParseTime, RefusesWhatIsNoTimeAndNamesIt) {
  for (const auto text :
       {"", "2026-01-02", "2026-01-02T03:04:05", "2026-13-01T00:00:00Z", "2025-02-29T00:00:00Z",
        "2026-01-02T24:00:00Z", "2026-01-02T03:60:05Z", "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05.1234567890Z", "2026-01-02T03:04:05+1:00", "2026-01-02T03:04:05Zx",
        "2026-00-10T03:04:05Z", "-026-01-02T03:04:05Z", "tomorrow"}) {
    const auto v = parse_time(text);
    ASSERT_FALSE(v) << text;
    EXPECT_EQ(v.error().code, "time.malformed");
    EXPECT_NE(v.error().message.find(text), std::string::npos);
  }
}

TEST(ParseTime, ReadsWhatFormatWrites) {
  for (std::int64_t t = -3'000'000'000'000'000; t < 4'000'000'000'000'000; t += 123'456'789'012'345)
    EXPECT_EQ(parse_time(format_time(at(t))).value(), at(t));
}

TEST(ParseDuration, ReadsAsGoAndKubernetesWriteThem) {
  for (const auto& [text, expected] :
       std::vector<std::pair<std::string_view, Duration>>{{"90s", 90s},
                                                          {"1h30m", 90min},
                                                          {"500ms", 500ms},
                                                          {"1.5h", 90min},
                                                          {"1h0m0s", 1h},
                                                          {"2d", 48h},
                                                          {"1d12h", 36h},
                                                          {"0.5s", 500ms},
                                                          {"1ms", 1ms},
                                                          {"3650d", 24h * 3650}})
    EXPECT_EQ(parse_duration(text).value(), expected) << text;
}

TEST(ParseDuration, RefusesWhatHasNoUnitNoLengthOrASign) {
  for (const auto text : {"",    "5",    "0",     "0s",   "-5s", "+5s",   "s",      "5 s",
                          "5x",  "1h30", "1..5h", "1e3s", "h1",  "0.1ms", "36500d", "99999999999999999999h",
                          "nan", "infh", "5S",    "٥s"}) {
    const auto v = parse_duration(text);
    ASSERT_FALSE(v) << text;
    EXPECT_EQ(v.error().code, "duration.malformed");
  }
}

TEST(FormatDuration, IsAsGoPrintsIt) {
  for (const auto& [d, text] : std::vector<std::pair<Duration, std::string_view>>{{0ms, "0s"},
                                                                                  {1ms, "1ms"},
                                                                                  {999ms, "999ms"},
                                                                                  {1s, "1s"},
                                                                                  {1500ms, "1.5s"},
                                                                                  {61s, "1m1s"},
                                                                                  {1h, "1h0m0s"},
                                                                                  {90min, "1h30m0s"},
                                                                                  {25h + 1s, "25h0m1s"}})
    EXPECT_EQ(format_duration(d), text);
  for (const auto d : std::vector<Duration>{1ms, 1s, 61s, 90min, 48h, 12345678ms})
    EXPECT_EQ(parse_duration(format_duration(d)).value(), d);
}

TEST(HumanDuration, IsAsKubectlPrintsAges) {
  for (const auto& [d, text] : std::vector<std::pair<Duration, std::string_view>>{{0s, "0s"},
                                                                                  {95s, "95s"},
                                                                                  {119s, "119s"},
                                                                                  {120s, "2m"},
                                                                                  {190s, "3m10s"},
                                                                                  {10min, "10m"},
                                                                                  {179min, "179m"},
                                                                                  {3h, "3h"},
                                                                                  {3h + 5min, "3h5m"},
                                                                                  {8h + 5min, "8h"},
                                                                                  {47h, "47h"},
                                                                                  {48h, "2d"},
                                                                                  {50h, "2d2h"},
                                                                                  {24h * 8, "8d"},
                                                                                  {24h * 700, "700d"},
                                                                                  {24h * 800, "2y"}})
    EXPECT_EQ(human_duration(d), text);
}

TEST(SystemClock, GoesOn) {
  const auto& clock = system_clock();
  EXPECT_GT(clock.now(), parse_time("2026-01-01T00:00:00Z").value());
  const auto before = clock.steady();
  EXPECT_GE(clock.steady(), before);
}

}  // namespace
}  // namespace oddjob
