// At least once, in order, across failures and restarts; against a receiver on
// loopback and a real database.
#include "hooks/deliverer.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/digest.hpp"
#include "hooks/message.hpp"
#include "net/http_server.hpp"

namespace oddjob::hooks {
namespace {

const std::string kSecret = "a secret of at least sixteen bytes";

class HooksTest : public ::testing::Test {
 protected:
  HooksTest() {
    std::string name = (std::filesystem::temp_directory_path() / "oddjob-hooks-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder = name;
    store::StoreOptions o;
    o.url = "sqlite:" + name + "/oddjob.db";
    store_ = store::Store::open(o).value();
    server = std::make_unique<net::HttpServer>(
        loop, net::ServerOptions{},
        [this](const net::ServerRequest& q, net::ResponseWriter& w) { return answer(q, w); });
    EXPECT_TRUE(server->start());
    options.retry_min = Duration(5);
    options.retry_max = Duration(20);
    options.poll = Duration(50);
  }
  ~HooksTest() override {
    end();
    loop.block_on(server->shutdown(Duration(200)));
    store_.reset();
    std::error_code ec;
    std::filesystem::remove_all(folder, ec);
  }
  void begin(std::vector<std::string> events = {}) {
    Hook hook;
    hook.name = "chat";
    hook.url = "http://127.0.0.1:" + std::to_string(server->port()) + "/hook";
    hook.secrets = {kSecret};
    hook.events = std::move(events);
    deliverer = std::make_unique<Deliverer>(loop, *store_, db, std::vector{hook}, options);
    deliverer->start();
    EXPECT_TRUE(until([&] { return store_->hook_cursor("chat")->has_value(); }));
  }
  void end() {
    if (!deliverer) return;
    loop.block_on(deliverer->stop());
    deliverer.reset();
  }
  bool until(const std::function<bool()>& condition) {
    const auto over = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    const auto pause = []() -> net::Task<> { co_await net::sleep_for(Duration(5)); };
    while (!condition()) {
      if (std::chrono::steady_clock::now() > over) return false;
      loop.block_on(pause());
    }
    return true;
  }
  std::string request() {
    oddjob::Run r;
    r.created = system_clock().now();
    r.id = new_run_id(r.created);
    r.workload = {WorkloadKind::deployment, "shop", "pay"};
    r.requester = "ann";
    AuditEvent e;
    e.type = "run.requested";
    e.actor = "ann";
    EXPECT_TRUE(store_->create_run(r, "", "", e));
    if (deliverer) deliverer->poke();
    return r.id;
  }
  void record(const std::string& run, std::string type) {
    AuditEvent e;
    e.type = std::move(type);
    e.actor = "oddjob";
    e.run_id = run;
    EXPECT_TRUE(store_->append_audit(e));
    if (deliverer) deliverer->poke();
  }
  net::Task<> answer(const net::ServerRequest& q, net::ResponseWriter& w) {
    net::ServerResponse r;
    r.status = failures > 0 ? 503 : 204;
    if (failures > 0) --failures;
    if (r.status == 204) taken.push_back(q);
    ++asked;
    co_await w.send(std::move(r));
  }
  std::vector<std::string> types() const {
    std::vector<std::string> out;
    for (const auto& q : taken) out.emplace_back(get_string(json::parse(q.body), {"type"}));
    return out;
  }

  std::filesystem::path folder;
  net::Loop loop;
  net::BlockingPool db;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<net::HttpServer> server;
  std::unique_ptr<Deliverer> deliverer;
  DelivererOptions options;
  std::vector<net::ServerRequest> taken;
  int failures = 0, asked = 0;
};

TEST_F(HooksTest, TellsWhatIsRecordedFromNowOnSignedAndInOrder) {
  request();  // before the hook was there
  begin();
  const auto run = request();
  for (const auto* type : {"run.job_created", "run.approved", "run.starting", "run.started", "run.finished"})
    record(run, type);
  ASSERT_TRUE(until([&] { return taken.size() == 4; }));
  EXPECT_EQ(types(),
            (std::vector<std::string>{"run.requested", "run.approved", "run.started", "run.finished"}));
  std::set<std::string, std::less<>> ids;
  for (const auto& q : taken) {
    const std::string id(q.headers.get("Webhook-Id")), at(q.headers.get("Webhook-Timestamp"));
    EXPECT_EQ(q.headers.get("Webhook-Signature"), signature({kSecret}, id, std::stoll(at), q.body));
    EXPECT_TRUE(ids.insert(id).second);
    EXPECT_EQ(get_string(json::parse(q.body), {"run", "id"}), run);
  }
  EXPECT_TRUE(until([&] { return store_->hook_cursor("chat").value() == store_->audit_end().value(); }))
      << "also past what nobody is told of";
}

TEST_F(HooksTest, OnlyOfTheEventsThatWereAskedFor) {
  begin({"run.finished"});
  const auto run = request();
  record(run, "run.started");
  record(run, "run.finished");
  ASSERT_TRUE(until([&] { return !taken.empty(); }));
  EXPECT_EQ(types(), std::vector<std::string>{"run.finished"});
}

TEST_F(HooksTest, AReceiverThatFailsIsAskedAgainWithTheSameMessage) {
  failures = 3;
  begin();
  const auto run = request();
  record(run, "run.finished");
  ASSERT_TRUE(until([&] { return deliverer->stats().delivered == 2; }));
  EXPECT_EQ(taken.size(), 2U);
  EXPECT_EQ(asked, 5);
  EXPECT_EQ(types(), (std::vector<std::string>{"run.requested", "run.finished"})) << "in order all the same";
  EXPECT_EQ(deliverer->stats().failed, 3U);
}

TEST_F(HooksTest, WhatWasNotTakenIsToldAfterARestart) {
  failures = 1000000;
  begin();
  const auto run = request();
  ASSERT_TRUE(until([&] { return asked > 1; }));
  end();
  record(run, "run.finished");  // while nobody delivers
  failures = 0;
  begin();
  ASSERT_TRUE(until([&] { return taken.size() == 2; }));
  EXPECT_EQ(types(), (std::vector<std::string>{"run.requested", "run.finished"}));
}

TEST_F(HooksTest, WhatIsNeverTakenIsGivenUpAndRecorded) {
  options.give_up = Duration(30);
  failures = 1000000;
  begin({"run.requested"});
  const auto run = request();
  const auto abandoned = [&] {
    store::AuditFilter f;
    f.type = "hook.abandoned";
    return store_->list_audit(f, 10).value();
  };
  ASSERT_TRUE(until([&] { return !abandoned().empty(); }));
  EXPECT_EQ(abandoned().at(0).run_id, run);
  failures = 0;
  request();
  ASSERT_TRUE(until([&] { return taken.size() == 1; })) << "what comes after it is told";
}

TEST_F(HooksTest, AReceiverThatIsNotThereHoldsUpNothingElse) {
  Hook away;
  away.name = "away";
  away.url = "http://127.0.0.1:1/";
  away.secrets = {kSecret};
  Hook here = away;
  here.name = "here";
  here.url = "http://127.0.0.1:" + std::to_string(server->port()) + "/";
  deliverer = std::make_unique<Deliverer>(loop, *store_, db, std::vector{away, here}, options);
  deliverer->start();
  ASSERT_TRUE(until([&] { return store_->hook_cursor("here")->has_value(); }));
  request();
  ASSERT_TRUE(until([&] { return taken.size() == 1; }));
}

TEST(CheckUrl, IsHttpsOrThisMachine) {
  for (const auto* good :
       {"https://hooks.example.com/x?y=z", "http://127.0.0.1:8000/", "http://localhost/x", "http://[::1]:1/"})
    EXPECT_TRUE(check_url(good)) << good;
  for (const auto* bad :
       {"", "https://", "http://hooks.example.com/", "http://127.0.0.1.example.com/", "ftp://x",
        "https://user:password@example.com/", "https://a b/", "http://localhost.evil.com/"})
    EXPECT_FALSE(check_url(bad)) << bad;
}

}  // namespace
}  // namespace oddjob::hooks
