// Copies of the audit: whole, in order, across failures and restarts; against real files, real
// listeners on loopback and a real database.
#include "audit/exporter.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "fs/files.hpp"

namespace oddjob::audit {
namespace {

// Takes what it is given, or fails as often as it is told to.
class ScriptedSink final : public Sink {
 public:
  explicit ScriptedSink(std::vector<std::int64_t>& t, int f) : failures(f), taken(t) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  Result<std::optional<AuditEvent>> last() override { return std::nullopt; }
  Result<> take(std::span<const AuditEvent> events) override {
    if (failures-- > 0) return fail(Errc::unavailable, "audit.scripted", "not now");
    for (const auto& e : events) taken.push_back(e.seq);
    return {};
  }
  Result<> take_checkpoint(std::string_view /*note*/) override { return {}; }
  [[nodiscard]] bool shared() const override { return is_shared; }
  bool is_shared = false;
  std::string name_ = "scripted";

 private:
  int failures;
  std::vector<std::int64_t>& taken;
};

class ExporterTest : public ::testing::Test {
 protected:
  ExporterTest() {
    std::string name = (std::filesystem::temp_directory_path() / "oddjob-audit-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder = name;
    store::StoreOptions o;
    o.url = "sqlite:" + name + "/oddjob.db";
    store_ = store::Store::open(o).value();
    options.retry_min = Duration(5);
    options.retry_max = Duration(20);
    options.poll = Duration(20);
    options.checkpoint_every = Duration(1);
  }
  ~ExporterTest() override {
    end();
    store_.reset();
    std::error_code ec;
    std::filesystem::remove_all(folder, ec);
  }
  void record(int count) {
    for (int i = 0; i < count; ++i) {
      AuditEvent e;
      e.type = "run.requested";
      e.actor = "ann";
      e.detail = {{"words", "naïve \"quotes\"\nand lines"}};
      ASSERT_TRUE(store_->append_audit(e));
    }
    if (exporter) exporter->poke();
  }
  void begin(std::unique_ptr<Sink> sink) {
    std::vector<std::unique_ptr<Sink>> sinks;
    sinks.push_back(std::move(sink));
    exporter = std::make_unique<Exporter>(loop, *store_, db, std::move(sinks), options);
    exporter->start();
  }
  void end() {
    if (!exporter) return;
    loop.block_on(exporter->stop());
    exporter.reset();
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
  bool reached(std::int64_t seq) {
    return until([&] { return exporter->states().front().place >= seq; });
  }
  // The sequence numbers of a copy, each line checked against the hash of its content.
  static std::vector<std::int64_t> records_of(const std::string& path) {
    std::vector<std::int64_t> out;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
      const auto v = parse_json(line, "line");
      EXPECT_TRUE(v) << line;
      if (!v) break;
      out.push_back(get_int(*v, {"seq"}).value_or(0));
    }
    return out;
  }
  static std::vector<std::int64_t> up_to(std::int64_t n) {
    std::vector<std::int64_t> out;
    for (std::int64_t i = 1; i <= n; ++i) out.push_back(i);
    return out;
  }
  [[nodiscard]] std::string copy() const { return folder + "/copy.jsonl"; }

  std::string folder;
  net::Loop loop;
  net::BlockingPool db;
  std::unique_ptr<store::Store> store_;
  ExporterOptions options;
  std::unique_ptr<Exporter> exporter;
};

TEST_F(ExporterTest, ACopyBeginsAtTheFirstRecordAndGoesOnAfterARestart) {
  record(450);
  begin(make_file_sink(copy()));
  ASSERT_TRUE(reached(450));
  record(3);
  ASSERT_TRUE(reached(453));
  end();
  record(2);
  begin(make_file_sink(copy()));
  ASSERT_TRUE(reached(455));
  EXPECT_EQ(records_of(copy()), up_to(455));
  struct stat s {};
  ASSERT_EQ(::stat(copy().c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777U, 0600U);
}

TEST_F(ExporterTest, ALineThatACrashLeftHalfIsCutOffAndWrittenAgain) {
  record(3);
  begin(make_file_sink(copy()));
  ASSERT_TRUE(reached(3));
  end();
  const auto whole = fs::read_file(copy(), 1 << 20, "x").value();
  record(1);
  for (const auto cut : {std::size_t{1}, whole.size() / 2, whole.size() - 1}) {
    std::ofstream(copy(), std::ios::trunc) << whole.substr(0, cut);
    begin(make_file_sink(copy()));
    ASSERT_TRUE(reached(4));
    end();
    EXPECT_EQ(records_of(copy()).back(), 4) << cut;
    // Only where nothing whole was left does the database say where to go on.
    EXPECT_TRUE(cut == 1 || records_of(copy()) == up_to(4)) << cut;
  }
}

TEST_F(ExporterTest, AFileThatWasRenamedIsFollowedByANewOne) {
  record(2);
  begin(make_file_sink(copy()));
  ASSERT_TRUE(reached(2));
  std::filesystem::rename(copy(), copy() + ".1");
  record(2);
  ASSERT_TRUE(reached(4));
  EXPECT_EQ(records_of(copy() + ".1"), up_to(2));
  EXPECT_EQ(records_of(copy()), (std::vector<std::int64_t>{3, 4}));
}

TEST_F(ExporterTest, ACopyThatTheDatabaseContradictsIsNotGoneOnWith) {
  record(2);
  begin(make_file_sink(copy()));
  ASSERT_TRUE(reached(2));
  end();
  auto text = fs::read_file(copy(), 1 << 20, "x").value();
  const auto at = text.rfind("\"hash\":\"") + 8;
  text[at] = text[at] == '0' ? '1' : '0';
  std::ofstream(copy(), std::ios::trunc) << text;
  record(1);
  begin(make_file_sink(copy()));
  ASSERT_TRUE(until([&] { return exporter->states().front().failures > 1; }));
  EXPECT_TRUE(exporter->states().front().failing);
  EXPECT_EQ(fs::read_file(copy(), 1 << 20, "x").value(), text) << "it was written to all the same";
}

TEST_F(ExporterTest, SomethingElseUnderThatNameIsLeftAlone) {
  std::ofstream(copy()) << "my shopping list\n";
  record(1);
  begin(make_file_sink(copy()));
  ASSERT_TRUE(until([&] { return exporter->states().front().failures > 0; }));
  end();
  EXPECT_EQ(fs::read_file(copy(), 1 << 20, "x").value(), "my shopping list\n");
}

TEST_F(ExporterTest, WhatFailsIsAskedAgainAndNothingIsLeftOut) {
  std::vector<std::int64_t> taken;
  record(5);
  begin(std::make_unique<ScriptedSink>(taken, 4));
  ASSERT_TRUE(reached(5));
  EXPECT_EQ(exporter->states().front().failures, 4U);
  EXPECT_TRUE(until([&] { return !exporter->states().front().failing; }));
  end();
  EXPECT_EQ(taken, up_to(5));
}

TEST_F(ExporterTest, WhereThereIsNoRoomNoHalfLineIsLeft) {
  record(2);
  const auto events = store_->list_audit({}, 2).value();
  const auto sink = make_file_sink(copy());
  ASSERT_TRUE(sink->take(std::span(events).first(1)));
  const auto before = fs::read_file(copy(), 1 << 20, "x").value();
  rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &usual), 0);
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = usual;
  tight.rlim_cur = before.size() + 20;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto taken = sink->take(std::span(events).last(1));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &usual), 0);
  std::signal(SIGXFSZ, old);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, "audit.file");
  EXPECT_NE(taken.error().message.find(copy()), std::string::npos);
  EXPECT_EQ(fs::read_file(copy(), 1 << 20, "x").value(), before);
  ASSERT_TRUE(sink->take(std::span(events).last(1)));
  EXPECT_EQ(records_of(copy()), up_to(2));
}

