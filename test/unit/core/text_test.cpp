// Text at the edges.
#include "core/text.hpp"

#include <gtest/gtest.h>

#include <random>

namespace oddjob {
namespace {

using Words = std::vector<std::string>;

TEST(Utf8, TellsWellFormedFromIllFormed) {
  for (const std::string_view good : {"", "abc", "é", "€", "😀", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(valid_utf8(good)) << good;
  for (const std::string_view bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "a\xff", "\xc3(", "\xfe"})
    EXPECT_FALSE(valid_utf8(bad));
}

TEST(Utf8, RepairsOnlyWhatIsBroken) {
  EXPECT_EQ(to_valid_utf8("a\xff"
                          "b"),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(to_valid_utf8("é😀"), "é😀");
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string s;
    for (int n = 0; n < 12; ++n) s += static_cast<char>(random());
    EXPECT_TRUE(valid_utf8(to_valid_utf8(s)));
    EXPECT_TRUE(valid_utf8(printable(s)));
  }
}

TEST(Printable, ShowsWhatWouldMoveTheCursorOrReorderText) {
  EXPECT_EQ(printable("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(printable("\x1b[31mred"), "\\x1b[31mred");
  EXPECT_EQ(printable(std::string_view("\0\x7f", 2)), "\\x00\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\u009b31m");
  EXPECT_EQ(printable("user\xe2\x80\xae"
                      "gpj.exe"),
            "user\\u202egpj.exe");
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("naïve 😀"), "naïve 😀");
}

TEST(Printable, IsCutBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 3), "abc…");
  EXPECT_EQ(printable("éé", 3), "é…");
  EXPECT_EQ(printable("ab\n", 3), "ab…");
  EXPECT_EQ(printable("abc", 3), "abc");
}

std::string safe(std::string_view s) {
  std::string carry;
  return terminal_safe(s, carry);
}

TEST(TerminalSafe, KeepsTextAndColours) {
  EXPECT_EQ(safe("plain\n\ttab\r\n"), "plain\n\ttab\r\n");
  EXPECT_EQ(safe("\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mx\x1b[m"),
            "\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mx\x1b[m");
  EXPECT_EQ(safe("é😀"), "é😀");
}

TEST(TerminalSafe, DropsWhatCouldTakeOverTheTerminal) {
  EXPECT_EQ(safe("a\x1b[2Jb"), "ab");    // clear
  EXPECT_EQ(safe("a\x1b[1;1Hb"), "ab");  // move
  EXPECT_EQ(safe("a\x1b]0;title\x07"
                 "b"),
            "ab");                                  // window title
  EXPECT_EQ(safe("a\x1b]52;c;aGk=\x1b\\b"), "ab");  // clipboard
  EXPECT_EQ(safe("a\x1bP+q544e\x1b\\b"), "ab");     // DCS
  EXPECT_EQ(safe("a\x1b"
                 "cb"),
            "ab");                        // reset
  EXPECT_EQ(safe("a\x1b[>4;1mb"), "ab");  // keyboard mode, no colour though it ends in m
  EXPECT_EQ(safe("a\xc2\x9b"
                 "2Jb"),
            "a2Jb");  // C1 CSI
  EXPECT_EQ(safe(std::string_view("a\0\b\x07"
                                  "b",
                                  5)),
            "ab");
  EXPECT_EQ(safe("a\xe2\x80\xae"
                 "b"),
            "ab");
  EXPECT_EQ(safe("\x1b]0;no end\nnext"), "\nnext");  // text after the line is not swallowed
}

TEST(TerminalSafe, DoesTheSameHoweverTheBytesAreCut) {
  const std::string all =
      "a\x1b[31mé\x1b]0;t\x07x\x1b[2J😀\x1b]8;;u\x1b\\link\xff end\x1b[0m\n\xe2\x82\x1b[1mz\x1b"
      "cy";
  const auto whole = safe(all);
  for (std::size_t i = 0; i <= all.size(); ++i)
    for (std::size_t j = i; j <= all.size(); ++j) {
      std::string carry;
      std::string got = terminal_safe(std::string_view(all).substr(0, i), carry);
      got += terminal_safe(std::string_view(all).substr(i, j - i), carry);
      got += terminal_safe(std::string_view(all).substr(j), carry);
      ASSERT_EQ(got, whole) << i << ' ' << j;
    }
}

TEST(TerminalSafe, HoldsBackOnlyALittle) {
  std::string carry;
  terminal_safe("\x1b]" + std::string(100'000, 'x'), carry);
  EXPECT_LE(carry.size(), 512U);
  terminal_safe("\x1b[" + std::string(100'000, '1'), carry);
  EXPECT_LE(carry.size(), 512U);
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_EQ(split("a,,b,", ','), (Words{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), (Words{""}));
  EXPECT_EQ(trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(trim("  "), "");
  EXPECT_EQ(join(Words{"a", "b"}, ", "), "a, b");
  EXPECT_EQ(ascii_lower("ABÉz"), "abÉz");
}

TEST(PosixWords, AreSplitByTheQuotingRulesWithoutAnyExpansion) {
  for (const auto& [line, words] : std::vector<std::pair<std::string_view, Words>>{
           {"", {}},
           {"  a  b\tc\n", {"a", "b", "c"}},
           {R"('a b' "c d" e\ f)", {"a b", "c d", "e f"}},
           {R"(a'b'"c"d)", {"abcd"}},
           {"''  \"\"", {"", ""}},
           {R"("a\"b\\c\$d\`e\x")", {"a\"b\\c$d`e\\x"}},
           {R"('a\b')", {"a\\b"}},
           {"echo $HOME `id` $(id) *.js ~ a;b | c & d > e < f",
            {"echo", "$HOME", "`id`", "$(id)", "*.js", "~", "a;b", "|", "c", "&", "d", ">", "e", "<", "f"}},
           {"a \\\n b", {"a", "b"}},
           {"a\\\nb", {"ab"}},
           {"\"a\\\nb\"", {"ab"}},
           {"'a\\\nb'", {"a\\\nb"}},
           {"# no comment", {"#", "no", "comment"}},
           {"é '😀'", {"é", "😀"}}}) {
    const auto got = split_posix_words(line);
    ASSERT_TRUE(got) << line;
    EXPECT_EQ(*got, words) << line;
  }
}

TEST(PosixWords, AnOpenQuoteOrANulIsAnError) {
  for (const auto line : {"'a", "\"a", "a\\", "\"a\\\""})
    EXPECT_EQ(split_posix_words(line).error().code, "argv.unterminated_quote") << line;
  EXPECT_EQ(split_posix_words(std::string_view("a\0b", 3)).error().code, "argv.nul");
}

TEST(PosixWords, AreQuotedOnlyWhereTheyMustBe) {
  EXPECT_EQ(quote_posix_words(Words{"node", "scripts/x.js", "--since=2026-01-01"}),
            "node scripts/x.js --since=2026-01-01");
  EXPECT_EQ(quote_posix_words(Words{"sh", "-c", "echo 'hi'; exit", ""}),
            R"(sh -c 'echo '\''hi'\''; exit' '')");
  EXPECT_EQ(quote_posix_words(Words{"A=1", "B=2"}), "'A=1' B=2");
  EXPECT_EQ(quote_posix_words(Words{}), "");
}

TEST(PosixWords, WhatWasQuotedIsSplitBackTheSame) {
  std::mt19937 random(3);
  constexpr std::string_view kPieces = "ab'\"\\ \t\n$`*=-~;|&()<>#";
  for (int i = 0; i < 5000; ++i) {
    Words words;
    for (unsigned n = random() % 5; n > 0; --n) {
      std::string w;
      for (unsigned k = random() % 6; k > 0; --k) w += kPieces[random() % kPieces.size()];
      words.push_back(w);
    }
    ASSERT_EQ(split_posix_words(quote_posix_words(words)).value(), words);
  }
}

struct Name {
  std::string text;
  bool label, subdomain, value, qualified, env;
};

TEST(Names, FollowTheRulesOfKubernetes) {
  const std::string a63(63, 'a'), a64(64, 'a'),
      a253 = a63 + "." + a63 + "." + a63 + "." + std::string(61, 'a');
  for (const auto& n : std::vector<Name>{
           // text           label  subdom value  qualif env
           {"abc", true, true, true, true, true},
           {"a-b", true, true, true, true, true},
           {"a.b", false, true, true, true, true},
           {"", false, false, true, false, false},
           {"-a", false, false, false, false, true},
           {"a-", false, false, false, false, true},
           {"A", false, false, true, true, true},
           {"a_b", false, false, true, true, true},
           {"0a", true, true, true, true, false},
           {"a..b", false, false, true, true, true},
           {"..", false, false, false, false, false},
           {"..a", false, false, false, false, false},
           {".", false, false, false, false, false},
           {"a/b", false, false, false, true, false},
           {"x.io/A_b", false, false, false, true, false},
           {"X.io/a", false, false, false, false, false},
           {"a/", false, false, false, false, false},
           {"/a", false, false, false, false, false},
           {"a/b/c", false, false, false, false, false},
           {"a b", false, false, false, false, false},
           {"a=b", false, false, false, false, false},
           {"é", false, false, false, false, false},
           {a63, true, true, true, true, true},
           {a64, false, true, false, false, true},
           {a253, false, true, false, false, true},
           {a253 + "a", false, false, false, false, true},
       }) {
    EXPECT_EQ(is_dns_label(n.text), n.label) << n.text;
    EXPECT_EQ(is_dns_subdomain(n.text), n.subdomain) << n.text;
    EXPECT_EQ(is_label_value(n.text), n.value) << n.text;
    EXPECT_EQ(is_qualified_name(n.text), n.qualified) << n.text;
    EXPECT_EQ(is_env_name(n.text), n.env) << n.text;
  }
}

TEST(Closest, OffersTheNearNameAndNothingFar) {
  const std::vector<std::string_view> names = {"allowed-teams", "allowed-users", "approval", "max-timeout"};
  EXPECT_EQ(closest("alowed-teams", names), "allowed-teams");
  EXPECT_EQ(closest("allowed-user", names), "allowed-users");
  EXPECT_EQ(closest("timeout-max-of-it", names), "");
  EXPECT_EQ(closest("zzz", names), "");
  EXPECT_EQ(closest(std::string(100'000, 'x'), names), "");
}

}  // namespace
}  // namespace oddjob
