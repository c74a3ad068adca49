#include "mini_cluster.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/clock.hpp"
#include "core/text.hpp"
#include "core/words.hpp"

namespace oddjob::runs::testing {
namespace {

net::ServerResponse json_answer(int status, const json::value& v) {
  net::ServerResponse r;
  r.status = status;
  r.headers.set("Content-Type", "application/json");
  r.body = json::serialize(v);
  return r;
}
net::ServerResponse problem(int status, std::string_view reason, std::string_view message) {
  return json_answer(status, json::object{{"kind", "Status"},
                                          {"apiVersion", "v1"},
                                          {"status", "Failure"},
                                          {"reason", reason},
                                          {"message", message},
                                          {"code", status}});
}

void merge(json::value& into, const json::value& patch) {
  if (!patch.is_object()) {
    into = patch;
    return;
  }
  if (!into.is_object()) into = json::object{};
  for (const auto& [k, v] : patch.get_object()) {
    if (v.is_null()) {
      into.get_object().erase(k);
    } else {
      merge(into.get_object()[k], v);
    }
  }
}

// Of RFC 6902 "test" and "replace", of members that are there; false: a test failed.
bool json_patch(json::value& object, const json::array& steps) {
  for (const auto& step : steps) {
    json::value* at = &object;
    for (const auto& key : split(get_string(step, {"path"}).substr(1), '/')) at = &at->at(key);
    const json::value& value = step.at("value");
    if (get_string(step, {"op"}) == "test") {
      if (*at != value) return false;
    } else {
      *at = value;
    }
  }
  return true;
}

// "a=b,c": equality and existence, which is all that is asked for.
bool selected(const json::value& object, std::string_view selector) {
  if (selector.empty()) return true;
  for (const auto& part : split(selector, ',')) {
    const auto eq = part.find('=');
    const auto have =
        get_string(object, {"metadata", "labels", std::string_view(part).substr(0, eq)}, "\x01");
    if (have == "\x01") return false;
    if (eq != std::string::npos && have != std::string_view(part).substr(eq + 1)) return false;
  }
  return true;
}

std::string now_text() { return format_time(std::chrono::floor<std::chrono::seconds>(system_clock().now())); }

}  // namespace

struct MiniCluster::State {
  std::map<std::string, json::value> objects;  // "plural/ns/name"
  std::vector<Event> events;
  std::uint64_t version = 100;
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> logs;  // by pod key: stamp, line
  net::Notifier changed;
  bool stopped = false;

  void emit(const std::string& type, const std::string& plural, json::value& object) {
    ++version;
    ensure(object, {"metadata", "resourceVersion"}) = std::to_string(version);
    events.push_back({version, type, plural, object});
    changed.notify_all();
  }
  void put(const std::string& plural, const std::string& key, json::value object) {
    const bool there = objects.contains(key);
    emit(there ? "MODIFIED" : "ADDED", plural, object);
    objects[key] = std::move(object);
  }
  void remove(const std::string& plural, const std::string& key) {
    const auto it = objects.find(key);
    if (it == objects.end()) return;
    json::value last = std::move(it->second);
    objects.erase(it);
    emit("DELETED", plural, last);
  }
  json::value* find(const std::string& key) {
    const auto it = objects.find(key);
    return it == objects.end() ? nullptr : &it->second;
  }
};

MiniCluster::MiniCluster(net::Loop& loop) : loop_(loop), state_(std::make_shared<State>()) {
  server_ = std::make_unique<net::HttpServer>(
      loop, net::ServerOptions{}, [this, s = state_](const net::ServerRequest& q, net::ResponseWriter& w) {
        return handle(this, s, q, w);
      });
  const auto started = server_->start();
  EXPECT_TRUE(started) << (started ? "" : started.error().message);
}
MiniCluster::~MiniCluster() = default;

void MiniCluster::stop() {
  state_->stopped = true;
  state_->changed.notify_all();
  loop_.block_on(server_->shutdown(Duration(500)));
}

kube::Config MiniCluster::config() const {
  kube::Config c;
  c.server = "http://127.0.0.1:" + std::to_string(server_->port());
  return c;
}

const json::value* MiniCluster::object(const std::string& key) const { return state_->find(key); }

void MiniCluster::put(const std::string& plural, json::value object) {
  const std::string key = plural + "/" + std::string(get_string(object, {"metadata", "namespace"})) + "/" +
                          std::string(get_string(object, {"metadata", "name"}));
  if (get_string(object, {"metadata", "uid"}).empty()) ensure(object, {"metadata", "uid"}) = new_uuid();
  state_->put(plural, key, std::move(object));
}
void MiniCluster::remove(const std::string& key) { state_->remove(key.substr(0, key.find('/')), key); }

std::vector<std::string> MiniCluster::keys(const std::string& plural) const {
  std::vector<std::string> out;
  for (const auto& [key, v] : state_->objects) {
    if (key.starts_with(plural + "/")) out.push_back(key);
  }
  return out;
}

void MiniCluster::put_deployment(json::object annotations) {
  json::value d = json::parse(R"({"apiVersion": "apps/v1", "kind": "Deployment",
    "metadata": {"name": "pay", "namespace": "shop"},
    "spec": {"selector": {"matchLabels": {"app": "pay"}}, "template": {"metadata": {"labels": {"app": "pay"}},
      "spec": {"containers": [{"name": "main", "image": "example.org/pay:1"}]}}}})");
  ensure(d, {"metadata", "annotations"}) = std::move(annotations);
  put("deployments", std::move(d));
}