TEST_F(ExporterTest, ACheckpointIsOfWhatTheCopyHas) {
  const auto folder_key = folder + "/key.pem", folder_public = folder + "/public.pem";
  const auto make = "openssl genpkey -algorithm ed25519 -out " + folder_key +
                    " && openssl pkey -pubout -in " + folder_key + " -out " + folder_public;
  ASSERT_EQ(std::system(make.c_str()), 0);
  const auto signer =
      CheckpointSigner::from_pem(fs::read_file(folder_key, 4096, "x").value(), "here", "key").value();
  options.signer = &signer;
  record(7);
  begin(make_file_sink(copy()));
  const auto path = copy() + ".checkpoint";
  ASSERT_TRUE(until([&] { return std::filesystem::exists(path); }));
  const auto read = [&] {
    return open_checkpoint(fs::read_file(path, 4096, "x").value(),
                           fs::read_file(folder_public, 4096, "x").value())
        .value();
  };
  EXPECT_EQ(read().records, 7);
  record(1);
  ASSERT_TRUE(until([&] { return read().records == 8; }));
  store::AuditFilter last;
  last.newest_first = true;
  EXPECT_EQ(read().hash, store_->list_audit(last, 1)->front().hash);
}

// A collector on loopback that reads counted frames.
class Collector {
 public:
  Collector() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof a;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    EXPECT_EQ(::listen(socket_, 5), 0);
    EXPECT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&a), &size), 0);
    port = ntohs(a.sin_port);
  }
  ~Collector() { ::close(socket_); }
  // One connection's frames, until `count` of them are there.
  std::vector<std::string> take(std::size_t count) const {
    const int c = ::accept(socket_, nullptr, nullptr);
    std::vector<std::string> out;
    std::string have;
    char piece[4096];
    while (out.size() < count) {
      const auto n = ::read(c, piece, sizeof piece);
      if (n <= 0) break;
      have.append(piece, static_cast<std::size_t>(n));
      for (std::size_t space = 0; (space = have.find(' ')) != std::string::npos;) {
        const auto length = std::stoul(have.substr(0, space));
        if (have.size() < space + 1 + length) break;
        out.push_back(have.substr(space + 1, length));
        have.erase(0, space + 1 + length);
      }
    }
    ::close(c);
    return out;
  }
  // Ends a take() that waits for a caller.
  void hang_up() const { ::shutdown(socket_, SHUT_RDWR); }
  int port = 0;

 private:
  int socket_;
};

