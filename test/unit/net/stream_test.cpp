// Answers that are read piece by piece, from both ends.
#include <atomic>

#include "support.hpp"

namespace oddjob::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Bench;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = 1U << 20U;

Task<> zeros(std::uint64_t& sent, std::uint64_t limit, ResponseWriter& writer) {
  const std::string piece(64U << 10U, '\0');
  auto good = co_await writer.begin(200, {});
  while (good && sent < limit) {
    good = co_await writer.write(piece);
    if (good) sent += piece.size();
  }
}

// Writes "first", then waits until the client is gone.
Task<> first_then_silence(ResponseWriter& writer, std::string& how) {
  co_await writer.begin(200, {});
  co_await writer.write("first");
  Notifier over;
  const auto seen = over.ticket();
  auto token = writer.gone();
  token.on_cancel([&over] { over.notify_all(); });
  const bool told = co_await over.wait_beyond(seen, seconds(30));
  how = told ? "gone" : "not told";
}

struct StreamTest : ::testing::TestWithParam<bool> {
  Bench bench;
  void serve(Handler handler, ServerOptions options = {}) {
    if (GetParam()) {
      auto tls = testing::tls_server();
      tls.write_timeout = options.write_timeout;
      options = std::move(tls);
    }
    bench.serve(std::move(handler), std::move(options));
  }
  Result<HttpStream> open(std::string_view target = "/", Duration idle = Duration(0)) {
    HttpRequest request;
    request.url = bench.url(target);
    request.idle_timeout = idle;
    return bench.loop.block_on(bench.client->open(std::move(request)));
  }
  Result<std::string> read(HttpStream& stream) { return bench.loop.block_on(stream.read()); }
};

TEST_P(StreamTest, PiecesComeAsTheyAreWrittenAndEndInOrder) {
  Notifier go;
  serve([&](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    Headers headers;
    headers.add("X-Kind", "stream");
    co_await writer.begin(206, std::move(headers));
    for (int i = 0; i < 3; ++i) {
      const auto seen = static_cast<std::uint64_t>(i);
      co_await writer.write("piece " + std::to_string(i));
      co_await go.wait_beyond(seen, seconds(30));
    }
  });
  auto stream = open();
  ASSERT_TRUE(stream) << stream.error().message;
  EXPECT_EQ(stream->status(), 206);
  EXPECT_EQ(stream->headers().get("x-kind"), "stream");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(read(*stream), "piece " + std::to_string(i));
    go.notify_all();
  }
  EXPECT_EQ(read(*stream), "");
  EXPECT_EQ(read(*stream), "");
}

TEST_P(StreamTest, AStreamCutShortIsNoEnd) {
  serve([](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    co_await writer.begin(200, {});
    co_await writer.write("half");
    co_await sleep_for(milliseconds(20));
    writer.abort();
    const auto late = co_await writer.write("more");
    EXPECT_EQ(late.error().code, "http.client_gone");
  });
  auto stream = open();
  ASSERT_TRUE(stream);
  EXPECT_EQ(read(*stream), "half");
  EXPECT_EQ(read(*stream).error().code, "http.broken");
}

TEST_P(StreamTest, AHandlerThatThrowsInTheMiddleCutsTheStream) {
  serve([](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    co_await writer.begin(200, {});
    co_await writer.write("half");
    co_await sleep_for(milliseconds(20));
    throw std::runtime_error("as asked");
  });
  auto stream = open();
  ASSERT_TRUE(stream);
  EXPECT_EQ(read(*stream), "half");
  EXPECT_EQ(read(*stream).error().code, "http.broken");
}

TEST_P(StreamTest, SilenceForTooLongIsAnError) {
  std::string how;
  serve([&](const ServerRequest&, ResponseWriter& writer) { return first_then_silence(writer, how); });
  auto stream = open("/", milliseconds(60));
  ASSERT_TRUE(stream);
  EXPECT_EQ(read(*stream), "first");
  const auto silent = read(*stream);
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, "http.idle_timeout");
  EXPECT_TRUE(bench.until([&] { return how == "gone"; }));
}

TEST_P(StreamTest, NoHeaderInTimeIsAnError) {
  serve([](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    co_await sleep_for(milliseconds(300));
    co_await writer.begin(200, {});
  });
  HttpRequest request;
  request.url = bench.url();
  request.timeout = milliseconds(50);
  const auto stream = bench.loop.block_on(bench.client->open(std::move(request)));
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, "http.timeout");
}

TEST_P(StreamTest, WhatIsNotReadIsNotFetched) {
  std::uint64_t sent = 0;
  serve([&](const ServerRequest&, ResponseWriter& writer) { return zeros(sent, 200 * kMiB, writer); });
  auto stream = open();
  ASSERT_TRUE(stream);
  // Until nothing moves any more: the client's bound and the kernel's buffers are full.
  std::uint64_t before = 1;
  while (before != sent) {
    before = sent;
    bench.until([] { return false; }, milliseconds(150));
  }
  EXPECT_LT(sent, 16 * kMiB);
  std::uint64_t got = 0;
  bench.loop.block_on([](HttpStream& s, std::uint64_t& g) -> Task<> {
    for (;;) {
      const auto piece = co_await s.read();
      EXPECT_TRUE(piece);
      if (!piece || piece->empty()) co_return;
      EXPECT_LE(piece->size(), 512U << 10U);
      g += piece->size();
    }
  }(*stream, got));
  EXPECT_EQ(got, 200 * kMiB);
}

