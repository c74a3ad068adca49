// Templates as runs use them: read when a run is asked for, and again when it starts.
#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "runs/engine_impl.hpp"
#include "runs/objects.hpp"

namespace oddjob::runs {
namespace {

// What the last reconcile left in the object's status.
templates::Resolution seen_resolution(const json::value& object, const templates::Parsed& parsed) {
  if (templates::has_errors(parsed.problems)) return {false, "Invalid", templates::summary(parsed.problems)};
  if (const auto* all = find_array(object, {"status", "conditions"}))
    for (const auto& c : *all)
      if (get_string(c, {"type"}) == "Ready" && get_int(c, {"observedGeneration"}) == parsed.value.generation)
        return {get_string(c, {"status"}) == "True", std::string(get_string(c, {"reason"})),
                std::string(get_string(c, {"message"}))};
  return {false, "Pending", "the server has not looked at it yet"};
}

// What a caller may do with it, by the workload's policy (nullopt: the workload did not opt in).
TemplateInfo info_of(templates::Parsed parsed, templates::Resolution resolution, const Subject& subject,
                     const std::optional<Result<Policy>>& policy) {
  TemplateInfo out;
  out.value = std::move(parsed.value);
  out.problems = std::move(parsed.problems);
  out.resolution = std::move(resolution);
  const auto where = to_string(out.value.workload);
  if (!policy) {
    out.problem = fmt::format("{} does not exist or lets nobody run anything", where);
  } else if (!*policy) {
    out.problem = policy->error().message;
  } else {
    out.approvals = policy::approvals_needed(**policy, &out.value.terms);
    out.may_run = policy::may_run(subject, **policy, out.value.terms);
    if (!out.may_run) out.problem = printable(subject.user, 256) + " is not among those allowed";
  }
  if (!out.resolution.ready) {
    out.may_run = false;
    out.problem = out.resolution.message;
  }
  return out;
}

}  // namespace

std::optional<Result<Policy>> Engine::Impl::seen_policy(const WorkloadRef& w) const {
  for (const auto& [kind, cache] : workload_caches) {
    if (kind != w.kind) continue;
    const auto* object = cache->get(w.name_space, w.name);
    const auto* annotations = object == nullptr ? nullptr : find_object(*object, {"metadata", "annotations"});
    if (annotations != nullptr) return policy::parse_policy(*annotations, to_string(w));
  }
  return std::nullopt;
}

net::Task<Result<json::value>> Engine::Impl::get_template_object(Ptr self, std::string ns, std::string name) {
  auto getting = self->client.get(kJobTemplates, ns, name);
  auto object = co_await std::move(getting);
  if (object) co_return object;
  if (object.error().kind != Errc::not_found)
    co_return std::unexpected(
        std::move(object).error().with_context("reading template " + printable(name, 253)));
  // No such template, or no templates at all.
  auto asking = TemplateWatch::installed(self->client);
  const auto there = co_await std::move(asking);
  if (!there) co_return std::unexpected(there.error());
  co_return fail(
      Errc::not_found, "template.not_found",
      fmt::format("there is no template {} in namespace {}", printable(name, 253), printable(ns, 63)),
      "`oddjob templates` lists them");
}

net::Task<Result<Engine::Impl::TemplatePtr>> Engine::Impl::read_template(Ptr self, RunRequest request) {
  if (!request.from_template) co_return TemplatePtr();
  auto getting = get_template_object(self, request.workload.name_space, request.from_template->name);
  const auto object = co_await std::move(getting);
  if (!object) co_return std::unexpected(object.error());
  OJ_CO_TRY(auto t, templates::read(*object));
  co_return std::make_shared<const templates::JobTemplate>(std::move(t));
}

net::Task<Result<TemplateTerms>> Engine::Impl::same_template(Ptr self, RunRequest recorded) {
  const TemplateUse used = *recorded.from_template;
  auto getting = get_template_object(self, recorded.workload.name_space, used.name);
  const auto object = co_await std::move(getting);
  if (!object) {
    const Error& e = object.error();
    if (e.code != "template.not_found" && e.code != "template.not_installed") co_return std::unexpected(e);
    co_return fail(Errc::forbidden, e.code,
                   fmt::format("template {} was deleted since this run was asked for", used.name));
  }
  const auto now = templates::parse(*object);
  if (now.value.uid == used.uid && now.value.generation == used.generation &&
      now.value.digest == used.digest && !templates::has_errors(now.problems))
    co_return now.value.terms;
  co_return fail(
      Errc::forbidden, "template.changed",
      now.value.uid != used.uid
          ? fmt::format("template {} was deleted and made again since this run was asked for", used.name)
          : fmt::format("template {} was changed since this run was asked for: it was generation {} and "
                        "is {}",
                        used.name, used.generation, now.value.generation),
      "ask for the run again");
}

net::Task<Result<TemplateInfo>> Engine::Impl::get_template(Ptr self, Subject subject, std::string ns,
                                                           std::string name) {
  auto getting = get_template_object(self, ns, name);
  const auto object = co_await std::move(getting);
  if (!object) co_return std::unexpected(object.error());
  auto parsed = templates::parse(*object);
  const auto ref = parsed.value.workload;
  if (templates::has_errors(parsed.problems)) {
    templates::Resolution invalid{false, "Invalid", templates::summary(parsed.problems)};
    co_return info_of(std::move(parsed), std::move(invalid), subject, std::nullopt);
  }
  auto reading = self->workload_reads.read(ref);
  const auto workload = co_await std::move(reading);
  if (!workload && workload.error().kind != Errc::not_found) co_return std::unexpected(workload.error());
  if (!workload) {
    templates::Resolution missing{false, "WorkloadNotFound", workload.error().message};
    co_return info_of(std::move(parsed), std::move(missing), subject, std::nullopt);
  }
  auto resolution = templates::resolve(parsed.value, **workload);
  auto policy = policy::parse_policy(annotations_of(**workload), to_string(ref));
  co_return info_of(std::move(parsed), std::move(resolution), subject, std::move(policy));
}

Result<std::vector<TemplateInfo>> Engine::Impl::list_templates(const Subject& subject,
                                                               const std::string& name_space) const {
  if (const auto problem = template_watch->problem()) return std::unexpected(*problem);
  std::vector<TemplateInfo> out;
  template_watch->each([&](const json::value& object) {
    if (!name_space.empty() && get_string(object, {"metadata", "namespace"}) != name_space) return;
    auto parsed = templates::parse(object);
    auto resolution = seen_resolution(object, parsed);
    auto policy = seen_policy(parsed.value.workload);
    out.push_back(info_of(std::move(parsed), std::move(resolution), subject, policy));
  });
  std::ranges::sort(out, {},
                    [](const TemplateInfo& t) { return std::pair(t.value.name_space, t.value.name); });
  return out;
}

}  // namespace oddjob::runs
