#include "contract.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include "core/digest.hpp"
#include "devcluster/cluster.hpp"
#include "kube/status.hpp"
#include "net/sse.hpp"

namespace oddjob::contract {
namespace {

using Steady = std::chrono::steady_clock;

// A dev cluster on a thread and a loop of its own, as `oddjobd dev` has it.
class DevCluster {
 public:
  DevCluster() {
    std::string name = (std::filesystem::temp_directory_path() / "oddjob-contract-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = name;
    devcluster::ClusterOptions o;
    o.directory = directory_ / "cluster";
    o.watch_history = 300;  // so that a version becomes too old within a test
    cluster_ = std::make_unique<devcluster::Cluster>(loop_, o);
    std::promise<Result<>> started;
    auto answer = started.get_future();
    loop_.post([this, &started] { started.set_value(cluster_->start()); });
    thread_ = std::thread([this] { loop_.run(); });
    const Result<> r = answer.get();
    if (!r) throw std::runtime_error("dev cluster: " + r.error().message);
  }
  ~DevCluster() {
    loop_.spawn("contract.stop", stop(this));
    thread_.join();
    cluster_.reset();
    std::error_code ec;
    std::filesystem::remove_all(directory_, ec);
  }
  DevCluster(const DevCluster&) = delete;
  DevCluster& operator=(const DevCluster&) = delete;
  [[nodiscard]] std::string kubeconfig() const { return cluster_->kubeconfig_path(); }

 private:
  static net::Task<> stop(DevCluster* self) {
    auto stopping = self->cluster_->stop();
    co_await std::move(stopping);
    self->loop_.stop();
  }
  net::Loop loop_;
  std::filesystem::path directory_;
  std::unique_ptr<devcluster::Cluster> cluster_;
  std::thread thread_;
};

std::string variable(const char* name) {
  const char* v = std::getenv(name);
  return v == nullptr ? std::string() : std::string(v);
}

class Target : public ::testing::Environment {
 public:
  void SetUp() override {
    kube::LoadOptions o;
    o.kubeconfig = variable("ODDJOB_TEST_KUBECONFIG");
    if (o.kubeconfig.empty()) {
      dev_ = std::make_unique<DevCluster>();
      o.kubeconfig = dev_->kubeconfig();
    }
    auto c = kube::load_config(o);
    ASSERT_TRUE(c) << c.error().message;
    config = std::move(*c);
    loop = std::make_unique<net::Loop>();
  }
  void TearDown() override {
    loop.reset();
    dev_.reset();
  }
  std::unique_ptr<net::Loop> loop;
  kube::Config config;

