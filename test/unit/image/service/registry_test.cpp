// The registry client against a registry that misbehaves on purpose.
#include <gtest/gtest.h>

#include <map>

#include "core/digest.hpp"
#include "image/registry/client.hpp"
#include "image/registry/hasher.hpp"
#include "net/http_server.hpp"

namespace oddjob::image {
namespace {

using net::ResponseWriter;
using net::ServerRequest;
using net::ServerResponse;

struct Script {
  std::function<net::Task<>(const ServerRequest&, ResponseWriter&)> answer;
  std::vector<ServerRequest> seen;
};

net::Task<> send(ResponseWriter& w, int status, std::string body = {},
                 std::map<std::string, std::string> headers = {}) {
  ServerResponse r;
  r.status = status;
  r.body = std::move(body);
  for (auto& [k, v] : headers) r.headers.set(k, v);
  (void)co_await w.send(std::move(r));
}

class RegistryTest : public ::testing::Test {
 protected:
  RegistryTest() {
    start(main_, main_server_);
    start(other_, other_server_);
    options_.proxy = "";
    options_.min_backoff = std::chrono::milliseconds(1);
    options_.max_backoff = std::chrono::milliseconds(20);
    options_.call_timeout = std::chrono::seconds(20);
    options_.idle_timeout = std::chrono::seconds(10);
  }
  ~RegistryTest() override {
    registry_.reset();
    loop_.block_on(main_server_->shutdown(std::chrono::seconds(1)));
    loop_.block_on(other_server_->shutdown(std::chrono::seconds(1)));
  }
  void start(Script& script, std::unique_ptr<net::HttpServer>& server) {
    net::ServerOptions o;
    server =
        std::make_unique<net::HttpServer>(loop_, o, [&script](const ServerRequest& r, ResponseWriter& w) {
          script.seen.push_back(r);
          return script.answer(r, w);
        });
    ASSERT_TRUE(server->start());
  }
  [[nodiscard]] std::string host() const { return "127.0.0.1:" + std::to_string(main_server_->port()); }
  [[nodiscard]] std::string other() const {
    return "http://127.0.0.1:" + std::to_string(other_server_->port());
  }
  Source& source(std::vector<Credential> credentials = {}) {
    source_.reset();
    registry_ = std::make_unique<Registry>(loop_, options_);
    source_ = registry_->repository(*parse_reference(host() + "/team/app:1"), std::move(credentials));
    return *source_;
  }
  static Descriptor describe(std::string_view content) {
    Descriptor d;
    d.digest = "sha256:" + sha256_hex(content);
    d.size = static_cast<std::int64_t>(content.size());
    return d;
  }
  Result<std::string> blob(const std::string& content, std::vector<Credential> credentials = {}) {
    auto& s = source(std::move(credentials));
    return loop_.block_on(read_blob(s, describe(content), 64U << 20U));
  }
  [[nodiscard]] static std::string authorization(const ServerRequest& r) {
    return std::string(r.headers.get("Authorization"));
  }

  net::Loop loop_;
  Script main_, other_;
  RegistryOptions options_;
  std::unique_ptr<net::HttpServer> main_server_, other_server_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<Source> source_;
};

const std::string kBlob = [] {
  std::string out;
  for (int i = 0; i < 40000; ++i) out += std::to_string(i) + " ";
  return out;
}();

TEST_F(RegistryTest, ACutBlobGoesOnWhereItWasCut) {
  main_.answer = [](const ServerRequest& r, ResponseWriter& w) -> net::Task<> {
    const auto range = r.headers.get("Range");
    std::size_t from = 0;
    net::Headers headers;
    if (!range.empty()) {
      from = static_cast<std::size_t>(std::stoul(std::string(range.substr(6))));
      headers.set("Content-Range", "bytes " + std::to_string(from) + "-" + std::to_string(kBlob.size() - 1) +
                                       "/" + std::to_string(kBlob.size()));
    }
    (void)co_await w.begin(range.empty() ? 200 : 206, std::move(headers));
    (void)co_await w.write(std::string_view(kBlob).substr(from, 50000));
    if (from + 50000 < kBlob.size()) w.abort();
  };
  const auto got = blob(kBlob);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, kBlob);
  EXPECT_GT(registry_->stats().resumed, 2U);
}

TEST_F(RegistryTest, AServerWithoutRangesIsReadFromTheStartAndGivesTheSame) {
  int cuts = 0;
  main_.answer = [&cuts](const ServerRequest&, ResponseWriter& w) -> net::Task<> {
    (void)co_await w.begin(200, {});
    (void)co_await w.write(std::string_view(kBlob).substr(0, cuts == 0 ? 70000 : std::string::npos));
    if (cuts++ == 0) w.abort();
  };
  const auto got = blob(kBlob);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, kBlob);
}

