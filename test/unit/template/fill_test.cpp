// Values into a command: nothing changes but the text of the elements.
#include <gtest/gtest.h>

#include <random>

#include "support.hpp"
#include "template/text.hpp"

namespace oddjob::templates {
namespace {

using Argv = std::vector<std::string>;

TEST(Fill, PutsValuesAndDefaultsIn) {
  const auto r = fill(good(), asked({{"since", "2026-01-01"}, {"note", "two words"}}));
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->command, (Argv{"node", "scripts/backfill.js", "--since", "2026-01-01", "--batch=100",
                              "eu:two words", "--dry-run=true", "5m"}));
  ASSERT_EQ(r->env.size(), 1U);
  EXPECT_EQ(r->env[0], (EnvVar{"REGION", "eu", true}));
  EXPECT_EQ(r->from_template->uid, "u-1");
  EXPECT_EQ(r->from_template->generation, 3);
  EXPECT_EQ(r->from_template->digest, good().digest);
  EXPECT_EQ(r->params.at("batch"), "100");  // what was used is on record, defaults too
  EXPECT_EQ(r->workload.name_space, "prod");
  EXPECT_EQ(r->retries, 1);
}

TEST(Fill, KeepsOfTheRequestWhatIsTheCallersToSay) {
  auto a = asked({{"since", "2026-01-01"}});
  a.reason = "ticket 5";
  a.break_glass = true;
  const auto r = fill(good(), a);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->reason, "ticket 5");
  EXPECT_TRUE(r->break_glass);
}

TEST(Values, EachTypeTakesWhatItSays) {
  struct Row {
    std::string name, value;
    bool good;
  };
  for (const auto& row : std::vector<Row>{
           {"since", "2026-01-31", true},
           {"since", "2026-02-29", false},
           {"since", "2026-1-1", false},
           {"since", "yesterday", false},
           {"since", "2019-12-31", false},
           {"since", "2030-12-31", true},
           {"since", " 2026-01-01", false},
           {"since", "2026-01-01\n", false},
           {"since", "", false},
           {"batch", "1", true},
           {"batch", "0", false},
           {"batch", "1001", false},
           {"batch", "01", false},
           {"batch", "+5", false},
           {"batch", "1e2", false},
           {"batch", "5.0", false},
           {"batch", "99999999999999999999", false},
           {"region", "us", true},
           {"region", "US", false},
           {"region", "eu ", false},
           {"note", "a b", true},
           {"note", "", true},
           {"note", "A", false},
           {"note", "a\nb", false},
           {"note", "aaaaaaaaaaaaaaaaaaaaa", false},
           {"dry-run", "true", true},
           {"dry-run", "True", false},
           {"dry-run", "1", false},
           {"wait", "90s", true},
           {"wait", "1h", true},
           {"wait", "61m", false},
           {"wait", "5", false},
           {"wait", "-5m", false},
           {"nothing", "x", false},
           {"sinc", "x", false},
       }) {
    auto params = asked({{"since", "2026-01-01"}});
    params.params[row.name] = row.value;
    const auto r = fill(good(), params);
    EXPECT_EQ(r.has_value(), row.good) << row.name << " = '" << row.value << "'";
    if (r) continue;
    EXPECT_EQ(r.error().code, "template.bad_params");
    EXPECT_NE(r.error().message.find("params." + row.name), std::string::npos) << r.error().message;
    EXPECT_EQ(r.error().message.find('\n'), std::string::npos);
  }
}

TEST(Values, WhatIsMissingAndWhatIsWrongIsSaidAtOnce) {
  const auto problems = check(good(), {{"batch", "many"}, {"sincee", "x"}});
  const auto text = text_of(problems);
  EXPECT_EQ(problems.size(), 3U) << text;
  EXPECT_NE(text.find("params.since: a value is required"), std::string::npos) << text;
  EXPECT_NE(text.find("did you mean 'since'"), std::string::npos) << text;
  EXPECT_NE(text.find("params.batch: the value is 'many'"), std::string::npos) << text;
}

TEST(Values, ThePatternMatchesTheWholeValue) {
  Parameter p;
  p.pattern = "[a-z]+";
  EXPECT_FALSE(check_value(p, "abc"));
  EXPECT_TRUE(check_value(p, "abc;rm"));
  EXPECT_TRUE(check_value(p, "abc\n"));
  EXPECT_TRUE(check_value(p, ""));
  p.pattern = "a|b";
  EXPECT_TRUE(check_value(p, "ax"));
}

TEST(Values, APatternCannotTakeForEver) {
  Parameter p;
  p.pattern = "(a+)+b";  // a backtracking engine needs 2^2000 steps
  EXPECT_TRUE(check_value(p, std::string(2000, 'a')));
}

TEST(Values, AnOptionIsNotSmuggledIn) {
  const auto try_with = [](const Argv& argv, const std::string& value) {
    const auto t = read(with_command(argv));
    EXPECT_TRUE(t) << t.error().message;
    return fill(*t, asked({{"x", value}})).has_value();
  };
  EXPECT_FALSE(try_with({"git", "log", "${x}"}, "--output=/etc/passwd"));
  EXPECT_FALSE(try_with({"git", "log", "${x}"}, "-p"));
  EXPECT_FALSE(try_with({"git", "log", "${x}${x}"}, "-p"));
  EXPECT_TRUE(try_with({"git", "log", "--", "${x}"}, "-p"));
  EXPECT_TRUE(try_with({"git", "log", "--grep=${x}"}, "-p"));
  EXPECT_TRUE(try_with({"git", "log", "${x}"}, "p-"));
  // A negative number is a number.
  const auto t = read(with_command({"add", "${x}"}, "integer"));
  ASSERT_TRUE(t);
  EXPECT_TRUE(fill(*t, asked({{"x", "-5"}})));
}

