// JSON: parsing within limits, access by path, and the canonical form.
#include "core/json.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "core/digest.hpp"

namespace oddjob {
namespace {

json::value parse(std::string_view text) {
  auto v = parse_json(text, "test");
  EXPECT_TRUE(v) << (v ? "" : v.error().message);
  return v ? *v : json::value();
}

TEST(ParseJson, KeepsTheOrderOfKeysAndWholeNumbersOf64Bits) {
  EXPECT_EQ(json::serialize(parse(R"( {"z":1,"a":9223372036854775807,"m":-9223372036854775808} )")),
            R"({"z":1,"a":9223372036854775807,"m":-9223372036854775808})");
}

TEST(ParseJson, RefusesWhatIsNotExactlyOneDocumentAndSaysAtWhichByte) {
  for (const std::string_view bad : {"", " ", "{", "[1,2", "{\"a\":}", "{} {}", "nul", "\"\xff\"", "[1] x",
                                     "'a'", "<html><body>502</body></html>", "{\"a\":1,}", "\"\\ud800\""}) {
    const auto v = parse_json(bad, "body of GET /x");
    ASSERT_FALSE(v) << bad;
    EXPECT_EQ(v.error().code, "json.malformed");
    EXPECT_EQ(v.error().kind, Errc::invalid_argument);
    EXPECT_EQ(v.error().message.find("body of GET /x"), 0U);
    EXPECT_NE(v.error().message.find("at byte "), std::string::npos) << v.error().message;
  }
}

TEST(ParseJson, RefusesDeepNestingAndLargeText) {
  const std::string deep(kMaxJsonDepth + 1, '['), end(kMaxJsonDepth + 1, ']');
  EXPECT_EQ(parse_json(deep + end, "t").error().code, "json.malformed");
  EXPECT_TRUE(parse_json(deep.substr(2) + end.substr(2), "t"));
  EXPECT_EQ(parse_json("[1,2,3]", "t", 6).error().code, "json.too_large");
  EXPECT_EQ(parse_json("[1,2,3]", "t", 6).error().kind, Errc::too_large);
}

TEST(ParseJson, TakesItsMemoryWhereItIsToldToWithinTheSameLimits) {
  json::monotonic_resource memory;
  const std::string text = "[" + std::string(40, '[') +
                           R"("a string that is longer than what fits in place")" + std::string(40, ']') +
                           R"(,{"key":[1,2,{"k":"v"}]}])";
  const auto v = parse_json(text, "t", 1000, &memory);
  ASSERT_TRUE(v);
  EXPECT_EQ(json::serialize(*v), text);
  EXPECT_EQ(v->storage().get(), &memory);
  EXPECT_EQ(find(v->at(1), {"key"})->at(2).storage().get(), &memory);
  EXPECT_EQ(parse_json(text, "t", 10, &memory).error().code, "json.too_large");
  EXPECT_EQ(parse_json(std::string(kMaxJsonDepth + 1, '['), "t", 1000, &memory).error().code,
            "json.malformed");
  EXPECT_EQ(parse_json("\"\xff\"", "t", 1000, &memory).error().code, "json.malformed");
}

TEST(CanonicalJson, IsTheSameForValuesThatAreEqualAsJson) {
  const std::string expected = R"({"":null,"a":[1,2.5,-3],"b":{"c":"é\"\\\n","d":true}})";
  for (const auto text : {R"({"b":{"d":true,"c":"é\"\\\n"},"a":[1,2.5,-3],"":null})",
                          R"({ "" : null, "a":[1.0, 25e-1, -3], "b":{"c":"\u00e9\"\\\u000a","d":true}})"})
    EXPECT_EQ(canonical_json(parse(text)), expected);
}

TEST(CanonicalJson, TellsDifferentValuesApart) {
  const std::vector<std::string> different = {"1",
                                              "1.5",
                                              "\"1\"",
                                              "true",
                                              "null",
                                              "[]",
                                              "{}",
                                              "[1]",
                                              "[[1]]",
                                              "0",
                                              "1e30",
                                              "9007199254740993",
                                              "9007199254740992"};
  std::set<std::string> seen;
  for (const auto& text : different) EXPECT_TRUE(seen.insert(canonical_json(parse(text))).second) << text;
}

