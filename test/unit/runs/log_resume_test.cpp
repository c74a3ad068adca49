// The archive equals the original, wherever the stream was cut.
#include "runs/log_resume.hpp"

#include <gtest/gtest.h>

#include <random>

namespace oddjob::runs {
namespace {

struct Line {
  std::string stamp, text;  // text with its newline, if it has one
};

std::string stamp(int second, int nanos) {
  return fmt::format("2026-01-02T03:04:{:02}.{:09}Z", second, nanos);
}

std::string wire(const std::vector<Line>& log) {
  std::string s;
  for (const auto& l : log) s += l.stamp + " " + l.text;
  return s;
}
std::string plain(const std::vector<Line>& log) {
  std::string s;
  for (const auto& l : log) s += l.text;
  return s;
}
// What the server sends for sinceTime: lines of that whole second and later.
std::string wire_since(const std::vector<Line>& log, const std::string& since) {
  if (since.empty()) return wire(log);
  const auto from = *parse_log_time(since);
  std::string s;
  for (const auto& l : log) {
    if (*parse_log_time(l.stamp) >= from) s += l.stamp + " " + l.text;
  }
  return s;
}

std::vector<Line> sample() {
  return {
      {stamp(1, 5), "first\n"},
      {stamp(1, 6), "\n"},
      {stamp(1, 6), "same stamp\n"},
      {stamp(1, 6), std::string("nul \0 and \xff\xfe bytes\n", 19)},
      {stamp(2, 0), "2026-01-02T03:04:09Z looks like a stamp\n"},
      {stamp(3, 999'999'999), "a line out of order follows\n"},
      {stamp(3, 999'999'000), "earlier stamp, later place\n"},
      {stamp(3, 999'999'999), "\r progress \r\n"},
      {stamp(7, 1), std::string(300, 'x') + "\n"},
      {stamp(7, 1), "no newline at the end"},
  };
}

TEST(LogResume, KeepsEveryByteWhateverTheCutsOfTheStream) {
  const auto log = sample();
  const std::string sent = wire(log);
  for (std::size_t cut = 0; cut <= sent.size(); ++cut) {
    LogResume r;
    std::string out;
    r.feed(std::string_view(sent).substr(0, cut), out);
    r.feed(std::string_view(sent).substr(cut), out);
    EXPECT_EQ(out, plain(log)) << "cut at " << cut;
  }
  LogResume r;
  std::string out;
  for (const char c : sent) r.feed(std::string_view(&c, 1), out);
  EXPECT_EQ(out, plain(log));
  EXPECT_EQ(r.cursor(), (store::LogCursor{stamp(7, 1), 1, 21}));
}

TEST(LogResume, ARestartAtAnyByteLosesNothingAndRepeatsNothing) {
  auto log = sample();
  log.erase(log.begin() + 7);  // the same nanosecond on both sides of a disorder is beyond the cursor
  const std::string sent = wire(log);
  for (std::size_t cut = 0; cut <= sent.size(); ++cut) {
    LogResume before;
    std::string archive;
    before.feed(std::string_view(sent).substr(0, cut), archive);
    LogResume after(before.cursor());
    const std::string again = wire_since(log, since_time(before.cursor()));
    for (const char c : again) after.feed(std::string_view(&c, 1), archive);
    after.settle(archive);
    ASSERT_EQ(archive, plain(log)) << "cut at " << cut << ", resumed from " << before.cursor().timestamp
                                   << " " << before.cursor().lines_at << " " << before.cursor().partial;
  }
}

TEST(LogResume, ManyRestartsAtRandomPlacesStillGiveTheOriginal) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<Line> log;
    int second = 0, nanos = 0;
    const int lines = 1 + static_cast<int>(random() % 60);
    for (int i = 0; i < lines; ++i) {
      if (random() % 5 == 0) ++second;
      if (random() % 3 != 0) ++nanos;
      std::string text(random() % 40, static_cast<char>('a' + random() % 26));
      log.push_back({stamp(second, nanos), text + "\n"});
    }
    if (random() % 2 == 0) log.back().text.pop_back();
    std::string archive;
    LogResume r;
    for (int opened = 0; opened < 50; ++opened) {
      const std::string sent = wire_since(log, since_time(r.cursor()));
      const bool last = opened == 49;
      const std::size_t upto = last ? sent.size() : random() % (sent.size() + 1);
      std::size_t pos = 0;
      while (pos < upto) {
        const std::size_t n = std::min<std::size_t>(upto - pos, 1 + random() % 50);
        r.feed(std::string_view(sent).substr(pos, n), archive);
        pos += n;
      }
      if (last) r.settle(archive);
      if (random() % 2 == 0) {
        r.reopen();
      } else {
        r = LogResume(r.cursor());
      }
    }
    ASSERT_EQ(archive, plain(log)) << "round " << round;
  }
}