TEST_F(ExporterTest, ACollectorGetsEachRecordAsOneSyslogMessage) {
  const Collector collector;
  record(3);
  std::vector<std::string> got;
  std::thread reading([&] { got = collector.take(3); });
  begin(make_syslog_sink(parse_syslog_address("tcp://127.0.0.1:" + std::to_string(collector.port)).value()));
  if (!reached(3)) collector.hang_up();
  reading.join();
  ASSERT_EQ(got.size(), 3U);
  for (const auto& line : got) {
    EXPECT_TRUE(line.starts_with("<109>1 2")) << line;
    const auto bom = line.find("\xef\xbb\xbf");
    ASSERT_NE(bom, std::string::npos) << line;
    EXPECT_NE(line.substr(0, bom).find(" oddjobd "), std::string::npos) << line;
    EXPECT_TRUE(line.substr(0, bom).ends_with(" run.requested - ")) << line;
    const auto message = parse_json(line.substr(bom + 3), "message");
    ASSERT_TRUE(message) << line;
    EXPECT_EQ(get_string(*message, {"detail", "words"}), "naïve \"quotes\"\nand lines");
  }
}

TEST_F(ExporterTest, ACollectorThatHangsUpIsCalledAgain) {
  const Collector collector;
  record(1);
  std::vector<std::string> first, second;
  std::atomic<int> calls = 0;
  std::thread reading([&] {
    first = collector.take(1);
    ++calls;
    second = collector.take(1);
    ++calls;
  });
  begin(make_syslog_sink(parse_syslog_address("tcp://127.0.0.1:" + std::to_string(collector.port)).value()));
  EXPECT_TRUE(until([&] { return calls == 1; }));
  EXPECT_TRUE(until([&] {  // what is sent before its end is noticed is lost: the protocol has no receipts
    if (exporter->states().front().failures == 0) record(1);
    return calls == 2;
  }));
  if (calls != 2) collector.hang_up();
  reading.join();
  EXPECT_GT(exporter->states().front().failures, 0U);
  EXPECT_EQ(first.size(), 1U);
  EXPECT_GE(second.size(), 1U);
}

