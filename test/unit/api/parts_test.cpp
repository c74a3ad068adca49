// The pure parts: parameters, problems, stream events.
#include <gtest/gtest.h>

#include <random>

#include "api/answers.hpp"
#include "api/api.hpp"
#include "api/parameters.hpp"
#include "api/stream_events.hpp"
#include "core/digest.hpp"
#include "net/sse.hpp"

namespace oddjob::api {
namespace {

net::Query query(std::string_view text) { return net::Query::parse(text).value(); }

TEST(Parameters, UnknownOnesAreNamedWithWhatWasMeant) {
  auto r = check_query(query("limti=3"), {"limit", "cursor"});
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "api.unknown_parameter");
  EXPECT_NE(r.error().message.find("limti"), std::string::npos);
  EXPECT_NE(r.error().hint.find("limit"), std::string::npos);
}

TEST(Parameters, ARepeatIsRefusedUnlessItMayBe) {
  EXPECT_FALSE(check_query(query("limit=1&limit=2"), {"limit"}));
  EXPECT_TRUE(check_query(query("state=a&state=b"), {"state"}, {"state"}));
  EXPECT_FALSE(check_query(query("limit=" + std::string(2000, '1')), {"limit"}));
  EXPECT_FALSE(check_query(query("requester=%ff"), {"requester"}));
}

TEST(Parameters, NumbersAreWholeAndInRange) {
  EXPECT_EQ(number(query(""), "limit", 50, 1, 500).value(), 50);
  EXPECT_EQ(number(query("limit=500"), "limit", 50, 1, 500).value(), 500);
  for (const char* bad : {"limit=", "limit=0", "limit=501", "limit=-1", "limit=+5", "limit=5x", "limit=%205",
                          "limit=1e2", "limit=99999999999999999999", "limit=0x10"}) {
    auto n = number(query(bad), "limit", 50, 1, 500);
    ASSERT_FALSE(n) << bad;
    EXPECT_EQ(n.error().code, "api.bad_parameter") << bad;
    EXPECT_NE(n.error().message.find("limit"), std::string::npos) << bad;
  }
}

TEST(Parameters, AnIdempotencyKeyIsShortPrintableAscii) {
  net::Headers none;
  EXPECT_EQ(idempotency_key(none).value(), "");
  for (const auto& [key, ok] : std::vector<std::pair<std::string, bool>>{{"k", true},
                                                                         {"a key", true},
                                                                         {std::string(128, 'k'), true},
                                                                         {std::string(129, 'k'), false},
                                                                         {"", false},
                                                                         {"k\x01", false},
                                                                         {"k\xc3\xbc", false}}) {
    net::Headers h;
    h.set("Idempotency-Key", key);
    EXPECT_EQ(idempotency_key(h).has_value(), ok) << key;
  }
}

TEST(Parameters, ABodyIsJsonAndSaysSo) {
  const auto body = [](std::string_view type, std::string text) {
    net::ServerRequest r;
    if (!type.empty()) r.headers.set("Content-Type", std::string(type));
    r.body = std::move(text);
    return json_body(r);
  };
  EXPECT_TRUE(body("application/json", "{}"));
  EXPECT_TRUE(body("Application/JSON; charset=utf-8", "{}"));
  for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"}) {
    EXPECT_EQ(body(type, "{}").error().code, "api.content_type") << type;
  }
  EXPECT_EQ(body("application/json", "{\"a\": ").error().code, "json.malformed");
  EXPECT_EQ(body("application/json", "").error().code, "json.malformed");
  auto large = body("application/json", "\"" + std::string(1U << 20U, 'x') + "\"");
  EXPECT_EQ(large.error().code, "json.too_large");
  EXPECT_EQ(http_status(large.error().kind), 413);
}

TEST(Parameters, ACursorOpensOnlyInItsOwnList) {
  const auto c = make_cursor("w1", "shop/deploy/x");
  EXPECT_EQ(open_cursor("w1", c).value(), "shop/deploy/x");
  for (const auto& bad : {make_cursor("r1", "x"), std::string("?"), std::string("AAAA"), std::string()}) {
    EXPECT_EQ(open_cursor("w1", bad).error().code, "api.bad_cursor") << bad;
  }
}

json::value body_of(const net::ServerResponse& r) { return parse_json(r.body, "answer").value(); }