TEST_F(RegistryTest, ABlobThatNeverComesWholeIsGivenUp) {
  main_.answer = [](const ServerRequest&, ResponseWriter& w) -> net::Task<> {
    (void)co_await w.begin(200, {});
    w.abort();
  };
  const auto got = blob(kBlob);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "http.broken") << got.error().message;
}

TEST_F(RegistryTest, WrongBytesAreAWrongDigest) {
  std::string wrong = kBlob;
  wrong[1000] ^= 1;
  main_.answer = [&wrong](const ServerRequest&, ResponseWriter& w) { return send(w, 200, wrong); };
  EXPECT_EQ(blob(kBlob).error().code, "image.digest_mismatch");
}

TEST_F(RegistryTest, AnEndlessBodyIsCutAtThePromisedSize) {
  std::uint64_t sent = 0;
  main_.answer = [&sent](const ServerRequest&, ResponseWriter& w) -> net::Task<> {
    (void)co_await w.begin(200, {});
    const std::string piece(65536, 'x');
    while (co_await w.write(piece)) sent += piece.size();
  };
  EXPECT_EQ(blob(kBlob).error().code, "image.size_mismatch");
  EXPECT_LT(sent, 64U << 20U);
  // A manifest has a bound of its own.
  auto& s = source();
  EXPECT_EQ(loop_.block_on(s.manifest("1")).error().code, "http.too_large");
}

TEST_F(RegistryTest, BusyServersAreAskedAgainAndThenNoMore) {
  int left = 2;
  main_.answer = [&left](const ServerRequest&, ResponseWriter& w) {
    if (left-- > 0) return send(w, left % 2 == 0 ? 503 : 429);
    return send(w, 200, kBlob);
  };
  EXPECT_TRUE(blob(kBlob));
  left = 1000;
  const auto got = blob(kBlob);
  ASSERT_FALSE(got);
  EXPECT_TRUE(got.error().code == "image.rate_limited" || got.error().code == "image.registry")
      << got.error().code;
  EXPECT_EQ(main_.seen.size(), 3U + static_cast<std::size_t>(options_.max_attempts));
}

TEST_F(RegistryTest, CredentialsStayWithTheRegistryWhenItRedirects) {
  main_.answer = [this](const ServerRequest& r, ResponseWriter& w) {
    if (authorization(r).empty()) return send(w, 401, "", {{"WWW-Authenticate", "Basic realm=\"r\""}});
    return send(w, 307, "", {{"Location", other() + "/storage?signature=abc"}});
  };
  other_.answer = [](const ServerRequest&, ResponseWriter& w) { return send(w, 200, kBlob); };
  ASSERT_TRUE(blob(kBlob, {Credential{"ann", "secret", "", ""}}));
  ASSERT_EQ(main_.seen.size(), 2U);
  EXPECT_EQ(authorization(main_.seen[0]), "");  // nothing is sent before it is asked for
  EXPECT_EQ(authorization(main_.seen[1]), "Basic " + base64_encode("ann:secret"));
  ASSERT_EQ(other_.seen.size(), 1U);
  EXPECT_EQ(authorization(other_.seen[0]), "");
  EXPECT_EQ(other_.seen[0].target, "/storage?signature=abc");
}

