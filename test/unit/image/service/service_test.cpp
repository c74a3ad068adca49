// The index service over layouts on disk and a registry in the same process:
// what is shared, what is told, what is dropped.
#include <gtest/gtest.h>

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/digest.hpp"
#include "core/json.hpp"
#include "image/service/service.hpp"
#include "image/service/words.hpp"
#include "net/http_server.hpp"

namespace oddjob::image {
namespace {

namespace stdfs = std::filesystem;
using Files = std::vector<std::pair<std::string, int>>;  // a path (a directory ends in '/') and its mode

la_ssize_t append(archive*, void* into, const void* bytes, std::size_t n) {
  static_cast<std::string*>(into)->append(static_cast<const char*>(bytes), n);
  return static_cast<la_ssize_t>(n);
}

std::string tar_gz(const Files& files, std::size_t content = 3) {
  std::string out;
  auto* a = archive_write_new();
  archive_write_set_format_pax_restricted(a);
  archive_write_add_filter_gzip(a);
  archive_write_open(a, &out, nullptr, &append, nullptr);
  for (const auto& [path, mode] : files) {
    auto* e = archive_entry_new();
    archive_entry_set_pathname(e, path.c_str());
    archive_entry_set_perm(e, static_cast<mode_t>(mode));
    const bool directory = path.ends_with('/');
    archive_entry_set_filetype(e, directory ? AE_IFDIR : AE_IFREG);
    archive_entry_set_size(e, directory ? 0 : static_cast<la_int64_t>(content));
    archive_write_header(a, e);
    if (!directory) archive_write_data(a, random_bytes(content).data(), content);
    archive_entry_free(e);
  }
  archive_write_close(a);
  archive_write_free(a);
  return out;
}

json::object descriptor(const std::string& bytes, std::string_view type) {
  return {{"mediaType", type}, {"digest", "sha256:" + sha256_hex(bytes)}, {"size", bytes.size()}};
}

// A registry of blobs and manifests in memory.
struct Store {
  std::map<std::string, std::string> blobs, manifests;
  std::map<std::string, int> asked;
  bool broken = false;
  Duration pause{};
  std::string authorization;  // what it wants to be shown, unless empty

  std::string add(const std::vector<std::string>& layers, const std::string& tag,
                  std::string_view layer_type = "application/vnd.oci.image.layer.v1.tar+gzip") {
    const std::string config =
        R"({"os":"linux","config":{"WorkingDir":"/app","Env":["PATH=/usr/local/bin:/bin"]}})";
    blobs["sha256:" + sha256_hex(config)] = config;
    json::array list;
    for (const auto& l : layers) {
      blobs["sha256:" + sha256_hex(l)] = l;
      list.push_back(descriptor(l, layer_type));
    }
    const auto text = json::serialize(
        json::object{{"schemaVersion", 2},
                     {"config", descriptor(config, "application/vnd.oci.image.config.v1+json")},
                     {"layers", std::move(list)}});
    manifests[tag] = manifests["sha256:" + sha256_hex(text)] = text;
    return "sha256:" + sha256_hex(text);
  }

