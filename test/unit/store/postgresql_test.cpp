// What only PostgreSQL can do to a store: go away, come back, be shared.
#ifdef ODDJOB_STORE_ON_POSTGRESQL
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <set>

#include "fixture.hpp"

namespace oddjob::store {
namespace {

using namespace std::string_view_literals;
using oddjob::testing::PgConnection;
using oddjob::testing::Postgres;

// Passes bytes between the store and the server's socket, and cuts both at a
// chosen message: before the server gets it, or before its answer is told.
class Cutter {
 public:
  enum class When { never, before_commit, after_commit };
  explicit Cutter(const std::string& folder) : server_(folder + "/.s.PGSQL.5432") {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&a), sizeof a);
    ::listen(listener_, 16);
    socklen_t n = sizeof a;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&a), &n);
    port_ = ntohs(a.sin_port);
    acceptor_ = std::thread([this] {
      while (true) {
        const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) return;
        pumps_.emplace_back([this, client] { pump(client); });
      }
    });
  }
  ~Cutter() {
    over = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    for (auto& p : pumps_) p.join();
  }
  Cutter(const Cutter&) = delete;
  Cutter& operator=(const Cutter&) = delete;
  [[nodiscard]] int port() const { return port_; }

  std::atomic<When> cut{When::never};  // the next COMMIT; once
  std::atomic<bool> refuse{false}, over{false};
  std::atomic<int> cuts{0};

 private:
  void pump(int client) {
    if (refuse) {
      ::close(client);
      return;
    }
    const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    server_.copy(a.sun_path, sizeof a.sun_path - 1);
    if (::connect(server, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) over = true;
    char buffer[65536];
    bool answered = false;
    while (!over) {
      pollfd fds[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
      if (::poll(fds, 2, 50) < 0) break;
      if (fds[0].revents != 0) {
        const auto n = ::read(client, buffer, sizeof buffer);
        if (n <= 0) break;
        // As a message of its own: isolation levels are "committed" too.
        const bool commit = std::string_view(buffer, static_cast<std::size_t>(n))
                                .ends_with(
                                    "\x0b"
                                    "COMMIT\0"sv);
        if (commit && cut == When::before_commit) {
          cut = When::never;
          ++cuts;
          break;
        }
        if (::write(server, buffer, static_cast<std::size_t>(n)) != n) break;
        answered = commit && cut == When::after_commit;
      }
      if (fds[1].revents != 0) {
        const auto n = ::read(server, buffer, sizeof buffer);
        if (n <= 0) break;
        if (answered) {
          cut = When::never;
          ++cuts;
          break;
        }
        if (::write(client, buffer, static_cast<std::size_t>(n)) != n) break;
      }
    }
    ::close(client);
    ::close(server);
  }
  std::string server_;
  int listener_ = -1, port_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> pumps_;
};

class CutTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    const auto at = database_.find("?host=");
    const auto end = database_.find('&', at);
    cutter_ = std::make_unique<Cutter>(database_.substr(at + 6, end - at - 6));
    StoreOptions o = options();
    o.url = "postgresql://postgres@127.0.0.1:" + std::to_string(cutter_->port()) + "/postgres?" +
            database_.substr(end + 1);
    auto s = Store::open(o);
    ASSERT_TRUE(s) << s.error().message;
    cut_ = std::move(*s);
  }
  void TearDown() override {
    cut_.reset();
    cutter_.reset();
  }
  std::unique_ptr<Cutter> cutter_;
  std::unique_ptr<Store> cut_;
};

TEST_F(CutTest, AConnectionCutBeforeTheCommitIsBegunAnewAndDoneOnce) {
  cutter_->cut = Cutter::When::before_commit;
  auto c = cut_->create_run(sample_run(), "k", "d", event("run.requested"));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_FALSE(c->replayed);
  EXPECT_EQ(cutter_->cuts, 1);
  EXPECT_EQ(store_->verify_audit()->events, 1);
}

TEST_F(CutTest, ACommitWhoseAnswerIsLostIsLookedUpAndNotDoneTwice) {
  cutter_->cut = Cutter::When::after_commit;
  auto c = cut_->create_run(sample_run(), "k", "d", event("run.requested"));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_FALSE(c->replayed) << "it was this call that recorded it";
  EXPECT_EQ(cutter_->cuts, 1);
  cutter_->cut = Cutter::When::after_commit;
  c->run.state = RunState::succeeded;
  auto u = cut_->update_run(c->run, {event("run.finished")});
  ASSERT_TRUE(u) << u.error().message;
  EXPECT_EQ(u->version, 2);
  cutter_->cut = Cutter::When::after_commit;
  ASSERT_TRUE(cut_->append_audit(event("last")));
  EXPECT_EQ(cutter_->cuts, 3);
  const auto v = store_->verify_audit();
  EXPECT_TRUE(v->ok) << v->problem;
  EXPECT_EQ(v->events, 3);
}

TEST_F(CutTest, AnOutcomeThatNobodyTellsIsNotCalledNothing) {
  // The answer is lost, and the way to the server stays closed.
  cutter_->refuse = true;
  cutter_->cut = Cutter::When::after_commit;
  auto e = cut_->append_audit(event("maybe"));
  ASSERT_FALSE(e);
  EXPECT_EQ(e.error().code, "store.commit_unknown");
  EXPECT_EQ(e.error().kind, Errc::unavailable);
  auto other = cut_->append_audit(event("later"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, "store.unavailable") << "this one surely did not happen";
  cutter_->refuse = false;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!cut_->ping() && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(cut_->verify_audit()->events, 1);
}

TEST_F(StoreTest, ATransactionThatStandsStillDoesNotHoldUpTheOthersForLong) {
  Raw other(path());
  ASSERT_EQ(other.exec("BEGIN; SELECT * FROM audit_head FOR UPDATE"), "");
  auto c = store_->append_audit(event("t"));
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, "store.unavailable");
  EXPECT_NE(c.error().message.find("locked"), std::string::npos) << c.error().message;
  ASSERT_EQ(other.exec("ROLLBACK"), "");
  EXPECT_TRUE(store_->append_audit(event("t")));
  // The store's own connections let themselves be ended.
  EXPECT_TRUE(store_->verify_audit()->ok);
}