TEST_F(RegistryTest, RedirectsEndAndNeverLeadToOtherProtocols) {
  main_.answer = [this](const ServerRequest&, ResponseWriter& w) {
    return send(w, 302, "", {{"Location", "/again"}});
  };
  EXPECT_EQ(blob(kBlob).error().code, "image.redirect");
  for (const auto* bad : {"", "file:///etc/passwd", "ftp://x/y", "gopher://x"}) {
    main_.answer = [bad](const ServerRequest&, ResponseWriter& w) {
      return send(w, 302, "", {{"Location", bad}});
    };
    EXPECT_EQ(blob(kBlob).error().code, "image.redirect") << bad;
  }
  main_.answer = [](const ServerRequest&, ResponseWriter& w) {
    return send(w, 302, "", {{"Location", "http://registry.example.com/x"}});
  };
  EXPECT_EQ(blob(kBlob).error().code, "image.plain_http");
}

TEST_F(RegistryTest, ATokenIsFetchedKeptAndRenewedOnceWhenRefused) {
  int tokens = 0;
  std::string good = "t1";
  other_.answer = [&](const ServerRequest& r, ResponseWriter& w) {
    EXPECT_EQ(r.query.get("service"), "reg");
    EXPECT_EQ(r.query.get("scope"), "repository:team/app:pull");
    // Where her token is refused again and again, nobody's is tried at the end.
    if (good != "none") {
      EXPECT_EQ(authorization(r), "Basic " + base64_encode("ann:pw"));
    }
    return send(w, 200, R"({"token":"t)" + std::to_string(++tokens) + R"(","expires_in":300})");
  };
  main_.answer = [&](const ServerRequest& r, ResponseWriter& w) {
    if (authorization(r) == "Bearer " + good) return send(w, 200, kBlob);
    return send(w, 401, "",
                {{"WWW-Authenticate", "Bearer realm=\"" + other() +
                                          "/token\",service=\"reg\",scope=\"repository:team/app:pull\""}});
  };
  auto& s = source({Credential{"ann", "pw", "", ""}});
  ASSERT_TRUE(loop_.block_on(read_blob(s, describe(kBlob), 64U << 20U)));
  ASSERT_TRUE(loop_.block_on(read_blob(s, describe(kBlob), 64U << 20U)));
  EXPECT_EQ(tokens, 1);
  EXPECT_EQ(main_.seen.size(), 3U);  // 401 once, then straight
  good = "t2";                       // the registry forgets the first
  ASSERT_TRUE(loop_.block_on(read_blob(s, describe(kBlob), 64U << 20U)));
  EXPECT_EQ(tokens, 2);
  good = "none";
  const auto refused = loop_.block_on(read_blob(s, describe(kBlob), 64U << 20U));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "image.unauthorized");
  EXPECT_LE(tokens, 6);  // and no endless quarrel
}

TEST_F(RegistryTest, ATokenThatRunsOutIsRenewedBefore) {
  int tokens = 0;
  other_.answer = [&](const ServerRequest&, ResponseWriter& w) {
    return send(w, 200, R"({"token":"t)" + std::to_string(++tokens) + R"(","expires_in":1})");
  };
  main_.answer = [&](const ServerRequest& r, ResponseWriter& w) {
    if (authorization(r) == "Bearer t" + std::to_string(tokens) && tokens > 0) return send(w, 200, kBlob);
    return send(w, 401, "", {{"WWW-Authenticate", "Bearer realm=\"" + other() + "/token\""}});
  };
  auto& s = source();
  ASSERT_TRUE(loop_.block_on(read_blob(s, describe(kBlob), 64U << 20U)));
  loop_.block_on(net::sleep_for(std::chrono::milliseconds(1100)));
  ASSERT_TRUE(loop_.block_on(read_blob(s, describe(kBlob), 64U << 20U)));
  EXPECT_EQ(tokens, 2);
  EXPECT_EQ(main_.seen.size(), 3U);  // no second 401: it was known to be over
}

