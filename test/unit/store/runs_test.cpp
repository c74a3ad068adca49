#include <set>
#include <thread>

#include "fixture.hpp"

namespace oddjob::store {
namespace {

void expect_same(const oddjob::Run& a, const oddjob::Run& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.version, b.version);
  EXPECT_EQ(a.workload, b.workload);
  EXPECT_EQ(a.requester, b.requester);
  EXPECT_EQ(a.requester_teams, b.requester_teams);
  EXPECT_EQ(a.command, b.command);
  EXPECT_EQ(a.container, b.container);
  EXPECT_EQ(a.image, b.image);
  EXPECT_EQ(a.reason, b.reason);
  EXPECT_EQ(a.request, b.request);
  EXPECT_EQ(a.job_name, b.job_name);
  EXPECT_EQ(a.job_uid, b.job_uid);
  EXPECT_EQ(a.digest, b.digest);
  EXPECT_EQ(a.job, b.job);
  EXPECT_EQ(a.report, b.report);
  EXPECT_EQ(a.progress, b.progress);
  EXPECT_EQ(a.exit_code, b.exit_code);
  EXPECT_EQ(a.result_reason, b.result_reason);
  EXPECT_EQ(a.message, b.message);
  EXPECT_EQ(a.cancel_requested, b.cancel_requested);
  EXPECT_EQ(a.cancelled_by, b.cancelled_by);
  EXPECT_EQ(a.log_complete, b.log_complete);
  EXPECT_EQ(a.log_bytes, b.log_bytes);
  EXPECT_EQ(a.created, b.created);
  EXPECT_EQ(a.started, b.started);
  EXPECT_EQ(a.finished, b.finished);
}

TEST_F(StoreTest, ARunReadsBackAsItWasWritten) {
  oddjob::Run r = create(sample_run());
  EXPECT_EQ(r.version, 1);
  auto got = store_->get_run(r.id);
  ASSERT_TRUE(got) << got.error().message;
  expect_same(*got, r);

  r.state = RunState::failed;
  r.job_uid = "uid-1";
  r.progress = "x";
  r.exit_code = 137;
  r.result_reason = "OOMKilled";
  r.message = "out of \"memory\"\n\x01 ü";
  r.cancel_requested = true;
  r.cancelled_by = "bob";
  r.log_complete = true;
  r.started = r.created + std::chrono::microseconds(1);
  r.finished = r.created + std::chrono::hours(1);
  r.command.emplace_back();
  auto updated = store_->update_run(r, {event("run.finished", "oddjob")});
  ASSERT_TRUE(updated) << updated.error().message;
  EXPECT_EQ(updated->version, 2);
  got = store_->get_run(r.id);
  ASSERT_TRUE(got) << got.error().message;
  expect_same(*got, *updated);
  r.version = 2;
  expect_same(*got, r);
}

TEST_F(StoreTest, BytesThatAreNotTextDoNotMakeARunUnreadable) {
  oddjob::Run r = sample_run("an\xffn");
  r.message = "bad \xc3 byte";
  r = create(r);
  auto got = store_->get_run(r.id);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->message, "bad \xEF\xBF\xBD byte");
}

TEST_F(StoreTest, AnUpdateOfAnOldVersionIsRefusedAndChangesNothing) {
  const oddjob::Run r = create(sample_run());
  oddjob::Run first = r, second = r;
  first.progress = "first";
  second.progress = "second";
  ASSERT_TRUE(store_->update_run(first, {event("a")}));
  auto lost = store_->update_run(second, {event("b")});
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, "store.conflict");
  EXPECT_EQ(lost.error().kind, Errc::conflict);
  EXPECT_EQ(store_->get_run(r.id)->progress, "first");
  EXPECT_EQ(store_->list_audit({}, 100)->size(), 2U);
  EXPECT_TRUE(store_->verify_audit()->ok);
}

TEST_F(StoreTest, UpdatingAnUnknownRunSaysSo) {
  auto r = store_->update_run(sample_run(), {});
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "store.not_found");
}

