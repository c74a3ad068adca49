#include "runs/template_watch.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "runs/engine_impl.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {

const kube::Resource kJobTemplates{std::string(templates::kGroup), std::string(templates::kVersion),
                                   std::string(templates::kPlural), true, std::string(templates::kKind)};

namespace {

constexpr auto kLookAgain = std::chrono::seconds(30);   // for the custom resource
constexpr auto kAtMostEvery = std::chrono::seconds(2);  // one template
constexpr auto kPause = std::chrono::milliseconds(20);  // between any two
constexpr auto kAfterTrouble = std::chrono::seconds(15);
constexpr auto kAllAgain =
    std::chrono::minutes(10);  // what no event tells, such as a workload that never opted in
constexpr std::size_t kMaxMessage = 1024;

std::string key_of(const json::value& object) {
  return fmt::format("{}/{}", get_string(object, {"metadata", "namespace"}), name_of(object));
}

// What there is to know of a template, without what others keep in its metadata.
std::optional<json::value> keep_template(json::value object) {
  erase(object, {"metadata", "managedFields"});
  erase(object, {"metadata", "annotations"});
  return object;
}

const json::value* ready_condition(const json::value& object) {
  const auto* all = find_array(object, {"status", "conditions"});
  if (all == nullptr) return nullptr;
  const auto at =
      std::ranges::find_if(*all, [](const json::value& c) { return get_string(c, {"type"}) == "Ready"; });
  return at == all->end() ? nullptr : &*at;
}

}  // namespace

std::optional<json::value> status_patch(const json::value& object, const templates::JobTemplate& t,
                                        const templates::Resolution& resolution, Time now) {
  const std::string_view status = resolution.ready ? "True" : "False";
  const auto message = printable(resolution.message, kMaxMessage);
  const auto* old = ready_condition(object);
  const bool same_status = old != nullptr && get_string(*old, {"status"}) == status;
  if (same_status && get_string(*old, {"reason"}) == resolution.reason &&
      get_string(*old, {"message"}) == message && get_int(*old, {"observedGeneration"}) == t.generation &&
      get_int(object, {"status", "observedGeneration"}) == t.generation &&
      get_string(object, {"status", "digest"}) == t.digest)
    return std::nullopt;
  json::array conditions;
  if (const auto* all = find_array(object, {"status", "conditions"}))
    for (const auto& c : *all)
      if (get_string(c, {"type"}) != "Ready") conditions.push_back(c);
  const auto since = same_status ? get_string(*old, {"lastTransitionTime"}) : std::string_view();
  conditions.push_back(json::object{
      {"type", "Ready"},
      {"status", status},
      {"observedGeneration", t.generation},
      {"lastTransitionTime",
       since.empty() ? format_time(std::chrono::floor<std::chrono::seconds>(now)) : std::string(since)},
      {"reason", resolution.reason},
      {"message", message}});
  json::object body{
      {"observedGeneration", t.generation}, {"digest", t.digest}, {"conditions", std::move(conditions)}};
  // Only for what was looked at: a change meanwhile makes it a conflict.
  return json::object{
      {"metadata", json::object{{"uid", uid_of(object)},
                                {"resourceVersion", get_string(object, {"metadata", "resourceVersion"})}}},
      {"status", std::move(body)}};
}

TemplateWatch::TemplateWatch(kube::Client& client, const Clock& clock, std::vector<std::string> namespaces)
    : client_(client), clock_(clock), namespaces_(std::move(namespaces)) {
  if (namespaces_.empty()) namespaces_.emplace_back();
}

TemplateWatch::~TemplateWatch() { stop(); }

void TemplateWatch::start(net::Loop& loop) { loop.spawn("templates", run(shared_from_this())); }

void TemplateWatch::stop() {
  stopping_ = true;
  reflectors_.clear();  // while the client is there
  wake_.notify_all();
}

net::Task<Result<>> TemplateWatch::installed(kube::Client& client) {
  auto asking = client.raw("GET", fmt::format("/apis/{}", templates::kApiVersion));
  const auto answer = co_await std::move(asking);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status == 200) {
    const auto list = parse_json(answer->body, "discovery of JobTemplates");
    const auto* all = list ? find_array(*list, {"resources"}) : nullptr;
    if (all != nullptr && std::ranges::any_of(*all, [](const json::value& r) {
          return get_string(r, {"name"}) == templates::kPlural;
        }))
      co_return Result<>();
  } else if (answer->status != 404) {
    co_return fail(Errc::unavailable, "kube.server_error",
                   fmt::format("asking the API server for JobTemplates: status {}", answer->status));
  }
  co_return fail(Errc::failed_precondition, "template.not_installed",
                 fmt::format("this cluster has no templates: the custom resource {}.{} is not installed",
                             templates::kPlural, templates::kGroup),
                 "an administrator installs it: kubectl apply -f deploy/crds/");
}

