#include "kube/client.hpp"

#include <gtest/gtest.h>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "kube/credentials.hpp"
#include "testing/fake_kube_api.hpp"

namespace oddjob::kube {
namespace {

using testing::Answer;
using testing::ApiTest;
using testing::Feed;
using testing::ok;
using testing::pod;
using testing::pod_list;
using testing::status;
using testing::TempDir;
using testing::text;

const std::string kGetPod = "GET /api/v1/namespaces/shop/pods/p";
const std::string kListPods = "GET /api/v1/namespaces/shop/pods";
const std::string kCreateJob = "POST /apis/batch/v1/namespaces/shop/jobs";

class ClientTest : public ApiTest {
 protected:
  Result<json::value> get_pod(Client& c) { return run(c.get(resources::pods, "shop", "p")); }
  Result<json::value> create_job(Client& c, WriteOptions o = {}) {
    json::value job = json::object{{"kind", "Job"}};
    return run(c.create(resources::jobs, "shop", std::move(job), o));
  }
  std::string header(std::size_t i, std::string_view name) {
    return std::string(api.seen.at(i).headers.get(name));
  }
};

// ---- what is sent -----------------------------------------------------------

TEST_F(ClientTest, WritesCarryFieldManagerAndDryRun) {
  api.add(kCreateJob, ok({{"kind", "Job"}}));
  Client c(loop, config(), quick());
  WriteOptions o;
  o.dry_run = true;
  o.field_manager = "tester";
  ASSERT_TRUE(create_job(c, o));
  EXPECT_EQ(api.seen[0].query.get("dryRun"), "All");
  EXPECT_EQ(api.seen[0].query.get("fieldManager"), "tester");
  EXPECT_EQ(header(0, "Content-Type"), "application/json");
}

TEST_F(ClientTest, PatchTypesAreTheirContentTypes) {
  const std::string key = "PATCH /apis/batch/v1/namespaces/shop/jobs/j";
  api.add(key, ok({{"kind", "Job"}}));
  api.add("PATCH /apis/batch/v1/namespaces/shop/jobs/j/status", ok({{"kind", "Job"}}));
  Client c(loop, config(), quick());
  const json::value p = json::object{{"spec", {{"suspend", false}}}};
  ASSERT_TRUE(run(c.patch(resources::jobs, "shop", "j", PatchType::merge, p)));
  ASSERT_TRUE(run(c.patch(resources::jobs, "shop", "j", PatchType::strategic, p)));
  ASSERT_TRUE(run(c.patch(resources::jobs, "shop", "j", PatchType::json_patch, json::array{}, {}, "status")));
  EXPECT_EQ(header(0, "Content-Type"), "application/merge-patch+json");
  EXPECT_EQ(header(1, "Content-Type"), "application/strategic-merge-patch+json");
  EXPECT_EQ(header(2, "Content-Type"), "application/json-patch+json");
  EXPECT_TRUE(api.seen[2].path.ends_with("/status"));
}

TEST_F(ClientTest, DeleteNamesPropagationAndPreconditions) {
  const std::string key = "DELETE /apis/batch/v1/namespaces/shop/jobs/j";
  api.add(key, ok({{"kind", "Status"}}));
  Client c(loop, config(), quick());
  DeleteOptions o;
  o.propagation = Propagation::foreground;
  o.uid = "u-1";
  o.resource_version = "7";
  o.grace_seconds = 0;
  ASSERT_TRUE(run(c.remove(resources::jobs, "shop", "j", o)));
  const auto body = parse_json(api.seen[0].body, "body").value();
  EXPECT_EQ(get_string(body, {"propagationPolicy"}), "Foreground");
  EXPECT_EQ(get_string(body, {"preconditions", "uid"}), "u-1");
  EXPECT_EQ(get_string(body, {"preconditions", "resourceVersion"}), "7");
  EXPECT_EQ(get_int(body, {"gracePeriodSeconds"}), 0);
}

TEST_F(ClientTest, DeletingWhatIsGoneIsSuccess) {
  api.add("DELETE /apis/batch/v1/namespaces/shop/jobs/j",
          status(404, "NotFound", "jobs.batch \"j\" not found"));
  Client c(loop, config(), quick());
  EXPECT_TRUE(run(c.remove(resources::jobs, "shop", "j")));
}

TEST_F(ClientTest, LogAsksForWhatIsWantedAndStreams) {
  Answer a = text(200, "text/plain", "");
  a.feed = std::make_shared<Feed>();
  a.feed->push("one\n");
  api.add("GET /api/v1/namespaces/shop/pods/p/log", a);
  Client c(loop, config(), quick());
  LogOptions o;
  o.container = "main";
  o.follow = o.timestamps = o.previous = true;
  o.since_time = "2026-01-02T03:04:05Z";
  o.limit_bytes = 10;
  auto stream = run(c.log("shop", "p", o));
  ASSERT_TRUE(stream) << stream.error().message;
  EXPECT_EQ(run(stream->read()).value(), "one\n");
  const auto& q = api.seen[0].query;
  EXPECT_EQ(q.get("container"), "main");
  EXPECT_TRUE(q.flag("follow") && q.flag("timestamps") && q.flag("previous"));
  EXPECT_EQ(q.get("sinceTime"), "2026-01-02T03:04:05Z");
  EXPECT_EQ(q.get("limitBytes"), "10");
  a.feed->close();
  EXPECT_EQ(run(stream->read()).value(), "");
}

TEST_F(ClientTest, LogOfAContainerThatIsNotThereYetIsTheServersSentence) {
  api.add(
      "GET /api/v1/namespaces/shop/pods/p/log",
      status(400, "BadRequest", "container \"main\" in pod \"p\" is waiting to start: ContainerCreating"));
  Client c(loop, config(), quick());
  const auto stream = run(c.log("shop", "p", {}));
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, "kube.invalid");
  EXPECT_NE(stream.error().message.find("ContainerCreating"), std::string::npos);
}

TEST_F(ClientTest, ImpersonationAndBasicCredentialsAreSent) {
  api.add(kGetPod, ok(pod("p", "1")));
  Config cfg = config();
  cfg.username = "ann";
  cfg.password = "pw";
  cfg.impersonate_user = "bot";
  cfg.impersonate_groups = {"a", "b"};
  cfg.impersonate_extra["Scopes/X"] = {"read"};
  Client c(loop, cfg, quick());
  ASSERT_TRUE(get_pod(c));
  EXPECT_EQ(header(0, "Authorization"), "Basic " + base64_encode("ann:pw"));
  EXPECT_EQ(header(0, "Impersonate-User"), "bot");
  EXPECT_EQ(header(0, "Impersonate-Extra-scopes%2Fx"), "read");
  int groups = 0;
  for (const auto& [k, v] : api.seen[0].headers) groups += ascii_lower(k) == "impersonate-group" ? 1 : 0;
  EXPECT_EQ(groups, 2);
}

TEST_F(ClientTest, VersionIsParsedAsManagedClustersWriteItAndAskedOnce) {
  api.add("GET /version", ok({{"major", "1"}, {"minor", "28+"}, {"gitVersion", "v1.28.5-eks"}}));
  Client c(loop, config(), quick());
  ASSERT_TRUE(run(c.version()));
  const auto v = run(c.version());
  ASSERT_TRUE(v);
  EXPECT_EQ(v->major, 1);
  EXPECT_EQ(v->minor, 28);
  EXPECT_EQ(v->git, "v1.28.5-eks");
  EXPECT_EQ(api.seen.size(), 1U);
}

// ---- lists ------------------------------------------------------------------

TEST_F(ClientTest, ListFollowsContinueAndCompletesItems) {
  api.add(kListPods, ok(pod_list("10", {pod("a", "1"), pod("b", "2")}, "next/=+1")));
  api.add(kListPods, ok(pod_list("10", {pod("c", "3")})));
  Client c(loop, config(), quick());
  ListOptions o;
  o.name_space = "shop";
  o.label_selector = "app in (a,b),x!=y";
  o.page_size = 2;
  const auto r = run(c.list(resources::pods, o));
  ASSERT_TRUE(r) << r.error().message;
  ASSERT_EQ(r->items.size(), 3U);
  EXPECT_EQ(r->resource_version, "10");
  EXPECT_EQ(get_string(r->items[2], {"kind"}), "Pod");
  EXPECT_EQ(get_string(r->items[2], {"apiVersion"}), "v1");
  EXPECT_EQ(api.seen[0].query.get("limit"), "2");
  EXPECT_EQ(api.seen[0].query.get("labelSelector"), "app in (a,b),x!=y");
  EXPECT_EQ(api.seen[1].query.get("continue"), "next/=+1");
  EXPECT_EQ(api.seen[1].query.get("labelSelector"), "app in (a,b),x!=y");
}

TEST_F(ClientTest, AnExpiredContinueTokenRestartsTheListOnce) {
  api.add(kListPods, ok(pod_list("10", {pod("a", "1")}, "t1")));
  api.add(kListPods, status(410, "Expired", "The provided continue parameter is too old"));
  api.add(kListPods, ok(pod_list("20", {pod("b", "2")}, "t2")));
  api.add(kListPods, ok(pod_list("20", {pod("c", "3")})));
  Client c(loop, config(), quick());
  ListOptions o;
  o.name_space = "shop";
  auto r = run(c.list(resources::pods, o));
  ASSERT_TRUE(r) << r.error().message;
  ASSERT_EQ(r->items.size(), 2U);
  EXPECT_EQ(get_string(r->items[0], {"metadata", "name"}), "b");
  EXPECT_EQ(r->resource_version, "20");
}

TEST_F(ClientTest, MetadataOnlyListsHoldTheRealKindAndNothingMoreEvenFromServersThatSendAll) {
  api.add(kListPods, ok(pod_list("10", {pod("a", "1")})));
  Client c(loop, config(), quick());
  ListOptions o;
  o.name_space = "shop";
  o.metadata_only = true;
  const auto r = run(c.list(resources::pods, o));
  ASSERT_TRUE(r);
  EXPECT_NE(header(0, "Accept").find("as=PartialObjectMetadataList"), std::string::npos);
  EXPECT_EQ(get_string(r->items[0], {"kind"}), "Pod");
  EXPECT_EQ(find(r->items[0], {"spec"}), nullptr);
  EXPECT_EQ(get_string(r->items[0], {"metadata", "name"}), "a");
}

TEST_F(ClientTest, AListOverItsBoundIsAnErrorAndNotATruncatedList) {
  api.add(kListPods, ok(pod_list("10", {pod("a", "1"), pod("b", "2")}, "more")));
  Client c(loop, config(), quick());
  ListOptions o;
  o.name_space = "shop";
  o.max_items = 3;
  const auto r = run(c.list(resources::pods, o));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.list_too_large");
}

TEST_F(ClientTest, AServerThatSendsEmptyPagesForEverIsLeft) {
  api.add(kListPods, ok(pod_list("10", {}, "again")));
  Client c(loop, config(), quick());
  ListOptions o;
  o.name_space = "shop";
  EXPECT_FALSE(run(c.list(resources::pods, o)));
}

TEST_F(ClientTest, LargePagesAreParsedAside) {
  std::vector<json::value> many;
  for (int i = 0; i < 3000; ++i) many.push_back(pod("pod-" + std::to_string(i), std::to_string(i)));
  api.add(kListPods, ok(pod_list("10", many)));
  Client c(loop, config(), quick());
  ListOptions o;
  o.name_space = "shop";
  const auto r = run(c.list(resources::pods, o));
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->items.size(), 3000U);
}

