// Which logs are dropped, and that nothing else is.
#include "core/digest.hpp"
#include "fixture.hpp"

namespace oddjob::store {
namespace {

using std::chrono::days;
using std::chrono::hours;

class RetentionTest : public StoreTest {
 protected:
  // A run with a log of so many bytes that do not get smaller, which ended so long ago; nullopt: it runs.
  std::string run_with_log(std::size_t bytes, std::optional<Duration> ended) {
    auto r = create(sample_run());
    LogChunk chunk;
    chunk.pod_uid = "pod";
    chunk.data = random_bytes(bytes);
    chunk.cursor.timestamp = "2026-01-01T00:00:00.000000001Z";
    EXPECT_TRUE(store_->append_log(r.id, chunk));
    if (ended) {
      r.state = RunState::succeeded;
      r.finished = system_clock().now() - *ended;
      EXPECT_TRUE(store_->update_run(r, {event("run.finished", "oddjob")}));
    }
    return r.id;
  }
  // "kept", or the key that dropped it.
  std::string fate(const std::string& id) {
    const auto read = store_->read_log(id, 0, 10);
    if (read) return read->size() == 10 ? "kept" : "short";
    EXPECT_EQ(read.error().code, "store.log_dropped");
    const auto dropped = store_->dropped_log(id);
    EXPECT_TRUE(dropped && *dropped && read.error().message.contains((*dropped)->by));
    EXPECT_EQ(read.error().kind, Errc::gone);
    for (const auto key : {kLogMaxAge, kLogMaxBytes})
      if (read.error().message.contains(std::string(key) + " dropped it at 20")) return std::string(key);
    return read.error().message;
  }
  DroppedLogs drop(const LogRetention& rule, int most = 100) {
    const auto dropped = store_->drop_logs(rule, most);
    EXPECT_TRUE(dropped) << dropped.error().message;
    return dropped.value_or(DroppedLogs{});
  }
  void purge(int chunks = 1) {
    for (int i = 0; i < 1000; ++i) {
      const auto more = store_->purge_logs(chunks);
      ASSERT_TRUE(more) << more.error().message;
      if (!*more) return;
    }
    FAIL() << "it never ends";
  }
};

TEST_F(RetentionTest, ByAgeWhatEndedLongAgoGoesAndWhatRunsStays) {
  const auto old = run_with_log(100, days(31)), young = run_with_log(100, days(29));
  const auto live = run_with_log(100, std::nullopt);
  const auto dropped = drop({days(30), 0});
  EXPECT_EQ(dropped.by_age, 1);
  EXPECT_EQ(dropped.by_size, 0);
  EXPECT_FALSE(dropped.more);
  EXPECT_EQ(fate(old), kLogMaxAge);
  EXPECT_EQ(fate(young), "kept");
  EXPECT_EQ(fate(live), "kept");
  EXPECT_EQ(drop({days(30), 0}).by_age, 0) << "once";
}

TEST_F(RetentionTest, BySizeTheOldestGoUntilTheRestFits) {
  const auto live = run_with_log(400'000, std::nullopt);
  const auto third = run_with_log(100'000, hours(1));
  const auto first = run_with_log(100'000, hours(3)), second = run_with_log(100'000, hours(2));
  const auto dropped = drop({Duration{}, 550'000});
  EXPECT_EQ(dropped.by_size, 2);
  EXPECT_GT(dropped.kept_bytes, 500'000);
  EXPECT_LT(dropped.kept_bytes, 550'000);
  EXPECT_EQ(fate(first), kLogMaxBytes);
  EXPECT_EQ(fate(second), kLogMaxBytes);
  EXPECT_EQ(fate(third), "kept");
  EXPECT_EQ(drop({Duration{}, 1000}).by_size, 1);
  EXPECT_EQ(fate(live), "kept") << "whatever the bound, a live run keeps its log";
}

TEST_F(RetentionTest, WithoutBoundsNothingGoes) {
  const auto old = run_with_log(100, days(3000));
  const auto dropped = drop({});
  EXPECT_EQ(dropped.by_age + dropped.by_size, 0);
  EXPECT_GT(dropped.kept_bytes, 90);
  EXPECT_EQ(fate(old), "kept");
}

TEST_F(RetentionTest, LittleByLittle) {
  for (int i = 0; i < 5; ++i) run_with_log(100, days(40));
  EXPECT_TRUE(drop({days(30), 0}, 2).more);
  EXPECT_TRUE(drop({days(30), 0}, 2).more);
  const auto last = drop({days(30), 0}, 2);
  EXPECT_EQ(last.by_age, 1);
  EXPECT_FALSE(last.more);
}

TEST_F(RetentionTest, TheBytesGoTheRecordStaysAndTheAuditSaysSo) {
  const auto id = run_with_log(1'000'000, days(40)), other = run_with_log(100, days(1));
  drop({days(30), 0});
  purge();
  Raw raw(path());
  EXPECT_EQ(raw.one("SELECT COUNT(*) FROM log_chunks"), "1") << "the other's";
  EXPECT_EQ(raw.one("SELECT COUNT(*) FROM log_cursors"), "1");
  EXPECT_EQ(fate(id), kLogMaxAge);
  EXPECT_EQ(store_->get_run(id).value().log_bytes, 1'000'000) << "how long it was";
  EXPECT_EQ(store_->read_log(id, 1'000'000, 10).value(), "") << "who has read all of it misses nothing";
  EXPECT_EQ(fate(other), "kept");
  AuditFilter filter;
  filter.type = "run.log_dropped";
  const auto events = store_->list_audit(filter, 10).value();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].run_id, id);
  EXPECT_EQ(get_string(events[0].detail, {"key"}), kLogMaxAge);
  EXPECT_EQ(get_int(events[0].detail, {"logBytes"}), 1'000'000);
  EXPECT_TRUE(store_->verify_audit()->ok);
}

TEST_F(RetentionTest, NothingIsAddedToADroppedLog) {
  const auto id = run_with_log(100, days(40));
  drop({days(30), 0});
  LogChunk late;
  late.pod_uid = "pod";
  late.offset = 100;
  late.data = "more";
  EXPECT_FALSE(store_->append_log(id, late));
}

// A server of before this schema, which may still run beside a newer one, says nothing of the end.
TEST_F(RetentionTest, ARunWhoseEndWasNotKeptCountsFromItsRequest) {
  const auto id = run_with_log(100, days(1));
  Raw raw(path());
  EXPECT_EQ(raw.exec("UPDATE run_logs SET ended_us = 0"), "");
  EXPECT_EQ(raw.exec("UPDATE runs SET created_us = 1"), "");
  EXPECT_EQ(drop({days(30), 0}).by_age, 1);
  EXPECT_EQ(fate(id), kLogMaxAge);
}

}  // namespace
}  // namespace oddjob::store