TEST(LogResume, ALongLinePassesInPiecesWithoutWaitingForItsEnd) {
  LogResume r;
  std::string out;
  r.feed(stamp(1, 0) + " ", out);
  const std::string piece(100'000, 'x');
  for (int i = 0; i < 100; ++i) {
    r.feed(piece, out);
    EXPECT_EQ(out.size(), piece.size());
    out.clear();
  }
  EXPECT_EQ(r.cursor().partial, 10'000'000);
  r.feed("\n", out);
  EXPECT_EQ(out, "\n");
  EXPECT_EQ(r.cursor(), (store::LogCursor{stamp(1, 0), 1, 0}));
}

TEST(LogResume, LinesThatWereRotatedAwayDoNotHoldBackTheRest) {
  LogResume r(store::LogCursor{stamp(5, 0), 1, 0});
  std::string out;
  r.feed(stamp(6, 0) + " within the margin\n", out);
  EXPECT_TRUE(r.holding());
  EXPECT_EQ(out, "");
  r.settle(out);
  EXPECT_EQ(out, "within the margin\n");
  EXPECT_EQ(r.cursor(), (store::LogCursor{stamp(6, 0), 1, 0}));

  LogResume far(store::LogCursor{stamp(5, 0), 1, 0});
  out.clear();
  far.feed(stamp(6, 0) + " near\n" + stamp(30, 0) + " far\n", out);
  EXPECT_EQ(out, "near\nfar\n");
}

TEST(LogResume, AHeldLineThatIsCutGoesOnAfterItIsSettled) {
  LogResume r(store::LogCursor{stamp(5, 0), 1, 0});
  std::string out;
  r.feed(stamp(6, 0) + " one\n" + stamp(6, 1) + " tw", out);
  r.settle(out);
  EXPECT_EQ(out, "one\ntw");
  r.feed("o\n" + stamp(6, 2) + " three\n", out);
  EXPECT_EQ(out, "one\ntwo\nthree\n");
  EXPECT_EQ(r.cursor(), (store::LogCursor{stamp(6, 2), 1, 0}));
}

TEST(LogResume, WhatIsHeldIsBounded) {
  LogResume r(store::LogCursor{stamp(5, 0), 1, 0});
  std::string out;
  r.feed(stamp(5, 1) + " " + std::string(1U << 20U, 'y'), out);
  EXPECT_EQ(out.size(), 1U << 20U);
  EXPECT_FALSE(r.holding());
}

TEST(LogResume, TheKubeletsOwnTroublesAreNoLogLines) {
  LogResume r;
  std::string out;
  r.feed("unable to retrieve container logs for containerd://abc\n" + stamp(1, 0) + " real\n", out);
  EXPECT_EQ(out, "real\n");
  EXPECT_EQ(r.note(), "unable to retrieve container logs for containerd://abc\n");
}

TEST(LogResume, SinceTimeIsAWholeSecondWithAMargin) {
  EXPECT_EQ(since_time({}), "");
  EXPECT_EQ(since_time({"2026-01-02T03:04:05.123456789Z", 1, 0}), "2026-01-02T03:04:04Z");
  EXPECT_EQ(since_time({"2026-01-02T03:04:05.5+02:00", 1, 0}), "2026-01-02T01:04:04Z");
}

TEST(LogResume, ReadsTimestampsOfEveryPrecisionAndRefusesWords) {
  EXPECT_EQ(parse_log_time("1970-01-01T00:00:01Z"), 1'000'000'000);
  EXPECT_EQ(parse_log_time("1970-01-01T00:00:00.000000001Z"), 1);
  EXPECT_EQ(parse_log_time("1970-01-01T01:00:00.5+01:00"), 500'000'000);
  for (const char* bad : {"", "hello", "1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z",
                          "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00Zx", "1970-01-01T25:00:00Z"}) {
    EXPECT_EQ(parse_log_time(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace oddjob::runs