TEST(Text, TakesAnElementApart) {
  const auto shown = [](std::string_view element) -> std::string {
    const auto pieces = take_apart(element);
    if (!pieces) return "error";
    std::string out;
    for (const auto& p : *pieces) out += p.parameter ? "<" + p.text + ">" : "'" + p.text + "'";
    return out;
  };
  EXPECT_EQ(shown(""), "");
  EXPECT_EQ(shown("abc"), "'abc'");
  EXPECT_EQ(shown("${a}"), "<a>");
  EXPECT_EQ(shown("x${a}y${b-c}"), "'x'<a>'y'<b-c>");
  EXPECT_EQ(shown("${a}${a}"), "<a><a>");
  EXPECT_EQ(shown("$${a}"), "'${a}'");
  EXPECT_EQ(shown("$$${a}"), "'$${a}'");
  EXPECT_EQ(shown("$a $ $(a) {a} }"), "'$a $ $(a) {a} }'");
  EXPECT_EQ(shown("$"), "'$'");
  EXPECT_EQ(shown("$$"), "'$$'");
  EXPECT_EQ(shown("${"), "error");
  EXPECT_EQ(shown("${}"), "error");
  EXPECT_EQ(shown("${a b}"), "error");
  EXPECT_EQ(shown("${A}"), "error");
  EXPECT_EQ(shown("${a-}"), "error");
}

// ---- properties ---------------------------------------------------------------

std::string nasty(std::mt19937_64& random) {
  static const Argv kPieces = {"a",     " ",     "\n",   "\t",  "'",   "\"",    "\\", "$",        "${x}",
                               "$${x}", "$(id)", "`id`", ";",   "|",   "&",     "&&", ">",        "<",
                               "*",     "?",     "~",    "#",   "--",  "-",     "=",  "{",        "}",
                               "[",     "]",     "!",    "%s",  "\r",  "\x1b[", "é",  "\u202e",   "${HOME}",
                               "$IFS",  "$(DB)", "$$",   "\\n", "%00", "(",     ")",  "sh -c id", ","};
  std::string out;
  for (auto n = random() % 12; n > 0; --n) out += kPieces[random() % kPieces.size()];
  return out;
}

TEST(Property, NoValueChangesTheNumberOfElementsOrAnyOther) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 3000; ++round) {
    // A random argv: some elements fixed, some with the parameter in them.
    Argv argv{"prog", "--"};
    for (auto n = random() % 6; n > 0; --n) switch (random() % 4) {
        case 0:
          argv.push_back("fixed" + std::to_string(n));
          break;
        case 1:
          argv.emplace_back("${x}");
          break;
        case 2:
          argv.push_back("--o" + std::to_string(n) + "=${x}");
          break;
        default:
          argv.emplace_back("${x}/${x}");
          break;
      }
    const auto t = read(with_command(argv));
    ASSERT_TRUE(t) << t.error().message;
    const auto value = nasty(random);
    const auto r = fill(*t, asked({{"x", value}}));
    ASSERT_TRUE(r) << r.error().message;
    ASSERT_EQ(r->command.size(), argv.size());
    for (std::size_t i = 0; i < argv.size(); ++i) {
      // Put in as it is: replaced in the text once, never read again.
      std::string expected;
      for (std::size_t k = 0; k < argv[i].size();) {
        if (argv[i].compare(k, 4, "${x}") == 0) {
          expected += value;
          k += 4;
        } else {
          expected += argv[i][k++];
        }
      }
      ASSERT_EQ(r->command[i], expected);
    }
  }
}

TEST(Property, NoTemplateThatIsTakenLetsAValueReachAShellsScript) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const Argv words = {"sh",        "bash", "/bin/sh",  "env", "-c",      "-lc",  "-e",
                      "-eu",       "-o",   "pipefail", "--",  "echo hi", "${x}", "a ${x}",
                      "script.sh", "+x",   "nohup",    "-ec", "A=1"};
  int taken = 0;
  for (int round = 0; round < 20000; ++round) {
    Argv argv;
    for (auto n = 1 + random() % 6; n > 0; --n) argv.push_back(words[random() % words.size()]);
    const auto t = read(with_command(argv));
    if (!t) continue;
    ++taken;
    const auto r = fill(*t, asked({{"x", "MARK"}}));
    ASSERT_TRUE(r);
    // As a shell reads its words: the script after -c, or the first that is no option.
    const auto& c = r->command;
    for (std::size_t i = 0; i < c.size(); ++i) {
      if (!c[i].ends_with("sh") || c[i].ends_with(".sh")) continue;
      std::size_t k = i + 1;
      bool with_c = false;
      for (; k < c.size() && c[k].size() > 1 && (c[k][0] == '-' || c[k][0] == '+'); ++k) {
        ASSERT_EQ(c[k].find("MARK"), std::string::npos) << ::testing::PrintToString(argv);
        if (c[k] == "--") {
          ++k;
          break;
        }
        with_c = with_c || c[k].find('c') != std::string::npos;
        if (c[k].ends_with("o")) ++k;
      }
      if (k < c.size()) {
        ASSERT_EQ(c[k].find("MARK"), std::string::npos) << ::testing::PrintToString(argv);
      }
      if (with_c) i = k + 1;  // what comes after the code are its $0 and arguments
    }
  }
  EXPECT_GT(taken, 100);
}

}  // namespace
}  // namespace oddjob::templates
