// Somebody with access to the file changes the chain; verification says where.
#include <functional>

#include "core/digest.hpp"
#include "fixture.hpp"

namespace oddjob::store {
namespace {

class AuditTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    for (int i = 1; i <= 10; ++i) {
      auto e = store_->append_audit(event("test.event", i % 2 == 0 ? "bob" : "ann", {{"n", i}, {"x", 0.1}}));
      ASSERT_TRUE(e) << e.error().message;
      ASSERT_EQ(e->seq, i);
      hashes_.push_back(e->hash);
    }
  }
  // As one who has the file, not as one who has SQL on a guarded connection.
  void attack(const std::string& sql) {
    Raw raw(path());
#ifdef ODDJOB_STORE_ON_POSTGRESQL
    ASSERT_EQ(raw.exec("ALTER TABLE audit DISABLE TRIGGER ALL; ALTER TABLE audit_head DISABLE TRIGGER ALL"),
              "");
#else
    ASSERT_EQ(raw.exec("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;"
                       "DROP TRIGGER audit_head_no_delete"),
              "");
#endif
    ASSERT_EQ(raw.exec(sql), "");
  }
  AuditVerdict verify() {
    auto v = store_->verify_audit();
    EXPECT_TRUE(v) << v.error().message;
    return v.value_or(AuditVerdict{});
  }
  void expect_found(std::int64_t seq, std::string_view says) {
    const AuditVerdict v = verify();
    EXPECT_FALSE(v.ok);
    EXPECT_EQ(v.bad_seq, seq) << v.problem;
    EXPECT_NE(v.problem.find(says), std::string::npos) << v.problem;
    EXPECT_EQ(v.events, std::max<std::int64_t>(seq - 1, 0));
  }
  std::vector<std::string> hashes_;
};

TEST_F(AuditTest, AnUntouchedChainVerifies) {
  const AuditVerdict v = verify();
  EXPECT_TRUE(v.ok) << v.problem;
  EXPECT_EQ(v.events, 10);
  EXPECT_EQ(v.head, hashes_.back());
}

TEST_F(StoreTest, AnEmptyChainVerifies) {
  auto v = store_->verify_audit();
  ASSERT_TRUE(v) << v.error().message;
  EXPECT_TRUE(v->ok) << v->problem;
  EXPECT_EQ(v->head, kAuditGenesis);
}

TEST_F(AuditTest, EachRecordCarriesTheHashOfTheOneBefore) {
  auto all = store_->list_audit({}, 100);
  ASSERT_TRUE(all) << all.error().message;
  ASSERT_EQ(all->size(), 10U);
  std::string prev(kAuditGenesis);
  for (const auto& e : *all) {
    EXPECT_EQ(e.prev, prev);
    EXPECT_EQ(audit_hash(e), e.hash);
    prev = e.hash;
  }
}

TEST_F(AuditTest, SqlThatChangesRecordsIsRefused) {
  Raw raw(path());
  EXPECT_NE(raw.exec("UPDATE audit SET actor = 'eve' WHERE seq = 3").find("cannot be changed"),
            std::string::npos);
  EXPECT_NE(raw.exec("DELETE FROM audit WHERE seq = 3").find("cannot be changed"), std::string::npos);
  EXPECT_NE(raw.exec("DELETE FROM audit_head").find("cannot be changed"), std::string::npos);
  EXPECT_TRUE(verify().ok);
}

struct Attack {
  std::string name, sql;
  std::int64_t seq;
  std::string says;
};
class AuditAttack : public AuditTest, public ::testing::WithParamInterface<Attack> {};

TEST_P(AuditAttack, IsFoundAndNamed) {
  attack(GetParam().sql);
  expect_found(GetParam().seq, GetParam().says);
}

