// The HTTP face of the dev cluster, over TLS.
#include <chrono>

#include "net/sse.hpp"
#include "support.hpp"

namespace oddjob::devcluster {
namespace {

class ApiTest : public ::testing::Test {
 protected:
  void SetUp() override { start({}); }
  void TearDown() override { stop(); }

  void start(ClusterOptions options) {
    options.directory = folder.path;
    options.run_pods = false;
    cluster = std::make_unique<Cluster>(loop, std::move(options));
    ASSERT_TRUE(cluster->start());
    net::HttpClientOptions http;
    http.tls = admin_tls(cluster->kubeconfig_path());
    client = std::make_unique<net::HttpClient>(loop, http);
    http.tls.client_cert_pem = http.tls.client_key_pem = "";
    stranger = std::make_unique<net::HttpClient>(loop, http);
  }
  void stop() {
    client.reset();
    stranger.reset();
    if (cluster) loop.block_on(cluster->stop());
    cluster.reset();
  }

  struct Answer {
    int status = 0;
    json::value body;
    net::Headers headers;
  };
  net::HttpRequest request(std::string method, std::string_view path, std::string body = {}) {
    net::HttpRequest r;
    r.method = std::move(method);
    r.url = cluster->server_url() + std::string(path);
    r.body = std::move(body);
    r.headers.add("Content-Type", "application/json");
    return r;
  }
  Answer send(net::HttpRequest r, bool known = true) {
    auto got = loop.block_on((known ? *client : *stranger).fetch(std::move(r)));
    EXPECT_TRUE(got) << got.error().message;
    if (!got) return {};
    auto body = parse_json(got->body, "answer");
    return {got->status, body ? *body : json::value(), got->headers};
  }
  Answer get(std::string_view path, std::string_view accept = "") {
    auto r = request("GET", path);
    if (!accept.empty()) r.headers.add("Accept", std::string(accept));
    return send(std::move(r));
  }
  Answer post(std::string_view path, std::string body) {
    return send(request("POST", path, std::move(body)));
  }
  void config_maps(int n) {
    for (int i = 0; i < n; ++i)
      ASSERT_EQ(post("/api/v1/namespaces/kube-public/configmaps",
                     fmt::format(R"({{"metadata":{{"name":"c{:03}"}}}})", i))
                    .status,
                201);
  }
  // Lines of a watch until there are `n`, or five seconds are over.
  std::vector<json::value> watch(std::string_view path, std::size_t n, std::string_view accept = "") {
    auto r = request("GET", path);
    if (!accept.empty()) r.headers.add("Accept", std::string(accept));
    struct Go {
      static net::Task<std::vector<json::value>> on(net::HttpClient& client, net::HttpRequest wanted,
                                                    std::size_t enough) {
        std::vector<json::value> out;
        wanted.idle_timeout = std::chrono::seconds(5);
        auto stream = co_await client.open(std::move(wanted));
        if (!stream) co_return out;
        net::LineReader lines(1U << 20U);
        while (out.size() < enough) {
          auto bytes = co_await stream->read();
          if (!bytes || bytes->empty()) break;
          auto split = lines.feed(*bytes);
          if (!split) break;
          for (const auto& line : *split) out.push_back(parse_json(line, "line").value_or(json::value()));
        }
        co_return out;
      }
    };
    return loop.block_on(Go::on(*client, std::move(r), n));
  }
  static std::string message(const Answer& a) { return std::string(get_string(a.body, {"message"})); }

