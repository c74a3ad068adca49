// YAML in and out: what kubectl reads, and text that no reader takes for something else.
#include "core/yaml.hpp"

#include <gtest/gtest.h>

#include <random>

namespace oddjob {
namespace {

std::string read(std::string_view yaml) {
  const auto v = parse_yaml(yaml, "test");
  return v ? json::serialize(*v) : v.error().code;
}

struct Typed {
  std::string_view yaml, json;
};

TEST(YamlReading, PlainScalarsAreTypedAsKubectlTypesThem) {
  for (const auto& [yaml, json] : std::vector<Typed>{
           {"v: 1", R"({"v":1})"},
           {"v: -17", R"({"v":-17})"},
           {"v: +5", R"({"v":5})"},
           {"v: 0x1F", R"({"v":31})"},
           {"v: 0o17", R"({"v":15})"},
           {"v: 0644", R"({"v":420})"},
           {"v: 0899", R"({"v":899})"},
           {"v: 1.5", R"({"v":1.5E0})"},
           {"v: true", R"({"v":true})"},
           {"v: False", R"({"v":false})"},
           {"v: null", R"({"v":null})"},
           {"v: ~", R"({"v":null})"},
           {"v:", R"({"v":null})"},
           {"v: abc", R"({"v":"abc"})"},
           {"v: 1.2.3", R"({"v":"1.2.3"})"},
           {"v: 500m", R"({"v":"500m"})"},
           {"v: 9223372036854775807", R"({"v":9223372036854775807})"},
           {"v: 12:30", R"({"v":"12:30"})"},
       })
    EXPECT_EQ(read(yaml), json) << yaml;
}

TEST(YamlReading, QuotedScalarsAreStringsWhateverTheyLookLike) {
  EXPECT_EQ(read(R"({a: "1", b: 'true', c: "", d: 'null', e: !!str 5})"),
            R"({"a":"1","b":"true","c":"","d":"null","e":"5"})");
}

TEST(YamlReading, BlockScalarsKeepTheirLines) {
  EXPECT_EQ(read("a: |\n  x\n  y\nb: >-\n  x\n  y\n"), R"({"a":"x\ny\n","b":"x y"})");
}

TEST(YamlReading, JsonIsYaml) { EXPECT_EQ(read(R"({"a": [1, {"b": null}]})"), R"({"a":[1,{"b":null}]})"); }

TEST(YamlReading, AliasesAndMergeKeysAreResolvedAndWhatIsWrittenWins) {
  EXPECT_EQ(read("a: &x {k: 1, l: 2}\nb: *x\nc:\n  <<: *x\n  k: 9\n"),
            R"({"a":{"k":1,"l":2},"b":{"k":1,"l":2},"c":{"k":9,"l":2}})");
  EXPECT_EQ(read("a: &x {k: 1}\nb: &y {k: 2, m: 3}\nc: {<<: [*x, *y]}"),
            R"({"a":{"k":1},"b":{"k":2,"m":3},"c":{"k":1,"m":3}})");
}

TEST(YamlReading, SeveralDocumentsComeInTheirOrderAndEmptyOnesAreSkipped) {
  const auto all = parse_yaml_documents("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n", "test");
  ASSERT_TRUE(all) << all.error().message;
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ(get_int((*all)[1], {"b"}), 2);
}

TEST(YamlReading, ADifferentNumberOfDocumentsThanOneIsRefusedWhereOneIsWanted) {
  EXPECT_EQ(read(""), "yaml.document_count");
  EXPECT_EQ(read("a: 1\n---\nb: 2\n"), "yaml.document_count");
}

TEST(YamlReading, AnErrorNamesInputLineAndColumn) {
  const auto v = parse_yaml("a: 1\nb: [1, 2\nc: 3\n", "deploy.yaml");
  ASSERT_FALSE(v);
  EXPECT_EQ(v.error().code, "yaml.malformed");
  EXPECT_EQ(v.error().message.find("deploy.yaml: line "), 0U) << v.error().message;
  EXPECT_NE(v.error().message.find("column "), std::string::npos);
}

TEST(YamlReading, AKeyThatStandsTwiceIsNamedWithItsPlace) {
  const auto v = parse_yaml("spec:\n  replicas: 1\n  replicas: 2\n", "f");
  ASSERT_FALSE(v);
  EXPECT_EQ(v.error().code, "yaml.duplicate_key");
  EXPECT_NE(v.error().message.find("line 3"), std::string::npos) << v.error().message;
  EXPECT_NE(v.error().message.find("replicas"), std::string::npos);
}

TEST(YamlReading, AliasBombsEndEarly) {
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c <= 'k'; ++c) {
    bomb += fmt::format("{}: &{} [", c, c);
    for (int i = 0; i < 10; ++i) bomb += fmt::format("{}*{}", i > 0 ? "," : "", static_cast<char>(c - 1));
    bomb += "]\n";
  }
  EXPECT_EQ(read(bomb), "yaml.too_deep");
}

TEST(YamlReading, WhatHoldsItselfIsAnErrorAndNotAnEndlessWalk) {
  EXPECT_FALSE(parse_yaml("a: &a\n  b: *a\n", "test"));
}

TEST(YamlReading, DeepNestingIsAnErrorAndNotACrash) {
  EXPECT_EQ(read(std::string(100, '[') + std::string(100, ']')), "yaml.too_deep");
  EXPECT_FALSE(parse_yaml(std::string(200'000, '['), "test"));
  EXPECT_FALSE(parse_yaml(std::string(200'000, '{'), "test"));
  std::string steps;
  for (std::size_t i = 0; i < 2000; ++i) steps += std::string(i, ' ') + "a:\n";
  EXPECT_FALSE(parse_yaml(steps, "test"));
}

TEST(YamlReading, WhatIsNoTextOrTooLargeIsRefused) {
  EXPECT_EQ(read("a: \xff\xfe"), "yaml.malformed");
  EXPECT_EQ(read(std::string_view("a: \0b", 5)), "yaml.malformed");
  EXPECT_EQ(read(std::string(kMaxYamlBytes + 1, ' ')), "yaml.too_large");
  EXPECT_EQ(read("? [a, b]\n: c\n"), "yaml.malformed");
}

TEST(YamlWriting, KeepsTheOrderOfKeysAndReadsAsKubectlPrints) {
  const auto v = parse_json(
      R"({"kind":"Job","apiVersion":"batch/v1","spec":{"list":[{"name":"a","args":["x","y"]},{"name":"b"}],
          "empty":{},"none":[],"nested":[[1,2],[3]],"n":null,"on":true}})",
      "test");
  ASSERT_TRUE(v);
  EXPECT_EQ(to_yaml(*v), R"(kind: Job
apiVersion: batch/v1
spec:
  list:
  - name: a
    args:
    - x
    - "y"
  - name: b
  empty: {}
  none: []
  nested:
  - - 1
    - 2
  - - 3
  "n": null
  "on": true
)");
}

TEST(YamlWriting, QuotesWhatAReaderOfEitherVersionWouldTakeForSomethingElse) {
  for (const std::string_view s :
       {"yes", "No",   "on",    "OFF",        "true",     "null", "~",  "",      "1",   "0644", "1e3",  "1.5",
        ".5",  "0x1f", "1_000", "2026-11-24", "12:30:45", "-1",   "+1", ".inf",  "- a", "a: b", "a #b", "#a",
        "*a",  "&a",   "!a",    "%a",         "@a",       "`a",   "{a", "[a",    "'a",  "\"a",  "? a",  "a:",
        " a",  "a ",   "<<",    "=",          "a\tb",     "|",    ">",  "1.0.0", "---", "y",    "N"}) {
    const auto text = to_yaml(json::value(json::string(s)));
    EXPECT_EQ(text.front(), '"') << s << " -> " << text;
    EXPECT_EQ(parse_yaml(text, "test").value(), json::value(json::string(s))) << text;
  }
  for (const std::string_view s :
       {"abc", "a-b", "deploy/x", "1.2.3-rc", "a:b", "a#b", "ünïcode", "it's", "500m"})
    EXPECT_EQ(to_yaml(json::value(json::string(s))), std::string(s) + "\n");
}

TEST(YamlWriting, LinesOfTextBecomeABlock) {
  EXPECT_EQ(to_yaml(json::object{{"script", "set -e\n  echo $x\n\nexit 0\n"}}),
            "script: |\n  set -e\n    echo $x\n\n  exit 0\n");
  EXPECT_EQ(to_yaml(json::object{{"a", "x\ny"}}), "a: |-\n  x\n  y\n");
  EXPECT_EQ(to_yaml(json::object{{"a", "x\n\n\n"}}), "a: |+\n  x\n\n\n");
}

TEST(YamlWriting, NumbersReadBackAsNumbersInYaml11Too) {
  EXPECT_EQ(to_yaml(json::array{1.5, 1.0, 1e20, -2.5e-7, 3}), "- 1.5\n- 1.0\n- 1.0e+20\n- -2.5e-07\n- 3\n");
}

// Any value that JSON can hold comes back as it was.
json::value random_value(std::mt19937& random, int depth) {
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  static const std::vector<std::string> pieces = {"a",
                                                  "B",
                                                  "0",
                                                  "1",
                                                  " ",
                                                  "\n",
                                                  "\t",
                                                  ":",
                                                  "#",
                                                  "-",
                                                  "'",
                                                  "\"",
                                                  "\\",
                                                  "{",
                                                  "}",
                                                  "[",
                                                  "]",
                                                  ",",
                                                  "&",
                                                  "*",
                                                  "!",
                                                  "|",
                                                  ">",
                                                  "%",
                                                  "é",
                                                  "…",
                                                  "\xe2\x80\xa8",
                                                  "\xc2\x85",
                                                  "\xef\xbb\xbf",
                                                  "\r",
                                                  "\x01",
                                                  "\x7f",
                                                  "~",
                                                  ".",
                                                  "e",
                                                  "x",
                                                  "true",
                                                  "null",
                                                  "yes",
                                                  "---",
                                                  "...",
                                                  "😀"};
  const auto text = [&] {
    std::string s;
    for (int n = pick(7); n > 0; --n)
      s += pieces[static_cast<std::size_t>(pick(static_cast<int>(pieces.size())))];
    return s;
  };
  switch (pick(depth > 3 ? 5 : 8)) {
    case 0:
      return nullptr;
    case 1:
      return pick(2) == 0;
    case 2:
      return static_cast<std::int64_t>(random()) - 2'000'000'000;
    case 3:
    case 4:
      return json::value(json::string(text()));
    case 5: {
      json::array out;
      for (int n = pick(4); n > 0; --n) out.push_back(random_value(random, depth + 1));
      return out;
    }
    default: {
      json::object out;
      for (int n = pick(4); n > 0; --n) out[text()] = random_value(random, depth + 1);
      return out;
    }
  }
}

TEST(YamlWriting, WhatWasWrittenIsReadBackTheSame) {
  std::mt19937 random(20261124);
  for (int i = 0; i < 20'000; ++i) {
    const json::value v =
        json::object{{"v", random_value(random, 0)}, {"l", json::array{random_value(random, 0)}}};
    const auto text = to_yaml(v);
    const auto back = parse_yaml(text, "test");
    ASSERT_TRUE(back) << back.error().message << "\n" << text << json::serialize(v);
    ASSERT_EQ(json::serialize(*back), json::serialize(v)) << text;
  }
}

}  // namespace
}  // namespace oddjob