 private:
  std::unique_ptr<DevCluster> dev_;
};
Target* const target = static_cast<Target*>(::testing::AddGlobalTestEnvironment(new Target));

net::Task<> cancel_after(std::shared_ptr<net::HttpStream> stream, std::shared_ptr<net::Notifier> done,
                         Duration d) {
  const bool in_time = co_await done->wait_beyond(0, d);
  if (!in_time) stream->cancel();
}

// The stream lives until `done` is told, or until this has cancelled it.
net::Task<> cancel_late(net::HttpStream* stream, std::shared_ptr<net::Notifier> done, Duration d) {
  const bool in_time = co_await done->wait_beyond(0, d);
  if (in_time) co_return;
  stream->cancel();
  done->notify_all();
}

net::Task<std::string> read_stream(net::HttpStream& stream) {
  std::string all;
  while (true) {
    auto reading = stream.read();
    const Result<std::string> piece = co_await std::move(reading);
    if (!piece || piece->empty()) co_return all;
    all += *piece;
  }
}

}  // namespace

bool Contract::real_cluster() { return !variable("ODDJOB_TEST_KUBECONFIG").empty(); }
std::string Contract::image() {
  const auto named = variable("ODDJOB_TEST_IMAGE");
  return named.empty() ? "busybox:1.36" : named;
}
net::Loop& Contract::loop() { return *target->loop; }

void Contract::SetUp() {
  client_ = std::make_unique<kube::Client>(loop(), target->config);
  ns_ = "contract-" + hex_encode(random_bytes(5));
  json::value object = json::object{{"metadata", {{"name", ns_}}}};
  const auto made = run(api().create(resources::namespaces, "", std::move(object)));
  ASSERT_TRUE(made) << made.error().message;
  // A controller makes it; without it no pod is admitted.
  ASSERT_TRUE(until([this] { return get(resources::service_accounts, "default").has_value(); }, 30))
      << "namespace " << ns_ << " got no default service account";
}

void Contract::TearDown() {
  if (client_ && !ns_.empty()) {
    const auto gone = run(api().remove(resources::namespaces, "", ns_));
    EXPECT_TRUE(gone) << gone.error().message;
  }
  client_.reset();
}

Result<json::value> Contract::try_create(const Resource& r, json::value object, kube::WriteOptions o) {
  return run(api().create(r, r.namespaced ? ns_ : std::string(), std::move(object), o));
}

json::value Contract::create(const Resource& r, json::value object) {
  auto made = try_create(r, std::move(object));
  EXPECT_TRUE(made) << made.error().message;
  return made ? std::move(*made) : json::value(json::object{});
}

std::optional<json::value> Contract::get(const Resource& r, std::string_view name) {
  auto v = run(api().get(r, r.namespaced ? ns_ : std::string(), name));
  if (v) return std::move(*v);
  EXPECT_EQ(v.error().code, "kube.not_found") << v.error().message;
  return std::nullopt;
}

std::vector<json::value> Contract::list(const Resource& r, std::string label_selector,
                                        std::string field_selector) {
  kube::ListOptions o;
  o.name_space = ns_;
  o.label_selector = std::move(label_selector);
  o.field_selector = std::move(field_selector);
  auto v = run(api().list(r, o));
  EXPECT_TRUE(v) << v.error().message;
  return v ? std::move(v->items) : std::vector<json::value>{};
}

void Contract::remove(const Resource& r, std::string_view name, kube::Propagation p) {
  kube::DeleteOptions o;
  o.propagation = p;
  const auto done = run(api().remove(r, r.namespaced ? ns_ : std::string(), name, o));
  EXPECT_TRUE(done) << done.error().message;
}

json::value Contract::patch(const Resource& r, std::string_view name, json::value merge) {
  auto v =
      run(api().patch(r, r.namespaced ? ns_ : std::string(), name, kube::PatchType::merge, std::move(merge)));
  EXPECT_TRUE(v) << v.error().message;
  return v ? std::move(*v) : json::value(json::object{});
}

bool Contract::until(const std::function<bool()>& condition, int seconds) {
  const auto end = Steady::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (Steady::now() > end) return false;
    run(net::sleep_for(Duration(50)));
  }
  return true;
}

json::value Contract::wait_for(const Resource& r, std::string_view name, const Good& good, int seconds) {
  json::value last;
  const bool came = until(
      [&] {
        auto v = get(r, name);
        if (!v) return false;
        last = std::move(*v);
        return good(last);
      },
      seconds);
  EXPECT_TRUE(came) << r.plural << "/" << name << " did not come to what was expected; it is\n"
                    << pretty_json(last);
  return last;
}

bool Contract::wait_gone(const Resource& r, std::string_view name, int seconds) {
  return until([&] { return !get(r, name); }, seconds);
}

json::value Contract::config_map(std::string_view name, std::string_view value) const {
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", {{"name", name}}},
          {"data", {{"key", value}}}};
}