  TempFolder folder;
  net::Loop loop;
  std::unique_ptr<Cluster> cluster;
  std::unique_ptr<net::HttpClient> client, stranger;
};

constexpr std::string_view kTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
constexpr std::string_view kMetadata =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

TEST_F(ApiTest, WhoIsNobodyIsRefused) {
  EXPECT_EQ(send(request("GET", "/api/v1/pods"), false).status, 401);
  auto r = request("GET", "/api/v1/pods");
  r.headers.add("Authorization", "Bearer made-up");
  EXPECT_EQ(send(std::move(r), false).status, 401);
}

TEST_F(ApiTest, AnErrorIsAStatus) {
  const auto a = get("/apis/batch/v1/namespaces/default/jobs/no");
  EXPECT_EQ(a.status, 404);
  EXPECT_EQ(get_string(a.body, {"kind"}), "Status");
  EXPECT_EQ(get_string(a.body, {"reason"}), "NotFound");
  EXPECT_EQ(message(a), "jobs.batch \"no\" not found");
  EXPECT_EQ(get("/apis/none/v1/things").status, 404);
  EXPECT_EQ(post("/api/v1/namespaces/default/configmaps", "{").status, 400);
  EXPECT_EQ(
      post("/api/v1/namespaces/default/configmaps", R"({"kind":"Secret","metadata":{"name":"x"}})").status,
      400);
  EXPECT_EQ(send(request("PUT", "/api/v1/namespaces/default/configmaps", "{}")).status, 405);
  EXPECT_EQ(post("/api/v1/namespaces/default/configmaps", std::string(4U << 20U, ' ')).status, 413);
}

TEST_F(ApiTest, PagesOfAListAreOneSnapshot) {
  config_maps(5);
  const std::string base = "/api/v1/namespaces/kube-public/configmaps?limit=2";
  auto page = get(base);
  EXPECT_EQ(get_int(page.body, {"metadata", "remainingItemCount"}), 4) << "with kube-root-ca.crt";
  const auto version = std::string(get_string(page.body, {"metadata", "resourceVersion"}));
  // What comes and goes between pages is not seen in them.
  EXPECT_EQ(send(request("DELETE", "/api/v1/namespaces/kube-public/configmaps/c003")).status, 200);
  EXPECT_EQ(post("/api/v1/namespaces/kube-public/configmaps", R"({"metadata":{"name":"c0035"}})").status,
            201);
  std::vector<std::string> names;
  for (;;) {
    for (const auto& item : *find_array(page.body, {"items"}))
      names.emplace_back(get_string(item, {"metadata", "name"}));
    EXPECT_EQ(get_string(page.body, {"metadata", "resourceVersion"}), version);
    const auto token = get_string(page.body, {"metadata", "continue"});
    if (token.empty()) break;
    page = get(base + "&continue=" + std::string(token));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"c000", "c001", "c002", "c003", "c004", "kube-root-ca.crt"}));
  EXPECT_EQ(get(base + "&continue=nonsense").status, 400);
}

TEST_F(ApiTest, AnOldContinueTokenAndAnOldWatchAreExpired) {
  stop();
  ClusterOptions small;
  small.watch_history = 10;
  start(small);
  config_maps(3);
  const auto token = std::string(
      get_string(get("/api/v1/namespaces/kube-public/configmaps?limit=1").body, {"metadata", "continue"}));
  const auto version =
      std::string(get_string(get("/api/v1/configmaps").body, {"metadata", "resourceVersion"}));
  for (int i = 0; i < 12; ++i)
    ASSERT_EQ(post("/api/v1/namespaces/default/secrets", fmt::format(R"({{"metadata":{{"name":"s{}"}}}})", i))
                  .status,
              201);
  const auto late = get("/api/v1/namespaces/kube-public/configmaps?limit=1&continue=" + token);
  EXPECT_EQ(late.status, 410);
  EXPECT_EQ(get_string(late.body, {"reason"}), "Expired");
  const auto lines = watch("/api/v1/configmaps?watch=1&resourceVersion=" + version, 1);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(get_string(lines[0], {"type"}), "ERROR");
  EXPECT_EQ(get_int(lines[0], {"object", "code"}), 410);
  EXPECT_EQ(get("/api/v1/configmaps?resourceVersion=99999999999999").status, 504)
      << "a version of the future";
}

TEST_F(ApiTest, AWatchGoesOnFromAVersionAndEndsWithABookmark) {
  config_maps(1);
  const auto version =
      std::string(get_string(get("/api/v1/configmaps").body, {"metadata", "resourceVersion"}));
  ASSERT_EQ(
      post("/api/v1/namespaces/kube-public/configmaps", R"({"metadata":{"name":"new","labels":{"a":"b"}}})")
          .status,
      201);
  const auto lines = watch(
      "/api/v1/configmaps?watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion=" + version, 10);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(get_string(lines[0], {"type"}), "ADDED");
  EXPECT_EQ(get_string(lines[0], {"object", "metadata", "name"}), "new");
  EXPECT_EQ(get_string(lines[1], {"type"}), "BOOKMARK");
}