TEST(CanonicalJson, SortsKeysByBytes) {
  EXPECT_EQ(canonical_json(parse(R"({"b":1,"a":2,"B":3,"é":4,"aa":5})")),
            R"({"B":3,"a":2,"aa":5,"b":1,"é":4})");
}

TEST(CanonicalJson, WritesNumbersInTheShortestFormThatReadsBack) {
  EXPECT_EQ(canonical_json(parse("[0.1,1e21,-0.0,1e-7,18446744073709551615]")),
            "[0.1,1e+21,0,1e-07,18446744073709551615]");
}

// Of up to 15 digits: Boost.JSON 1.81 may miss the last bit of longer ones.
TEST(CanonicalJson, SurvivesAParse) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 5000; ++i) {
    const double d = static_cast<double>(random() % 1'000'000'000'000'000) / std::pow(10, random() % 16);
    const auto text = canonical_json(json::array{d});
    ASSERT_EQ(canonical_json(parse(text)), text);
    ASSERT_EQ(parse(text).at(0).to_number<double>(), d) << text;
  }
}

TEST(PrettyJson, IndentsByTwoAndEndsInANewline) {
  EXPECT_EQ(pretty_json(parse(R"({"b":[1,{"x":null}],"a":{},"c":[]})")),
            "{\n  \"b\": [\n    1,\n    {\n      \"x\": null\n    }\n  ],\n  \"a\": {},\n  \"c\": []\n}\n");
}

TEST(Access, GivesTheFallbackWhereAStepIsMissingOrOfAnotherType) {
  const auto v = parse(R"({"a":{"s":"text","n":5,"b":true,"l":[1],"o":{}},"f":1.5})");
  EXPECT_EQ(get_string(v, {"a", "s"}), "text");
  EXPECT_EQ(get_string(v, {"a", "n"}, "none"), "none");
  EXPECT_EQ(get_string(v, {"a", "s", "deeper"}, "none"), "none");
  EXPECT_EQ(get_int(v, {"a", "n"}), 5);
  EXPECT_EQ(get_int(v, {"f"}), std::nullopt);
  EXPECT_TRUE(get_bool(v, {"a", "b"}));
  EXPECT_TRUE(get_bool(v, {"x"}, true));
  EXPECT_NE(find_array(v, {"a", "l"}), nullptr);
  EXPECT_EQ(find_array(v, {"a", "o"}), nullptr);
  EXPECT_NE(find_object(v, {"a", "o"}), nullptr);
  EXPECT_EQ(find(v, {"a", "x"}), nullptr);
  EXPECT_EQ(find(v, {}), &v);
}

TEST(Access, EnsureMakesTheWayAndEraseRemovesOnlyTheEnd) {
  json::value v = parse(R"({"a":5})");
  ensure(v, {"a", "b", "c"}) = "x";
  EXPECT_EQ(json::serialize(v), R"({"a":{"b":{"c":"x"}}})");
  EXPECT_FALSE(erase(v, {"a", "x", "c"}));
  EXPECT_FALSE(erase(v, {}));
  EXPECT_TRUE(erase(v, {"a", "b", "c"}));
  EXPECT_EQ(json::serialize(v), R"({"a":{"b":{}}})");
}

TEST(JsonDigest, DependsOnTheValueAndNotOnHowItIsWritten) {
  const auto one = json_digest(parse(R"({"a":1,"b":2})"));
  EXPECT_EQ(one, json_digest(parse(R"({ "b": 2.0, "a": 1 })")));
  EXPECT_NE(one, json_digest(parse(R"({"a":1,"b":3})")));
  EXPECT_EQ(one, "sha256:" + sha256_hex(R"({"a":1,"b":2})"));
}

}  // namespace
}  // namespace oddjob