TEST_F(StoreTest, ServersThatStartAtOnceMakeOneDatabase) {
  const std::string url = Postgres::instance().fresh();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      StoreOptions o;
      o.url = url;
      auto s = Store::open(o);
      EXPECT_TRUE(s) << s.error().message;
      if (s && (*s)->append_audit(event("hello"))) ++good;
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(good, 6);
  StoreOptions o;
  o.url = url;
  const auto v = Store::open(o).value()->verify_audit();
  EXPECT_TRUE(v->ok) << v->problem;
  EXPECT_EQ(v->events, 6);
}

TEST_F(StoreTest, SeveralServersWriteOneChain) {
  const oddjob::Run shared_run = create(sample_run());
  std::vector<std::unique_ptr<Store>> servers;
  for (int i = 0; i < 3; ++i) {
    StoreOptions o = options();
    o.busy_timeout = std::chrono::seconds(20);
    servers.push_back(Store::open(o).value());
  }
  std::atomic<int> changed{0}, conflicts{0};
  std::vector<std::thread> threads;
  for (auto& s : servers) {
    threads.emplace_back([&, store = s.get()] {
      for (int i = 0; i < 25; ++i) {
        EXPECT_TRUE(store->create_run(sample_run(), "", "", event("run.requested")));
        auto run = store->get_run(shared_run.id).value();
        auto u = store->update_run(run, {event("t")});
        if (u) {
          ++changed;
        } else {
          EXPECT_EQ(u.error().code, "store.conflict") << u.error().message;
          ++conflicts;
        }
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(changed + conflicts, 75);
  EXPECT_EQ(store_->get_run(shared_run.id)->version, 1 + changed);
  const auto v = store_->verify_audit();
  EXPECT_TRUE(v->ok) << v->problem;
  EXPECT_EQ(v->events, 1 + 75 + changed);
}

TEST_F(StoreTest, AuditRecordsCannotBeTruncatedEither) {
  EXPECT_NE(Raw(path()).exec("TRUNCATE audit").find("cannot be changed"), std::string::npos);
}

TEST_F(StoreTest, TextWithANulByteIsKeptReadable) {
  oddjob::Run r = sample_run(std::string("an\0n", 4));
  r = create(std::move(r));
  EXPECT_EQ(store_->get_run(r.id)->requester, "an\uFFFDn");
  ASSERT_TRUE(store_->append_audit(event("t", std::string("e\0ve", 4))));
  EXPECT_TRUE(store_->verify_audit()->ok);
  auto c = store_->create_run(sample_run(), std::string("k\0y", 3), "d", event("run.requested"));
  EXPECT_FALSE(c) << "a key that the database would cut is no key";
}

TEST(PostgresqlDurability, WhatWasAnsweredIsThereAfterAnAbruptEnd) {
  Postgres server;
  StoreOptions o;
  o.url = server.fresh();
  auto store = Store::open(o).value();
  std::set<std::string> known;
  for (int i = 0; i < 20; ++i) {
    auto c = store->create_run(sample_run(), "", "", event("run.requested"));
    ASSERT_TRUE(c);
    known.insert(c->run.id);
  }
  server.stop(SIGQUIT);
  auto refused = store->create_run(sample_run(), "", "", event("run.requested"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "store.unavailable") << refused.error().message;
  EXPECT_EQ(refused.error().kind, Errc::unavailable);
  server.start();
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!store->ping() && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(store->list_runs({}, "", 100)->runs.size(), known.size());
  for (const auto& id : known) EXPECT_TRUE(store->get_run(id)) << id;
  EXPECT_TRUE(store->verify_audit()->ok);
}

TEST(PostgresqlUrl, NoPasswordIsEverShown) {
  for (const char* url : {"postgresql://u:hunter2%zz@h/d", "postgresql://u:hunter2@127.0.0.1:1/d",
                          "postgres://u:hunter2@h:port/d?nonsense=hunter2"}) {
    StoreOptions o;
    o.url = url;
    auto s = Store::open(o);
    ASSERT_FALSE(s) << url;
    EXPECT_EQ((s.error().message + s.error().hint).find("hunter2"), std::string::npos) << s.error().message;
  }
}

TEST(PostgresqlUrl, APasswordFileThatCannotBeReadIsNamed) {
  StoreOptions o;
  o.url = Postgres::instance().url("postgres");
  o.password_file = "/nowhere/password";
  auto s = Store::open(o);
  ASSERT_FALSE(s);
  EXPECT_NE(s.error().message.find("/nowhere/password"), std::string::npos) << s.error().message;
}

TEST(PostgresqlUrl, AnOldEncodingIsRefused) {
  PgConnection admin(Postgres::instance().url("postgres"));
  ASSERT_EQ(admin.exec("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"), "");
  StoreOptions o;
  o.url = Postgres::instance().url("latin");
  auto s = Store::open(o);
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, "store.unsupported");
}

}  // namespace
}  // namespace oddjob::store
#endif
