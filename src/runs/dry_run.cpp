// What would be made of a request, and what the API server would say of its Job and pod.
#include <fmt/format.h>

#include "policy/approvals.hpp"
#include "runs/engine_impl.hpp"
#include "runs/objects.hpp"
#include "runs/shared.hpp"

namespace oddjob::runs {

net::Task<Result<DryRunResult>> Engine::Impl::dry_run(Ptr self, Caller caller, RunRequest request) {
  OJ_CO_CHECK(self->accepting(request));
  OJ_CO_CHECK(validate(request));
  auto reading = read_template(self, request);
  const auto from = co_await std::move(reading);
  if (!from) co_return std::unexpected(from.error());
  if (*from) request.workload = (*from)->workload;
  auto preparing = prepare(self, caller.subject, request, *from, new_run_id(self->now()), self->next_place);
  auto prepared = co_await std::move(preparing);
  if (!prepared) co_return std::unexpected(std::move(prepared).error());
  DryRunResult out;
  out.rendered = std::move(prepared->rendered);
  if (const auto* needs = std::get_if<policy::NeedsApproval>(&prepared->decision)) {
    out.server_warnings.push_back(fmt::format(
        "this run would wait for {} approval{} by {}", needs->approvals, needs->approvals == 1 ? "" : "s",
        policy::who_may_approve(policy::approver_teams(prepared->policy),
                                policy::approver_users(prepared->policy))));
  }
  const std::string ns = request.workload.name_space;
  kube::WriteOptions dry;
  dry.dry_run = true;
  dry.traceparent = caller.traceparent;
  json::value pod = json::object{{"apiVersion", "v1"}, {"kind", "Pod"}};
  if (const auto* meta = oddjob::find(out.rendered.job, {"spec", "template", "metadata"}))
    pod.get_object()["metadata"] = *meta;
  ensure(pod, {"metadata", "name"}) = out.rendered.job_name;
  ensure(pod, {"metadata", "namespace"}) = ns;
  if (const auto* spec = oddjob::find(out.rendered.job, {"spec", "template", "spec"}))
    pod.get_object()["spec"] = *spec;
  auto job_try = Shared<json::value>::start(
      self->loop, "runs.dry_run", self->client.create(kube::resources::jobs, ns, out.rendered.job, dry));
  auto pod_try = Shared<json::value>::start(
      self->loop, "runs.dry_run", self->client.create(kube::resources::pods, ns, std::move(pod), dry));
  const auto job_made = co_await job_try.wait();
  const auto pod_made = co_await pod_try.wait();
  const auto tell = [&out](std::string_view what, const Error& e, bool denied) {
    if (denied) {
      out.denials.push_back(fmt::format("{} would be refused: {}", what, e.message));
    } else {
      out.server_warnings.push_back(fmt::format("{} could not be tried: {}", what, e.message));
    }
  };
  if (!*job_made) tell("the Job", job_made->error(), final_create_error(job_made->error()));
  if (!*pod_made) {
    const Error& e = pod_made->error();
    // OddJob itself makes no pods, and so may lack the permission to try.
    tell("the pod", e, e.code != "kube.forbidden" && final_create_error(e));
  }
  co_return out;
}

}  // namespace oddjob::runs