// ---- retries ----------------------------------------------------------------

TEST_F(ClientTest, ThrottledReadsAndWritesAreRepeatedAfterRetryAfter) {
  Answer slow = status(429, "TooManyRequests", "slow down");
  slow.headers = {{"Retry-After", "1"}};
  for (const auto& key : {kGetPod, kCreateJob}) {
    api.add(key, slow);
    api.add(key, ok({{"kind", "x"}}));
  }
  Client c(loop, config(), quick());
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(get_pod(c));
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(950));
  EXPECT_TRUE(create_job(c));
  EXPECT_EQ(api.seen.size(), 4U);
}

TEST_F(ClientTest, ARetryAfterBeyondTheDeadlineIsToldAtOnce) {
  Answer slow = status(429, "TooManyRequests", "slow down");
  slow.headers = {{"Retry-After", "3600"}};
  api.add(kGetPod, slow);
  Client c(loop, config(), quick());
  const auto began = std::chrono::steady_clock::now();
  const auto r = get_pod(c);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.too_many_requests");
  EXPECT_EQ(r.error().retry_after_seconds, 3600);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
}

TEST_F(ClientTest, ReadsAreRepeatedOn503ButWritesAreNot) {
  api.add(kGetPod, status(503, "ServiceUnavailable", "later"));
  api.add(kGetPod, ok(pod("p", "1")));
  api.add(kCreateJob, status(503, "ServiceUnavailable", "later"));
  api.add(kCreateJob, ok({{"kind", "Job"}}));
  Client c(loop, config(), quick());
  EXPECT_TRUE(get_pod(c));
  const auto w = create_job(c);
  ASSERT_FALSE(w);
  EXPECT_EQ(w.error().code, "kube.server_error");
  EXPECT_EQ(api.count(kCreateJob), 1U);
}

