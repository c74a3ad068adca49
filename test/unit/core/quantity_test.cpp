// Kubernetes quantities, exact in thousandths.
#include "core/quantity.hpp"

#include <gtest/gtest.h>

namespace oddjob {
namespace {

TEST(ParseQuantity, ReadsEverySuffix) {
  for (const auto& [text, milli] :
       std::vector<std::pair<std::string_view, std::int64_t>>{{"0", 0},
                                                              {"1", 1000},
                                                              {"1.", 1000},
                                                              {"+2", 2000},
                                                              {"500m", 500},
                                                              {"1.5", 1500},
                                                              {".5", 500},
                                                              {"0.0005", 1},
                                                              {"1u", 1},
                                                              {"1n", 1},
                                                              {"1k", 1'000'000},
                                                              {"1Ki", 1'024'000},
                                                              {"0.5Ki", 512'000},
                                                              {"1e3", 1'000'000},
                                                              {"1E3", 1'000'000},
                                                              {"1e-3", 1},
                                                              {"15e-1", 1500},
                                                              {"1M", 1'000'000'000},
                                                              {"1Mi", 1'048'576'000},
                                                              {"1G", 1'000'000'000'000},
                                                              {"1Gi", 1'073'741'824'000},
                                                              {"1T", 1'000'000'000'000'000},
                                                              {"1P", 1'000'000'000'000'000'000},
                                                              {"1000n", 1},
                                                              {"1001u", 2},
                                                              {"1.0001", 1001}})
    EXPECT_EQ(static_cast<std::int64_t>(parse_quantity(text).value().milli), milli) << text;
}

TEST(ParseQuantity, ComparesAcrossNotations) {
  const auto q = [](std::string_view t) { return parse_quantity(t).value(); };
  EXPECT_EQ(q("1000m"), q("1"));
  EXPECT_EQ(q("1024Mi"), q("1Gi"));
  EXPECT_LT(q("1G"), q("1Gi"));
  EXPECT_LT(q("4Pi"), q("1E"));
  EXPECT_GT(q("1Ei"), q("1E"));
}

TEST(ParseQuantity, RefusesWhatIsNoneAndNamesIt) {
  for (const auto text : {"", "m", "-1", "1 Gi", "1gi", "1KB", "1.2.3", "1e", "1e+", "1e1000", "0x10", "Gi",
                          ".", "1mm", "10000E", "99999999999999999999999999", "1e99", "1Gi ", "٣"}) {
    const auto v = parse_quantity(text);
    ASSERT_FALSE(v) << text;
    EXPECT_EQ(v.error().code, "quantity.malformed");
    EXPECT_NE(v.error().message.find('\''), std::string::npos);
  }
}

}  // namespace
}  // namespace oddjob
