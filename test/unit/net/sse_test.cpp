#include "net/sse.hpp"

#include <gtest/gtest.h>

namespace oddjob::net {
namespace {

struct Stream {
  const char* name;
  std::string bytes;
  std::vector<SseEvent> events;
};

class SseStreamTest : public ::testing::TestWithParam<Stream> {};

// Cut at every place, whatever the pieces, the events are the same.
TEST_P(SseStreamTest, GivesTheSameEventsHoweverItIsCut) {
  const auto& [name, bytes, want] = GetParam();
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    SseParser parser;
    std::vector<SseEvent> got;
    for (const auto piece : {std::string_view(bytes).substr(0, cut), std::string_view(bytes).substr(cut)}) {
      auto events = parser.feed(piece);
      ASSERT_TRUE(events);
      for (auto& e : *events) got.push_back(std::move(e));
    }
    ASSERT_EQ(got.size(), want.size()) << name << " cut at " << cut;
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].event, want[i].event) << name;
      EXPECT_EQ(got[i].data, want[i].data) << name;
      EXPECT_EQ(got[i].id, want[i].id) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, SseStreamTest,
    ::testing::Values(Stream{"plain", "data: a\n\n", {{"", "a", ""}}},
                      Stream{"two lines", "data: a\ndata: b\n\n", {{"", "a\nb", ""}}},
                      Stream{"cr", "data: a\rdata: b\r\r", {{"", "a\nb", ""}}},
                      Stream{"crlf", "data: a\r\ndata: b\r\n\r\n", {{"", "a\nb", ""}}},
                      Stream{"mixed", "event: e\rdata: a\n\r\ndata: b\n\n", {{"e", "a", ""}, {"", "b", ""}}},
                      Stream{"bom",
                             "\xEF\xBB\xBF"
                             "data: a\n\n",
                             {{"", "a", ""}}},
                      Stream{"a second bom is text",
                             "data: a\n\n\xEF\xBB\xBF"
                             "data: b\n\n",
                             {{"", "a", ""}}},
                      Stream{"comments", ": hi\ndata: a\n:\n\n", {{"", "a", ""}}},
                      Stream{"no space", "data:a\ndata:  b\n\n", {{"", "a\n b", ""}}},
                      Stream{"empty data counts",
                             "data\n\ndata\ndata\n\ndata:\n\n",
                             {{"", "", ""}, {"", "\n", ""}, {"", "", ""}}},
                      Stream{"no data, no event", "event: e\nid: 1\n\ndata: a\n\n", {{"", "a", "1"}}},
                      Stream{"ids stay in force",
                             "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
                             {{"", "a", "1"}, {"", "b", "1"}, {"", "c", ""}}},
                      Stream{"an id with a NUL is none",
                             std::string("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", 31),
                             {{"", "a", "1"}, {"", "b", "1"}}},
                      Stream{"unknown fields", "retry: 5\nfoo: x\ndata: a\n\n", {{"", "a", ""}}},
                      Stream{"cut short", "data: a\n\ndata: b\n", {{"", "a", ""}}}),
    [](const auto& row) {
      std::string out;
      for (char c : std::string(row.param.name)) out += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
      return out;
    });

TEST(SseTest, WhatIsFormattedIsParsedBack) {
  for (const SseEvent& e : {SseEvent{"", "", ""}, SseEvent{"log", "a\nb\n", "7"},
                            SseEvent{"x", " lead\n\n: no comment", "a b"}}) {
    SseParser parser;
    const auto back = parser.feed(format_sse(e));
    ASSERT_TRUE(back && back->size() == 1);
    EXPECT_EQ(back->front().data, e.data);
    EXPECT_EQ(back->front().event, e.event);
    EXPECT_EQ(back->front().id, e.id);
  }
}

TEST(SseTest, NoFieldCanSmuggleAnother) {
  EXPECT_EQ(format_sse({"a\ndata: x", "d\r\ne\rf", "1\r\n2"}),
            "id: 12\nevent: adata: x\ndata: d\ndata: e\ndata: f\n\n");
  SseParser parser;
  EXPECT_TRUE(parser.feed(sse_comment("a\ndata: x\n"))->empty());
}

TEST(SseTest, AnEventOverTheBoundIsAnError) {
  SseParser parser(10);
  EXPECT_EQ(parser.feed("data: 0123456789").error().code, "sse.too_large");
  SseParser lines(20);
  std::string many;
  for (int i = 0; i < 30; ++i) many += "data:x\n";
  EXPECT_EQ(lines.feed(many).error().code, "sse.too_large");
  SseParser fits(20);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(fits.feed("data: 01234\n\n"));
}

TEST(LineReaderTest, SplitsHoweverTheBytesCome) {
  const std::string text = "one\n\nthree\r\nrest";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    LineReader reader(100);
    std::vector<std::string> got;
    for (std::size_t i = 0; i < text.size(); i += step) {
      auto lines = reader.feed(std::string_view(text).substr(i, step));
      ASSERT_TRUE(lines);
      for (auto& line : *lines) got.push_back(std::move(line));
    }
    EXPECT_EQ(got, (std::vector<std::string>{"one", "", "three\r"}));
    EXPECT_EQ(reader.rest(), "rest");
  }
}

TEST(LineReaderTest, ALineOverTheBoundIsAnError) {
  LineReader reader(4);
  EXPECT_TRUE(reader.feed("1234\n1234\n12"));
  EXPECT_EQ(reader.feed("345").error().code, "lines.too_long");
}

}  // namespace
}  // namespace oddjob::net
