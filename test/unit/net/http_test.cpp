#include "net/http.hpp"

#include <gtest/gtest.h>

namespace oddjob::net {
namespace {

struct GoodUrl {
  std::string text, scheme, host;
  int port;
  std::string path, query;
};

class GoodUrlTest : public ::testing::TestWithParam<GoodUrl> {};
TEST_P(GoodUrlTest, IsTakenApart) {
  const auto& want = GetParam();
  const auto url = parse_url(want.text);
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->scheme, want.scheme);
  EXPECT_EQ(url->host, want.host);
  EXPECT_EQ(url->port, want.port);
  EXPECT_EQ(url->path, want.path);
  EXPECT_EQ(url->query, want.query);
}
INSTANTIATE_TEST_SUITE_P(
    Table, GoodUrlTest,
    ::testing::Values(GoodUrl{"http://a", "http", "a", 80, "/", ""},
                      GoodUrl{"HTTPS://Ex.ORG/X", "https", "ex.org", 443, "/X", ""},
                      GoodUrl{"https://a:8443/b/c?d=e&f", "https", "a", 8443, "/b/c", "d=e&f"},
                      GoodUrl{"https://[::1]:6443/api", "https", "::1", 6443, "/api", ""},
                      GoodUrl{"http://[fe80::1]", "http", "fe80::1", 80, "/", ""},
                      GoodUrl{"http://a:/x", "http", "a", 80, "/x", ""},
                      GoodUrl{"http://a?q=/x", "http", "a", 80, "/", "q=/x"},
                      GoodUrl{"http://a/x#frag?no", "http", "a", 80, "/x", ""},
                      GoodUrl{"/p%20q?r=%2F", "", "", 0, "/p%20q", "r=%2F"},
                      GoodUrl{"//double", "", "", 0, "//double", ""}));

TEST(UrlTest, WhatIsNoUrlIsRefused) {
  for (const char* text :
       {"", "a", "ftp://a", "http://", "http:///x", "http://a:0", "http://a:65536", "http://a:x",
        "http://a:1:2", "http://[::1", "http://[::1]x", "http://[zz]", "http://u:p@a/", "http://a b/",
        "http://a/\r\nX: y", "http://::1/", "https://a|b/"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, "url.malformed") << text;
    EXPECT_EQ(url.error().message.find("p@a"), std::string::npos);
  }
}

TEST(PercentTest, EncodingKeepsUnreservedOnlyAndDecodesBack) {
  EXPECT_EQ(percent_encode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(percent_encode("a b/c=d&\xC3\xA9+"), "a%20b%2Fc%3Dd%26%C3%A9%2B");
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
}

TEST(PercentTest, HalfAnEscapeIsRefused) {
  for (const char* text : {"%", "%4", "a%4", "%zz", "%4g", "%%20"})
    EXPECT_FALSE(percent_decode(text)) << text;
  EXPECT_EQ(percent_decode("%41"), "A");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
}

TEST(QueryTest, ReadsPairsInOrderAndWritesThemBack) {
  const auto query = Query::parse("a=1&b=x+y&&c&a=2&d=%26&e==");
  ASSERT_TRUE(query);
  EXPECT_EQ(query->get("a"), "1");
  EXPECT_EQ(query->get("b"), "x y");
  EXPECT_TRUE(query->has("c"));
  EXPECT_EQ(query->get("c"), "");
  EXPECT_FALSE(query->has("z"));
  EXPECT_EQ(query->encode(), "a=1&b=x%20y&c=&a=2&d=%26&e=%3D");
  EXPECT_FALSE(Query::parse("a=%"));
  EXPECT_TRUE(Query::parse("")->empty());
}

TEST(QueryTest, AFlagIsTrueOrOne) {
  const auto query = Query::parse("a=true&b=1&c=yes&d");
  EXPECT_TRUE(query->flag("a") && query->flag("b"));
  EXPECT_FALSE(query->flag("c") || query->flag("d") || query->flag("e"));
}

TEST(HeadersTest, NamesCompareWithoutCaseAndSetLeavesOne) {
  Headers h;
  h.add("Accept", "a");
  h.add("X", "1");
  h.add("ACCEPT", "b");
  EXPECT_EQ(h.get("accept"), "a");
  h.set("accept", "c");
  EXPECT_EQ(std::distance(h.begin(), h.end()), 2);
  EXPECT_EQ(h.get("Accept"), "c");
  h.set("New", "n");
  EXPECT_TRUE(h.has("new"));
  EXPECT_FALSE(h.has("ne"));
}

}  // namespace
}  // namespace oddjob::net
