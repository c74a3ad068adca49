// An exported audit chain, checked without a server.
#include "cli/audit_file.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/clock.hpp"
#include "testing/folder.hpp"

namespace oddjob::cli {
namespace {

std::vector<std::string> chain(int count, std::string last_type = "audit.exported") {
  std::vector<std::string> lines;
  std::string prev(kAuditGenesis);
  for (int i = 1; i <= count; ++i) {
    AuditEvent e;
    e.seq = i;
    e.time = *parse_time("2026-01-02T03:04:05Z");
    e.type = i == count ? last_type : "run.requested";
    e.actor = "ann";
    e.detail = json::object{{"n", i}};
    e.prev = prev;
    prev = e.hash = audit_hash(e);
    lines.push_back(json::serialize(to_json(e)) + "\n");
  }
  return lines;
}

Result<> read(const std::vector<std::string>& lines, bool is_export = true, std::size_t piece = 7) {
  std::string all;
  for (const auto& line : lines) all += line;
  ChainReader reader;
  for (std::size_t i = 0; i < all.size(); i += piece)
    OJ_CHECK(reader.feed(std::string_view(all).substr(i, piece)));
  return reader.finish(is_export);
}

TEST(AuditFile, AWholeChainPassesInPiecesOfAnySize) {
  for (const std::size_t piece : {1UL, 7UL, 100000UL}) {
    const auto done = read(chain(5), true, piece);
    EXPECT_TRUE(done) << done.error().message;
  }
}

TEST(AuditFile, TheFirstRecordThatIsWrongIsNamed) {
  auto altered = chain(5);
  altered[2].replace(altered[2].find("ann"), 3, "eve");
  auto removed = chain(5);
  removed.erase(removed.begin() + 2);
  auto swapped = chain(5);
  std::swap(swapped[2], swapped[3]);
  auto no_json = chain(5);
  no_json[2] = "hello\n";
  for (const auto& lines : {altered, removed, swapped, no_json}) {
    const auto done = read(lines);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, "cli.audit_broken");
    EXPECT_NE(done.error().message.find("record 3"), std::string::npos) << done.error().message;
  }
}

TEST(AuditFile, AnExportThatIsCutShortIsSaid) {
  auto lines = chain(5);
  lines.pop_back();
  EXPECT_EQ(read(lines).error().code, "cli.export_cut");
  lines = chain(5);
  lines.back().resize(10);
  EXPECT_EQ(read(lines).error().code, "cli.export_cut");
  EXPECT_TRUE(read(chain(5, "run.finished"), false)) << "a part of a chain that somebody kept";
}

TEST(AuditFile, ALineWithoutEndIsRefusedBeforeItFillsTheMemory) {
  ChainReader reader;
  const std::string piece(1U << 20U, 'x');
  Result<> fed;
  for (int i = 0; i < 10 && fed; ++i) fed = reader.feed(piece);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().kind, Errc::too_large);
}

TEST(AuditFile, AFileAppearsWholeOrNotAtAll) {
  const ::oddjob::testing::Folder folder;
  const auto path = (folder.path() / "out.jsonl").string();
  {
    auto file = NewFile::create(path);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->write("half"));
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "nothing is left of it";
  auto file = NewFile::create(path);
  ASSERT_TRUE(file && file->write("whole") && file->commit());
  std::ifstream in(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "whole");
}

}  // namespace
}  // namespace oddjob::cli