  net::Task<> answer(const net::ServerRequest& r, net::ResponseWriter& w) {
    const auto name = r.path.substr(r.path.rfind('/') + 1);
    ++asked[name];
    const auto& from = r.path.find("/manifests/") != std::string::npos ? manifests : blobs;
    net::ServerResponse out;
    const auto found = from.find(name);
    const bool known = authorization.empty() || r.headers.get("Authorization") == authorization;
    out.status = broken ? 500 : !known ? 401 : found == from.end() ? 404 : 200;
    if (!known) out.headers.set("WWW-Authenticate", R"(Basic realm="test")");
    if (out.status == 200) out.body = found->second;
    if (pause > Duration::zero()) co_await net::sleep_for(pause);
    (void)co_await w.send(std::move(out));
  }
};

const Files kBase = {{"usr/", 0755},           {"usr/local/", 0755},
                     {"usr/local/bin/", 0755}, {"usr/local/bin/node", 0755},
                     {"bin/", 0755},           {"bin/sh", 0755}};
const Files kApp = {{"app/", 0755},
                    {"app/scripts/", 0755},
                    {"app/scripts/backfill.js", 0644},
                    {"app/README", 0644},
                    {"app/run.sh", 0755}};

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() {
    std::string name = (stdfs::temp_directory_path() / "oddjob-images-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    server_ = std::make_unique<net::HttpServer>(
        loop_, net::ServerOptions{},
        [this](const net::ServerRequest& r, net::ResponseWriter& w) { return store_.answer(r, w); });
    EXPECT_TRUE(server_->start());
    options_.directory = folder_ + "/index";
    options_.registry.proxy = "";
    options_.registry.min_backoff = std::chrono::milliseconds(1);
    options_.registry.max_backoff = std::chrono::milliseconds(5);
    options_.failure_pause = std::chrono::milliseconds(0);
    options_.tag_lifetime = std::chrono::hours(1);
    options_.background_rate = 0;
  }
  ~ServiceTest() override {
    stop();
    loop_.block_on(server_->shutdown(std::chrono::seconds(1)));
    std::error_code ignored;
    stdfs::remove_all(folder_, ignored);
  }
  Service& service() {
    if (!service_) {
      service_ = std::make_unique<Service>(loop_, options_);
      EXPECT_TRUE(service_->start());
    }
    return *service_;
  }
  void stop() {
    if (service_) loop_.block_on(service_->stop());
    service_.reset();
  }
  [[nodiscard]] Wanted wanted(const std::string& name) const {
    Wanted w;
    w.image = *parse_reference("127.0.0.1:" + std::to_string(server_->port()) + "/" + name);
    return w;
  }
  Result<IndexPtr> get(const std::string& name, Duration patience = std::chrono::seconds(20)) {
    auto w = wanted(name);
    return loop_.block_on(service().get(std::move(w), patience));
  }
  static std::vector<std::string> complete(const ImageIndex& index, std::vector<std::string> words,
                                           std::string_view prefix, const Surroundings& around = {}) {
    std::vector<std::string> out;
    for (const auto& c : complete_words(index, around, words, prefix, 100).candidates) out.push_back(c.text);
    return out;
  }
  bool until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_.block_on(net::sleep_for(std::chrono::milliseconds(5)));
    }
    return true;
  }

  net::Loop loop_;
  Store store_;
  std::string folder_;
  std::unique_ptr<net::HttpServer> server_;
  ServiceOptions options_;
  std::unique_ptr<Service> service_;
};

using Words = std::vector<std::string>;

TEST_F(ServiceTest, CompletesInsideTheImageByItsOwnDirectoryAndPath) {
  store_.add({tar_gz(kBase), tar_gz(kApp)}, "1");
  const auto got = get("team/app:1");
  ASSERT_TRUE(got) << got.error().message;
  const auto& index = **got;
  EXPECT_EQ(complete(index, {"node"}, "scr"), Words{"scripts/"});
  EXPECT_EQ(complete(index, {"node"}, "scripts/b"), Words{"scripts/backfill.js"});
  EXPECT_EQ(complete(index, {}, "no"), Words{"node"});
  EXPECT_EQ(complete(index, {"env", "A=b"}, "no"), Words{"node"});
  EXPECT_EQ(complete(index, {"node"}, "--config=REA"), Words{"--config=README"});
  EXPECT_EQ(complete(index, {"node"}, "--conf"), Words{});
  EXPECT_EQ(complete(index, {"sh", "-c"}, "scr"), Words{});
  Surroundings around;
  around.working_dir = "/usr";
  EXPECT_EQ(complete(index, {"ls"}, "lo", around), Words{"local/"});
  // A volume hides what the image has there.
  around.working_dir = "/app";
  around.mounts = {"/app/scripts/"};
  EXPECT_EQ(complete(index, {"node"}, "scripts/b", around), Words{});
  EXPECT_EQ(complete(index, {"node"}, "scr", around), Words{"scripts/"});
  EXPECT_EQ(list_directory(index, around, "scripts", "", 10).error().code, "files.in_a_volume");
}

TEST_F(ServiceTest, ManyAskAtOnceAndOneIsPulled) {
  const auto layer = tar_gz(kBase);
  store_.add({layer, tar_gz(kApp)}, "1");
  store_.pause = std::chrono::milliseconds(20);
  auto w = wanted("team/app:1");
  for (int i = 0; i < 5; ++i) service().prepare(w);
  ASSERT_TRUE(get("team/app:1"));
  ASSERT_TRUE(get("team/app:1"));
  EXPECT_EQ(store_.asked["1"], 1);
  EXPECT_EQ(store_.asked["sha256:" + sha256_hex(layer)], 1);
  EXPECT_EQ(service().stats().indexed, 1U);
}

