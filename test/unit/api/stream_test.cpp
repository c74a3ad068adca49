// The live view: nothing twice, nothing left out, an end.
#include "fixture.hpp"

namespace oddjob::api {
namespace {

class StreamTest : public ApiTest {
 protected:
  // One viewer.
  class Viewer {
   public:
    Viewer(StreamTest& test, net::HttpStream stream) : test_(test), stream_(std::move(stream)) {}
    // The next event; `event` is empty at the end of the stream and "broken" if it was cut.
    net::SseEvent next() {
      while (queue_.empty()) {
        auto bytes = test_.loop_.block_on(stream_.read());
        if (!bytes) return {"broken", bytes.error().code, {}};
        if (bytes->empty()) return {};
        raw += *bytes;
        auto events = parser_.feed(*bytes);
        EXPECT_TRUE(events);
        for (auto& e : *events) queue_.push_back(std::move(e));
      }
      auto e = std::move(queue_.front());
      queue_.pop_front();
      return e;
    }
    net::SseEvent expect(std::string_view name) {
      auto e = next();
      EXPECT_EQ(e.event, name) << e.data;
      return e;
    }
    // Reads log events until so many bytes have come.
    std::string log(std::size_t bytes) {
      std::string out;
      while (out.size() < bytes) {
        const auto e = next();
        if (e.event == "status") continue;
        EXPECT_EQ(e.event, "log") << e.data;
        if (e.event != "log") break;
        const auto v = parse_json(e.data, "log").value();
        const auto text = get_string(v, {"data"});
        EXPECT_EQ(get_int(v, {"offset"}), offset);
        const std::string data =
            find(v, {"encoding"}) != nullptr ? base64_decode(text).value() : std::string(text);
        offset += static_cast<std::int64_t>(data.size());
        EXPECT_EQ(e.id, std::to_string(offset));
        out += data;
      }
      return out;
    }
    bool read_until(std::string_view text) {
      while (raw.find(text) == std::string::npos) {
        auto bytes = test_.loop_.block_on(stream_.read());
        if (!bytes || bytes->empty()) return false;
        raw += *bytes;
      }
      return true;
    }
    std::int64_t offset = 0;
    std::string raw;

   private:
    StreamTest& test_;
    net::HttpStream stream_;
    net::SseParser parser_;
    std::deque<net::SseEvent> queue_;
  };