TEST_F(StoreTest, AnUpdateOfARunFromAListKeepsItsJob) {
  const oddjob::Run r = create(sample_run());
  oddjob::Run listed = store_->list_runs({}, "", 10)->runs.at(0);
  EXPECT_TRUE(listed.job.is_null());
  listed.progress = "x";
  ASSERT_TRUE(store_->update_run(listed, {}));
  EXPECT_EQ(store_->get_run(r.id)->job, r.job);
  EXPECT_EQ(store_->get_run(r.id)->report, r.report);
}

TEST_F(StoreTest, TheLastEightCharactersFindARunUnlessTwoShareThem) {
  const oddjob::Run a = create(sample_run());
  EXPECT_EQ(store_->get_run(short_run_id(a.id))->id, a.id);
  oddjob::Run twin = sample_run();
  twin.id = twin.id.substr(0, 12) + short_run_id(a.id);
  create(twin);
  auto got = store_->get_run(short_run_id(a.id));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "store.ambiguous");
  EXPECT_EQ(store_->get_run(a.id)->id, a.id);
}

TEST_F(StoreTest, UnknownIdsAreNotFoundWhateverTheyLookLike) {
  create(sample_run());
  for (const std::string id : {"", "x", "aaaaaaaa", "aaaaaaaaaaaaaaaaaaaa", "' OR 1=1 --", "%"}) {
    auto got = store_->get_run(id);
    ASSERT_FALSE(got) << id;
    EXPECT_EQ(got.error().code, "store.not_found") << id;
  }
}

TEST_F(StoreTest, PagesHoldEachRunOnceNewestFirstAlsoWhileRunsAreAdded) {
  std::vector<std::string> ids;
  for (int i = 0; i < 25; ++i) ids.push_back(create(sample_run()).id);
  std::vector<std::string> seen;
  std::string cursor;
  int pages = 0;
  do {
    auto page = store_->list_runs({}, cursor, 10);
    ASSERT_TRUE(page) << page.error().message;
    for (const auto& r : page->runs) seen.push_back(r.id);
    cursor = page->next_cursor;
    if (++pages == 1) create(sample_run());
  } while (!cursor.empty());
  std::ranges::reverse(ids);
  EXPECT_EQ(seen, ids);
  EXPECT_EQ(pages, 3);
}

TEST_F(StoreTest, APageThatIsExactlyFullHasNoNextOne) {
  for (int i = 0; i < 10; ++i) create(sample_run());
  EXPECT_EQ(store_->list_runs({}, "", 10)->next_cursor, "");
  EXPECT_NE(store_->list_runs({}, "", 9)->next_cursor, "");
}

TEST_F(StoreTest, FiltersNarrowAndCombine) {
  create(sample_run("ann", "deploy/payments"));
  create(sample_run("bob", "deploy/payments"));
  create(sample_run("ann", "sts/db"));
  oddjob::Run other = sample_run("ann", "deploy/payments");
  other.workload.name_space = "tools";
  other.state = RunState::failed;
  create(other);
  auto count = [&](RunFilter f) { return store_->list_runs(f, "", 100)->runs.size(); };
  EXPECT_EQ(count({}), 4U);
  EXPECT_EQ(count({.name_space = "shop", .requester = "", .workload = "", .states = {}}), 3U);
  EXPECT_EQ(count({.name_space = "", .requester = "ann", .workload = "", .states = {}}), 3U);
  EXPECT_EQ(count({.name_space = "shop", .requester = "ann", .workload = "deploy/payments", .states = {}}),
            1U);
  EXPECT_EQ(count({.name_space = "", .requester = "", .workload = "", .states = {RunState::failed}}), 1U);
  EXPECT_EQ(count({.name_space = "",
                   .requester = "",
                   .workload = "",
                   .states = {RunState::failed, RunState::requested}}),
            4U);
  EXPECT_EQ(count({.name_space = "no", .requester = "", .workload = "", .states = {}}), 0U);
}