TEST_F(ExporterTest, NobodyListeningIsSaidWithTheAddress) {
  int port = 0;
  { port = Collector().port; }
  const auto sink = make_syslog_sink(parse_syslog_address("tcp://127.0.0.1:" + std::to_string(port)).value());
  const std::vector<AuditEvent> one(1);
  const auto taken = sink->take(one);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, "audit.syslog");
  EXPECT_NE(taken.error().message.find("127.0.0.1:" + std::to_string(port)), std::string::npos)
      << taken.error().message;
}

TEST(SyslogAddress, GoodAndBad) {
  const auto good = [](std::string_view text, bool tls, std::string_view host, std::string_view port) {
    const auto t = parse_syslog_address(text);
    ASSERT_TRUE(t) << text << ": " << t.error().message;
    EXPECT_EQ(t->tls, tls);
    EXPECT_EQ(t->host, host);
    EXPECT_EQ(t->port, port);
  };
  good("tls://logs.example.org:6514", true, "logs.example.org", "6514");
  good("tcp://127.0.0.1:601", false, "127.0.0.1", "601");
  good("tls://[::1]:6514", true, "::1", "6514");
  for (const auto* bad :
       {"", "logs:514", "udp://logs:514", "tls://logs", "tls://logs:", "tls://logs:0", "tls://logs:65536",
        "tls://:6514", "tls://a b:1", "tls://user@host:1", "tls://::1:6514", "tls://host/x:1"}) {
    const auto t = parse_syslog_address(bad);
    ASSERT_FALSE(t) << bad;
    EXPECT_EQ(t.error().code, "audit.bad_address") << bad;
  }
}

// Two servers on one database, and one collector.
TEST_F(ExporterTest, OfSeveralServersOneWritesWhatTheyShare) {
  std::vector<std::int64_t> taken, own;
  const auto server = [&](const std::string& replica, std::vector<std::int64_t>& alone) {
    auto shared = std::make_unique<ScriptedSink>(taken, 0);
    shared->is_shared = true;
    auto of_its_own = std::make_unique<ScriptedSink>(alone, 0);
    of_its_own->name_ = "own";  // each name is a place in the audit
    std::vector<std::unique_ptr<Sink>> sinks;
    sinks.push_back(std::move(shared));
    sinks.push_back(std::move(of_its_own));
    options.replica = replica;
    auto made = std::make_unique<Exporter>(loop, *store_, db, std::move(sinks), options);
    made->start();
    return made;
  };
  record(3);
  std::vector<std::int64_t> other;
  auto a = server("a", own);
  ASSERT_TRUE(until([&] { return taken.size() == 3; }));
  auto b = server("b", other);
  for (int i = 0; i < 5; ++i) {
    record(7);
    a->poke();
    b->poke();
    const auto so_far = static_cast<std::size_t>(3 + 7 * (i + 1));
    ASSERT_TRUE(until([&] { return taken.size() >= so_far; }));
  }
  ASSERT_TRUE(until([&] { return b->states().front().place == 38; }))
      << "who does not write knows how far it is";
  EXPECT_EQ(taken, up_to(38)) << "each once";
  ASSERT_TRUE(until([&] { return own.size() == 38; })) << "what is a server's own is its own";
  // The one that writes goes.
  loop.block_on(a->stop());
  ASSERT_TRUE(store_->leave("a"));
  record(5);
  b->poke();
  ASSERT_TRUE(until([&] { return taken.size() >= 43; }));
  EXPECT_EQ(taken, up_to(43));
  loop.block_on(b->stop());
}

}  // namespace
}  // namespace oddjob::audit
