#include <random>

#include "fixture.hpp"

namespace oddjob::store {
namespace {

class LogTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    id_ = create(sample_run()).id;
  }
  Result<> append(std::int64_t offset, std::string data, LogCursor cursor = {}, std::string pod = "pod-1") {
    LogChunk c;
    c.pod_uid = std::move(pod);
    c.offset = offset;
    c.data = std::move(data);
    c.cursor = std::move(cursor);
    return store_->append_log(id_, c);
  }
  std::string id_;
};

TEST_F(LogTest, ReadsBackAcrossChunksFromAnyOffset) {
  ASSERT_TRUE(append(0, "one\n"));
  ASSERT_TRUE(append(4, "two\n"));
  ASSERT_TRUE(append(8, "three"));
  EXPECT_EQ(store_->read_log(id_, 0, 100).value(), "one\ntwo\nthree");
  EXPECT_EQ(store_->read_log(id_, 2, 4).value(), "e\ntw");
  EXPECT_EQ(store_->read_log(id_, 8, 2).value(), "th");
  EXPECT_EQ(store_->read_log(id_, 13, 100).value(), "");
  EXPECT_EQ(store_->read_log(id_, 9999, 100).value(), "");
  EXPECT_EQ(store_->read_log(id_, 0, 0).value(), "");
  EXPECT_EQ(store_->log_length(id_).value(), 13);
  EXPECT_EQ(store_->get_run(id_)->log_bytes, 13);
}

TEST_F(LogTest, KeepsEveryByteAlsoNulAndWhatIsNoText) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  ASSERT_TRUE(append(0, all));
  EXPECT_EQ(store_->read_log(id_, 0, 1000).value(), all);
}

TEST_F(LogTest, AGapOrARepeatIsRefusedAndChangesNothing) {
  ASSERT_TRUE(append(0, "abc"));
  for (const std::int64_t offset : {0, 2, 4, 100, -1}) {
    LogCursor c;
    c.timestamp = "moved";
    auto r = append(offset, "x", c);
    ASSERT_FALSE(r) << offset;
    EXPECT_EQ(r.error().code, "store.log_offset") << offset;
  }
  EXPECT_EQ(store_->read_log(id_, 0, 100).value(), "abc");
  EXPECT_NE(store_->log_cursor(id_, "pod-1").value()->timestamp, "moved");
}

TEST_F(LogTest, ARunThatDoesNotExistHasNoLog) {
  LogChunk c;
  EXPECT_EQ(store_->append_log("aaaaaaaaaaaaaaaaaaaa", c).error().code, "store.not_found");
  EXPECT_EQ(store_->read_log("aaaaaaaaaaaaaaaaaaaa", 0, 1).error().code, "store.not_found");
  EXPECT_EQ(store_->log_length("aaaaaaaaaaaaaaaaaaaa").error().code, "store.not_found");
  EXPECT_EQ(store_->read_log(id_, -1, 1).error().kind, Errc::invalid_argument);
}

TEST_F(LogTest, CursorsAreKeptForEachPod) {
  EXPECT_EQ(store_->log_cursor(id_, "pod-1").value(), std::nullopt);
  const LogCursor a{"2026-01-02T03:04:05.123456789Z", 3, 0}, b{"2026-01-02T03:04:06Z", 1, 17};
  ASSERT_TRUE(append(0, "one\n", a));
  ASSERT_TRUE(append(4, "two\n", b, "pod-2"));
  EXPECT_EQ(store_->log_cursor(id_, "pod-1").value(), a);
  EXPECT_EQ(store_->log_cursor(id_, "pod-2").value(), b);
  ASSERT_TRUE(append(8, "", b));  // no bytes: only the cursor moves
  EXPECT_EQ(store_->log_cursor(id_, "pod-1").value(), b);
  EXPECT_EQ(store_->log_length(id_).value(), 8);
}

TEST_F(LogTest, APieceOverTheLimitIsRefused) {
  auto r = append(0, std::string((16U << 20U) + 1, 'x'));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "store.log_too_large");
}

TEST_F(LogTest, AnyRangeOfAnyAppendsEqualsTheSameRangeOfTheText) {
  std::mt19937 random(7);
  std::string text;
  for (int i = 0; i < 120; ++i) {
    // Mostly lines, now and then more than one stored chunk.
    const std::size_t n = random() % 10 == 0 ? random() % 700'000 : random() % 2'000;
    std::string piece(n, '\0');
    for (auto& c : piece) c = static_cast<char>(random() % 7 == 0 ? random() : 'a');
    ASSERT_TRUE(append(static_cast<std::int64_t>(text.size()), piece));
    text += piece;
  }
  for (int i = 0; i < 300; ++i) {
    const std::size_t at = random() % (text.size() + 10);
    const std::size_t n = random() % 3 == 0 ? random() % 1'500'000 : random() % 500;
    auto got = store_->read_log(id_, static_cast<std::int64_t>(at), n);
    ASSERT_TRUE(got) << got.error().message;
    ASSERT_EQ(*got, at >= text.size() ? "" : text.substr(at, n)) << at << "+" << n;
  }
}

TEST_F(LogTest, AHundredMegabytesGoInAndOutInBoundedTime) {
  const auto begin = std::chrono::steady_clock::now();
  std::string piece;
  while (piece.size() < (1U << 20U))
    piece += "2026-01-02 line " + std::to_string(piece.size()) + " of a long log\n";
  piece.resize(1U << 20U);
  for (std::int64_t i = 0; i < 100; ++i) ASSERT_TRUE(append(i << 20, piece));
  std::int64_t at = 0;
  while (true) {
    auto got = store_->read_log(id_, at, 1U << 20U);
    ASSERT_TRUE(got) << got.error().message;
    if (got->empty()) break;
    ASSERT_EQ(*got, piece);
    at += static_cast<std::int64_t>(got->size());
  }
  EXPECT_EQ(at, 100LL << 20);
#ifdef ODDJOB_STORE_ON_POSTGRESQL
  EXPECT_LT(std::stoll(Raw(path()).one("SELECT pg_total_relation_size('log_chunks')")), 80LL << 20)
      << "compressed";
#else
  EXPECT_LT(std::filesystem::file_size(path()), 60U << 20U) << "compressed";
#endif
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

TEST_F(LogTest, ADamagedChunkIsSaidNotShown) {
  ASSERT_TRUE(append(0, std::string(1000, 'x')));
  EXPECT_EQ(Raw(path()).exec("UPDATE log_chunks SET data = " BYTES("00112233")), "");
  EXPECT_EQ(store_->read_log(id_, 0, 10).error().code, "store.corrupt");
  EXPECT_EQ(Raw(path()).exec("UPDATE log_chunks SET length = 1000000000"), "");
  EXPECT_EQ(store_->read_log(id_, 0, 10).error().code, "store.corrupt");
  EXPECT_EQ(Raw(path()).exec("DELETE FROM log_chunks"), "");
  EXPECT_EQ(store_->read_log(id_, 0, 10).error().code, "store.corrupt");
}

}  // namespace
}  // namespace oddjob::store