std::optional<Error> TemplateWatch::problem() const {
  if (problem_) return problem_;
  const auto synced = [](const auto& r) { return r->synced(); };
  if (present_ && std::ranges::all_of(reflectors_, synced)) return std::nullopt;
  return Error{Errc::unavailable, "runs.not_ready", "the templates of the cluster have not been listed yet",
               "try again in a moment"};
}

void TemplateWatch::each(const std::function<void(const json::value&)>& fn) const {
  for (const auto& r : reflectors_)
    for (const auto& [key, object] : r->items()) fn(object);
}

const json::value* TemplateWatch::find(std::string_view key) const {
  const auto slash = key.find('/');
  for (const auto& r : reflectors_)
    if (const auto* object = r->get(key.substr(0, slash), key.substr(slash + 1))) return object;
  return nullptr;
}

void TemplateWatch::follow() {
  for (const auto& ns : namespaces_) {
    kube::ReflectorOptions options;
    options.list.name_space = ns;
    options.reduce = keep_template;
    std::weak_ptr<TemplateWatch> weak = weak_from_this();
    reflectors_.push_back(std::make_unique<kube::Reflector>(
        client_, kJobTemplates, std::move(options),
        [weak](kube::WatchEventType type, const json::value& object) {
          if (const auto self = weak.lock()) self->on_template(type, object);
        },
        [weak](bool healthy, const Error* why) {
          const auto self = weak.lock();
          if (!self || self->stopping_) return;
          if (healthy) {
            self->problem_.reset();
          } else if (why != nullptr) {
            if (!self->problem_) spdlog::warn("watching templates: {}", why->message);
            self->problem_ = *why;
            self->problem_->message = "watching templates: " + why->message;
            // Perhaps the custom resource is gone.
            if (why->kind == Errc::not_found) self->lost_ = true;
          }
          self->wake_.notify_all();
        }));
    reflectors_.back()->start();
  }
}

void TemplateWatch::enqueue(const std::string& key, Duration after) {
  auto at = Steady::now() + after;
  if (const auto done = done_.find(key); done != done_.end()) at = std::max(at, done->second + kAtMostEvery);
  const auto [it, fresh] = due_.try_emplace(key, at);
  if (!fresh) it->second = std::min(it->second, at);
  wake_.notify_all();
}

void TemplateWatch::forget(const std::string& key) {
  due_.erase(key);
  done_.erase(key);
  const auto workload = workload_of_.find(key);
  if (workload == workload_of_.end()) return;
  const auto users = users_of_.find(workload->second);
  users->second.erase(key);
  if (users->second.empty()) {
    seen_.erase(workload->second);
    users_of_.erase(users);
  }
  workload_of_.erase(workload);
}

void TemplateWatch::on_template(kube::WatchEventType type, const json::value& object) {
  const auto key = key_of(object);
  if (type == kube::WatchEventType::deleted) return forget(key);
  const auto used = workload_key(templates::parse(object).value.workload);
  if (const auto known = workload_of_.find(key); known == workload_of_.end() || known->second != used) {
    forget(key);
    workload_of_[key] = used;
    users_of_[used].insert(key);
  }
  enqueue(key, Duration{});
}

void TemplateWatch::workload_changed(const WorkloadRef& ref, const json::value* object) {
  const auto key = workload_key(ref);
  const auto users = users_of_.find(key);
  if (users == users_of_.end()) return;
  // Status and resourceVersion move all the time and do not matter here.
  std::string now = "gone";
  if (object != nullptr) {
    json::object what{{"generation", get_int(*object, {"metadata", "generation"}).value_or(0)},
                      {"uid", uid_of(*object)}};
    if (const auto* annotations = oddjob::find(*object, {"metadata", "annotations"}))
      what["annotations"] = *annotations;
    now = json_digest(what);
  }
  if (auto& before = seen_[key]; before != now) {
    before = std::move(now);
    for (const auto& user : users->second) enqueue(user, Duration{});
  }
}