TEST_F(StoreTest, ACursorThatWasNotGivenOutIsRefused) {
  for (const char* c : {"x", "AAAA", "cjE6eHl6", "!!", "cjE6JyBPUiAxPTE"}) {
    auto page = store_->list_runs({}, c, 10);
    ASSERT_FALSE(page) << c;
    EXPECT_EQ(page.error().code, "store.bad_cursor") << c;
    EXPECT_EQ(page.error().kind, Errc::invalid_argument) << c;
  }
}

TEST_F(StoreTest, UnfinishedRunsComeOldestFirstWithTheirJobs) {
  oddjob::Run a = create(sample_run());
  const oddjob::Run b = create(sample_run());
  const oddjob::Run c = create(sample_run("ann", "sts/db"));
  EXPECT_EQ(store_->count_active(a.workload).value(), 2);
  a.state = RunState::succeeded;
  ASSERT_TRUE(store_->update_run(a, {}));
  auto open = store_->unfinished_runs();
  ASSERT_TRUE(open) << open.error().message;
  ASSERT_EQ(open->size(), 2U);
  EXPECT_EQ((*open)[0].id, b.id);
  EXPECT_EQ((*open)[1].id, c.id);
  EXPECT_EQ((*open)[0].job, b.job);
  EXPECT_EQ(store_->count_active(a.workload).value(), 1);
}

// ---- idempotency -----------------------------------------------------------

TEST_F(StoreTest, AKnownKeyGivesTheEarlierRunAndWritesNothing) {
  const oddjob::Run r = sample_run();
  auto first = store_->create_run(r, "key-1", "digest-1", event("run.requested"));
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_FALSE(first->replayed);
  auto again = store_->create_run(sample_run(), "key-1", "digest-1", event("run.requested"));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->run.id, r.id);
  EXPECT_EQ(store_->list_runs({}, "", 10)->runs.size(), 1U);
  EXPECT_EQ(store_->list_audit({}, 10)->size(), 1U);
}

TEST_F(StoreTest, AKeyBelongsToItsRequesterAndItsRequest) {
  ASSERT_TRUE(store_->create_run(sample_run("ann"), "k", "d", event("run.requested")));
  auto bob = store_->create_run(sample_run("bob"), "k", "d", event("run.requested"));
  ASSERT_TRUE(bob) << bob.error().message;
  EXPECT_FALSE(bob->replayed);
  auto other = store_->create_run(sample_run("ann"), "k", "another digest", event("run.requested"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, "store.idempotency_mismatch");
  EXPECT_EQ(other.error().kind, Errc::already_exists);
  EXPECT_EQ(store_->list_runs({}, "", 10)->runs.size(), 2U);
}

TEST_F(StoreTest, EightThreadsWithOneKeyMakeOneRun) {
  std::vector<std::thread> threads;
  std::vector<std::string> ids(8);
  std::vector<int> replayed(8);
  std::vector<oddjob::Run> runs;
  for (int i = 0; i < 8; ++i) runs.push_back(sample_run());
  for (std::size_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      auto c = store_->create_run(runs[i], "one", "d", event("run.requested"));
      if (!c) return;
      ids[i] = c->run.id;
      replayed[i] = c->replayed ? 1 : 0;
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 1U);
  EXPECT_NE(ids[0], "");
  EXPECT_EQ(std::count(replayed.begin(), replayed.end(), 1), 7);
  EXPECT_EQ(store_->list_runs({}, "", 100)->runs.size(), 1U);
  EXPECT_TRUE(store_->verify_audit()->ok);
}

TEST_F(StoreTest, TwoRunsCannotShareAnId) {
  const oddjob::Run r = create(sample_run());
  auto again = store_->create_run(r, "", "", event("run.requested"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, "store.conflict");
  EXPECT_EQ(store_->list_audit({}, 10)->size(), 1U);
}

TEST_F(StoreTest, ThreadsThatDoEverythingAtOnceLeaveAValidChain) {
  std::vector<std::thread> threads;
  std::vector<std::vector<oddjob::Run>> runs(8);
  for (auto& list : runs) {
    for (int i = 0; i < 10; ++i) list.push_back(sample_run());
  }
  for (std::size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (auto& r : runs[t]) {
        auto c = store_->create_run(r, "", "", event("run.requested"));
        if (!c) continue;
        LogChunk chunk;
        chunk.pod_uid = "p";
        chunk.data = "line\n";
        (void)store_->append_log(c->run.id, chunk);
        c->run.state = RunState::succeeded;
        (void)store_->update_run(c->run, {event("run.finished")});
        (void)store_->list_runs({}, "", 5);
      }
    });
  }
  for (auto& t : threads) t.join();
  auto v = store_->verify_audit();
  ASSERT_TRUE(v) << v.error().message;
  EXPECT_TRUE(v->ok) << v->problem;
  EXPECT_EQ(v->events, 160);
  EXPECT_TRUE(store_->unfinished_runs()->empty());
}

