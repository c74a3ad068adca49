// The client against a true HTTP/2 server: nghttpx in front of ours.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.hpp"

namespace oddjob::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Bench;
using testing::pki;

int free_port() {
  Loop loop;
  HttpServer probe(loop, {}, testing::answering(""));
  return probe.start() ? probe.port() : 0;
}

class Http2Test : public ::testing::Test {
 protected:
  Bench bench;
  pid_t proxy = -1;
  int port = 0;
  int served = 0;
  std::string how;
  std::uint64_t sent = 0;

  void SetUp() override {
    if (::access("/usr/sbin/nghttpx", X_OK) != 0 && ::access("/usr/bin/nghttpx", X_OK) != 0)
      GTEST_SKIP() << "nghttpx (Debian package nghttp2-proxy) is not installed";
    bench.serve([this](const ServerRequest& request, ResponseWriter& writer) {
      return handle(*this, request, writer);
    });
    HttpClientOptions options;
    options.tls.ca_pem = pki().ca;
    bench.client = std::make_unique<HttpClient>(bench.loop, options);
    start_proxy();
    ASSERT_TRUE(bench.until([this] { return ready(); }, seconds(20))) << "nghttpx did not come up";
    served = 0;
  }
  void TearDown() override {
    bench.client.reset();
    if (proxy > 0) {
      ::kill(proxy, SIGKILL);
      ::waitpid(proxy, nullptr, 0);
    }
  }

  void start_proxy() {
    port = free_port();
    std::vector<std::string> words = {"nghttpx",
                                      "--conf=/dev/null",
                                      "--frontend=127.0.0.1," + std::to_string(port),
                                      "--backend=127.0.0.1," + std::to_string(bench.server->port()),
                                      "--workers=1",
                                      "--single-process",
                                      "--single-thread",
                                      "--accesslog-file=/dev/null",
                                      "--errorlog-file=/dev/null",
                                      "--no-ocsp",
                                      (pki().folder / "server.key").string(),
                                      (pki().folder / "server.pem").string()};
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, (pki().folder / "nghttpx.log").c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    char* environment[] = {path, nullptr};
    if (::posix_spawn(&proxy,
                      ::access("/usr/sbin/nghttpx", X_OK) == 0 ? "/usr/sbin/nghttpx" : "/usr/bin/nghttpx",
                      &quiet, nullptr, argv.data(), environment) != 0)
      proxy = -1;
    posix_spawn_file_actions_destroy(&quiet);
  }
  bool ready() const {
    try {
      testing::RawClient probe(port);
      return true;
    } catch (const std::runtime_error&) {
      return false;
    }
  }

  static Task<> handle(Http2Test& test, const ServerRequest& request, ResponseWriter& writer) {
    ++test.served;
    if (request.path == "/zeros") {
      const std::string piece(64U << 10U, '\0');
      auto good = co_await writer.begin(200, {});
      while (good && test.sent < (100U << 20U)) {
        good = co_await writer.write(piece);
        if (good) test.sent += piece.size();
      }
    } else if (request.path == "/wait") {
      co_await writer.begin(200, {});
      co_await writer.write("first");
      Notifier over;
      auto token = writer.gone();
      token.on_cancel([&over] { over.notify_all(); });
      test.how = co_await over.wait_beyond(0, seconds(20)) ? "gone" : "not told";
    } else {
      co_await sleep_for(milliseconds(20));
      ServerResponse response;
      response.body = request.method + " " + request.path + " " + request.body;
      co_await writer.send(std::move(response));
    }
  }

  [[nodiscard]] std::string url(std::string_view target) const {
    return "https://127.0.0.1:" + std::to_string(port) + std::string(target);
  }
  HttpRequest request(std::string_view target) const {
    HttpRequest r;
    r.url = url(target);
    return r;
  }
};

TEST_F(Http2Test, IsSpokenWhereTheServerOffersIt) {
  auto r = request("/a");
  r.method = "POST";
  r.body = std::string(200000, 'b');
  const auto response = bench.fetch(r);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->http_version, 20);
  EXPECT_EQ(response->body, "POST /a " + r.body);
}

