#include "support.hpp"

namespace oddjob::net {
namespace {

using testing::Bench;
using testing::pki;
using testing::tls_server;

Task<> name_the_client(const ServerRequest& request, ResponseWriter& writer) {
  ServerResponse response;
  response.headers.add("X-Host", std::string(request.headers.get("Host")));
  response.body = request.client_cert_pem;
  co_await writer.send(std::move(response));
}

Result<HttpResponse> get_with(TlsClientOptions tls, ServerOptions server = tls_server()) {
  Bench bench;
  HttpClientOptions options;
  options.tls = std::move(tls);
  bench.serve(name_the_client, std::move(server), std::move(options));
  return bench.get("/");
}

TlsClientOptions trusting() {
  TlsClientOptions tls;
  tls.ca_pem = pki().ca;
  return tls;
}

TEST(TlsTest, TheRightCaIsTrusted) {
  const auto response = get_with(trusting());
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "") << "no certificate was sent";
}

TEST(TlsTest, AnotherCaIsNot) {
  TlsClientOptions tls;
  tls.ca_pem = pki().other_ca;
  const auto response = get_with(tls);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, "http.tls");
  EXPECT_NE(response.error().message.find("certificate"), std::string::npos) << response.error().message;
  tls.ca_pem.clear();
  HttpClientOptions system;
  Bench bench;
  bench.serve(name_the_client, tls_server(), system);
  HttpClient stranger(bench.loop, {});
  HttpRequest request;
  request.url = bench.url();
  EXPECT_EQ(bench.loop.block_on(stranger.fetch(std::move(request))).error().code, "http.tls")
      << "nor is it the system's";
}

TEST(TlsTest, ANameThatIsNotInTheCertificateIsRefused) {
  auto tls = trusting();
  tls.server_name = "somebody-else.example";
  const auto response = get_with(tls);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, "http.tls");
}

TEST(TlsTest, TheNameToCheckCanBeSetWhileHostStaysTheAddress) {
  auto tls = trusting();
  tls.server_name = "localhost";
  const auto response = get_with(tls);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_TRUE(response->headers.get("X-Host").starts_with("127.0.0.1:"));
}

TEST(TlsTest, CheckingCanBeTurnedOff) {
  TlsClientOptions tls;
  tls.ca_pem = pki().other_ca;
  tls.insecure_skip_verify = true;
  EXPECT_TRUE(get_with(tls));
}

TEST(TlsTest, AClientCertificateReachesTheHandler) {
  auto tls = trusting();
  tls.client_cert_pem = pki().client_cert;
  tls.client_key_pem = pki().client_key;
  const auto response = get_with(tls);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_NE(pki().client_cert.find(response->body), std::string::npos);
  EXPECT_TRUE(response->body.starts_with("-----BEGIN CERTIFICATE-----"));
}

TEST(TlsTest, AClientCertificateOfAnotherCaNamesNobody) {
  auto tls = trusting();
  tls.client_cert_pem = pki().other_cert;
  tls.client_key_pem = pki().other_key;
  const auto response = get_with(tls);
  if (response) {
    EXPECT_EQ(response->body, "");
  } else {
    EXPECT_EQ(response.error().code, "http.tls") << response.error().message;
  }
}

Task<> show_what_came(const ServerRequest& request, ResponseWriter& writer) {
  ServerResponse response;
  response.headers.add("X-Verified", request.client_cert_pem.empty() ? "no" : "yes");
  response.body = request.unverified_client_chain_pem;
  co_await writer.send(std::move(response));
}

TEST(TlsTest, ACertificateOfAnyAuthorityIsHandedOnUnverifiedWhereTheHandlerChecks) {
  for (const bool named : {false, true}) {
    Bench bench;
    HttpClientOptions options;
    options.tls = trusting();
    options.tls.client_cert_pem = pki().other_cert + pki().other_ca;
    options.tls.client_key_pem = pki().other_key;
    auto server = tls_server();
    server.client_ca_pem.clear();
    server.ask_client_cert = true;
    bench.serve(show_what_came, std::move(server), std::move(options));
    if (named) {
      ASSERT_TRUE(bench.server->name_client_authorities(pki().other_ca));
    }
    const auto response = bench.get("/");
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->headers.get("X-Verified"), "no");
    EXPECT_TRUE(response->body.starts_with("-----BEGIN CERTIFICATE-----"));
    EXPECT_NE(pki().other_cert.find(response->body.substr(0, response->body.find("-----END"))),
              std::string::npos)
        << "its own comes first";
  }
}

TEST(TlsTest, WhoIsNotAskedForIsStillServed) {
  Bench bench;
  auto server = tls_server();
  server.client_ca_pem.clear();
  server.ask_client_cert = true;
  bench.serve(show_what_came, std::move(server));
  const auto response = bench.get("/");
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "");
  Bench plain;
  plain.serve(show_what_came);
  EXPECT_EQ(plain.server->name_client_authorities(pki().ca).error().code, "server.tls");
}

TEST(TlsTest, AClientCertificateWithoutItsKeyIsAnErrorOfTheClient) {
  auto tls = trusting();
  tls.client_cert_pem = pki().client_cert;
  tls.client_key_pem = pki().other_key;
  const auto response = get_with(tls);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, "http.tls");
}

TEST(TlsTest, AServerRefusesMaterialThatDoesNotBelongTogether) {
  Loop loop;
  for (const auto& [cert, key] :
       std::vector<std::pair<std::string, std::string>>{{pki().server_cert, pki().client_key},
                                                        {"rubbish", pki().server_key},
                                                        {pki().server_cert, "rubbish"},
                                                        {pki().server_cert, ""}}) {
    ServerOptions options;
    options.cert_pem = cert;
    options.key_pem = key;
    HttpServer server(loop, options, name_the_client);
    EXPECT_EQ(server.start().error().code, "server.tls");
  }
}

TEST(TlsTest, PlainHttpToATlsPortAndTheReverseAreErrors) {
  Bench bench;
  bench.serve(name_the_client, tls_server());
  HttpRequest request;
  request.url = "http" + bench.url("/").substr(5);
  EXPECT_EQ(bench.fetch(request).error().code, "http.broken");
  Bench plain;
  plain.serve(name_the_client);
  request.url = "https" + plain.url("/").substr(4);
  EXPECT_EQ(plain.fetch(request).error().code, "http.tls");
}

TEST(TlsTest, AConnectionThatEndsInTheHandshakeLeavesNothingBehind) {
  Bench bench;
  auto options = tls_server();
  options.header_timeout = std::chrono::milliseconds(60);
  bench.serve(name_the_client, options);
  const int port = bench.server->port();
  bench.beside([=] {
    testing::RawClient silent(port), rude(port);
    rude.send("\x16\x03\x01");
    rude.close();
    EXPECT_TRUE(silent.closed());
  });
  EXPECT_TRUE(bench.until([&] { return bench.server->connections() == 0; }));
  EXPECT_TRUE(bench.get("/"));
}

}  // namespace
}  // namespace oddjob::net