TEST_F(RegistryTest, AnIdentityTokenIsExchangedByPost) {
  other_.answer = [&](const ServerRequest& r, ResponseWriter& w) {
    EXPECT_EQ(r.method, "POST");
    const auto form = net::Query::parse(r.body);
    EXPECT_TRUE(form);
    EXPECT_EQ(form->get("grant_type"), "refresh_token");
    EXPECT_EQ(form->get("refresh_token"), "idt");
    return send(w, 200, R"({"access_token":"good"})");
  };
  main_.answer = [&](const ServerRequest& r, ResponseWriter& w) {
    if (authorization(r) == "Bearer good") return send(w, 200, kBlob);
    return send(w, 401, "", {{"WWW-Authenticate", "Bearer realm=\"" + other() + "/token\",service=\"s\""}});
  };
  Credential c;
  c.identity_token = "idt";
  EXPECT_TRUE(blob(kBlob, {c}));
}

TEST_F(RegistryTest, CredentialsAreTriedInTheirOrderAndNobodyLast) {
  main_.answer = [&](const ServerRequest& r, ResponseWriter& w) {
    if (authorization(r) == "Basic " + base64_encode("second:pw")) return send(w, 200, kBlob);
    return send(w, 401, "", {{"WWW-Authenticate", "Basic realm=\"r\""}});
  };
  EXPECT_TRUE(blob(kBlob, {Credential{"first", "pw", "", ""}, Credential{"second", "pw", "", ""}}));
  const auto refused = blob(kBlob, {Credential{"first", "pw", "", ""}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "image.unauthorized");
  EXPECT_EQ(refused.error().message.find("pw"), std::string::npos);
}

TEST_F(RegistryTest, ATokenServerWithoutTlsFarAwayGetsNoCredentials) {
  main_.answer = [](const ServerRequest&, ResponseWriter& w) {
    return send(w, 401, "", {{"WWW-Authenticate", "Bearer realm=\"http://auth.example.com/token\""}});
  };
  EXPECT_EQ(blob(kBlob, {Credential{"ann", "pw", "", ""}}).error().code, "image.plain_http");
}

TEST_F(RegistryTest, AManifestIsHeldToItsDigest) {
  main_.answer = [](const ServerRequest& r, ResponseWriter& w) {
    EXPECT_NE(r.headers.get("Accept").find("image.index.v1+json"), std::string_view::npos);
    return send(w, 200, "{}", {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}});
  };
  auto& s = source();
  const auto by_tag = loop_.block_on(s.manifest("1"));
  ASSERT_TRUE(by_tag);
  EXPECT_EQ(by_tag->digest, "sha256:" + sha256_hex("{}"));
  EXPECT_TRUE(loop_.block_on(s.manifest(by_tag->digest)));
  EXPECT_EQ(loop_.block_on(s.manifest("sha256:" + std::string(64, '0'))).error().code,
            "image.digest_mismatch");
}

TEST_F(RegistryTest, WhatIsNotThereAndWhatIsRefusedAreToldApart) {
  main_.answer = [](const ServerRequest&, ResponseWriter& w) {
    return send(w, 404, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such\u001b[31m thing"}]})");
  };
  auto& s = source();
  const auto missing = loop_.block_on(s.manifest("1"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, "image.not_found");
  EXPECT_NE(missing.error().message.find("MANIFEST_UNKNOWN"), std::string::npos);
  EXPECT_EQ(missing.error().message.find('\x1b'), std::string::npos);
  main_.answer = [](const ServerRequest&, ResponseWriter& w) { return send(w, 418, "tea"); };
  EXPECT_EQ(loop_.block_on(s.manifest("1")).error().code, "image.registry");
}

TEST_F(RegistryTest, ClosingEndsWhatIsUnderWay) {
  main_.answer = [](const ServerRequest&, ResponseWriter& w) -> net::Task<> {
    (void)co_await w.begin(200, {});
    (void)co_await w.write("x");
    co_await net::sleep_for(std::chrono::seconds(5));
  };
  auto& s = source();
  loop_.spawn("close", [](Registry& r) -> net::Task<> {
    co_await net::sleep_for(std::chrono::milliseconds(100));
    r.close();
  }(*registry_));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_FALSE(loop_.block_on(read_blob(s, describe(kBlob), 64U << 20U)));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(4));
}

}  // namespace
}  // namespace oddjob::image