void MiniCluster::delete_job(const std::string& key) {
  const json::value* job = object(key);
  if (job == nullptr) return;
  const std::string uid(get_string(*job, {"metadata", "uid"}));
  state_->remove("jobs", key);
  for (const auto& pod_key : keys("pods")) {
    json::value pod = *object(pod_key);
    const auto* owners = find_array(pod, {"metadata", "ownerReferences"});
    if (owners == nullptr || get_string(owners->front(), {"uid"}) != uid) continue;
    if (get_string(pod, {"status", "phase"}) != "Running") {
      state_->remove("pods", pod_key);
      continue;
    }
    ensure(pod, {"metadata", "deletionTimestamp"}) = now_text();
    ensure(pod, {"metadata", "deletionGracePeriodSeconds"}) = 0;
    state_->put("pods", pod_key, pod);
  }
}

// ---- the node ------------------------------------------------------------------

void MiniCluster::start_pod(const std::string& job_key) {
  const json::value job = *object(job_key);
  if (!plan.makes_pod) return;
  ++pods_made;
  const std::string name =
      std::string(get_string(job, {"metadata", "name"})) + "-" + std::to_string(pods_made);
  json::value pod = json::object{{"apiVersion", "v1"}, {"kind", "Pod"}};
  ensure(pod, {"metadata"}) = *find(job, {"spec", "template", "metadata"});
  ensure(pod, {"metadata", "name"}) = name;
  ensure(pod, {"metadata", "namespace"}) = "shop";
  ensure(pod, {"metadata", "uid"}) = new_uuid();
  ensure(pod, {"metadata", "creationTimestamp"}) = now_text();
  ensure(pod, {"metadata", "ownerReferences"}) =
      json::array{json::object{{"kind", "Job"}, {"uid", get_string(job, {"metadata", "uid"})}}};
  ensure(pod, {"spec"}) = *find(job, {"spec", "template", "spec"});
  ensure(pod, {"spec", "nodeName"}) = "node-1";
  ensure(pod, {"status"}) = json::object{{"phase", "Pending"}};
  const std::string pod_key = "pods/shop/" + name;
  state_->put("pods", pod_key, pod);
  loop_.spawn("mini.node", node(state_, job_key, pod_key, plan));
}

