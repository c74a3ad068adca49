// Client and server of this room, talking to each other.
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>

#include "support.hpp"

namespace oddjob::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::answering;
using testing::Bench;
using testing::RawClient;

Task<> echo(const ServerRequest& request, ResponseWriter& writer) {
  ServerResponse response;
  response.status = 201;
  response.headers.add("X-Method", request.method);
  response.headers.add("X-Path", request.path);
  response.headers.add("X-Query", request.query.encode());
  response.headers.add("X-Sent", std::string(request.headers.get("x-sent")));
  response.headers.add("X-Type", request.headers.has("Content-Type") ? "some" : "none");
  response.headers.add("X-Peer", request.peer);
  response.body = request.body;
  co_await writer.send(std::move(response));
}

// Streams zeros until the client is gone or `limit` bytes went.
Task<> zeros(std::atomic<std::uint64_t>& sent, std::uint64_t limit, ResponseWriter& writer) {
  const std::string piece(64U << 10U, '\0');
  auto begun = co_await writer.begin(200, {});
  while (begun && sent < limit) {
    begun = co_await writer.write(piece);
    if (begun) sent += piece.size();
  }
}

Task<> silence(ResponseWriter& writer, bool* gone = nullptr) {
  Notifier over;
  const auto seen = over.ticket();
  auto token = writer.gone();
  const auto id = token.on_cancel([&over] { over.notify_all(); });
  co_await over.wait_beyond(seen, seconds(60));
  token.remove(id);
  if (gone != nullptr) *gone = token.cancelled();
}

HttpRequest request_for(std::string url) {
  HttpRequest r;
  r.url = std::move(url);
  return r;
}

TEST(ExchangeTest, EverythingSentArrives) {
  Bench bench;
  bench.serve(echo);
  for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    auto request = request_for(bench.url("/a%20b/c?x=1&y=%2F"));
    request.method = method;
    request.headers.add("X-Sent", "here");
    request.body = std::string(100000, 'b');
    const auto response = bench.fetch(request);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 201);
    EXPECT_EQ(response->http_version, 11);
    EXPECT_EQ(response->headers.get("X-Method"), method);
    EXPECT_EQ(response->headers.get("x-path"), "/a b/c");
    EXPECT_EQ(response->headers.get("X-Query"), "x=1&y=%2F");
    EXPECT_EQ(response->headers.get("X-Sent"), "here");
    EXPECT_EQ(response->headers.get("X-Type"), "none");
    EXPECT_TRUE(response->headers.get("X-Peer").starts_with("127.0.0.1:"));
    EXPECT_TRUE(response->headers.get("Date").ends_with(" GMT"));
    EXPECT_EQ(response->body, request.body);
  }
}

TEST(ExchangeTest, HeadHasTheLengthButNoBody) {
  Bench bench;
  bench.serve(answering("twelve bytes"));
  auto request = request_for(bench.url());
  request.method = "HEAD";
  request.max_body = 3;  // of no concern where there is none
  for (int i = 0; i < 2; ++i) {
    const auto response = bench.fetch(request);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->headers.get("Content-Length"), "12");
    EXPECT_EQ(response->body, "");
  }
  EXPECT_EQ(bench.server->connections(), 1U);
}

TEST(ExchangeTest, NothingOfARequestIsLeftForTheNext) {
  struct Row {
    const char* method;
    const char* sent;
    const char* type;
    std::size_t body;
  };
  const Row rows[] = {{"POST", "a", "text/plain", 100000},
                      {"GET", "", "", 0},
                      {"HEAD", "b", "", 0},
                      {"GET", "", "", 5},
                      {"PUT", "", "", 0},
                      {"DELETE", "c", "", 0},
                      {"POST", "", "", 0},
                      {"PATCH", "", "x/y", 3},
                      {"GET", "d", "", 0}};
  Bench bench;
  bench.serve(echo);
  auto one = [&](const Row& row) -> Task<std::string> {
    auto request = request_for(bench.url("/" + std::to_string(row.body)));
    request.method = row.method;
    request.body = std::string(row.body, 'b');
    if (*row.sent != '\0') request.headers.add("X-Sent", row.sent);
    if (*row.type != '\0') request.headers.add("Content-Type", row.type);
    const auto want =
        fmt::format("{} {} {} {} {}", row.method, request.url.substr(bench.base.size()), row.sent,
                    *row.type != '\0' ? "some" : "none", request.method == "HEAD" ? "" : request.body);
    const auto r = co_await bench.client->fetch(std::move(request));
    if (!r) co_return r.error().message;
    const auto header = [&](const char* name) { return std::string(r->headers.get(name)); };
    const auto got = fmt::format("{} {} {} {} {}", header("X-Method"), header("X-Path"), header("X-Sent"),
                                 header("X-Type"), r->body);
    co_return got == want ? "" : got.substr(0, 100) + " instead of " + want.substr(0, 100);
  };
  for (const Row& first : rows) {
    for (const Row& second : rows) {
      EXPECT_EQ(bench.loop.block_on(one(first)), "");
      EXPECT_EQ(bench.loop.block_on(one(second)), "");
    }
  }
}