TEST(Problems, AreRfc9457) {
  const auto r = problem_response(Error{Errc::forbidden, "policy.x", "You may not.", "Ask.", 0});
  EXPECT_EQ(r.status, 403);
  EXPECT_EQ(r.headers.get("Content-Type"), "application/problem+json");
  EXPECT_EQ(r.headers.get("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(r.headers.get("Cache-Control"), "no-store");
  const json::object expected{{"type", "about:blank"}, {"title", "Forbidden"},     {"status", 403},
                              {"code", "policy.x"},    {"detail", "You may not."}, {"hint", "Ask."}};
  EXPECT_EQ(body_of(r), json::value(expected));
}

TEST(Problems, AnInternalErrorTellsNothingOfTheInside) {
  const auto r = problem_response(
      Error{Errc::internal, "store.corrupt", "/var/lib/secret.db is damaged", "x", 0}, "ab12");
  EXPECT_EQ(r.status, 500);
  EXPECT_EQ(r.body.find("secret"), std::string::npos) << r.body;
  EXPECT_NE(r.body.find("ab12"), std::string::npos) << r.body;
  EXPECT_EQ(get_string(body_of(r), {"code"}), "store.corrupt");
}

TEST(Problems, SayWhenToComeBackAndWhatToSend) {
  EXPECT_EQ(problem_response(Error{Errc::rate_limited, "a.b", "Later.", {}, 17}).headers.get("Retry-After"),
            "17");
  EXPECT_NE(problem_response(Error{Errc::unavailable, "a.b", "Later.", {}, 0}).headers.get("Retry-After"),
            "");
  EXPECT_EQ(problem_response(Error{Errc::forbidden, "a.b", "No.", {}, 0}).headers.get("Retry-After"), "");
  EXPECT_TRUE(problem_response(Error{Errc::unauthenticated, "a.b", "Who?", {}, 0})
                  .headers.get("WWW-Authenticate")
                  .starts_with("Bearer"));
}

TEST(Problems, BytesThatAreNotTextStillMakeJson) {
  const auto r = problem_response(Error{Errc::not_found, "a.b", "no \xff here", "\xc3", 0});
  EXPECT_EQ(get_string(body_of(r), {"detail"}), "no \xEF\xBF\xBD here");
}

TEST(Problems, WhatTheServerFindsByItselfHasTheSameForm) {
  for (const int status : {400, 404, 405, 408, 413, 414, 431, 500, 503}) {
    const auto r = Api::problem(status, "");
    EXPECT_EQ(r.status, status);
    const auto b = body_of(r);
    EXPECT_EQ(get_int(b, {"status"}), status);
    EXPECT_NE(get_string(b, {"code"}), "") << status;
    EXPECT_NE(get_string(b, {"detail"}), "") << status;
  }
}

// ---- stream -----------------------------------------------------------------

net::SseEvent parse_one(const std::string& wire) {
  net::SseParser parser;
  auto events = parser.feed(wire);
  EXPECT_TRUE(events) << wire;
  EXPECT_EQ(events->size(), 1U) << wire;
  return events->at(0);
}

TEST(StreamEvents, TextIsTextWithTheOffsetAfterItAsId) {
  const auto p = log_event(10, "hello\nü\x01\x1b[0m\r\n", false);
  const auto e = parse_one(p.wire);
  EXPECT_EQ(e.event, "log");
  EXPECT_EQ(e.id, std::to_string(10 + p.used));
  const auto data = parse_json(e.data, "data").value();
  EXPECT_EQ(get_int(data, {"offset"}), 10);
  EXPECT_EQ(get_string(data, {"data"}), "hello\nü\x01\x1b[0m\r\n");
  EXPECT_EQ(find(data, {"encoding"}), nullptr);
}

TEST(StreamEvents, ACharacterCutInTwoWaitsForItsRest) {
  const std::string euro = "\xE2\x82\xAC", smile = "\xF0\x9F\x98\x80";
  for (const auto& [text, used] :
       std::vector<std::pair<std::string, std::size_t>>{{"a" + euro.substr(0, 1), 1},
                                                        {"a" + euro.substr(0, 2), 1},
                                                        {"a" + euro, 4},
                                                        {"a" + smile.substr(0, 3), 1},
                                                        {smile.substr(0, 2), 0}}) {
    EXPECT_EQ(log_event(0, text, false).used, used) << base64_encode(text);
    EXPECT_EQ(log_event(0, text, true).used, text.size()) << "at the end of the log nothing waits";
  }
}

TEST(StreamEvents, BytesThatAreNoTextGoAsBase64) {
  const std::string bytes("\xff\0\x80 ok", 6);
  const auto p = log_event(0, bytes, false);
  EXPECT_EQ(p.used, bytes.size());
  const auto data = parse_json(parse_one(p.wire).data, "data").value();
  EXPECT_EQ(get_string(data, {"encoding"}), "base64");
  EXPECT_EQ(base64_decode(get_string(data, {"data"})).value(), bytes);
}

TEST(StreamEvents, AnyBytesInAnyPiecesArriveOnceAndInOrder) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::string log;
    const std::size_t n = random() % 400;
    while (log.size() < n) {
      switch (random() % 6) {
        case 0:
          log += "\xE2\x82\xAC";
          break;
        case 1:
          log += "\xF0\x9F\x98\x80";
          break;
        case 2:
          log += static_cast<char>(random());
          break;
        default:
          log += 'a';
      }
    }
    std::string got;
    std::size_t piece = 1 + random() % 9;
    while (got.size() < log.size()) {
      const auto part = std::string_view(log).substr(got.size(), piece);
      const bool end = got.size() + part.size() == log.size();
      const auto p = log_event(static_cast<std::int64_t>(got.size()), part, end);
      if (p.used == 0) {
        ASSERT_FALSE(end);
        piece += 1;  // as when more of the log has come
        continue;
      }
      const auto data = parse_json(parse_one(p.wire).data, "data").value();
      const auto text = get_string(data, {"data"});
      got += find(data, {"encoding"}) != nullptr ? base64_decode(text).value() : std::string(text);
    }
    ASSERT_EQ(got, log);
  }
}

}  // namespace
}  // namespace oddjob::api