net::Task<> MiniCluster::node(std::shared_ptr<State> s, std::string job_key, std::string pod_key,
                              PodPlan plan) {
  const auto update = [&](std::string_view phase, json::object state) {
    json::value* found = s->find(pod_key);
    if (found == nullptr) return false;
    json::value pod = *found;
    ensure(pod, {"status", "phase"}) = phase;
    ensure(pod, {"status", "containerStatuses"}) =
        json::array{json::object{{"name", "main"}, {"state", std::move(state)}}};
    s->put("pods", pod_key, std::move(pod));
    return true;
  };
  co_await net::sleep_for(Duration(5));
  if (!plan.waits_with.empty()) {
    update("Pending", {{"waiting", json::object{{"reason", plan.waits_with}, {"message", "because"}}}});
    co_return;
  }
  const std::string started = now_text();
  auto& log = s->logs[pod_key];
  update("Running", {{"running", json::object{{"startedAt", started}}}});
  const auto step = plan.takes / std::max<std::size_t>(1, plan.lines.size());
  int nanos = 0;
  const auto add = [&](const std::string& line) {
    const std::string second = now_text();
    log.emplace_back(fmt::format("{}.{:09}Z", second.substr(0, 19), ++nanos), line);
    s->changed.notify_all();
  };
  bool deleted = false;
  for (const auto& line : plan.lines) {
    add(line);
    co_await net::sleep_for(step);
  }
  while (!s->stopped && !deleted) {
    const json::value* pod = s->find(pod_key);
    deleted = pod == nullptr || !get_string(*pod, {"metadata", "deletionTimestamp"}).empty();
    if (deleted || plan.ends) break;
    const auto seen = s->changed.ticket();
    co_await s->changed.wait_beyond(seen, Duration(100));
  }
  if (s->stopped || s->find(pod_key) == nullptr) co_return;
  const int code = deleted ? 143 : plan.exit_code;
  if (deleted) add("stopping");
  json::object ended{{"exitCode", code}, {"startedAt", started}, {"finishedAt", now_text()}};
  ended["reason"] = !plan.exit_reason.empty() && !deleted ? plan.exit_reason
                    : code == 0                           ? "Completed"
                                                          : "Error";
  update(code == 0 ? "Succeeded" : "Failed", {{"terminated", std::move(ended)}});
  co_await net::sleep_for(Duration(5));
  if (deleted) {
    co_await net::sleep_for(Duration(300));
    s->remove("pods", pod_key);
    co_return;
  }
  if (json::value* job = s->find(job_key)) {
    json::value done = *job;
    json::object condition{{"type", code == 0 ? "Complete" : "Failed"}, {"status", "True"}};
    if (code != 0) condition["reason"] = "BackoffLimitExceeded";
    ensure(done, {"status", "conditions"}) = json::array{std::move(condition)};
    s->put("jobs", job_key, std::move(done));
  }
}

// ---- HTTP ------------------------------------------------------------------------

net::Task<> MiniCluster::handle(MiniCluster* self, std::shared_ptr<State> s, const net::ServerRequest& q,
                                net::ResponseWriter& w) {
  // /api/v1/… or /apis/group/version/…, then [namespaces/<ns>/]plural[/name[/sub]]
  Route route;
  std::vector<std::string> parts = split(std::string_view(q.path).substr(1), '/');
  if (q.path == "/version") {
    auto version = json_answer(200, json::object{{"major", "1"}, {"minor", "31"}, {"gitVersion", "v1.31.0"}});
    co_await w.send(std::move(version));
    co_return;
  }
  if (q.path == "/apis/oddjob.dev/v1alpha1") {
    auto answer =
        self->has_templates
            ? json_answer(200,
                          json::object{{"kind", "APIResourceList"},
                                       {"resources", json::array{json::object{{"name", "jobtemplates"}}}}})
            : problem(404, "NotFound", "the server could not find the requested resource");
    co_await w.send(std::move(answer));
    co_return;
  }
  parts.erase(parts.begin(),
              parts.begin() + std::min<std::ptrdiff_t>(std::ssize(parts), parts[0] == "api" ? 2 : 3));
  if (parts.size() >= 3 && parts[0] == "namespaces") {
    route.ns = parts[1];
    parts.erase(parts.begin(), parts.begin() + 2);
  }
  if (!parts.empty()) route.plural = parts[0];
  if (parts.size() > 1) route.name = parts[1];
  if (parts.size() > 2) route.sub = parts[2];

  if (q.query.flag("watch")) {
    auto watching = watch(s, q, w, route);
    if (self->refuse_watches) {
      auto no = problem(503, "ServiceUnavailable", "no watches today");
      co_await w.send(std::move(no));
      co_return;
    }
    co_await std::move(watching);
    co_return;
  }
  const bool one_run = route.ns == "shop";  // the shared lists are not part of a run's calls
  std::string call = q.method + " " + route.plural + (route.sub.empty() ? "" : "/" + route.sub);
  Fault fault;
  if (one_run) {
    self->calls.push_back(call);
    if (self->fault) fault = self->fault(q, call);
  }
  const auto hang = [&]() -> net::Task<> {
    auto gone = w.gone();
    const auto id = gone.on_cancel([s] { s->changed.notify_all(); });
    while (!gone.cancelled() && !s->stopped) {
      const auto seen = s->changed.ticket();
      co_await s->changed.wait_beyond(seen, Duration(50));
    }
    gone.remove(id);
  };
  if (fault.kind == Fault::Kind::hang_before) {
    co_await hang();
    co_return;
  }
  net::ServerResponse answer;
  if (fault.kind == Fault::Kind::answer) {
    answer = problem(fault.status, fault.reason, fault.message);
  } else if (route.sub == "log") {
    auto reading = log(self, s, q, w, route);
    co_await std::move(reading);
    co_return;
  } else {
    answer = self->apply(q, route, q.query.has("dryRun"));
  }
  if (fault.kind == Fault::Kind::hang_after) {
    co_await hang();
    co_return;
  }
  if (fault.kind == Fault::Kind::answer_after) answer = problem(fault.status, fault.reason, fault.message);
  if (fault.kind == Fault::Kind::cut_after) {
    w.abort();
    co_return;
  }
  co_await w.send(std::move(answer));
}