TEST_F(StoreTest, ApprovalsAreAddedAndNeverChanged) {
  oddjob::Run r = sample_run();
  r.state = RunState::pending_approval;
  r.approval.required = 2;
  r.approval.teams = {"sre"};
  r.approval.users = {"bob"};
  r.approval.expires = Time(std::chrono::seconds(1'800'000'000));
  r.approval.policy = {{"oddjob.dev/approval", "2"}};
  r.approval.diff = "- probes\n";
  r = create(r);
  const auto yes = [](std::string who) {
    Approval a;
    a.subject = std::move(who);
    a.teams = {"sre"};
    a.how = AuthMethod::oidc;
    a.channel = "web";
    a.from = "192.0.2.1";
    a.digest = "sha256:d";
    a.reason = "fine";
    a.at = Time(std::chrono::microseconds(1'790'000'000'000'001));
    return a;
  };
  r.approvals = {yes("bob")};
  r = store_->update_run(r, {}).value();
  r.approvals.push_back(yes("carl"));
  r.state = RunState::starting;
  r = store_->update_run(r, {}).value();
  const auto back = store_->get_run(r.id).value();
  EXPECT_EQ(back.approvals, (std::vector<Approval>{yes("bob"), yes("carl")}));
  EXPECT_EQ(back.approval.required, 2);
  EXPECT_EQ(back.approval.teams, r.approval.teams);
  EXPECT_EQ(back.approval.users, r.approval.users);
  EXPECT_EQ(back.approval.expires, r.approval.expires);
  EXPECT_EQ(back.approval.policy, r.approval.policy);
  EXPECT_EQ(back.approval.diff, r.approval.diff);
  EXPECT_EQ(store_->list_runs({}, "", 10)->runs.at(0).approvals.size(), 2U);
  EXPECT_EQ(store_->unfinished_runs()->at(0).approvals.size(), 2U);

  auto twice = back;
  twice.approvals.push_back(yes("bob"));
  const auto refused = store_->update_run(twice, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "store.already_approved");
  EXPECT_EQ(store_->get_run(r.id)->version, back.version) << "nothing of it happened";
  for (const char* sql : {"UPDATE approvals SET subject = 'eve'", "DELETE FROM approvals"})
    EXPECT_NE(Raw(path()).exec(sql), "") << sql;
}

TEST_F(StoreTest, AWebhooksPlaceOnlyMovesOn) {
  EXPECT_EQ(store_->audit_end().value(), 0);
  create(sample_run());
  EXPECT_EQ(store_->audit_end().value(), 1);
  EXPECT_EQ(store_->hook_cursor("chat").value(), std::nullopt);
  ASSERT_TRUE(store_->set_hook_cursor("chat", 7));
  EXPECT_EQ(store_->hook_cursor("chat").value(), 7);
  ASSERT_TRUE(store_->set_hook_cursor("chat", 5));
  EXPECT_EQ(store_->hook_cursor("chat").value(), 7);
  EXPECT_EQ(store_->hook_cursor("tickets").value(), std::nullopt);
}

}  // namespace
}  // namespace oddjob::store