TEST_F(ClientTest, A500IsToldAtOnce) {
  api.add(kGetPod, status(500, "InternalError", "etcdserver: request timed out"));
  Client c(loop, config(), quick());
  const auto r = get_pod(c);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.server_error");
  EXPECT_NE(r.error().message.find("etcdserver"), std::string::npos);
  EXPECT_EQ(api.seen.size(), 1U);
}

TEST_F(ClientTest, AServerThatIsDownIsTriedAFewTimesThenNamed) {
  Config cfg;
  cfg.server = "http://127.0.0.1:1";
  Client c(loop, cfg, quick());
  const auto r = get_pod(c);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "http.connect");
  EXPECT_NE(r.error().message.find("127.0.0.1:1"), std::string::npos) << r.error().message;
}

TEST_F(ClientTest, ASlowServerEndsAtTheDeadline) {
  Answer a;
  a.hang = true;
  api.add(kGetPod, a);
  auto o = quick();
  o.call_timeout = Duration(300);
  Client c(loop, config(), o);
  const auto r = get_pod(c);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "http.timeout");
}

// ---- what is not an API server's answer ---------------------------------------

struct Odd {
  std::string name, type, body, says;
};
class OddAnswer : public ApiTest, public ::testing::WithParamInterface<Odd> {};
TEST_P(OddAnswer, IsOneClearError) {
  api.add(kGetPod, text(200, GetParam().type, GetParam().body));
  Client c(loop, config(), quick());
  const auto r = run(c.get(resources::pods, "shop", "p"));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.not_json");
  EXPECT_NE(r.error().message.find(GetParam().says), std::string::npos) << r.error().message;
  EXPECT_NE(r.error().message.find(kGetPod), std::string::npos) << r.error().message;
  EXPECT_LT(r.error().message.size(), 500U);
}
INSTANTIATE_TEST_SUITE_P(
    All, OddAnswer,
    ::testing::Values(Odd{"html", "text/html", "<html>Please log in</html>", "Please log in"},
                      Odd{"half_json", "application/json", R"({"kind":"Pod","metad)", "cut short"},
                      Odd{"array", "application/json", "[1,2]", "not a JSON object"},
                      Odd{"empty", "application/json", "", "empty"},
                      Odd{"two_documents", "application/json", "{} {}", "malformed"},
                      Odd{"deep", "application/json", "{\"a\":" + std::string(5000, '['), "malformed"}),
    [](const auto& i) { return i.param.name; });