TEST_P(StreamTest, AStreamThatNobodyReadsHoldsUpNoRequestBesideIt) {
  std::uint64_t sent = 0;
  serve([&](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
    if (request.path == "/stream") {
      co_await zeros(sent, 50 * kMiB, writer);
    } else {
      ServerResponse response;
      response.body = "quick";
      co_await writer.send(std::move(response));
    }
  });
  auto stream = open("/stream");
  ASSERT_TRUE(stream);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(bench.get("/")->body, "quick");
}

TEST_P(StreamTest, ClosingAStreamReachesTheHandlerThatWaits) {
  std::string how;
  serve([&](const ServerRequest&, ResponseWriter& writer) { return first_then_silence(writer, how); });
  {
    auto stream = open();
    ASSERT_TRUE(stream);
    EXPECT_EQ(read(*stream), "first");
  }
  EXPECT_TRUE(bench.until([&] { return how == "gone"; }));
  EXPECT_TRUE(bench.until([&] { return bench.server->connections() == 0; }));
}

TEST_P(StreamTest, CancelEndsAReadThatWaitsAndEveryLaterOne) {
  std::string how;
  serve([&](const ServerRequest&, ResponseWriter& writer) { return first_then_silence(writer, how); });
  auto stream = open();
  ASSERT_TRUE(stream);
  EXPECT_EQ(read(*stream), "first");
  bench.loop.spawn("cancel", [](HttpStream& s) -> Task<> {
    co_await sleep_for(milliseconds(10));
    s.cancel();
  }(*stream));
  EXPECT_EQ(read(*stream).error().code, "http.cancelled");
  EXPECT_EQ(read(*stream).error().code, "http.cancelled");
  EXPECT_TRUE(bench.until([&] { return how == "gone"; }));
}

TEST_P(StreamTest, AssigningOverAStreamEndsIt) {
  std::string how;
  serve([&](const ServerRequest& request, ResponseWriter& writer) -> Task<> {
    if (request.path == "/first")
      co_await first_then_silence(writer, how);
    else
      co_await writer.begin(200, {});
  });
  auto stream = open("/first");
  auto other = open("/other");
  ASSERT_TRUE(stream && other);
  *stream = std::move(*other);
  EXPECT_TRUE(bench.until([&] { return how == "gone"; }));
  EXPECT_EQ(read(*stream), "");
}

TEST_P(StreamTest, AStreamOutlivesItsClientAsAnError) {
  std::string how;
  serve([&](const ServerRequest&, ResponseWriter& writer) { return first_then_silence(writer, how); });
  auto stream = open();
  ASSERT_TRUE(stream);
  bench.client.reset();
  auto piece = read(*stream);
  if (piece) piece = read(*stream);
  EXPECT_EQ(piece.error().code, "http.cancelled");
}

TEST_P(StreamTest, AClientThatDoesNotReadIsGivenUp) {
  std::string code;
  ServerOptions options;
  options.write_timeout = milliseconds(300);
  serve(
      [&](const ServerRequest&, ResponseWriter& writer) -> Task<> {
        const std::string piece(kMiB, 'x');
        auto good = co_await writer.begin(200, {});
        while (good) good = co_await writer.write(piece);
        code = good.error().code;
      },
      options);
  auto stream = open();
  ASSERT_TRUE(stream);
  EXPECT_TRUE(bench.until([&] { return !code.empty(); }));
  EXPECT_EQ(code, "http.write_timeout");
}

TEST_P(StreamTest, ShutdownTellsHandlersAndWaitsForThem) {
  std::string how;
  bool after = false;
  serve([&](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    co_await first_then_silence(writer, how);
    co_await writer.write("last");
    after = true;
  });
  auto stream = open();
  ASSERT_TRUE(stream);
  EXPECT_EQ(read(*stream), "first");
  bench.loop.block_on(bench.server->shutdown(seconds(10)));
  EXPECT_EQ(how, "gone");
  EXPECT_TRUE(after);
  EXPECT_EQ(bench.server->connections(), 0U);
  EXPECT_EQ(read(*stream), "last");
  EXPECT_EQ(read(*stream), "");
}

TEST_P(StreamTest, ShutdownCutsWhoeverTakesTooLong) {
  serve([](const ServerRequest&, ResponseWriter& writer) -> Task<> {
    co_await writer.begin(200, {});
    co_await writer.write("first");
    co_await sleep_for(seconds(3));
  });
  auto stream = open();
  ASSERT_TRUE(stream);
  const auto start = Clock::now();
  bench.loop.block_on(bench.server->shutdown(milliseconds(100)));
  EXPECT_LT(Clock::now() - start, seconds(2));
  EXPECT_EQ(read(*stream), "first");
  EXPECT_EQ(read(*stream).error().code, "http.broken");
}

INSTANTIATE_TEST_SUITE_P(Over, StreamTest, ::testing::Bool(),
                         [](const auto& row) { return std::string(row.param ? "Tls" : "Plain"); });

}  // namespace
}  // namespace oddjob::net