INSTANTIATE_TEST_SUITE_P(
    All, AuditAttack,
    ::testing::Values(
        Attack{"actor", "UPDATE audit SET actor = 'eve' WHERE seq = 3", 3, "record 3 was altered"},
        Attack{"type", "UPDATE audit SET type = 'other' WHERE seq = 1", 1, "record 1 was altered"},
        Attack{"time", "UPDATE audit SET time_us = time_us + 1 WHERE seq = 10", 10, "record 10 was altered"},
        Attack{"run", "UPDATE audit SET run_id = 'aaaa' WHERE seq = 4", 4, "record 4 was altered"},
        Attack{"detail", "UPDATE audit SET detail = '{\"n\":7}' WHERE seq = 5", 5, "record 5 was altered"},
        Attack{"detail_broken", "UPDATE audit SET detail = 'not json' WHERE seq = 5", 5,
               "record 5 was altered"},
        Attack{"detail_type", "UPDATE audit SET detail = '[]' WHERE seq = 5", 5, "record 5 was altered"},
        Attack{"hash", "UPDATE audit SET hash = prev WHERE seq = 5", 5, "record 5 was altered"},
        Attack{"prev", "UPDATE audit SET prev = hash WHERE seq = 5", 5, "record 5 was altered"},
        Attack{"removed", "DELETE FROM audit WHERE seq = 6", 6, "record 6 was removed"},
        Attack{"removed_first", "DELETE FROM audit WHERE seq = 1", 1, "record 1 was removed"},
        Attack{"removed_some", "DELETE FROM audit WHERE seq BETWEEN 4 AND 6", 4,
               "records 4 to 6 were removed"},
        Attack{"removed_last", "DELETE FROM audit WHERE seq = 10", 10,
               "record 10, the last one, was removed"},
        Attack{"truncated", "DELETE FROM audit WHERE seq > 7", 8,
               "records 8 to 10, the last ones, were removed"},
        Attack{"emptied", "DELETE FROM audit", 1, "records 1 to 10, the last ones, were removed"},
        Attack{"head_removed", "DELETE FROM audit_head", 11, "head of the chain was removed"},
        Attack{"closed_up", "DELETE FROM audit WHERE seq = 4; UPDATE audit SET seq = seq - 1 WHERE seq > 4",
               4, "record 4 was altered or moved"},
        Attack{"swapped",
               "UPDATE audit SET seq = -3 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4;"
               "UPDATE audit SET seq = 4 WHERE seq = -3",
               3, "record 3 was altered or moved"},
        Attack{"appended",
               "INSERT INTO audit SELECT 11, time_us, type, actor, run_id, detail, hash, hash FROM audit "
               "WHERE seq = 10",
               11, "record 11 was altered"}),
    [](const auto& i) { return i.param.name; });

TEST_F(AuditTest, ARecordBeforeTheFirstIsFound) {
  attack(
      "INSERT INTO audit SELECT 0, time_us, type, actor, run_id, detail, prev, hash FROM audit WHERE seq = "
      "1");
  const AuditVerdict v = verify();
  EXPECT_FALSE(v.ok);
  EXPECT_EQ(v.bad_seq, 0);
  EXPECT_NE(v.problem.find("record 0 was inserted"), std::string::npos) << v.problem;
}

// One who knows the format gives the altered record a right hash: then the next does not follow.
TEST_F(AuditTest, AnAlteredRecordWithARecomputedHashIsFoundAtTheNext) {
  AuditEvent e = store_->list_audit({.run_id = "", .actor = "", .type = "", .after_seq = 4}, 1)->at(0);
  ASSERT_EQ(e.seq, 5);
  e.actor = "eve";
  attack("UPDATE audit SET actor = 'eve', hash = '" + audit_hash(e) + "' WHERE seq = 5");
  expect_found(6, "record 6 does not follow record 5");
}

TEST_F(AuditTest, AReplacedLastRecordWithARecomputedHashIsFoundByTheHead) {
  AuditEvent e = store_->list_audit({.run_id = "", .actor = "", .type = "", .after_seq = 9}, 1)->at(0);
  e.actor = "eve";
  attack("UPDATE audit SET actor = 'eve', hash = '" + audit_hash(e) + "' WHERE seq = 10");
  const AuditVerdict v = verify();
  EXPECT_FALSE(v.ok);
  EXPECT_EQ(v.bad_seq, 10);
  EXPECT_NE(v.problem.find("record 10 is not the one"), std::string::npos) << v.problem;
}

