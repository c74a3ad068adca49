#include "cli/terminal.hpp"

#include <gtest/gtest.h>

namespace oddjob::cli {
namespace {

TEST(Table, AlignsColumnsByCharactersAndLeavesNoSpaceAtTheEnd) {
  Table t({"ID", "NAME", "NOTE"});
  t.add({"1", "Zoë", ""});
  t.add({"22", "ann", "x"});
  EXPECT_EQ(t.text(), "ID   NAME   NOTE\n1    Zoë\n22   ann    x\n");
}

TEST(Age, ReadsAsKubectlWritesIt) {
  const auto now = *parse_time("2026-01-01T12:00:00Z");
  EXPECT_EQ(age("2026-01-01T11:58:30Z", now), "90s");
  EXPECT_EQ(age("2025-12-29T12:00:00Z", now), "3d");
  EXPECT_EQ(age("2026-01-01T12:00:05Z", now), "0s") << "a clock that is ahead";
  EXPECT_EQ(age("yesterday", now), "<unknown>");
}

TEST(Terminal, NoColorAndDumbTerminalsAreRespected) {
  // The tests' streams are no terminals: neither may claim one.
  const auto t = detect_terminal({{"TERM", "xterm"}});
  EXPECT_EQ(t.color, t.out_tty);
  EXPECT_FALSE(detect_terminal({{"TERM", "xterm"}, {"NO_COLOR", "1"}}).color);
  EXPECT_FALSE(detect_terminal({{"TERM", "dumb"}}).live);
  EXPECT_FALSE(detect_terminal({}).live);
}

}  // namespace
}  // namespace oddjob::cli