TEST_F(ClientTest, ABodyOverTheBoundIsRefusedWhileItArrives) {
  Answer a = text(200, "application/json", "");
  a.feed = std::make_shared<Feed>();
  for (int i = 0; i < 64; ++i) a.feed->push(std::string(65536, ' '));  // and never an end
  api.add(kGetPod, a);
  auto o = quick();
  o.max_body = 1U << 20U;
  Client c(loop, config(), o);
  const auto r = get_pod(c);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "http.too_large");
}

TEST_F(ClientTest, ACutBodyIsReadAgain) {
  Answer cut = text(200, "application/json", "");
  cut.feed = std::make_shared<Feed>();
  cut.feed->push("{\"kind\":");
  cut.feed->break_off();
  api.add(kGetPod, cut);
  api.add(kGetPod, ok(pod("p", "1")));
  Client c(loop, config(), quick());
  const auto r = get_pod(c);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(api.seen.size(), 2U);
}

// ---- credentials --------------------------------------------------------------

TEST_F(ClientTest, ARotatedTokenFileIsReadAgainAfter401) {
  TempDir dir;
  const auto file = dir.write("token", "old\n");
  Answer refused = status(401, "Unauthorized", "Unauthorized");
  refused.before = [&] { dir.write("token", "new\n"); };
  api.add(kGetPod, refused);
  api.add(kGetPod, ok(pod("p", "1")));
  Config cfg = config();
  cfg.token_file = file;
  Client c(loop, cfg, quick());
  const auto r = get_pod(c);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(header(0, "Authorization"), "Bearer old");
  EXPECT_EQ(header(1, "Authorization"), "Bearer new");
}