TEST_F(ServiceTest, ImagesThatShareLayersShareWork) {
  const auto base = tar_gz(kBase);
  store_.add({base, tar_gz(kApp)}, "1");
  store_.add({base, tar_gz({{"app/", 0755}, {"app/other", 0644}})}, "2");
  ASSERT_TRUE(get("team/app:1"));
  ASSERT_TRUE(get("team/app:2"));
  EXPECT_EQ(store_.asked["sha256:" + sha256_hex(base)], 1);
  EXPECT_EQ(service().stats().layers_shared, 1U);
  EXPECT_EQ(service().status(wanted("team/app:2")).layers_shared, 1U);
}

TEST_F(ServiceTest, AfterARestartNothingIsPulledAgain) {
  const auto digest = store_.add({tar_gz(kBase)}, "1");
  ASSERT_TRUE(get("team/app@" + digest));
  stop();
  store_.broken = true;
  auto w = wanted("team/app@" + digest);
  EXPECT_NE(loop_.block_on(service().find(w)), nullptr);
  EXPECT_EQ(service().status(w).state, IndexState::ready);
}

TEST_F(ServiceTest, ADamagedFileIsMadeAgain) {
  const auto digest = store_.add({tar_gz(kBase)}, "1");
  ASSERT_TRUE(get("team/app@" + digest));
  stop();
  for (const auto* kind : {"images", "layers"})
    for (const auto& f : stdfs::directory_iterator(options_.directory + "/" + kind))
      std::ofstream(f.path(), std::ios::trunc) << "no index";
  // The layer's file is found damaged while merging, so it takes one more try.
  auto got = get("team/app@" + digest);
  if (!got) got = get("team/app@" + digest);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(complete(**got, {}, "no"), Words{"node"});
}

TEST_F(ServiceTest, AFailureIsToldAndTriedAgain) {
  store_.add({tar_gz(kBase)}, "1");
  store_.broken = true;
  const auto failed = get("team/app:1");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, "image.registry");
  EXPECT_EQ(service().status(wanted("team/app:1")).state, IndexState::failed);
  store_.broken = false;
  EXPECT_TRUE(get("team/app:1"));
  EXPECT_EQ(get("team/app:none").error().code, "image.not_found");
}

TEST_F(ServiceTest, OtherSecretsAreTriedAtOnceWhereSomebodysWereRefused) {
  store_.add({tar_gz(kBase)}, "1");
  store_.authorization = "Basic " + base64_encode("ann:right");
  options_.failure_pause = std::chrono::hours(1);
  const auto with = [&](const std::string& password) {
    auto w = wanted("team/app:1");
    DockerConfig secret;
    secret.auths.emplace_back(w.image.registry, Credential{"ann", password, {}, {}});
    w.pull_secrets.push_back(std::move(secret));
    return loop_.block_on(service().get(std::move(w), std::chrono::seconds(20)));
  };
  EXPECT_EQ(get("team/app:1").error().code, "image.unauthorized");
  EXPECT_EQ(with("wrong").error().code, "image.unauthorized");
  // The same again, and nobody at all, learn nothing new: they are told what is known.
  const auto asked = store_.asked["1"];
  EXPECT_EQ(with("wrong").error().code, "image.unauthorized");
  EXPECT_EQ(get("team/app:1").error().code, "image.unauthorized");
  EXPECT_EQ(store_.asked["1"], asked);
  EXPECT_TRUE(with("right"));
}

TEST_F(ServiceTest, WrongLayersAreNotIndexed) {
  auto layer = tar_gz(kBase);
  const auto digest = store_.add({layer}, "1");
  store_.blobs["sha256:" + sha256_hex(layer)] = tar_gz(kApp);
  const auto wrong = get("team/app@" + digest);
  ASSERT_FALSE(wrong);
  EXPECT_TRUE(wrong.error().code == "image.digest_mismatch" || wrong.error().code == "image.size_mismatch")
      << wrong.error().code;
  const std::string junk(5000, 'x');
  store_.add({junk}, "2");
  EXPECT_FALSE(get("team/app:2"));
  EXPECT_EQ(service().stats().layers, 0U);
}