net::ServerResponse MiniCluster::apply(const net::ServerRequest& q, const Route& route, bool dry) {
  const std::string key = route.plural + "/" + route.ns + "/" + route.name;
  if (q.method == "GET" && route.name.empty()) {
    json::array items;
    const auto field = q.query.get("fieldSelector");
    for (const auto& [k, v] : state_->objects) {
      if (!k.starts_with(route.plural + "/") || !selected(v, q.query.get("labelSelector"))) continue;
      if (!route.ns.empty() && get_string(v, {"metadata", "namespace"}) != route.ns) continue;
      if (field.starts_with("involvedObject.uid=") &&
          get_string(v, {"involvedObject", "uid"}) != field.substr(19))
        continue;
      items.push_back(v);
    }
    return json_answer(
        200, json::object{{"kind", "List"},
                          {"apiVersion", "v1"},
                          {"metadata", json::object{{"resourceVersion", std::to_string(state_->version)}}},
                          {"items", std::move(items)}});
  }
  if (q.method == "POST") {
    json::value object = json::parse(q.body);
    const std::string name(get_string(object, {"metadata", "name"}));
    const std::string made = route.plural + "/" + route.ns + "/" + name;
    if (state_->objects.contains(made))
      return problem(409, "AlreadyExists", route.plural + " \"" + name + "\" already exists");
    ensure(object, {"metadata", "namespace"}) = route.ns;
    ensure(object, {"metadata", "uid"}) = new_uuid();
    ensure(object, {"metadata", "generation"}) = 1;
    ensure(object, {"metadata", "creationTimestamp"}) = now_text();
    if (dry) return json_answer(201, object);
    if (route.plural == "jobs") ++jobs_made;
    state_->put(route.plural, made, object);
    const bool run = route.plural == "jobs" && !get_bool(object, {"spec", "suspend"});
    if (run) start_pod(made);
    return json_answer(201, *state_->find(made));
  }
  json::value* found = state_->find(key);
  if (found == nullptr) return problem(404, "NotFound", route.plural + " \"" + route.name + "\" not found");
  if (q.method == "GET") return json_answer(200, *found);
  if (q.method == "PATCH") {
    const json::value patch = json::parse(q.body);
    for (const auto field : {"uid", "resourceVersion"}) {
      const auto wanted = get_string(patch, {"metadata", field});
      if (!wanted.empty() && wanted != get_string(*found, {"metadata", field})) {
        return problem(409, "Conflict", "the object has been modified");
      }
    }
    json::value next = *found;
    if (patch.is_array() && !json_patch(next, patch.get_array())) {
      return problem(422, "Invalid", "the server rejected our request due to an error in our request");
    }
    if (patch.is_object()) merge(next, patch);
    const bool spec_changed =
        canonical_json(*find(next, {"spec"})) != canonical_json(*find(*found, {"spec"}));
    if (spec_changed)
      ensure(next, {"metadata", "generation"}) = get_int(next, {"metadata", "generation"}).value_or(1) + 1;
    const bool released = get_bool(*found, {"spec", "suspend"}) && !get_bool(next, {"spec", "suspend"});
    state_->put(route.plural, key, std::move(next));
    if (released) start_pod(key);
    return json_answer(200, *state_->find(key));
  }
  if (q.method == "DELETE") {
    const json::value body = q.body.empty() ? json::value(json::object{}) : json::parse(q.body);
    const auto uid = get_string(body, {"preconditions", "uid"});
    if (!uid.empty() && uid != get_string(*found, {"metadata", "uid"}))
      return problem(409, "Conflict", "uid differs");
    delete_job(key);
    return json_answer(200, json::object{{"kind", "Status"}, {"status", "Success"}});
  }
  return problem(405, "MethodNotAllowed", "not here");
}