TEST_F(ClientTest, AWriteIsRepeatedAfter401Too) {
  TempDir dir;
  api.add(kCreateJob, status(401, "Unauthorized", "Unauthorized"));
  api.add(kCreateJob, ok({{"kind", "Job"}}));
  Config cfg = config();
  cfg.token_file = dir.write("token", "t");
  Client c(loop, cfg, quick());
  EXPECT_TRUE(create_job(c));
}

TEST_F(ClientTest, AFixedTokenThatIsRefusedIsNotSentAgainNorNamed) {
  api.add(kGetPod, status(401, "Unauthorized", "Unauthorized"));
  Config cfg = config();
  cfg.token = "sesame-open";
  Client c(loop, cfg, quick());
  const auto r = get_pod(c);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.unauthorized");
  EXPECT_EQ((r.error().message + r.error().hint).find("sesame"), std::string::npos);
  EXPECT_EQ(api.seen.size(), 1U);
}

TEST_F(ClientTest, ATokenFileThatVanishesKeepsTheLastToken) {
  TempDir dir;
  Config cfg = config();
  cfg.token_file = dir.write("token", "t1");
  api.add(kGetPod, ok(pod("p", "1")));
  Client c(loop, cfg, quick());
  ASSERT_TRUE(get_pod(c));
  std::filesystem::remove(cfg.token_file);
  EXPECT_TRUE(get_pod(c));
}

TEST_F(ClientTest, ATokenFileThatWasNeverThereIsNamed) {
  Config cfg = config();
  cfg.token_file = "/nowhere/token";
  Client c(loop, cfg, quick());
  const auto r = get_pod(c);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.token_unreadable");
  EXPECT_NE(r.error().message.find("/nowhere/token"), std::string::npos);
  EXPECT_TRUE(api.seen.empty());
}

class ExecClientTest : public ClientTest {
 protected:
  // A plugin that counts its runs and gives token t<n>.
  Config exec_config(std::string_view expiry = "") {
    Config cfg = config();
    ExecPlugin p;
    p.api_version = "client.authentication.k8s.io/v1";
    p.command = dir.script("plugin", fmt::format(R"(echo x >> "{0}"
n=$(wc -l < "{0}")
echo '{{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{{"token":"t'$n'"{1}}}}}'
)",
                                                 dir / "runs", expiry));
    cfg.exec = p;
    return cfg;
  }
  TempDir dir;
};

TEST_F(ExecClientTest, ThePluginRunsOnceAndItsTokenIsKept) {
  api.add(kGetPod, ok(pod("p", "1")));
  Client c(loop, exec_config(), quick());
  ASSERT_TRUE(get_pod(c));
  ASSERT_TRUE(get_pod(c));
  EXPECT_EQ(header(0, "Authorization"), "Bearer t1");
  EXPECT_EQ(header(1, "Authorization"), "Bearer t1");
}

TEST_F(ExecClientTest, AnExpiredTokenIsReplacedBeforeItIsUsed) {
  api.add(kGetPod, ok(pod("p", "1")));
  Client c(loop, exec_config(R"(,"expirationTimestamp":"2020-01-01T00:00:00Z")"), quick());
  ASSERT_TRUE(get_pod(c));
  ASSERT_TRUE(get_pod(c));
  EXPECT_EQ(header(1, "Authorization"), "Bearer t2");
}

TEST_F(ExecClientTest, A401RunsThePluginAgainOnce) {
  api.add(kGetPod, status(401, "Unauthorized", "Unauthorized"));
  api.add(kGetPod, ok(pod("p", "1")));
  Client c(loop, exec_config(), quick());
  ASSERT_TRUE(get_pod(c));
  EXPECT_EQ(header(1, "Authorization"), "Bearer t2");
}