json::value Contract::pod(std::string_view name, std::string_view script) const {
  const json::object container{
      {"name", "main"}, {"image", image()}, {"command", json::array{"sh", "-c", script}}};
  json::object spec{{"restartPolicy", "Never"},
                    {"terminationGracePeriodSeconds", 1},
                    {"containers", json::array{container}}};
  return {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", {{"name", name}}}, {"spec", std::move(spec)}};
}

json::value Contract::job(std::string_view name, std::string_view script) const {
  json::value p = pod("x", script);
  json::object spec{{"backoffLimit", 0}, {"template", {{"spec", p.as_object()["spec"]}}}};
  return {
      {"apiVersion", "batch/v1"}, {"kind", "Job"}, {"metadata", {{"name", name}}}, {"spec", std::move(spec)}};
}

const json::value* Contract::condition(const json::value& object, std::string_view type) {
  if (const json::array* all = find_array(object, {"status", "conditions"}))
    for (const json::value& c : *all)
      if (get_string(c, {"type"}) == type && get_string(c, {"status"}) == "True") return &c;
  return nullptr;
}

json::value Contract::wait_condition(const Resource& r, std::string_view name, std::string_view type,
                                     int seconds) {
  return wait_for(
      r, name, [type](const json::value& v) { return condition(v, type) != nullptr; }, seconds);
}

std::vector<json::value> Contract::pods_of(std::string_view job) {
  return list(resources::pods, "job-name=" + std::string(job));
}

std::string Contract::read_all(net::HttpStream& stream, int seconds) {
  auto done = std::make_shared<net::Notifier>();
  loop().spawn("contract.read_limit", cancel_late(&stream, done, std::chrono::seconds(seconds)));
  std::string all = run(read_stream(stream));
  EXPECT_FALSE(done->ticket() > 0) << "the stream did not end within " << seconds << " s; it gave: " << all;
  done->notify_all();
  return all;
}

std::string Contract::read_some(net::HttpStream& stream, std::size_t bytes, int seconds) {
  auto done = std::make_shared<net::Notifier>();
  loop().spawn("contract.read_limit", cancel_late(&stream, done, std::chrono::seconds(seconds)));
  std::string text;
  while (text.size() < bytes) {
    const auto piece = run(stream.read());
    if (!piece || piece->empty()) break;
    text += *piece;
  }
  EXPECT_GE(text.size(), bytes) << "the stream gave only: " << text;
  done->notify_all();
  return text;
}

std::string Contract::log_of(std::string_view pod, kube::LogOptions options) {
  auto stream = run(api().log(ns_, pod, std::move(options)));
  EXPECT_TRUE(stream) << stream.error().message;
  return stream ? read_all(*stream) : std::string();
}

std::vector<Contract::Seen> Contract::watch(const Resource& r, kube::ListOptions options,
                                            std::string_view version,
                                            const std::function<bool(const std::vector<Seen>&)>& enough,
                                            int seconds, const std::function<void()>& meanwhile) {
  std::vector<Seen> seen;
  if (options.name_space.empty() && r.namespaced) options.name_space = ns_;
  auto opened = run(api().open_watch(r, options, version, std::chrono::seconds(seconds)));
  if (!opened) {
    // A server may refuse at once what others tell in the stream.
    const json::value error =
        json::object{{"code", opened.error().code}, {"message", opened.error().message}};
    seen.push_back({"ERROR", error});
    return seen;
  }
  auto stream = std::make_shared<net::HttpStream>(std::move(*opened));
  auto done = std::make_shared<net::Notifier>();
  if (meanwhile) meanwhile();
  loop().spawn("contract.watch_limit", cancel_after(stream, done, std::chrono::seconds(seconds)));
  net::LineReader lines(4U << 20U);
  while (!enough(seen)) {
    const auto piece = run(stream->read());
    if (!piece || piece->empty()) break;
    const auto got = lines.feed(*piece);
    EXPECT_TRUE(got);
    if (!got) break;
    for (const auto& line : *got) {
      auto event = parse_json(line, "watch event");
      EXPECT_TRUE(event) << line;
      if (!event) continue;
      json::value* object = find(*event, {"object"});
      EXPECT_NE(object, nullptr) << line;
      if (object == nullptr) continue;
      std::string type(get_string(*event, {"type"}));
      if (type == "ERROR") {
        const Error e = kube::error_from_status("watch", 200, *object);
        *object = json::object{{"code", e.code}, {"message", e.message}};
      }
      seen.push_back({std::move(type), std::move(*object)});
    }
  }
  done->notify_all();
  return seen;
}

}  // namespace oddjob::contract