TEST_F(Http2Test, IsNotSpokenWhenTurnedOff) {
  HttpClientOptions options;
  options.tls.ca_pem = pki().ca;
  options.http2 = false;
  HttpClient client(bench.loop, options);
  auto r = request("/a");
  const auto response = bench.loop.block_on(client.fetch(std::move(r)));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->http_version, 11);
}

Task<> fetch_one(HttpClient& client, HttpRequest r, std::string want, int& good, int& done) {
  const auto response = co_await client.fetch(std::move(r));
  if (response && response->http_version == 20 && response->body == want) ++good;
  ++done;
}

TEST_F(Http2Test, ManyRequestsShareOneConnection) {
  // One connection is all that there may be.
  HttpClientOptions options;
  options.tls.ca_pem = pki().ca;
  options.max_connections = 1;
  HttpClient client(bench.loop, options);
  int good = 0, done = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 200; ++i) {
    auto target = "/" + std::to_string(i);
    bench.loop.spawn("fetch", fetch_one(client, request(target), "GET " + target + " ", good, done));
  }
  EXPECT_TRUE(bench.until([&] { return done == 200; }, seconds(30)));
  EXPECT_EQ(good, 200);
  // One after another they would take four seconds.
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(3));
}

TEST_F(Http2Test, ARequestGivenUpLeavesTheOthersAlone) {
  int good = 0, done = 0, given_up = 0;
  for (int i = 0; i < 20; ++i) {
    auto target = "/" + std::to_string(i);
    bench.loop.spawn("fetch", fetch_one(*bench.client, request(target), "GET " + target + " ", good, done));
    auto endless = request("/wait");
    endless.timeout = milliseconds(10);
    bench.loop.spawn("give up", fetch_one(*bench.client, std::move(endless), "", given_up, done));
  }
  EXPECT_TRUE(bench.until([&] { return done == 40; }));
  EXPECT_EQ(good, 20);
  EXPECT_EQ(given_up, 0);
}

TEST_F(Http2Test, AnAnswerOverTheLimitLeavesTheConnectionUsable) {
  auto r = request("/zeros");
  r.max_body = 1U << 20U;
  EXPECT_EQ(bench.fetch(r).error().code, "http.too_large");
  const auto response = bench.fetch(request("/after"));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->http_version, 20);
}

TEST_F(Http2Test, AStreamThatNobodyReadsHoldsUpNobody) {
  auto unread = bench.loop.block_on(bench.client->open(request("/zeros")));
  ASSERT_TRUE(unread) << unread.error().message;
  auto live = bench.loop.block_on(bench.client->open(request("/wait")));
  ASSERT_TRUE(live);
  EXPECT_EQ(bench.loop.block_on(live->read()), "first");
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(bench.fetch(request("/x")));
  EXPECT_LT(sent, 40U << 20U);
}

TEST_F(Http2Test, CancellingOneStreamLeavesTheOthersAlone) {
  auto one = bench.loop.block_on(bench.client->open(request("/wait")));
  auto other = bench.loop.block_on(bench.client->open(request("/zeros")));
  ASSERT_TRUE(one && other);
  EXPECT_EQ(bench.loop.block_on(one->read()), "first");
  one->cancel();
  EXPECT_EQ(bench.loop.block_on(one->read()).error().code, "http.cancelled");
  EXPECT_TRUE(bench.until([&] { return how == "gone"; }));
  std::uint64_t got = 0;
  for (;;) {
    const auto piece = bench.loop.block_on(other->read());
    ASSERT_TRUE(piece) << piece.error().message;
    if (piece->empty()) break;
    got += piece->size();
  }
  EXPECT_EQ(got, 100U << 20U);
}

TEST_F(Http2Test, AConnectionThatDiesIsReplaced) {
  ASSERT_TRUE(bench.fetch(request("/a")));
  ::kill(proxy, SIGKILL);
  ::waitpid(proxy, nullptr, 0);
  proxy = -1;
  const auto down = bench.fetch(request("/b"));
  ASSERT_FALSE(down);
  EXPECT_EQ(down.error().kind, Errc::unavailable);
  const int old = port;
  start_proxy();
  ASSERT_TRUE(bench.until([this] { return ready(); }, seconds(20)));
  EXPECT_NE(old, 0);
  EXPECT_TRUE(bench.fetch(request("/c")));
}

}  // namespace
}  // namespace oddjob::net