TEST_F(ServiceTest, ForeignLayersThatNobodyHasAreMissingAndSaidToBe) {
  const auto foreign = tar_gz({{"Windows/", 0755}});
  store_.add({foreign}, "1", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
  store_.blobs.erase("sha256:" + sha256_hex(foreign));
  ASSERT_TRUE(get("team/app:1"));
  EXPECT_EQ(service().status(wanted("team/app:1")).foreign_layers, 1U);
}

TEST_F(ServiceTest, AnswersInTimeAndGoesOnWorking) {
  store_.add({tar_gz(kBase)}, "1");
  store_.pause = std::chrono::milliseconds(200);
  const auto early = get("team/app:1", Duration::zero());
  ASSERT_TRUE(early);
  EXPECT_EQ(*early, nullptr);
  EXPECT_TRUE(until([&] { return service().status(wanted("team/app:1")).state == IndexState::ready; }));
}

TEST_F(ServiceTest, BackgroundWorkKeepsToItsRateUntilSomebodyWaits) {
  // A layer that does not compress: at 64 KiB/s it would take a minute.
  store_.add({tar_gz({{"big", 0644}}, 4U << 20U)}, "1");
  options_.background_rate = 64U << 10U;
  service().prepare(wanted("team/app:1"));
  EXPECT_TRUE(until([&] { return service().status(wanted("team/app:1")).bytes_done > 0; }));
  loop_.block_on(net::sleep_for(std::chrono::milliseconds(300)));
  EXPECT_LT(service().status(wanted("team/app:1")).bytes_done, 4U << 20U);
  EXPECT_TRUE(get("team/app:1"));
}

TEST_F(ServiceTest, TheLeastUsedMakeRoom) {
  options_.max_bytes = 1U << 20U;
  Files many = {{"d/", 0755}};
  // Names without a pattern, so that an index of them is not small.
  for (int i = 0; i < 12000; ++i) many.emplace_back("d/" + hex_encode(random_bytes(16)), 0644);
  for (const auto* tag : {"1", "2", "3"}) {
    many[1].first = std::string("d/") + tag;
    store_.add({tar_gz(many)}, tag);
    const auto got = get(std::string("team/app:") + tag);
    ASSERT_TRUE(got) << got.error().message;
  }
  const auto stats = service().stats();
  EXPECT_LE(stats.index_bytes, options_.max_bytes);
  EXPECT_GT(stats.evicted, 0U);
  // And what was dropped comes back when it is asked for.
  EXPECT_TRUE(get("team/app:1"));
}

TEST_F(ServiceTest, LimitsOfAnImage) {
  options_.max_image_bytes = 100;
  store_.add({tar_gz(kBase)}, "1");
  EXPECT_EQ(get("team/app:1").error().code, "image.too_large");
}

TEST_F(ServiceTest, LayoutsTakeThePlaceOfRegistries) {
  const auto layer = tar_gz(kApp);
  const auto digest = store_.add({layer}, "1");
  const stdfs::path root = folder_ + "/layouts/registry.example.com/team/app";
  stdfs::create_directories(root / "blobs/sha256");
  for (const auto* from : {&store_.blobs, &store_.manifests})
    for (const auto& [name, bytes] : *from)
      if (name.starts_with("sha256:")) std::ofstream(root / "blobs/sha256" / name.substr(7)) << bytes;
  std::ofstream(root / "oci-layout") << R"({"imageLayoutVersion":"1.0.0"})";
  std::ofstream(root / "index.json")
      << R"({"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")"
      << digest << R"(","size":1,"annotations":{"org.opencontainers.image.ref.name":"v1"}},
      {"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:)"
      << std::string(64, '0')
      << R"(","size":1,"annotations":{"org.opencontainers.image.ref.name":"gone"}}]})";
  options_.layout_directory = folder_ + "/layouts";
  options_.layouts["docker.io/library/mapped"] = root.string();
  Wanted w;
  for (const std::string name : {"registry.example.com/team/app:v1", "mapped:v1", "mapped@"}) {
    w.image = *parse_reference(name.ends_with('@') ? name + digest : name);
    auto copy = w;
    const auto got = loop_.block_on(service().get(std::move(copy), std::chrono::seconds(20)));
    ASSERT_TRUE(got && *got) << name << (got ? "" : got.error().message);
    EXPECT_EQ(complete(**got, {"node"}, "scr"), Words{"scripts/"});
  }
  for (const std::string name : {"mapped:v2", "mapped:gone"}) {
    w.image = *parse_reference(name);
    auto copy = w;
    EXPECT_EQ(loop_.block_on(service().get(std::move(copy), std::chrono::seconds(20))).error().code,
              "image.not_found")
        << name;
  }
  EXPECT_TRUE(store_.asked.empty());
}

TEST_F(ServiceTest, StoppingEndsWhatIsUnderWay) {
  store_.add({tar_gz(kBase)}, "1");
  store_.pause = std::chrono::seconds(3);
  service().prepare(wanted("team/app:1"));
  loop_.block_on(net::sleep_for(std::chrono::milliseconds(50)));
  stop();
}

}  // namespace
}  // namespace oddjob::image