TEST(ExchangeTest, RequestsOneAfterAnotherShareAConnection) {
  Bench bench;
  std::set<std::string> peers;
  bench.serve([&](const ServerRequest& request, ResponseWriter& writer) {
    peers.insert(request.peer);
    return echo(request, writer);
  });
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(bench.get("/"));
  EXPECT_EQ(peers.size(), 1U);
}

Task<> fetch_and_count(HttpClient& client, HttpRequest request, int& good, int& done) {
  const auto response = co_await client.fetch(std::move(request));
  if (response && response->status == 201) ++good;
  ++done;
}

TEST(ExchangeTest, TwoHundredRequestsAtOnceAllGetTheirAnswer) {
  Bench bench;
  bench.serve([](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
    co_await sleep_for(milliseconds(5));
    co_await echo(request, writer);
  });
  int good = 0, done = 0;
  for (int i = 0; i < 200; ++i)
    bench.loop.spawn("fetch", fetch_and_count(*bench.client, request_for(bench.url()), good, done));
  EXPECT_TRUE(bench.until([&] { return done == 200; }, seconds(30)));
  EXPECT_EQ(good, 200);
}

TEST(ExchangeTest, TheBoundOnConnectionsHolds) {
  Bench bench;
  HttpClientOptions few;
  few.max_connections = 4;
  std::set<std::string> peers;
  bench.serve(
      [&](const ServerRequest& request, ResponseWriter& writer) {
        peers.insert(request.peer);
        return echo(request, writer);
      },
      {}, few);
  int good = 0, done = 0;
  for (int i = 0; i < 50; ++i)
    bench.loop.spawn("fetch", fetch_and_count(*bench.client, request_for(bench.url()), good, done));
  EXPECT_TRUE(bench.until([&] { return done == 50; }));
  EXPECT_EQ(good, 50);
  EXPECT_LE(peers.size(), 4U);
}

TEST(ExchangeTest, AnAnswerOverTheLimitIsCutAsSoonAsItIs) {
  Bench bench;
  std::atomic<std::uint64_t> sent = 0;
  bench.serve(
      [&](const ServerRequest&, ResponseWriter& writer) { return zeros(sent, 10ULL << 30U, writer); });
  auto request = request_for(bench.url("/?token=secret"));
  request.max_body = 1U << 20U;
  const auto response = bench.fetch(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, "http.too_large");
  EXPECT_EQ(response.error().kind, Errc::too_large);
  EXPECT_EQ(response.error().message.find("secret"), std::string::npos);
  EXPECT_TRUE(bench.until([&] { return bench.server->connections() == 0; }));
  EXPECT_LT(sent, 64U << 20U);
}

TEST(ExchangeTest, AnAnswerThatDeclaresTooMuchIsNotRead) {
  Bench bench;
  bench.serve(answering(std::string(1U << 20U, 'x')));
  auto request = request_for(bench.url());
  request.max_body = (1U << 20U) - 1;
  EXPECT_EQ(bench.fetch(request).error().code, "http.too_large");
  request.max_body = 1U << 20U;
  EXPECT_TRUE(bench.fetch(request));
}

TEST(ExchangeTest, HalfAnAnswerIsAnError) {
  Bench bench;
  bench.serve([](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    co_await writer.begin(200, {});
    co_await writer.write("half");
    writer.abort();
  });
  EXPECT_EQ(bench.get("/").error().code, "http.broken");
}

TEST(ExchangeTest, ASlowServerIsGivenUp) {
  Bench bench;
  bool gone = false;
  bench.serve([&](const ServerRequest&, ResponseWriter& writer) { return silence(writer, &gone); });
  auto request = request_for(bench.url());
  request.timeout = milliseconds(50);
  const auto response = bench.fetch(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, "http.timeout");
  EXPECT_EQ(response.error().kind, Errc::deadline_exceeded);
  EXPECT_TRUE(bench.until([&] { return gone; })) << "and the server sees that";
}

TEST(ExchangeTest, NobodyThereIsSaidSo) {
  Bench bench;
  bench.serve(answering(""));
  const auto url = bench.url("/x?secret=1");
  bench.server.reset();
  const auto response = bench.fetch(request_for(url));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, "http.connect");
  EXPECT_EQ(response.error().kind, Errc::unavailable);
  EXPECT_NE(response.error().message.find("GET http://127.0.0.1:"), std::string::npos);
  EXPECT_EQ(response.error().message.find("secret"), std::string::npos);
}

// A listener whose queue is full: the kernel drops what asks to connect.
class Deaf {
 public:
  Deaf() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof a;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&a), size) != 0 || ::listen(fd_, 0) != 0 ||
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&a), &size) != 0)
      throw std::runtime_error("no listener");
    port = ntohs(a.sin_port);
    for (int& fd : queued_) {
      fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      (void)::connect(fd, reinterpret_cast<sockaddr*>(&a), size);
    }
  }
  ~Deaf() {
    for (const int fd : queued_) ::close(fd);
    ::close(fd_);
  }
  Deaf(const Deaf&) = delete;
  Deaf& operator=(const Deaf&) = delete;
  int port = 0;

 private:
  int fd_;
  int queued_[4] = {};
};

