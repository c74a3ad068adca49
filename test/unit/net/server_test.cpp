// The server as seen by a bare socket: what is on the wire, and what it refuses.
#include <fcntl.h>
#include <sys/stat.h>

#include "support.hpp"

namespace oddjob::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::answering;
using testing::Bench;
using testing::RawClient;
using testing::TempDir;

Task<> describe(const ServerRequest& request, ResponseWriter& writer) {
  ServerResponse response;
  response.body = request.method + " " + request.path + " [" + request.body + "]";
  co_await writer.send(std::move(response));
}

struct ServerTest : ::testing::Test {
  Bench bench;

  // Sends `bytes` as they are and returns all that comes back until the server closes or goes quiet.
  std::string say(std::string_view bytes, std::string_view until = {}) {
    const int port = bench.server->port();
    return bench.beside([=] {
      RawClient raw(port);
      raw.send(bytes);
      return raw.receive(until);
    });
  }
};

TEST_F(ServerTest, AnswersWithLengthAndDateAndKeepsTheConnection) {
  bench.serve(answering("hello"));
  const auto answer = say("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "hello");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_NE(answer.find("Content-Length: 5\r\n"), std::string::npos);
  EXPECT_NE(answer.find("Date: "), std::string::npos);
  EXPECT_EQ(answer.find("Connection:"), std::string::npos);
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  bench.serve(describe);
  std::string many;
  for (int i = 0; i < 5; ++i)
    many += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n" +
            std::to_string(i);
  const auto answer = say(many + "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  std::size_t at = 0;
  for (int i = 0; i < 5; ++i) {
    at = answer.find("POST /" + std::to_string(i) + " [" + std::to_string(i) + "]", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_TRUE(answer.ends_with("GET /end []"));
}

TEST_F(ServerTest, PipelinedRequestsWaitForAStream) {
  bench.serve([](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
    co_await writer.begin(200, {});
    for (int i = 0; i < 3; ++i) {
      co_await writer.write(request.path + std::to_string(i) + " ");
      co_await sleep_for(milliseconds(5));
    }
  });
  const auto answer = say("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", "/b2");
  EXPECT_LT(answer.find("/a2"), answer.find("/b0"));
  EXPECT_NE(answer.find("Transfer-Encoding: chunked"), std::string::npos);
}

TEST_F(ServerTest, ARequestMayComeByteByByte) {
  bench.serve(describe);
  const int port = bench.server->port();
  const auto answer = bench.beside([=] {
    RawClient raw(port);
    for (char c : std::string("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                              "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
      raw.send({&c, 1});
    return raw.receive("]");
  });
  EXPECT_TRUE(answer.ends_with("POST /x [abcde]")) << answer;
}

TEST_F(ServerTest, AnOldClientGetsNoChunks) {
  bench.serve([](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    co_await writer.begin(200, {});
    co_await writer.write("one ");
    co_await writer.write("two");
  });
  const auto answer = say("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.0 200")) << answer;
  EXPECT_EQ(answer.find("chunked"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\none two"));
}

TEST_F(ServerTest, ClosesWhenAskedTo) {
  bench.serve(describe);
  EXPECT_NE(say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").find("Connection: close"),
            std::string::npos);
}

TEST_F(ServerTest, AsksForABodyThatIsAnnounced) {
  bench.serve(describe);
  const int port = bench.server->port();
  const auto answers = bench.beside([=] {
    RawClient raw(port);
    raw.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    auto first = raw.receive("\r\n\r\n");
    raw.send("ok");
    return std::pair(first, raw.receive("]"));
  });
  EXPECT_EQ(answers.first, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_TRUE(answers.second.ends_with("PUT / [ok]"));
}

TEST_F(ServerTest, ABodyOverTheLimitIsRefusedUnread) {
  ServerOptions options;
  options.max_body = 1000;
  bool called = false;
  bench.serve(
      [&](const ServerRequest& request, ResponseWriter& writer) {
        called = true;
        return describe(request, writer);
      },
      options);
  const auto declared =
      say("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(declared.starts_with("HTTP/1.1 413 ")) << declared;
  EXPECT_NE(declared.find("Connection: close"), std::string::npos);
  const auto sent =
      say("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + std::string(3000000, 'x'));
  EXPECT_TRUE(sent.starts_with("HTTP/1.1 413 ")) << sent;
  const auto chunked = say("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
                           std::string(1001, 'x') + "\r\n0\r\n\r\n");
  EXPECT_TRUE(chunked.starts_with("HTTP/1.1 413 ")) << chunked;
  EXPECT_FALSE(called);
}

TEST_F(ServerTest, AHeaderOverTheLimitIsRefused) {
  ServerOptions options;
  options.max_header = 2000;
  bench.serve(describe, options);
  EXPECT_TRUE(say("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(3000, 'x')).starts_with("HTTP/1.1 431 "));
  EXPECT_TRUE(say("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1500, 'x') + "\r\n\r\n", "]")
                  .starts_with("HTTP/1.1 200 "));
}

TEST_F(ServerTest, WhatIsNoHttpIsRefusedInTheApisOwnWords) {
  HttpServer server(bench.loop, {}, describe, [](int status, std::string_view message) {
    ServerResponse r;
    r.headers.add("Content-Type", "application/problem+json");
    r.body = std::to_string(status) + ": " + std::string(message);
    return r;
  });
  ASSERT_TRUE(server.start());
  const int port = server.port();
  for (const auto& [bytes, status] : std::vector<std::pair<std::string, int>>{
           {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS to a plain port\r\n\r\n", 400},
           {"GET\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\nHost a\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\n\r\n", 400},
           {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           {"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           {"GET /?a=%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400},
           {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505}}) {
    const auto answer = bench.beside([=, &bytes = bytes] {
      RawClient raw(port);
      raw.send(bytes);
      return raw.receive();
    });
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::to_string(status))) << bytes << "\n" << answer;
    EXPECT_NE(answer.find("problem+json"), std::string::npos) << bytes;
    EXPECT_NE(answer.find("Connection: close"), std::string::npos) << bytes;
  }
}

TEST_F(ServerTest, AnAbsoluteTargetIsUnderstood) {
  bench.serve(describe);
  EXPECT_TRUE(say("GET http://a/b%20c?d HTTP/1.1\r\nHost: a\r\n\r\n", "]").ends_with("GET /b c []"));
}

TEST_F(ServerTest, AHandlerThatThrowsIs500AndNothingElseHappens) {
  bench.serve([](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
    if (request.path == "/throw") throw std::runtime_error("as asked");
    if (request.path == "/nothing") co_return;
    co_await describe(request, writer);
  });
  EXPECT_EQ(bench.get("/throw")->status, 500);
  EXPECT_EQ(bench.get("/throw")->body.find("as asked"), std::string::npos);
  EXPECT_EQ(bench.get("/nothing")->status, 500);
  EXPECT_EQ(bench.get("/")->status, 200);
  EXPECT_EQ(bench.server->connections(), 1U);
}

TEST_F(ServerTest, AHeaderValueCanNotWriteHeadersOfItsOwn) {
  bench.serve([](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    ServerResponse response;
    response.headers.add("X", "a\r\nSet-Cookie: b\n\nbody");
    response.headers.add("Content-Length", "99");
    co_await writer.send(std::move(response));
  });
  const auto response = bench.get("/");
  ASSERT_TRUE(response);
  EXPECT_FALSE(response->headers.has("Set-Cookie"));
  EXPECT_EQ(response->headers.get("Content-Length"), "0");
}

TEST_F(ServerTest, A204HasNoBody) {
  bench.serve([](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    ServerResponse response;
    response.status = 204;
    response.body = "ignored";
    co_await writer.send(std::move(response));
  });
  const auto answer = say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
  EXPECT_EQ(answer.find("Content-Length"), std::string::npos);
}

TEST_F(ServerTest, ALargeAnswerArrivesWhole) {
  bench.serve(answering(std::string(20U << 20U, 'y')));
  const auto response = bench.get("/");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, std::string(20U << 20U, 'y'));
}

TEST_F(ServerTest, WhoSendsNoRequestIsDropped) {
  ServerOptions options;
  options.header_timeout = options.body_timeout = milliseconds(60);
  bench.serve(describe, options);
  const int port = bench.server->port();
  for (const char* bytes : {"", "GET / HT", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"}) {
    EXPECT_TRUE(bench.beside([=] {
      RawClient raw(port);
      raw.send(bytes);
      return raw.closed();
    })) << bytes;
  }
  EXPECT_TRUE(bench.until([&] { return bench.server->connections() == 0; }));
}

TEST_F(ServerTest, AHandlerMayTakeItsTime) {
  ServerOptions options;
  options.header_timeout = options.body_timeout = options.write_timeout = milliseconds(30);
  bench.serve(
      [](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
        co_await sleep_for(milliseconds(150));
        co_await describe(request, writer);
      },
      options);
  EXPECT_EQ(bench.get("/x")->body, "GET /x []");
}

TEST_F(ServerTest, AHandlerThatWaitsLearnsThatItsClientLeft) {
  bool gone = false;
  bench.serve([&](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    Notifier over;
    auto token = writer.gone();
    token.on_cancel([&over] { over.notify_all(); });
    gone = co_await over.wait_beyond(0, seconds(30));
  });
  const int port = bench.server->port();
  bench.beside([=] {
    RawClient raw(port);
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /early HTTP/1.1\r\nHost: a\r\n\r\n");
    std::this_thread::sleep_for(milliseconds(10));
  });
  EXPECT_TRUE(bench.until([&] { return gone; }));
}

TEST_F(ServerTest, WithAFullHouseTheIdlestMakesRoom) {
  ServerOptions options;
  options.max_connections = 3;
  bench.serve(describe, options);
  const int port = bench.server->port();
  const auto answers = bench.beside([=] {
    std::vector<std::unique_ptr<RawClient>> guests;
    int good = 0;
    for (int i = 0; i < 10; ++i) {
      guests.push_back(std::make_unique<RawClient>(port));
      guests.back()->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      if (guests.back()->receive("]").ends_with("GET / []")) ++good;
    }
    return good;
  });
  EXPECT_EQ(answers, 10);
  EXPECT_LE(bench.server->connections(), 3U);
}

TEST_F(ServerTest, AUnixSocketServesItsOwnerOnlyAndIsRemovedAfterwards) {
  const TempDir folder;
  const auto path = (folder.path() / "s").string();
  ServerOptions options;
  options.address = "unix:" + path;
  {
    // Left behind by a process that was killed.
    const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY, 0600);
    ::close(fd);
    HttpServer server(bench.loop, options, describe);
    EXPECT_EQ(server.start().error().code, "server.bind") << "a file that is no socket stays";
    std::filesystem::remove(path);
  }
  HttpServer server(bench.loop, options, [](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
    ServerResponse response;
    response.body = request.peer;
    co_await writer.send(std::move(response));
  });
  ASSERT_TRUE(server.start());
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_TRUE(bench
                  .beside([=] {
                    RawClient raw(path);
                    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    return raw.receive("unix");
                  })
                  .ends_with("unix"));
  HttpServer second(bench.loop, options, describe);
  EXPECT_EQ(second.start().error().code, "server.bind") << "somebody listens there";
  bench.loop.block_on(server.shutdown(seconds(1)));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ServerTest, APortInUseAndAnAddressThatIsNoneAreErrors) {
  bench.serve(describe);
  ServerOptions options;
  options.port = bench.server->port();
  HttpServer second(bench.loop, options, describe);
  EXPECT_EQ(second.start().error().code, "server.bind");
  options.address = "not-an-address";
  HttpServer third(bench.loop, options, describe);
  EXPECT_EQ(third.start().error().code, "server.bind");
}

TEST_F(ServerTest, ShutdownLetsRunningRequestsEndAndTakesNoNewOnes) {
  bench.serve([](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
    if (request.path == "/slow") co_await sleep_for(milliseconds(80));
    co_await describe(request, writer);
  });
  const int port = bench.server->port();
  ASSERT_TRUE(bench.get("/idle"));  // keeps its connection open
  std::string body;
  bench.loop.spawn("slow", [](HttpClient& client, std::string url, std::string& out) -> Task<> {
    HttpRequest request;
    request.url = std::move(url);
    const auto response = co_await client.fetch(std::move(request));
    out = response ? response->body : response.error().code;
  }(*bench.client, bench.url("/slow"), body));
  bench.until([] { return false; }, milliseconds(20));
  const auto start = std::chrono::steady_clock::now();
  bench.loop.block_on(bench.server->shutdown(seconds(10)));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
  EXPECT_TRUE(bench.until([&] { return !body.empty(); }));
  EXPECT_EQ(body, "GET /slow []");
  EXPECT_THROW(RawClient{port}, std::runtime_error);
}

}  // namespace
}  // namespace oddjob::net
