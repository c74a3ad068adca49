#include <sys/stat.h>

#include "fixture.hpp"

namespace oddjob::store {
namespace {

TEST_F(StoreTest, EverythingIsThereAfterReopening) {
  const oddjob::Run r = create(sample_run());
  store_.reset();
  open();
  auto again = store_->get_run(r.id);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->command, r.command);
  EXPECT_EQ(Raw(path()).one("SELECT version FROM schema_version"), "4");
}

#ifndef ODDJOB_STORE_ON_POSTGRESQL
// Written by the OddJob of before schema 4, with a run that had ended.
TEST_F(StoreTest, AnOlderDatabaseIsBroughtUpWithAllThatItHolds) {
  store_.reset();
  std::filesystem::remove(path());
  std::ifstream file(std::string(ODDJOB_SOURCE_DIR) + "/test/unit/store/data/schema3.sql");
  const std::string dump{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(dump.empty());
  ASSERT_EQ(Raw(path()).exec(dump), "");
  open();
  EXPECT_EQ(Raw(path()).one("SELECT version FROM schema_version"), "4");
  const auto runs = store_->list_runs({}, "", 10);
  ASSERT_TRUE(runs) << runs.error().message;
  ASSERT_EQ(runs->runs.size(), 1U);
  EXPECT_EQ(runs->runs[0].state, RunState::failed);
  EXPECT_EQ(runs->runs[0].exit_code, 3);
  const auto id = runs->runs[0].id;
  EXPECT_EQ(store_->read_log(id, 0, 100).value(), "from an older OddJob\n");
  const auto verdict = store_->verify_audit().value();
  EXPECT_TRUE(verdict.ok) << verdict.problem;
  EXPECT_EQ(verdict.events, 5);
  // What the new schema keeps of a log was found out.
  const auto dropped = store_->drop_logs({Duration{}, 1}, 10).value();
  EXPECT_EQ(dropped.by_size, 1);
  EXPECT_EQ(store_->read_log(id, 0, 100).error().code, "store.log_dropped");
  EXPECT_EQ(create(sample_run()).version, 1) << "and it is written on";
}

TEST_F(StoreTest, IsDurableAndReadableByTheOwnerOnly) {
  create(sample_run());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat st {};
    ASSERT_EQ(::stat((path() + suffix).c_str(), &st), 0) << suffix;
    EXPECT_EQ(st.st_mode & 0777, 0600U) << suffix;
  }
  EXPECT_EQ(Raw(path()).one("PRAGMA journal_mode"), "wal");
}

TEST_F(StoreTest, AFileThatOthersCouldReadIsTightened) {
  store_.reset();
  ASSERT_EQ(::chmod(path().c_str(), 0644), 0);
  open();
  struct stat st {};
  ASSERT_EQ(::stat(path().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
}

#endif

TEST_F(StoreTest, AFileOfANewerOddJobIsRefused) {
  store_.reset();
  EXPECT_EQ(Raw(path()).exec("UPDATE schema_version SET version = 99"), "");
  auto s = Store::open(options());
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, "store.schema_newer");
  EXPECT_NE(s.error().message.find("99"), std::string::npos) << s.error().message;
}

#ifndef ODDJOB_STORE_ON_POSTGRESQL
TEST_F(StoreTest, ADatabaseOfAnotherProgramIsLeftAlone) {
  StoreOptions o = options();
  o.url = "sqlite:" + dir_.file("other.db");
  EXPECT_EQ(Raw(dir_.file("other.db")).exec("CREATE TABLE recipes (id INTEGER)"), "");
  auto s = Store::open(o);
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, "store.foreign");
  EXPECT_EQ(Raw(dir_.file("other.db")).one("SELECT COUNT(*) FROM sqlite_master"), "1");
}

TEST_F(StoreTest, AMissingDirectoryIsNamed) {
  StoreOptions o = options();
  o.url = "sqlite:" + dir_.file("nowhere/oddjob.db");
  auto s = Store::open(o);
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, "store.unavailable");
  EXPECT_NE(s.error().message.find("nowhere"), std::string::npos) << s.error().message;
  EXPECT_FALSE(std::filesystem::exists(dir_.file("nowhere")));
}

TEST(StoreUrl, OnlyWhatIsKnownIsOpened) {
  for (const char* url : {"", "oddjob.db", "mysql:x", "sqlite:", "sqlite:/tmp/a\"b.db"}) {
    StoreOptions o;
    o.url = url;
    auto s = Store::open(o);
    ASSERT_FALSE(s) << url;
    EXPECT_EQ(s.error().code, "store.bad_url") << url;
  }
}

TEST(StoreUrl, NamesWithSpacesAndSignsWork) {
  TempDir dir;
  StoreOptions o;
  o.url = "sqlite:" + dir.file("my = odd 'job' ü.db");
  auto s = Store::open(o);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_TRUE((*s)->ping());
  EXPECT_TRUE(std::filesystem::exists(dir.file("my = odd 'job' ü.db")));
}

TEST(StoreUrl, MemoryLivesAsLongAsTheStore) {
  StoreOptions o;
  o.url = "sqlite::memory:";
  auto s = Store::open(o);
  ASSERT_TRUE(s) << s.error().message;
  const oddjob::Run r = sample_run();
  ASSERT_TRUE((*s)->create_run(r, "", "", event("run.requested")));
  EXPECT_TRUE((*s)->get_run(r.id));
  EXPECT_FALSE(std::filesystem::exists(":memory:"));
}

TEST_F(StoreTest, ASecondServerOnTheSameFileIsRefused) {
  store_.reset();
  StoreOptions o = options();
  o.alone = true;
  auto first = Store::open(o);
  ASSERT_TRUE(first) << first.error().message;
  auto second = Store::open(o);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "store.in_use");
  EXPECT_NE(second.error().message.find("another oddjobd"), std::string::npos) << second.error().message;
  EXPECT_TRUE(Store::open(options())) << "who only looks is let in";
  first->reset();
  EXPECT_TRUE(Store::open(o));
}
#endif

}  // namespace
}  // namespace oddjob::store