TEST(ExchangeTest, ConnectingIsGivenUpInTimeWhateverElseIsUnderWay) {
  const Deaf deaf;
  Bench bench;
  HttpClientOptions options;
  options.connect_timeout = milliseconds(300);
  bench.serve(
      [](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
        co_await sleep_for(milliseconds(request.path == "/slow" ? 900 : 1));
        co_await echo(request, writer);
      },
      {}, options);
  ASSERT_TRUE(bench.get("/"));
  int good = 0, done = 0;
  bench.loop.spawn("slow", fetch_and_count(*bench.client, request_for(bench.url("/slow")), good, done));
  bench.until([] { return false; }, milliseconds(100));
  const auto response = bench.fetch(request_for(fmt::format("http://127.0.0.1:{}/", deaf.port)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, "http.connect") << response.error().message;
  EXPECT_TRUE(bench.until([&] { return done == 1; }));
  EXPECT_EQ(good, 1);
}

TEST(ExchangeTest, ANameThatIsNoneIsSaidSo) {
  Bench bench;
  bench.serve(answering(""));
  EXPECT_EQ(bench.fetch(request_for("http://nobody.invalid/")).error().code, "http.resolve");
}

TEST(ExchangeTest, AProxyThatIsNotThereIsNamed) {
  Bench bench;
  HttpClientOptions options;
  options.proxy = "http://user:pass@127.0.0.1:1";
  bench.serve(answering(""), {}, options);
  const auto response = bench.get("/");
  EXPECT_EQ(response.error().code, "http.proxy");
  EXPECT_EQ(response.error().message.find("pass"), std::string::npos);
}

TEST(ExchangeTest, WhatMustNotReachTheWireIsRefusedBefore) {
  Bench bench;
  int seen = 0;
  bench.serve([&](const ServerRequest& request, ResponseWriter& writer) {
    ++seen;
    return echo(request, writer);
  });
  auto request = request_for(bench.url());
  request.headers.add("X", "a\r\nY: b");
  EXPECT_EQ(bench.fetch(request).error().code, "http.bad_header");
  request = request_for(bench.url());
  request.method = "GET / HTTP/1.1\r\nX: ";
  EXPECT_EQ(bench.fetch(request).error().code, "http.bad_method");
  EXPECT_EQ(bench.fetch(request_for(bench.url("/a b"))).error().code, "url.malformed");
  EXPECT_EQ(bench.fetch(request_for("http://u:p@127.0.0.1/")).error().code, "url.malformed");
  EXPECT_EQ(bench.fetch(request_for("file:///etc/passwd")).error().code, "url.malformed");
  EXPECT_EQ(seen, 0);
}

TEST(ExchangeTest, RedirectsAreHandedOn) {
  Bench bench;
  bench.serve([](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    ServerResponse response;
    response.status = 302;
    response.headers.add("Location", "/elsewhere");
    co_await writer.send(std::move(response));
  });
  EXPECT_EQ(bench.get("/")->status, 302);
}

// A client, a server and a request between them go in the middle of everything.
TEST(ExchangeTest, AClientThatGoesEndsItsRequests) {
  Bench bench;
  bench.serve([](const ServerRequest&, ResponseWriter& writer) { return silence(writer); });
  std::string code;
  bench.loop.spawn("fetch", [](HttpClient& client, std::string url, std::string& out) -> Task<> {
    auto request = request_for(std::move(url));
    const auto response = co_await client.fetch(std::move(request));
    out = response ? "none" : response.error().code;
  }(*bench.client, bench.url(), code));
  EXPECT_TRUE(bench.until([&] { return bench.server->connections() == 1; }));
  bench.client.reset();
  EXPECT_TRUE(bench.until([&] { return !code.empty(); }));
  EXPECT_EQ(code, "http.cancelled");
}

Task<> own_client(Loop& loop, std::string url, bool stream) {
  HttpClientOptions trusting;
  trusting.tls.insecure_skip_verify = true;
  HttpClient client(loop, std::move(trusting));
  auto request = request_for(std::move(url));
  if (stream) {
    auto opened = co_await client.open(std::move(request));
    for (;;) (void)co_await opened->read();
  }
  (void)co_await client.fetch(std::move(request));
}

TEST(ExchangeTest, ALoopThatGoesTakesEverythingAlong) {
  for (const bool tls : {false, true}) {
    Bench bench;
    bench.serve(
        [](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
          if (request.path == "/stream") {
            co_await writer.begin(200, {});
            co_await writer.write("first");
          }
          co_await silence(writer);
        },
        tls ? testing::tls_server() : ServerOptions{});
    for (int i = 0; i < 3; ++i) {
      bench.loop.spawn("client", own_client(bench.loop, bench.url("/stream"), true));
      bench.loop.spawn("client", own_client(bench.loop, bench.url("/fetch"), false));
    }
    EXPECT_TRUE(bench.until([&] { return bench.server->connections() >= 4; }));
    bench.until([] { return false; }, milliseconds(20));
  }
}

}  // namespace
}  // namespace oddjob::net