net::Task<> MiniCluster::watch(std::shared_ptr<State> s, const net::ServerRequest& q, net::ResponseWriter& w,
                               Route route) {
  std::uint64_t from = std::stoull("0" + std::string(q.query.get("resourceVersion")));
  const std::string selector(q.query.get("labelSelector"));
  net::Headers headers;
  headers.set("Content-Type", "application/json");
  const auto begun = co_await w.begin(200, std::move(headers));
  if (!begun) co_return;
  auto gone = w.gone();
  const auto id = gone.on_cancel([s] { s->changed.notify_all(); });
  while (!gone.cancelled() && !s->stopped) {
    const auto seen = s->changed.ticket();
    std::string lines;
    for (const auto& e : s->events) {
      if (e.version <= from || e.plural != route.plural || !selected(e.object, selector)) continue;
      lines += json::serialize(json::object{{"type", e.type}, {"object", e.object}}) + "\n";
    }
    from = s->version;
    if (!lines.empty()) {
      const auto written = co_await w.write(lines);
      if (!written) break;
    }
    if (s->changed.ticket() == seen) co_await s->changed.wait_beyond(seen, Duration(1000));
  }
  gone.remove(id);
}

net::Task<> MiniCluster::log(MiniCluster* self, std::shared_ptr<State> s, const net::ServerRequest& q,
                             net::ResponseWriter& w, Route route) {
  const std::string key = "pods/shop/" + route.name;
  if (s->find(key) == nullptr) {
    auto no = problem(404, "NotFound", "pods \"" + route.name + "\" not found");
    co_await w.send(std::move(no));
    co_return;
  }
  const bool follow = q.query.flag("follow");
  const std::string since(q.query.get("sinceTime"));
  net::Headers headers;
  headers.set("Content-Type", "text/plain");
  const auto begun = co_await w.begin(200, std::move(headers));
  if (!begun) co_return;
  auto gone = w.gone();
  const auto id = gone.on_cancel([s] { s->changed.notify_all(); });
  std::size_t sent = 0;
  std::optional<int> budget = follow ? self->cut_log_after : std::nullopt;
  while (!gone.cancelled() && !s->stopped) {
    const auto seen = s->changed.ticket();
    const json::value* pod = s->find(key);
    const auto phase = pod == nullptr ? std::string_view("Gone") : get_string(*pod, {"status", "phase"});
    const bool over = phase != "Running" && phase != "Pending";
    std::string bytes;
    const auto& lines = s->logs[key];
    for (; sent < lines.size(); ++sent) {
      if (!since.empty() && lines[sent].first.substr(0, 19) < since.substr(0, 19)) continue;
      bytes += lines[sent].first + " " + lines[sent].second + "\n";
    }
    if (budget && static_cast<int>(bytes.size()) > *budget) {
      const std::string part = bytes.substr(0, static_cast<std::size_t>(*budget));
      const auto cut = co_await w.write(part);
      (void)cut;
      self->cut_log_after = *self->cut_log_after + 40;  // the next one comes further
      w.abort();
      break;
    }
    if (budget) *budget -= static_cast<int>(bytes.size());
    if (!bytes.empty()) {
      const auto written = co_await w.write(bytes);
      if (!written) break;
    }
    if (!follow || over) break;
    if (s->changed.ticket() == seen) co_await s->changed.wait_beyond(seen, Duration(500));
  }
  gone.remove(id);
}

}  // namespace oddjob::runs::testing
