#include "server/logging.hpp"

#include <gtest/gtest.h>

namespace oddjob::server {
namespace {

TEST(Logging, WhatALineIsAboutStandsBesideIt) {
  const std::string run = "3oceh4xyzl2wbxmctmbj", trace(32, 'a');
  EXPECT_EQ(subjects_of("run " + run + " succeeded"), R"(,"run":")" + run + R"(")");
  EXPECT_EQ(subjects_of("run " + run + ": waiting"), R"(,"run":")" + run + R"(")");
  EXPECT_EQ(subjects_of("run " + run + " asked for by ann trace=" + trace),
            R"(,"run":")" + run + R"(","trace":")" + trace + R"(")");
  EXPECT_EQ(subjects_of("GET / 200 trace=" + trace), R"(,"trace":")" + trace + R"(")");
  for (const auto& line : {std::string(), std::string("run"), "the run " + run, "run " + run + "x",
                           "run \"" + run.substr(1) + " x", "trace=" + trace + " and more",
                           "GET / trace=" + std::string(32, 'A'), "GET / trace=" + trace + "a"})
    EXPECT_EQ(subjects_of(line), "") << line;
}

}  // namespace
}  // namespace oddjob::server