net::Task<> TemplateWatch::look_for_it(Ptr self) {
  auto asking = installed(self->client_);
  const auto there = co_await std::move(asking);
  if (self->stopping_) co_return;
  if (there) {
    self->problem_.reset();
    self->present_ = true;
    self->follow();
    co_return;
  }
  if (!self->problem_ || self->problem_->code != there.error().code)
    spdlog::log(there.error().code == "template.not_installed" ? spdlog::level::info : spdlog::level::warn,
                "{}", there.error().message);
  self->problem_ = there.error();
  const auto until = Steady::now() + kLookAgain;
  while (!self->stopping_ && Steady::now() < until) {
    const auto seen = self->wake_.ticket();
    co_await self->wake_.wait_beyond(seen, std::chrono::ceil<Duration>(until - Steady::now()));
  }
}

net::Task<> TemplateWatch::run(Ptr self) {
  auto all_again = Steady::now() + kAllAgain;
  while (!self->stopping_) {
    if (!self->present_) {
      auto looking = look_for_it(self);
      co_await std::move(looking);
      continue;
    }
    if (self->lost_) {
      self->lost_ = self->present_ = false;
      for (auto& r : self->reflectors_) r->stop();
      self->reflectors_.clear();
      self->due_.clear();
      self->done_.clear();
      self->workload_of_.clear();
      self->users_of_.clear();
      self->seen_.clear();
      continue;
    }
    if (Steady::now() >= all_again) {
      all_again = Steady::now() + kAllAgain;
      std::vector<std::string> keys;
      self->each([&](const json::value& object) { keys.push_back(key_of(object)); });
      for (const auto& key : keys) self->enqueue(key, Duration{});
    }
    const auto seen = self->wake_.ticket();
    const auto next =
        std::ranges::min_element(self->due_, {}, [](const auto& entry) { return entry.second; });
    const auto now = Steady::now();
    if (next != self->due_.end() && next->second <= now) {
      const std::string key = next->first;
      self->due_.erase(next);
      auto working = reconcile(self, key);
      co_await std::move(working);
      if (self->find(key) != nullptr) self->done_[key] = Steady::now();
      co_await net::sleep_for(kPause);
      continue;
    }
    const auto until = next == self->due_.end() ? all_again : std::min(all_again, next->second);
    co_await self->wake_.wait_beyond(seen, std::max(Duration(1), std::chrono::ceil<Duration>(until - now)));
  }
}

net::Task<Result<templates::Resolution>> TemplateWatch::resolution_of(Ptr self,
                                                                      const templates::Parsed& parsed) {
  if (templates::has_errors(parsed.problems))
    co_return templates::Resolution{false, "Invalid", templates::summary(parsed.problems)};
  const auto ref = parsed.value.workload;
  auto getting = self->client_.get(kube::workload_resource(kind_name(ref.kind)), ref.name_space, ref.name);
  const auto workload = co_await std::move(getting);
  if (workload) co_return templates::resolve(parsed.value, *workload);
  if (workload.error().kind != Errc::not_found) co_return std::unexpected(workload.error());
  co_return templates::Resolution{
      false, "WorkloadNotFound",
      fmt::format("{} does not exist in namespace {}", to_string(ref), ref.name_space)};
}

net::Task<> TemplateWatch::reconcile(Ptr self, std::string key) {
  const auto* found = self->find(key);
  if (found == nullptr) co_return;
  const json::value object = *found;  // it may change while we wait
  const auto parsed = templates::parse(object);
  auto resolving = resolution_of(self, parsed);
  const auto resolution = co_await std::move(resolving);
  if (!resolution) {
    spdlog::debug("template {}: {}", key, resolution.error().message);
    self->enqueue(key, kAfterTrouble);
    co_return;
  }
  auto patch = status_patch(object, parsed.value, *resolution, self->clock_.now());
  if (!patch || self->stopping_) co_return;
  const auto& t = parsed.value;
  kube::WriteOptions options;
  auto patching = self->client_.patch(kJobTemplates, t.name_space, t.name, kube::PatchType::merge,
                                      std::move(*patch), options, "status");
  const auto patched = co_await std::move(patching);
  if (patched || patched.error().kind == Errc::not_found) co_return;
  if (patched.error().kind == Errc::conflict) {
    self->enqueue(key, kAtMostEvery);
    co_return;
  }
  if (patched.error().kind != Errc::forbidden || !self->told_forbidden_)
    spdlog::warn("the status of template {} could not be written: {}", key, patched.error().message);
  // Without the permission it is tried again with everything else.
  if (patched.error().kind == Errc::forbidden)
    self->told_forbidden_ = true;
  else
    self->enqueue(key, kAfterTrouble);
}

}  // namespace oddjob::runs