  std::unique_ptr<Viewer> view(const std::string& path,
                               std::vector<std::pair<std::string, std::string>> headers = {},
                               int status = 200) {
    auto r = request("GET", path, {"ann", {}, std::move(headers)});
    r.idle_timeout = std::chrono::seconds(5);
    auto s = loop_.block_on(client_->open(std::move(r)));
    EXPECT_TRUE(s) << (s ? "" : s.error().message);
    EXPECT_EQ(s->status(), status);
    return std::make_unique<Viewer>(*this, std::move(*s));
  }
  static std::string path(const std::string& id, std::string_view query = "") {
    return "/api/v1/runs/" + id + "/stream" + std::string(query);
  }
};

TEST_F(StreamTest, ShowsStatusThenLogThenTheEnd) {
  const std::string id = new_run();
  auto v = view(path(id));
  auto e = v->expect("status");
  EXPECT_EQ(get_string(parse_json(e.data, "status").value(), {"state"}), "requested");
  EXPECT_FALSE(parse_json(e.data, "status")->as_object().contains("job"));

  change(id, [](oddjob::Run& r) { r.state = RunState::running; });
  e = v->expect("status");
  EXPECT_EQ(get_string(parse_json(e.data, "status").value(), {"state"}), "running");

  append_log(id, "one\n");
  EXPECT_EQ(v->log(4), "one\n");
  append_log(id, "two\n");
  EXPECT_EQ(v->log(4), "two\n");
  append_log(id, "three\n");
  finish(id, 3);
  EXPECT_EQ(v->log(6), "three\n");
  while ((e = v->next()).event == "status") {
  }
  EXPECT_EQ(e.event, "end");
  EXPECT_EQ(get_int(parse_json(e.data, "end").value(), {"exitCode"}), 3);
  EXPECT_EQ(v->next().event, "") << "then it ends";
}

TEST_F(StreamTest, AFinishedRunIsShownWholeAndEnds) {
  const std::string id = new_run();
  std::string log;
  for (int i = 0; i < 50'000; ++i) log += "line " + std::to_string(i) + " äöü\n";
  append_log(id, log);
  finish(id);
  auto v = view(path(id));
  EXPECT_EQ(v->log(log.size()), log);
  v->expect("end");
  EXPECT_EQ(v->next().event, "");
}

TEST_F(StreamTest, GoesOnWhereTheClientWas) {
  const std::string id = new_run();
  append_log(id, "0123456789");
  finish(id);
  for (const auto& [query, last] :
       std::vector<std::pair<std::string, std::string>>{{"?offset=4", ""}, {"", "4"}, {"?offset=1", "4"}}) {
    std::vector<std::pair<std::string, std::string>> headers;
    if (!last.empty()) headers.emplace_back("Last-Event-ID", last);
    auto v = view(path(id, query), headers);
    v->offset = 4;
    EXPECT_EQ(v->log(6), "456789") << query << last;
    v->expect("end");
  }
  auto v = view(path(id), {{"Last-Event-ID", "10"}});
  v->expect("status");
  v->expect("end");
  auto r = call("GET", path(id), {"ann", {}, {{"Last-Event-ID", "ten"}}});
  expect_problem(r, 400, "api.bad_last_event_id");
}

TEST_F(StreamTest, BytesOfAnyKindArriveAsTheyWere) {
  const std::string id = new_run();
  auto v = view(path(id));
  v->expect("status");
  append_log(id, std::string("\xE2\x82", 2));  // the euro sign, cut
  append_log(id, std::string("\xAC\0\xff\x1b[31m", 8));
  append_log(id, "\xF0\x9F");  // cut for ever
  finish(id);
  EXPECT_EQ(v->log(12), std::string("\xE2\x82\xAC\0\xff\x1b[31m\xF0\x9F", 12));
  auto e = v->next();
  while (e.event == "status") e = v->next();
  EXPECT_EQ(e.event, "end");
}

TEST_F(StreamTest, CommentsKeepAQuietStreamAlive) {
  auto v = view(path(new_run()));
  EXPECT_TRUE(v->read_until("\n:"));
}

TEST_F(StreamTest, WaitsForTheRestOfTheLogAfterTheRunHasEnded) {
  const std::string id = new_run();
  auto v = view(path(id));
  v->expect("status");
  change(id, [](oddjob::Run& r) {
    r.state = RunState::succeeded;
    r.finished = system_clock().now();
  });
  v->expect("status");
  append_log(id, "late\n");
  EXPECT_EQ(v->log(5), "late\n");
  change(id, [](oddjob::Run& r) { r.log_complete = true; });
  v->expect("status");
  v->expect("end");
}

TEST_F(StreamTest, ARunWhoseLogWasLostLetsItsViewersGo) {
  const std::string id = new_run();
  change(id, [](oddjob::Run& r) {
    r.state = RunState::lost;
    r.finished = system_clock().now() - std::chrono::hours(1);
  });
  auto v = view(path(id));
  v->expect("status");
  v->expect("end");
}

TEST_F(StreamTest, OneUserHasSoManyStreamsAndGetsThemBack) {
  const std::string id = new_run();
  auto a = view(path(id));
  a->expect("status");
  auto b = view(path(id));
  b->expect("status");
  const auto r = get(path(id));
  expect_problem(r, 429, "api.too_many_streams");
  EXPECT_TRUE(r.headers.has("Retry-After"));
  EXPECT_NE(get("/metrics", "").body.find("oddjob_http_streams 2"), std::string::npos);
  a.reset();  // the client goes away
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (get("/metrics", "").body.find("oddjob_http_streams 1") == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), until) << "the stream of a client that went is given back";
  }
  view(path(id))->expect("status");
}

TEST_F(StreamTest, AFailureOnTheWayCutsTheStreamInsteadOfEndingIt) {
  const std::string id = new_run();
  auto v = view(path(id));
  v->expect("status");
  script_.error = Error{Errc::unavailable, "store.unavailable", "The disk is full.", "", 0};
  script_.changed.notify_all();
  EXPECT_EQ(v->next().event, "broken");
}

TEST_F(StreamTest, AnUnknownOrForeignRunHasNoStream) {
  expect_problem(get(path("aaaaaaaa")), 404, "run.not_found");
  const std::string id = new_run();
  expect_problem(get(path(id), "bob"), 404, "run.not_found");
}

}  // namespace
}  // namespace oddjob::api