TEST_F(AuditTest, AWellMadeRecordThatOddJobDidNotWriteIsFoundByTheHead) {
  AuditEvent e = store_->list_audit({.run_id = "", .actor = "", .type = "", .after_seq = 9}, 1)->at(0);
  e.seq = 11;
  e.prev = e.hash;
  const std::string hash = audit_hash(e);
  attack("INSERT INTO audit SELECT 11, time_us, type, actor, run_id, detail, hash, '" + hash +
         "' FROM audit WHERE seq = 10");
  const AuditVerdict v = verify();
  EXPECT_FALSE(v.ok);
  EXPECT_EQ(v.bad_seq, 11);
  EXPECT_NE(v.problem.find("appended by something that is not OddJob"), std::string::npos) << v.problem;
}

TEST_F(AuditTest, AppendingAfterATruncationDoesNotHideIt) {
  attack("DELETE FROM audit WHERE seq > 8");
  ASSERT_TRUE(store_->append_audit(event("later")));
  expect_found(9, "records 9 to 10 were removed");
}

TEST_F(AuditTest, NothingIsAppendedWithoutAHead) {
  attack("DELETE FROM audit_head");
  auto e = store_->append_audit(event("later"));
  ASSERT_FALSE(e);
  EXPECT_EQ(e.error().code, "store.corrupt");
}

TEST_F(AuditTest, ListsByFilterInOrderAndByPage) {
  AuditFilter f;
  f.actor = "bob";
  auto bob = store_->list_audit(f, 3);
  ASSERT_TRUE(bob) << bob.error().message;
  ASSERT_EQ(bob->size(), 3U);
  EXPECT_EQ((*bob)[2].seq, 6);
  f.after_seq = 6;
  EXPECT_EQ(store_->list_audit(f, 10)->size(), 2U);
  f.after_seq = 0;
  f.newest_first = true;
  f.before_seq = 6;
  const auto back = store_->list_audit(f, 1);
  ASSERT_EQ(back->size(), 1U);
  EXPECT_EQ(back->front().seq, 4);
  f.type = "other";
  EXPECT_TRUE(store_->list_audit(f, 10)->empty());
  const oddjob::Run r = create(sample_run());
  AuditFilter of_run;
  of_run.run_id = r.id;
  EXPECT_EQ(store_->list_audit(of_run, 10)->size(), 1U);
}

TEST_F(StoreTest, DetailsOfAnyShapeVerifyAfterReopening) {
  for (const json::object& d : std::initializer_list<json::object>{
           {},
           {{"n", std::uint64_t{18446744073709551615U}}, {"m", std::numeric_limits<std::int64_t>::min()}},
           {{"d", 1e300}, {"e", 0.1}, {"z", -0.0}, {"w", 2.0}},
           {{"s", "\"\\\n\t\x01 ü \xF0\x9F\x98\x80"}, {"", nullptr}},
           {{"bad", "\xff\xfe"}, {"\xc3", true}},
           {{"deep", json::array{json::array{json::object{{"k", json::array{}}}}}}}}) {
    auto e = store_->append_audit(event("t", "a\xff", d));
    ASSERT_TRUE(e) << e.error().message;
  }
  store_.reset();
  open();
  auto v = store_->verify_audit();
  ASSERT_TRUE(v) << v.error().message;
  EXPECT_TRUE(v->ok) << v->problem;
  EXPECT_EQ(v->events, 6);
}

TEST_F(StoreTest, ADetailOverItsLimitIsRefused) {
  auto e = store_->append_audit(event("t", "a", {{"x", std::string((1U << 20U) + 1, 'x')}}));
  ASSERT_FALSE(e);
  EXPECT_EQ(e.error().code, "store.audit_too_large");
  EXPECT_EQ(store_->verify_audit()->events, 0);
}

TEST_F(StoreTest, AChainOfManyPagesVerifies) {
  // One run's update may carry many records: that makes them in few commits.
  oddjob::Run r = create(sample_run());
  for (int i = 0; i < 5; ++i) {
    auto u = store_->update_run(
        r, std::vector<AuditEvent>(600, event("many", "ann", {{"pad", std::string(2000, 'x')}})));
    ASSERT_TRUE(u) << u.error().message;
    r = *u;
  }
  auto v = store_->verify_audit();
  ASSERT_TRUE(v) << v.error().message;
  EXPECT_TRUE(v->ok) << v->problem;
  EXPECT_EQ(v->events, 3001);
}

}  // namespace
}  // namespace oddjob::store