TEST_F(ApiTest, AWatchBySelectorSeesObjectsComeIntoItAndLeave) {
  config_maps(1);
  const auto version =
      std::string(get_string(get("/api/v1/configmaps").body, {"metadata", "resourceVersion"}));
  for (const auto* label : {R"({"metadata":{"labels":{"a":"b"}}})", R"({"metadata":{"labels":{"c":"d"}}})",
                            R"({"metadata":{"labels":{"a":null}}})"}) {
    auto r = request("PATCH", "/api/v1/namespaces/kube-public/configmaps/c000", label);
    r.headers.set("Content-Type", "application/merge-patch+json");
    ASSERT_EQ(send(std::move(r)).status, 200);
  }
  const auto lines =
      watch("/api/v1/configmaps?watch=1&labelSelector=a%3Db&timeoutSeconds=1&resourceVersion=" + version, 10);
  std::vector<std::string> types;
  for (const auto& l : lines) types.emplace_back(get_string(l, {"type"}));
  EXPECT_EQ(types, (std::vector<std::string>{"ADDED", "MODIFIED", "DELETED"}));
}

TEST_F(ApiTest, TablesAndMetadataComeWhenAskedFor) {
  config_maps(1);
  const auto table = get("/api/v1/namespaces/kube-public/configmaps", kTable).body;
  EXPECT_EQ(get_string(table, {"kind"}), "Table");
  EXPECT_EQ(get_string(find_array(table, {"columnDefinitions"})->at(1), {"name"}), "Data");
  EXPECT_EQ(get_string(find_array(table, {"rows"})->at(0), {"object", "kind"}), "PartialObjectMetadata");
  EXPECT_EQ(find(find_array(get("/api/v1/configmaps?includeObject=None", kTable).body, {"rows"})->at(0),
                 {"object"}),
            nullptr);
  const auto partial = get("/api/v1/namespaces/kube-public/configmaps", kMetadata).body;
  EXPECT_EQ(get_string(partial, {"kind"}), "PartialObjectMetadataList");
  EXPECT_EQ(find(find_array(partial, {"items"})->at(0), {"data"}), nullptr);
  const auto lines = watch("/api/v1/namespaces/kube-public/configmaps?watch=1", 1,
                           "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
  EXPECT_EQ(get_string(lines.at(0), {"object", "kind"}), "PartialObjectMetadata");
}

TEST_F(ApiTest, UnknownFieldsAreAnErrorOrAWarning) {
  const std::string body = R"({"metadata":{"name":"x"},"daata":{}})";
  const auto strict = post("/api/v1/namespaces/default/configmaps?fieldValidation=Strict", body);
  EXPECT_EQ(strict.status, 400);
  EXPECT_EQ(message(strict),
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown "
            "field \"daata\"");
  const auto warned = post("/api/v1/namespaces/default/configmaps", body);
  EXPECT_EQ(warned.status, 201);
  EXPECT_EQ(warned.headers.get("Warning"), "299 - \"unknown field \\\"daata\\\"\"");
  EXPECT_EQ(find(warned.body, {"daata"}), nullptr);
}

TEST_F(ApiTest, AServiceAccountMayWhatItsRolesSayAndNoMore) {
  ASSERT_EQ(post("/api/v1/namespaces/default/serviceaccounts", R"({"metadata":{"name":"bot"}})").status, 201);
  ASSERT_EQ(
      post(
          "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
          R"({"metadata":{"name":"r"},"rules":[{"apiGroups":["batch"],"resources":["jobs"],"verbs":["get","list"]}]})")
          .status,
      201);
  ASSERT_EQ(
      post(
          "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
          R"({"metadata":{"name":"r"},"roleRef":{"kind":"Role","name":"r","apiGroup":"rbac.authorization.k8s.io"},"subjects":[{"kind":"ServiceAccount","name":"bot","namespace":"default"}]})")
          .status,
      201);
  const auto made = post("/api/v1/namespaces/default/serviceaccounts/bot/token", "{}");
  ASSERT_EQ(made.status, 201);
  const auto token = std::string(get_string(made.body, {"status", "token"}));
  const auto as_bot = [&](std::string method, std::string_view path) {
    auto r = request(std::move(method), path);
    r.headers.add("Authorization", "Bearer " + token);
    return send(std::move(r), false);
  };
  EXPECT_EQ(as_bot("GET", "/apis/batch/v1/namespaces/default/jobs").status, 200);
  EXPECT_EQ(as_bot("GET", "/apis/batch/v1/namespaces/kube-system/jobs").status, 403);
  const auto refused = as_bot("DELETE", "/apis/batch/v1/namespaces/default/jobs/x");
  EXPECT_EQ(message(refused),
            "jobs.batch \"x\" is forbidden: User \"system:serviceaccount:default:bot\" cannot delete "
            "resource \"jobs\" in API group \"batch\" in the namespace \"default\"");
  const auto review = post("/apis/authentication.k8s.io/v1/tokenreviews",
                           json::serialize(json::object{{"spec", {{"token", token}}}}));
  EXPECT_TRUE(get_bool(review.body, {"status", "authenticated"}));
  EXPECT_EQ(get_string(review.body, {"status", "user", "username"}), "system:serviceaccount:default:bot");
  auto impersonating = request("GET", "/api/v1/pods");
  impersonating.headers.add("Authorization", "Bearer " + token);
  impersonating.headers.add("Impersonate-User", "admin");
  impersonating.headers.add("Impersonate-Group", "system:masters");
  EXPECT_EQ(send(std::move(impersonating), false).status, 403);
  // The token ends with its account.
  ASSERT_EQ(send(request("DELETE", "/api/v1/namespaces/default/serviceaccounts/bot")).status, 200);
  EXPECT_EQ(as_bot("GET", "/apis/batch/v1/namespaces/default/jobs").status, 401);
}

TEST_F(ApiTest, AJobDeletedWithoutAPolicyLeavesItsPodsAsARealServerDoes) {
  const std::string body =
      R"({"metadata":{"name":"j"},"spec":{"suspend":true,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"b"}]}}}})";
  ASSERT_EQ(post("/apis/batch/v1/namespaces/default/jobs", body).status, 201);
  const auto gone = send(request("DELETE", "/apis/batch/v1/namespaces/default/jobs/j"));
  EXPECT_EQ(gone.status, 200);
  EXPECT_NE(gone.headers.get("Warning").find("child pods are preserved by default"), std::string_view::npos);
}

TEST_F(ApiTest, ManyDeploymentsAreMadeAndListedQuickly) {
  const auto start = std::chrono::steady_clock::now();
  struct Make {
    static net::Task<int> all(net::HttpClient& client, net::HttpRequest base, int from, int n) {
      int made = 0;
      for (int i = from; i < from + n; ++i) {
        auto r = base;
        r.body = fmt::format(
            R"({{"metadata":{{"name":"d{}"}},"spec":{{"replicas":0,"selector":{{"matchLabels":{{"a":"d{}"}}}},"template":{{"metadata":{{"labels":{{"a":"d{}"}}}},"spec":{{"containers":[{{"name":"c","image":"b"}}]}}}}}}}})",
            i, i, i);
        const auto got = co_await client.fetch(std::move(r));
        made += got && got->status == 201 ? 1 : 0;
      }
      co_return made;
    }
  };
  constexpr int kMany = 1000;
  EXPECT_EQ(loop.block_on(Make::all(*client, request("POST", "/apis/apps/v1/namespaces/default/deployments"),
                                    0, kMany)),
            kMany);
  const auto made = std::chrono::steady_clock::now();
  EXPECT_EQ(find_array(get("/apis/apps/v1/deployments").body, {"items"})->size(),
            static_cast<std::size_t>(kMany));
  const auto listed = std::chrono::steady_clock::now();
  // Bounds with much room: they catch what is quadratic, not a slow machine.
  EXPECT_LT(made - start, std::chrono::seconds(90));
  EXPECT_LT(listed - made, std::chrono::seconds(15));
}

}  // namespace
}  // namespace oddjob::devcluster
