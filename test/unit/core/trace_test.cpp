#include "core/trace.hpp"

#include <gtest/gtest.h>

namespace oddjob {
namespace {

constexpr const char* kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";

struct Row {
  const char* name;
  std::string header;
  bool taken;
  bool sampled = false;
};
class Traceparent : public testing::TestWithParam<Row> {};

TEST_P(Traceparent, IsReadStrictlyOrNotAtAll) {
  const auto trace = parse_traceparent(GetParam().header);
  ASSERT_EQ(trace.has_value(), GetParam().taken) << GetParam().header;
  if (!trace) return;
  EXPECT_EQ(trace->trace_id, kTrace);
  EXPECT_EQ(trace->span_id, "00f067aa0ba902b7");
  EXPECT_EQ(trace->sampled, GetParam().sampled);
}

INSTANTIATE_TEST_SUITE_P(
    Table, Traceparent,
    testing::Values(
        Row{"sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true, true},
        Row{"not_sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true},
        Row{"other_flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe", true},
        Row{"all_flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", true, true},
        Row{"later_version", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true, true},
        Row{"later_with_more", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", true, true},
        Row{"later_with_tail", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", false},
        Row{"first_with_more", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", false},
        Row{"version_ff", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        Row{"version_word", ".0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        Row{"upper_case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false},
        Row{"zero_trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
        Row{"zero_span", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
        Row{"no_hex", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", false},
        Row{"flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x", false},
        Row{"short", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", false},
        Row{"underscores", "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", false},
        Row{"space", " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        Row{"empty", "", false}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(Trace, AChildKeepsTheTraceAndHasASpanOfItsOwn) {
  const auto one = new_trace(), other = new_trace();
  EXPECT_NE(one.trace_id, other.trace_id);
  auto child = child_of(one);
  EXPECT_EQ(child.trace_id, one.trace_id);
  EXPECT_NE(child.span_id, one.span_id);
  child.sampled = true;
  EXPECT_EQ(parse_traceparent(to_traceparent(child)), child);
  EXPECT_EQ(parse_traceparent(to_traceparent(one)), one);
}

}  // namespace
}  // namespace oddjob