TEST_F(ExecClientTest, ConcurrentCallsShareOneRun) {
  api.add(kGetPod, ok(pod("p", "1")));
  Client c(loop, exec_config(), quick());
  int left = 5;
  auto one = [](Client& client, int& n) -> net::Task<> {
    const auto r = co_await client.get(resources::pods, "shop", "p");
    EXPECT_TRUE(r);
    --n;
  };
  for (int i = 0; i < 5; ++i) loop.spawn("test", one(c, left));
  EXPECT_TRUE(until([&] { return left == 0; }));
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(header(i, "Authorization"), "Bearer t1");
}

TEST_F(ExecClientTest, AFailingPluginIsTheErrorAndNothingIsSent) {
  Config cfg = exec_config();
  cfg.exec->command = dir.script("bad", "echo 'please run: cloud login' >&2; exit 1\n");
  Client c(loop, cfg, quick());
  const auto r = get_pod(c);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.exec_failed");
  EXPECT_NE(r.error().message.find("cloud login"), std::string::npos) << r.error().message;
  EXPECT_TRUE(api.seen.empty());
}

TEST_F(ExecClientTest, ASlowPluginDoesNotBlockTheLoopNorOutliveTheDeadline) {
  Config cfg = exec_config();
  cfg.exec->command = dir.script("slow", "sleep 60\n");
  auto o = quick();
  o.call_timeout = Duration(400);
  o.exec_timeout = Duration(2000);
  Client c(loop, cfg, o);
  int ticks = 0;
  bool done = false;
  bool ended = false;
  auto ticker = [](int& n, bool& stop, bool& out) -> net::Task<> {
    while (!stop) {
      ++n;
      co_await net::sleep_for(Duration(10));
    }
    out = true;
  };
  loop.spawn("ticker", ticker(ticks, done, ended));
  const auto r = get_pod(c);
  done = true;
  EXPECT_TRUE(until([&] { return ended; }));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.exec_timeout");
  EXPECT_GT(ticks, 10);
}

TEST_F(ClientTest, CredentialsAreNotSentInTheClearToOtherMachines) {
  const std::pair<std::string, bool> servers[] = {
      {"https://api.example", true}, {"http://127.0.0.1:8080", true}, {"http://[::1]:8080", true},
      {"http://localhost:1", true},  {"http://10.0.0.1:8080", false}, {"http://localhost.evil", false}};
  for (const auto& [server, sent] : servers) {
    Config cfg;
    cfg.server = server;
    cfg.token = "t";
    auto credentials = std::make_shared<Credentials>(loop, cfg, std::chrono::seconds(1));
    const auto now = run(Credentials::current(credentials, Steady::now() + std::chrono::seconds(1)));
    ASSERT_TRUE(now);
    EXPECT_EQ(!now->authorization.empty(), sent) << server;
  }
}

TEST_F(ClientTest, DestroyingTheClientEndsItsCalls) {
  Answer a;
  a.hang = true;
  api.add(kGetPod, a);
  auto c = std::make_unique<Client>(loop, config(), quick());
  std::optional<Result<json::value>> got;
  auto one = [](Client& client, std::optional<Result<json::value>>& out) -> net::Task<> {
    auto task = client.get(resources::pods, "shop", "p");
    out.emplace(co_await std::move(task));
  };
  loop.spawn("test", one(*c, got));
  ASSERT_TRUE(until([&] { return api.seen.size() == 1; }));
  c.reset();
  ASSERT_TRUE(until([&] { return got.has_value(); }));
  ASSERT_FALSE(*got);
  EXPECT_EQ(got->error().code, "kube.client_closed");
}

TEST_F(ClientTest, ARawCallGivesWhateverTheServerSays) {
  api.add("GET /openapi/v2", text(404, "text/plain", "404 page not found"));
  Client c(loop, config(), quick());
  const auto r = run(c.raw("GET", "/openapi/v2?x=1"));
  ASSERT_TRUE(r);
  EXPECT_EQ(r->status, 404);
  EXPECT_EQ(api.seen[0].query.get("x"), "1");
  EXPECT_FALSE(run(c.raw("GET", "http://elsewhere/")));
}

}  // namespace
}  // namespace oddjob::kube
